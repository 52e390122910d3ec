# SPDX-License-Identifier: Apache-2.0
"""A native voice says what can be proved, and takes nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError, GossipError
from holdfast.gossip.messages import (
    SERF_VERSIONS,
    Ack,
    Dead,
    Err,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    PushPull,
    State,
    Suspect,
    User,
)
from holdfast.gossip.native.exchange import FORGED_MAX, SIGNED_MAX
from holdfast.gossip.native.exchange import decode as decode_exchange
from holdfast.gossip.native.exchange import encode as encode_exchange
from holdfast.gossip.native.frames import EXCHANGE, KEYS, SEALED, KeyWord
from holdfast.gossip.serf.messages import Exchange, Query, QueryResponse, Relay, UserEvent
from holdfast.gossip.signing import Algorithm, Notary, PrivateKey, envelope
from holdfast.gossip.signing.envelope import ENVELOPE_MIN
from holdfast.gossip.trust.policy import Unreadable
from holdfast.gossip.trust.revocations import revoke
from holdfast.gossip.wire import serf as wire
from tests.unit.gossip.native.hamlet import LABEL, Hamlet, Villager


def state_of(villager, state=State.ALIVE, incarnation=1):
    return NodeState(villager.name, villager.peer.address[0], 7946, b"", incarnation, state, SERF_VERSIONS)


@pytest.mark.parametrize("message", [
    Ping(1, "two", b"\x7f\0\0\1", 7946, "one"), IndirectPing(1, b"\x7f\0\0\3", 1, "three"), Ack(1, b"there"), Nack(1),
], ids=lambda message: type(message).__name__)
def test_what_says_nothing_of_anybody_needs_no_proof(message):
    one, two = Hamlet().of("one", "two")
    assert one.tell(two, message) == ([message], [])


def test_claims_come_as_they_were_made_and_are_passed_on_as_they_came():
    one, two, three = Hamlet().of("one", "two", "three")
    claims = [one.life(), Suspect(1, "three", "one"), Dead(1, "three", "one"), Dead(1, "one", "one")]
    assert one.tell(two, *claims) == (claims, [])
    assert two.tell(three, *claims) == (claims, [])
    for claim in claims:
        assert two.notary.proof_of(claim, two.hamlet.now) == one.notary.proof_of(claim, one.hamlet.now)


def test_what_cannot_be_proved_is_not_sent():
    one, two, _ = Hamlet().of("one", "two", "three")
    foreign = [Suspect(1, "one", "three"), Dead(1, "two", "three"), User(wire.encode(UserEvent(1, "x"))),
               User(wire.encode(QueryResponse(1, 1, "two"))), User(wire.encode(Relay(b"\x7f\0\0\1", 1, b"\x05"))),
               User(b"\xff")]
    assert one.voice.packets(foreign, two.peer) == []
    assert one.tell(two, *foreign, Nack(7)) == ([Nack(7)], [])
    assert one.voice.counts["messages_unproved"] == 2 * len(foreign)
    with pytest.raises(GossipError, match="cannot be proved"):
        one.voice.stream(foreign[0], two.peer)


def test_a_message_weighs_what_it_takes():
    one, two = Hamlet().of("one", "two")
    messages = [Ping(1, "two"), one.life(), Dead(1, "two", "one")]
    empty = len(one.voice.packets([Nack(1)], two.peer)[0]) - one.voice.weigh(Nack(1))
    one_by_one = sum(one.voice.weigh(each) for each in messages)
    # of each message two bytes for its length are the core's to count
    assert len(one.voice.packets(messages, two.peer)[0]) == empty + one_by_one + 2 * (len(messages) - 1)


def test_letters_are_signed_by_who_says_them_and_passed_on_as_they_came():
    one, two, three = Hamlet().of("one", "two", "three")
    event = wire.encode(UserEvent(1, "deploy", b"v2"))
    assert one.voice.packets([User(event)], two.peer) == []  # an event names nobody: it is said first
    one.voice.say(event)
    query = wire.encode(Query(1, 1, b"\x7f\0\0\1", 7946, "one", "load"))
    assert one.tell(two, User(event), User(query)) == ([User(event), User(query)], [])
    assert one.tell(two, User(event)) == ([], [])  # once
    assert two.tell(three, User(event), User(query)) == ([User(event), User(query)], [])
    assert two.voice.letters.proof_of(event, two.hamlet.now) == one.voice.letters.proof_of(event, one.hamlet.now)


@pytest.mark.parametrize("message", [
    Query(1, 1, b"\x7f\0\0\1", 7946, "two", "load"), QueryResponse(1, 1, "two"),
    Query(1, 1, b"\x7f\0\0\1", 7946, "one", "_serf_install-key"), Relay(b"\x7f\0\0\1", 1, b"\x05"), Exchange(1, {}),
], ids=["another's question", "another's answer", "about keys", "a relay", "an exchange"])
def test_what_a_member_may_not_say_it_does_not_say(message):
    one, _ = Hamlet().of("one", "two")
    with pytest.raises(BadPacket, match="nothing this member may say"):
        one.voice.say(wire.encode(message))


def test_old_letters_are_told_no_more():
    one, two = Hamlet().of("one", "two")
    event = wire.encode(UserEvent(1, "deploy"))
    one.voice.say(event)
    assert len(one.voice.letters.recent(one.hamlet.now)) == 1
    one.hamlet.now += 120_001
    assert one.voice.letters.recent(one.hamlet.now) == []
    assert one.voice.packets([User(event)], two.peer) == []


def test_an_exchange_brings_claims_with_their_proofs_and_letters_that_were_missed():
    one, two, three = Hamlet().of("one", "two", "three")
    event = wire.encode(UserEvent(1, "deploy"))
    one.voice.say(event)
    three.tell(one, three.life())
    one.tell(two, Suspect(1, "three", "one"))
    one.voice.weigh(Suspect(1, "three", "one"))
    clocks = wire.encode(Exchange(7, {"two": 9}, ("two",), 8, (), 9))
    told = one.stream(two, PushPull((state_of(one), state_of(three)), clocks, True))
    assert {(state.node, state.state) for state in told.states} == {("one", State.ALIVE), ("three", State.ALIVE)}
    assert told.more == (Suspect(1, "three", "one"), User(event))
    assert told.join
    assert wire.decode(told.user_state) == Exchange(7, {}, (), 8, (), 9)  # of the rest nothing is proved
    again = one.stream(two, PushPull((state_of(one), state_of(three)), clocks, False))
    assert again.more == (Suspect(1, "three", "one"),)


@pytest.mark.parametrize("signed", [
    (b"",) * 1000, (bytes(ENVELOPE_MIN - 1),), (bytes(ENVELOPE_MIN),) * (SIGNED_MAX + 1),
], ids=["empty", "short", "many"])
def test_an_exchange_that_can_be_none_is_refused_before_anything_in_it_is_looked_at(signed):
    with pytest.raises(BadPacket, match="not an exchange"):
        decode_exchange(encode_exchange(False, b"", signed))


@pytest.mark.parametrize("forge", [
    lambda data, number: bytes(len(data) - 2) + number.to_bytes(2, "big"),
    lambda data, number: data[:-2] + number.to_bytes(2, "big"),
], ids=["malformed", "signature"])
def test_an_exchange_of_forgeries_is_given_up_after_a_few(forge):
    one, two = Hamlet().of("one", "two")
    one.voice.weigh(one.life())
    true = one.notary.proof_of(one.life(), one.hamlet.now)
    false = [each for each in (forge(true, number) for number in range(1000)) if each != true]
    inner = bytes([EXCHANGE]) + encode_exchange(False, b"", false)
    body = one.voice.sealer.seal(one.trust.epochs.current, inner)
    with pytest.raises(BadPacket, match="nobody signed"):
        two.voice.read(SEALED, body, one.peer)
    assert sum(two.voice.counts.values()) <= 2 * FORGED_MAX
    few = one.voice.sealer.seal(one.trust.epochs.current,
                                bytes([EXCHANGE]) + encode_exchange(False, b"", false[:FORGED_MAX - 1]))
    assert two.voice.read(SEALED, few, one.peer).states == ()


def test_what_an_exchange_tells_twice_is_looked_at_once(monkeypatch):
    one, two = Hamlet().of("one", "two")
    one.voice.weigh(one.life())
    told = encode_exchange(False, b"", [one.notary.proof_of(one.life(), one.hamlet.now)] * 1000)
    looked_at = []
    accept = Notary.accept

    def counted(notary, data, peer, now):
        looked_at.append(data)
        return accept(notary, data, peer, now)

    monkeypatch.setattr(Notary, "accept", counted)
    body = one.voice.sealer.seal(one.trust.epochs.current, bytes([EXCHANGE]) + told)
    assert [state.node for state in two.voice.read(SEALED, body, one.peer).states] == ["one"]
    assert len(looked_at) == 1


def test_no_signed_message_is_shorter_than_the_shortest():
    key = PrivateKey(Algorithm.ED25519, bytes(32))
    shortest = envelope.encode(envelope.Envelope(envelope.Kind.USER, Algorithm.ED25519, "x", "", bytes(32), bytes(32),
                                                 1, 1, 1, b"", b"", key.sign(b"")))
    assert len(shortest) == ENVELOPE_MIN


def test_whose_death_is_proved_does_not_live_by_an_exchange():
    one, two, three = Hamlet().of("one", "two", "three")
    three.tell(one, three.life())
    one.voice.weigh(Dead(1, "three", "one"))
    told = one.stream(two, PushPull((state_of(one), state_of(three, State.DEAD))))
    assert [state.node for state in told.states] == ["one"]
    assert told.more == (Dead(1, "three", "one"),)


def test_a_state_that_nobody_proved_is_not_told():
    one, two, three = Hamlet().of("one", "two", "three")
    told = one.stream(two, PushPull((state_of(one), state_of(three))))
    assert [state.node for state in told.states] == ["one"]


def test_who_enters_is_shown_everybodys_key():
    hamlet = Hamlet()
    one, two = hamlet.of("one", "two")
    two.tell(one, two.life())
    one.stream(two, PushPull((state_of(one),)))
    two.stream(one, PushPull((state_of(two),)))
    new = Villager(hamlet, "new").holds(hamlet.epoch)
    new.stream(one, PushPull((state_of(new),), b"", True))
    told = one.stream(new, PushPull((state_of(one), state_of(two))))
    assert {state.node for state in told.states} == {"one", "two"}
    assert new.people.id_of("two") == two.identity.id
    # who does not say that it enters is told one's own key alone
    other = Villager(hamlet, "other").holds(hamlet.epoch)
    other.stream(one, PushPull((state_of(other),)))
    assert {state.node for state in one.stream(other, PushPull((state_of(one), state_of(two)))).states} == {"one"}


def test_an_unknown_key_is_asked_for_and_its_claim_heard_when_it_comes():
    one, two = Hamlet().of("one", "two", strangers=True)
    claim = one.life()
    assert one.tell(two, claim) == ([], [])
    (to, question), = two.voice.outbox
    assert to == one.peer.address
    one.voice.heard(question, two.peer)
    (to, answer), = one.voice.outbox
    assert to == two.peer.address
    assert two.voice.heard(answer, one.peer) == ([], [])
    assert list(two.voice.released) == [(claim, one.peer.address)]
    assert two.people.name_of(one.identity.id) == "one"
    assert len(two.people.happened) == 1  # for key management, which seals to it from now on


def test_who_passed_a_claim_on_shows_its_signers_key():
    hamlet = Hamlet()
    one, two, three = hamlet.of("one", "two", "three", strangers=True)
    one.stream(two, PushPull((state_of(one),)))
    three.knows(two)
    assert two.tell(three, one.life()) == ([], [])
    two.voice.heard(three.voice.outbox.pop()[1], three.peer)
    three.voice.heard(two.voice.outbox.pop()[1], two.peer)
    assert three.voice.released.pop()[0] == one.life()


@pytest.mark.parametrize("message", [Suspect(1, "one", "two"), Dead(1, "one", "one"), User(b"\x03\x80"), Err("no")],
                         ids=lambda message: type(message).__name__)
def test_what_has_to_be_signed_and_is_not_is_refused_by_name(message):
    from holdfast.gossip.native import frames
    from holdfast.gossip.native.frames import Part
    from holdfast.gossip.wire import encode, label

    one, two = Hamlet().of("one", "two")
    sealed = one.voice.sealer.seal(one.hamlet.epoch, frames.joined([Part(frames.PLAIN, encode(message))]))
    found = two.voice.heard(label.put(LABEL.encode(), sealed), one.peer)
    assert found.messages == []
    assert [error.why for error in found.refused] == ["unsigned"]


def test_packets_of_an_epoch_that_is_not_held_are_noted_and_asked_about():
    hamlet = Hamlet()
    one, two = hamlet.of("one", "two")
    later = hamlet.town.announce(one.who, 2, [hamlet.epoch.hash])
    one.holds(later)
    datagram, = one.voice.packets([Nack(1)], two.peer)
    with pytest.raises(BadPacket) as caught:
        two.voice.heard(datagram, one.peer)
    assert caught.value.why == "key"
    assert list(two.voice.happened) == [Unreadable(one.voice.sealer.seal(later, b"")[9:17])]


def test_packets_of_an_epoch_that_is_over_are_refused_by_name():
    hamlet = Hamlet()
    one, two = hamlet.of("one", "two")
    datagram, = one.voice.packets([Nack(1)], two.peer)
    later = hamlet.town.announce(one.who, 2, [hamlet.epoch.hash])
    two.holds(later)
    two.trust.epochs.retire(later.hash)
    with pytest.raises(BadPacket) as caught:
        two.voice.heard(datagram, one.peer)
    assert caught.value.why == "epoch"
    assert not two.voice.happened


def test_packets_of_the_revoked_are_refused_by_name():
    one, two = Hamlet().of("one", "two")
    town = one.hamlet.town
    datagram, = two.voice.packets([Nack(1)], one.peer)
    one.trust.revocations.add(revoke(town.issuer, None, town.cluster, node=two.identity.id, reason="", at_ms=1))
    with pytest.raises(BadPacket) as caught:
        one.voice.heard(datagram, two.peer)
    assert caught.value.why == "revoked"


def test_a_label_always():
    hamlet = Hamlet()
    with pytest.raises(ConfigurationError, match="has a label"):
        Villager(hamlet, "one", label="")


def test_who_has_no_key_says_nothing():
    hamlet = Hamlet()
    one, two = Villager(hamlet, "one"), Villager(hamlet, "two")
    assert one.voice.packets([Nack(1)], two.peer) == []
    with pytest.raises(GossipError, match="no key of its cluster yet"):
        one.voice.stream(PushPull(()), two.peer)


def test_streams_carry_what_datagrams_do_and_words_about_keys():
    one, two = Hamlet().of("one", "two")
    for message in (Ping(1, "two"), Ack(1, b"x"), Err("no room"), one.life()):
        assert one.stream(two, message) == message
    assert two.voice.reader(one.peer).feed(one.voice.open_stream(KEYS, b"word")) == KeyWord(b"word")
    with pytest.raises(BadPacket, match="not a word about keys"):
        KeyWord(b"word").word()


def test_a_datagram_is_no_stream_and_a_stream_no_datagram():
    from holdfast.gossip.native import frames
    from holdfast.gossip.wire import label

    one, two = Hamlet().of("one", "two")
    datagram, = one.voice.packets([Nack(1)], two.peer)
    sealed = label.take(LABEL.encode(), datagram)
    with pytest.raises(BadPacket, match="holds no message"):
        two.voice.reader(one.peer).feed(frames.stream(LABEL.encode(), frames.SEALED, sealed))
    stream = one.voice.stream(Ping(1, "two"), two.peer)
    body = stream[2 + len(LABEL) + 5:]
    with pytest.raises(BadPacket, match="no datagram's"):
        two.voice.heard(label.put(LABEL.encode(), body), one.peer)


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_is_refused_and_breaks_nothing(data, sealed):
    from holdfast.gossip.wire import label

    one, two = Hamlet().of("one", "two")
    if sealed:
        data = label.put(LABEL.encode(), one.voice.sealer.seal(one.hamlet.epoch, b"\0" + data))
    with contextlib.suppress(BadPacket):
        assert two.voice.heard(data, one.peer).messages == [] or sealed
    with contextlib.suppress(BadPacket):
        two.voice.reader(one.peer).feed(data)
