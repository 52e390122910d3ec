# SPDX-License-Identifier: Apache-2.0
"""A stream is read as it comes, and never more of it is kept than its limits allow."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Err, NodeState, Ping, PushPull, User
from holdfast.gossip.wire import Framing, StreamReader, seal, stream, wrapping, write
from holdfast.gossip.wire.dialect import write_raw, write_uint

RING = Keyring([Key(b"n" * 32), Key(b"o" * 16)])
STATES = tuple(NodeState(f"node-{i}", bytes([127, 0, 0, 1]), 7946, b"m" * (i % 500), i, i % 4, SERF_VERSIONS)
               for i in range(600))
EXCHANGE = PushPull(STATES, b"the user's" * 200, join=True)
WAYS = [Framing(label=label, keys=keys, compress=compress, version=version) for label, keys, compress, version
        in itertools.product([b"", b"blue"], [None, RING], [False, True], [0, 1])]


def nonce():
    return bytes(12)


def fed(reader, data, step):
    """What the reader gives at last, byte string by byte string."""
    found = None
    for start in range(0, len(data), step):
        assert found is None, "it gave a message before all of it was there"
        found = reader.feed(data[start:start + step])
    return found


@pytest.mark.parametrize("framing", WAYS)
@pytest.mark.parametrize("message", [EXCHANGE, PushPull(()), User(b"x" * 5000), User(b""), Ping(7, "a"), Ack(7),
                                     Err("no")], ids=lambda message: type(message).__name__)
def test_messages_come_through_every_framing_in_pieces_of_any_size(framing, message):
    data = write(message, framing, nonce)
    for step in (1009, len(data)) if len(data) > 2000 else (1, 2, 3, 7, len(data)):
        assert fed(StreamReader(framing), data, step) == message


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=300))
@settings(max_examples=30, deadline=None)
def test_where_the_pieces_end_makes_no_difference(sizes):
    data, reader, at, found = write(EXCHANGE, Framing(), nonce), StreamReader(Framing()), 0, None
    for size in itertools.cycle(sizes):
        found = reader.feed(data[at:at + size])
        at += size
        if at >= len(data):
            break
        assert found is None
    assert found == EXCHANGE


@pytest.mark.parametrize("framing", WAYS)
def test_a_reader_waits_for_no_more_than_comes(framing):
    for message in (EXCHANGE, User(b"x" * 100), Ack(1)):
        data, reader, at = write(message, framing, nonce), StreamReader(framing), 0
        while at < len(data):
            take = reader.wanted
            assert 0 < take <= len(data) - at
            found = reader.feed(data[at:at + take])
            at += take
        assert found == message


def test_a_stream_of_an_encrypted_cluster_is_bound_to_its_announcement():
    data = bytearray(write(Ack(1), Framing(keys=RING), nonce))
    assert data[0] == 10
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    plain = stream.body(Ack(1))
    other_head = b"\x0a\x00\x00\x00" + bytes([seal.sealed_size(len(plain))])
    unbound = other_head + seal.seal(RING.primary, plain, nonce=nonce(), associated=b"")
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing(keys=RING)).feed(unbound)
    assert refused.value.why == "key"


def test_a_plain_stream_is_not_heard_where_there_are_keys():
    data = write(EXCHANGE, Framing(), nonce)
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing(keys=RING)).feed(data)
    assert refused.value.why == "plain"


def test_a_plain_stream_is_heard_on_the_way_to_encryption():
    upward = Framing(keys=RING, verify_incoming=False)
    assert StreamReader(upward).feed(write(EXCHANGE, Framing(), nonce)) == EXCHANGE
    assert StreamReader(upward).feed(write(EXCHANGE, Framing(keys=RING), nonce)) == EXCHANGE


def test_an_encrypted_stream_is_not_heard_where_there_are_no_keys():
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing()).feed(write(EXCHANGE, Framing(keys=RING), nonce))
    assert refused.value.why == "key"


@pytest.mark.parametrize("label", [b"", b"blue"])
def test_a_stream_of_another_cluster_is_refused_at_its_label(label):
    data = write(EXCHANGE, Framing(label=b"pink" if label else b"blue"), nonce)
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing(label=label)).feed(data[:6])
    assert refused.value.why == "label"


# -- limits: each is looked at when the announcement is read -----------------------------------------------------------

def head(nodes, user_state=0):
    return (b"\x06\x83\xa4Join\xc2\xa5Nodes" + write_uint(nodes) + b"\xacUserStateLen" + write_uint(user_state))


@pytest.mark.parametrize("announced", [
    pytest.param(b"\x0a" + (stream.STATE_MAX + 1).to_bytes(4, "big"), id="encrypted bytes"),
    pytest.param(b"\x0a\xff\xff\xff\xff", id="as many as the length says"),
])
def test_more_encrypted_bytes_than_may_come_are_refused_when_they_are_announced(announced):
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing(keys=RING)).feed(announced)
    assert refused.value.why == "large"


@pytest.mark.parametrize("announced", [
    pytest.param(head(stream.NODES_MAX + 1), id="members"),
    pytest.param(head(1, stream.STATE_MAX + 1), id="user state"),
    pytest.param(b"\x08\x81\xaaUserMsgLen" + write_uint(stream.STATE_MAX + 1), id="user message"),
    pytest.param(b"\x08\x81\xaaUserMsgLen\xff", id="less than nothing"),
    pytest.param(b"\x06\x82\xa5Nodes\xd0\x80\xacUserStateLen\x00", id="fewer than no members"),
    pytest.param(b"\x09\x82\xa4Algo\x00\xa3Buf\xdb\xff\xff\xff\xff", id="compressed bytes"),
    pytest.param(b"\x00\x82\xa4Node\xdb\x00\xff\xff\xff", id="a name"),
    pytest.param(head(1) + b"\x81\xa4Name\xda\xff\xff", id="a member's name"),
    pytest.param(head(1) + b"\x81\xa4Else\xdd\x7f\xff\xff\xff", id="elements of what nobody knows"),
])
def test_more_than_may_come_is_refused_when_it_is_announced(announced):
    with pytest.raises(BadPacket):
        StreamReader(Framing()).feed(announced)


def test_small_members_add_up():
    reader = StreamReader(Framing(), state_max=2000)
    with pytest.raises(BadPacket) as refused:
        reader.feed(stream.body(EXCHANGE))
    assert refused.value.why == "large"


def test_a_member_that_does_not_end_is_not_collected_for_ever():
    reader = StreamReader(Framing())
    reader.feed(head(1) + b"\xde\x00\x20")
    field = b"\xa5Other" + write_raw(b"x" * 800)
    for _ in range(stream.NODE_MAX // len(field)):
        reader.feed(field)
    with pytest.raises(BadPacket) as refused:
        reader.feed(field)
    assert refused.value.why == "large"


def test_what_nobody_knows_has_few_elements():
    """Else whoever sends a list byte by byte has it stepped over anew for each."""
    for unknown in (b"\xdc\x01\x00" + bytes(256), b"\x91" * 100 + b"\x00", b"\x8f" * 3 + bytes(99)):
        for begun in (head(1) + b"\x81\xa4Else", b"\x00\x81\xa4Else", b"\x09\x81\xa4Else"):
            with pytest.raises(BadPacket) as refused:
                StreamReader(Framing()).feed(begun + unknown)
            assert refused.value.why == "large"


def test_compressed_bytes_are_waited_for_as_a_whole():
    packed = wrapping.compressed(stream.body(EXCHANGE))
    start = packed.index(b"Buf") + 3
    reader = StreamReader(Framing())
    assert reader.feed(packed[:start + 3]) is None
    assert reader.wanted == len(packed) - start - 3
    assert reader.feed(packed[start + 3:]) == EXCHANGE


@pytest.mark.parametrize("fields", [b"\x83\xa5Later\x93\x01\x02\x03", b"\x83\xa5Later\xc0", b"\x83\xa3Buf\xa0"])
def test_compressed_bytes_may_stand_among_fields_of_a_later_version(fields):
    packed = wrapping.compressed(stream.body(Ack(1)))
    assert fed(StreamReader(Framing()), b"\x09" + fields + packed[2:], 1) == Ack(1)


def test_a_member_without_a_name_is_refused():
    with pytest.raises(BadPacket):
        StreamReader(Framing()).feed(head(1) + b"\x80")


def test_an_encrypted_stream_that_ends_within_its_message_is_refused():
    framing = Framing(keys=RING)
    for end in (0, 1, 5, 40, -1):
        plain = stream.body(EXCHANGE)[:end]
        announced = b"\x0a" + seal.sealed_size(len(plain)).to_bytes(4, "big")
        data = announced + seal.seal(RING.primary, plain, nonce=nonce(), associated=announced)
        with pytest.raises(BadPacket) as refused:
            StreamReader(framing).feed(data)
        assert refused.value.why == "short"


def test_what_is_compressed_twice_is_refused():
    with pytest.raises(BadPacket) as refused:
        StreamReader(Framing()).feed(wrapping.compressed(wrapping.compressed(stream.body(Ack(1)))))
    assert refused.value.why == "deep"


def test_a_stream_of_a_type_that_nobody_knows_is_refused_at_its_first_byte():
    for kind in (7, 12, 14, 71, 255):
        with pytest.raises(BadPacket) as refused:
            StreamReader(Framing()).feed(bytes([kind]))
        assert refused.value.why == "type"
