# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from holdfast.errors import BadPacket
from holdfast.gossip.agent.voice import Peer, SharedVoice, random_nonce
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import Ack, NodeState, Ping, PushPull, User
from holdfast.gossip.wire import Framing

PEER = Peer((b"\x7f\0\0\1", 7946), "two")
FRAMINGS = {
    "plain": {}, "label": {"label": b"blue"}, "compressed": {"compress": True},
    "all": {"label": b"blue", "compress": True, "keys": Keyring([Key(bytes(32))])},
}


@pytest.fixture(params=FRAMINGS)
def voice(request):
    return SharedVoice(Framing(**FRAMINGS[request.param]))


def test_what_is_said_is_heard(voice):
    said = [Ping(1, "two"), Ack(2, b"where"), User(b"x" * 300)]
    heard = [message for data in voice.packets(said, PEER) for message in voice.heard(data, PEER).messages]
    assert heard == said


def test_what_goes_by_stream_is_heard_whole_or_not_at_all(voice):
    said = PushPull((NodeState("one", b"\x7f\0\0\1", 1),), b"state", join=True)
    data = voice.stream(said, PEER)
    reader = voice.reader(PEER)
    assert [reader.feed(data[at:at + 1]) for at in range(len(data))] == [None] * (len(data) - 1) + [said]


def test_a_checksum_is_for_those_who_understand_it():
    voice = SharedVoice(Framing())
    assert voice.packets([Ping(1, "two")], PEER._replace(protocol=5))[0][0] == 12
    assert voice.packets([Ping(1, "two")], PEER._replace(protocol=4))[0][0] == 0
    assert SharedVoice(Framing(), checksums=False).packets([Ping(1, "two")], PEER._replace(protocol=5))[0][0] == 0


def test_a_message_weighs_what_it_takes_in_a_packet():
    voice = SharedVoice(Framing())
    message = User(b"x" * 100)
    assert voice.weigh(message) == len(voice.packets([message], PEER)[0]) == 101


def test_no_two_packets_have_the_same_nonce():
    voice = SharedVoice(Framing(keys=Keyring([Key(bytes(32))])))
    assert len({voice.packets([Ping(1, "two")], PEER)[0] for _ in range(100)}) == 100
    assert len(random_nonce()) == 12


def test_what_another_cluster_says_is_refused(voice):
    stranger = SharedVoice(Framing(label=b"red", keys=Keyring([Key(bytes(16))])))
    with pytest.raises(BadPacket):
        voice.heard(stranger.packets([Ping(1, "two")], PEER)[0], PEER)
    with pytest.raises(BadPacket):
        voice.reader(PEER).feed(stranger.stream(Ping(1, "two"), PEER))
