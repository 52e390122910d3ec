# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message, and what else is to be done about it."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.signing import (
    Accepted,
    Algorithm,
    AskForKey,
    Blame,
    Kind,
    Mode,
    Modes,
    PrivateKey,
    Quarantine,
    Quarantined,
    Reason,
    Registry,
    Rejected,
    Replays,
    Signer,
    Unproved,
    Verdict,
    Verifier,
    decode,
)
from holdfast.gossip.signing.verifier import ANNOUNCED_MAX
from tests.unit.gossip.signing.town import (
    CLUSTER,
    NOW,
    ONE,
    P256,
    TWO,
    chance,
    outcome,
    registry,
    signer,
    user,
    verifier,
)


def test_what_is_accepted_is_passed_on_as_it_came():
    data = user()
    assert verifier().verify(data, "peer", NOW) == Verdict(Accepted(decode(data), data))


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda one: one.name)
def test_each_algorithm(algorithm):
    key = PrivateKey.generate(algorithm, rsa_bits=2048)
    known = Registry([algorithm])
    known.bind(key.public, "one")
    one, made = Verifier(CLUSTER, known), Signer(key, CLUSTER, chance())
    data = made.sign(Kind.USER, "prices", b"9.99", NOW)
    assert outcome(one.verify(data, "peer", NOW)) == "Accepted"
    assert outcome(one.verify(data[:-1] + bytes([data[-1] ^ 1]), "peer", NOW)) is Reason.SIGNATURE


def test_a_signature_is_computed_once():
    one, data = verifier(), user()
    for _ in range(5):
        one.verify(data, "peer", NOW)
    assert (one.counts.accepted, one.counts.verified, one.counts.cached, one.counts.replays) == (1, 1, 4, 4)


def test_what_is_remembered_is_bounded():
    one = verifier(cache_max=3)
    sender = signer()
    for number in range(10):
        one.verify(sender.sign(Kind.USER, "", bytes([number]), NOW), "peer", NOW)
    assert len(one._cache) == 3


def test_a_bad_signature_is_never_remembered_to_hold():
    one, data = verifier(), user()
    forged = data[:-1] + bytes([data[-1] ^ 1])
    for _ in range(3):
        assert outcome(one.verify(forged, "peer", NOW)) is Reason.SIGNATURE
    assert (one.counts.cached, one.counts.rejected, one.counts.blamed) == (0, {Reason.SIGNATURE: 3}, 3)
    assert outcome(one.verify(data, "peer", NOW)) == "Accepted", "a forgery does not use the number up"


def test_an_unknown_key_is_asked_for_and_its_message_waits():
    one, data = verifier("two"), user()
    assert one.verify(data, "peer", NOW) == Verdict(Quarantined(ONE.public.id),
                                                    (AskForKey("peer", ONE.public.id, ONE.public.id),))
    assert one.verify(data, "peer", NOW).effects == (), "asked once"
    assert one.verify(user(b"another", skip=1), "other", NOW).effects == (
        AskForKey("other", ONE.public.id, ONE.public.id),)
    assert one.release(ONE.public.id, NOW) == []
    one.registry.bind(ONE.public, "one")
    released = one.release(ONE.public.id, NOW)
    assert [(peer, outcome(verdict)) for peer, verdict in released] == [("peer", "Accepted"), ("other", "Accepted")]
    assert one.release(ONE.public.id, NOW) == []
    assert (one.counts.quarantined, one.counts.asked, one.counts.released) == (3, 2, 2)


def test_a_bad_message_that_waited_is_held_against_who_delivered_it():
    one, data = verifier("two"), user()
    one.verify(data[:-1] + bytes([data[-1] ^ 1]), "liar", NOW)
    one.verify(data, "honest", NOW)
    one.registry.bind(ONE.public, "one")
    assert [(peer, outcome(verdict), verdict.effects) for peer, verdict in one.release(ONE.public.id, NOW)] == [
        ("liar", Reason.SIGNATURE, (Blame("liar", Reason.SIGNATURE),)), ("honest", "Accepted", ())]


def test_a_message_that_waited_too_long_is_forgotten():
    one = verifier("two", quarantine=Quarantine(keep_ms=1000))
    one.verify(user(), "peer", NOW)
    one.registry.bind(ONE.public, "one")
    assert one.release(ONE.public.id, NOW + 1000) == []


def test_a_full_quarantine_refuses_and_blames_nobody():
    one = verifier("two", quarantine=Quarantine(peer_max=1))
    one.verify(user(), "peer", NOW)
    assert one.verify(user(b"another"), "peer", NOW) == Verdict(Rejected(Reason.CROWDED))


class Door:
    """Who may enter, and what they showed."""

    def __init__(self, *ids, name="one"):
        self.ids, self.name, self.asked = ids, name, []

    def __call__(self, origin, public, shown, now):
        self.asked.append((origin, public, shown, now))
        return self.name if origin in self.ids else None


def test_a_key_that_merely_travels_along_proves_nothing():
    data = user(embed=True)
    for admission in (None, Door()):
        one = verifier("two", admission=admission)
        assert one.verify(data, "peer", NOW) == Verdict(Rejected(Reason.ADMISSION))
        assert one.registry.find(ONE.public.id) is None


def test_whoever_is_admitted_is_known_from_then_on():
    door = Door(ONE.public.id)
    one = verifier("two", admission=door)
    assert outcome(one.verify(signer().announce(b"a certificate", NOW), "peer", NOW)) == "Accepted"
    assert door.asked == [(ONE.public.id, ONE.public, b"a certificate", NOW)]
    assert one.registry.name_of(ONE.public.id) == "one"
    assert outcome(one.verify(user(), "peer", NOW)) == "Accepted"
    assert len(door.asked) == 1


def test_who_does_not_hold_the_key_is_not_even_shown_at_the_door():
    door = Door(ONE.public.id)
    one = verifier("two", admission=door)
    data = signer().announce(b"a certificate", NOW)
    assert outcome(one.verify(data[:-1] + bytes([data[-1] ^ 1]), "peer", NOW)) is Reason.SIGNATURE
    assert not door.asked
    assert one.registry.find(ONE.public.id) is None


def test_only_a_shown_key_shows_a_proof():
    door = Door(ONE.public.id)
    verifier("two", admission=door).verify(user(embed=True), "peer", NOW)
    assert door.asked[0][2] == b""


def test_a_name_that_another_has_admits_nobody():
    one = verifier("two", admission=Door(ONE.public.id, name="two"))
    assert outcome(one.verify(user(embed=True), "peer", NOW)) is Reason.ADMISSION


def test_a_revoked_key_does_not_come_back_by_travelling_along():
    one = verifier(admission=Door(ONE.public.id))
    one.registry.revoke(ONE.public.id)
    assert outcome(one.verify(user(embed=True), "peer", NOW)) is Reason.REVOKED


def test_algorithms_that_are_not_on_the_list_are_refused_known_or_not():
    data = signer("four").sign(Kind.USER, "", b"", NOW, embed=True)
    door = Door(P256.public.id, name="four")
    fresh = Verifier(CLUSTER, Registry(), admission=door)
    assert fresh.verify(data, "peer", NOW) == Verdict(Rejected(Reason.UNLISTED)), "lists differ: nobody is blamed"
    known = verifier()
    known.registry.algorithms = frozenset({Algorithm.ED25519})
    assert outcome(known.verify(data, "peer", NOW)) is Reason.UNLISTED
    assert not door.asked


def test_a_key_that_was_shown_is_kept_for_who_asks_for_it():
    one = verifier("two", admission=Door(ONE.public.id))
    data = signer().announce(b"a certificate", NOW)
    assert one.announcement(ONE.public.id, NOW) is None
    one.verify(data, "peer", NOW)
    assert one.announcement(ONE.public.id, NOW) == data
    assert one.announcement(ONE.public.id, NOW + one.lifetimes.key_ms + 1) is None
    one.registry.revoke(ONE.public.id)
    assert one.announcement(ONE.public.id, NOW) is None


def test_the_youngest_showing_of_a_key_is_kept():
    one = verifier(admission=Door(ONE.public.id))
    old, young = signer().announce(b"old", NOW), signer(skip=1).announce(b"young", NOW + 1)
    for data in (young, old):
        assert outcome(one.verify(data, "peer", NOW + 1)) == "Accepted"
    assert one.announcement(ONE.public.id, NOW + 1) == young


def test_a_proof_that_is_too_long_is_not_kept():
    one = verifier(admission=Door(ONE.public.id))
    assert outcome(one.verify(signer().announce(bytes(ANNOUNCED_MAX), NOW), "peer", NOW)) == "Accepted"
    assert one.announcement(ONE.public.id, NOW) is None


def test_modes_are_of_a_kind_and_topic():
    modes = Modes(Mode.PERMISSIVE, {(Kind.USER, "prices"): Mode.STRICT, (Kind.USER, "chat"): Mode.OFF})
    assert modes.of(Kind.USER, "prices") is Mode.STRICT
    assert modes.of(Kind.USER, "chat") is Mode.OFF
    assert modes.of(Kind.CLAIM, "prices") is Mode.PERMISSIVE
    assert Modes().of(Kind.USER, "anything") is Mode.STRICT


@pytest.mark.parametrize(("mode", "unsigned", "bad", "good"), [
    (Mode.STRICT, Reason.UNSIGNED, Reason.SIGNATURE, True),
    (Mode.PERMISSIVE, "Unproved", Reason.SIGNATURE, True),
    (Mode.OFF, "Unproved", "Accepted", False)], ids=lambda value: getattr(value, "name", None))
def test_what_each_mode_lets_in(mode, unsigned, bad, good):
    one = verifier(modes=Modes(topics={(Kind.USER, "prices"): mode}))
    data = user()
    assert outcome(one.unsigned(Kind.USER, "prices", "peer")) == unsigned
    forged = one.verify(data[:-1] + bytes([data[-1] ^ 1]), "peer", NOW)
    assert outcome(forged) == bad
    assert getattr(forged.result, "proved", False) is False
    assert one.verify(data, "peer", NOW).result.proved is good
    assert one.counts.unsigned == (unsigned == "Unproved")
    assert outcome(one.unsigned(Kind.USER, "another", "peer")) is Reason.UNSIGNED


def test_unsigned_messages_are_blamed_on_nobody():
    assert verifier().unsigned(Kind.USER, "prices", "peer") == Verdict(Rejected(Reason.UNSIGNED))
    assert verifier(modes=Modes(Mode.PERMISSIVE)).unsigned(Kind.USER, "x", "peer") == Verdict(Unproved())


def test_a_check_from_above_is_asked_before_a_message_counts():
    one, data = verifier(), user()
    one.checks[Kind.USER] = lambda envelope: Reason.AUTHORITY if envelope.payload == b"9.99" else None
    assert one.verify(data, "peer", NOW) == Verdict(Rejected(Reason.AUTHORITY), (Blame("peer", Reason.AUTHORITY),))
    del one.checks[Kind.USER]
    assert outcome(one.verify(data, "peer", NOW)) == "Accepted"


def test_a_new_start_refuses_what_an_earlier_life_may_have_seen():
    one = verifier(replays=Replays(NOW))
    assert one.verify(user(now=NOW), "peer", NOW) == Verdict(Rejected(Reason.BEHIND))
    assert outcome(one.verify(user(now=NOW + 1), "peer", NOW)) == "Accepted"


def test_a_cluster_has_a_name():
    with pytest.raises(ConfigurationError):
        Verifier("", registry())


def test_a_signers_numbers_only_grow_and_its_times_are_the_clocks():
    one = signer()
    sent = [decode(one.sign(Kind.USER, "", b"", now)) for now in (NOW, NOW + 5, NOW - 1000, NOW + 6)]
    assert [envelope.sequence for envelope in sent] == [1, 2, 3, 4]
    assert [envelope.time_ms - NOW for envelope in sent] == [0, 5, -1000, 6]
    assert {envelope.epoch for envelope in sent} == {one.epoch}
    assert signer(seed=b"another start").epoch != one.epoch


def test_what_has_no_room_uses_no_number_up():
    one = signer()
    with pytest.raises(ConfigurationError):
        one.sign(Kind.USER, "", bytes(1 << 20), NOW)
    assert (one.sequence, one.signed) == (0, 0)


def test_a_further_key_speaks_for_its_node_and_does_not_travel_along():
    further = signer("two", node_id=ONE.public.id)
    data = further.sign(Kind.USER, "", b"", NOW)
    known = registry("one")
    known.bind(TWO.public, "one", node_id=ONE.public.id)
    assert outcome(Verifier(CLUSTER, known).verify(data, "peer", NOW)) == "Accepted"
    with pytest.raises(ConfigurationError):
        further.announce(b"", NOW)
