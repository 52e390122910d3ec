# SPDX-License-Identifier: Apache-2.0
"""A changed message is never accepted, whichever field of whichever kind of message was changed, and however."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.signing import (
    Accepted,
    Algorithm,
    Blame,
    Duplicate,
    Kind,
    Lifetimes,
    Reason,
    Registry,
    Rejected,
    Replays,
    Verifier,
    decode,
    encode,
)
from holdfast.gossip.signing.algorithms import P256_ORDER
from holdfast.gossip.signing.envelope import Envelope, body, signed_part
from tests.unit.gossip.signing.forging import FIELDS, flipped, messages, shortened, sizes, span, swapped
from tests.unit.gossip.signing.town import (
    CLUSTER,
    KEYS,
    LIFETIMES,
    NOW,
    ONE,
    P256,
    TWO,
    outcome,
    registry,
    signer,
    user,
    verifier,
)

MESSAGES = messages()
#: As different as can be: another kind, cluster, algorithm, signer, epoch and time, with a key in it.
OTHERS = [
    signer("four", "bank", b"other", skip=1).sign(Kind.KEY, "other", b"other", NOW + 1, embed=True),
    signer("two", CLUSTER, b"other", skip=2).sign(Kind.CLAIM, "dead", b"other", NOW - 1),
]

every_message = pytest.mark.parametrize("name", list(MESSAGES))
every_field = pytest.mark.parametrize("field", FIELDS)


def admits(origin, public, shown, now):
    """Members of the town, under their names; whatever they show."""
    return next((name for name, key in KEYS.items() if key.public.id == origin), None)


def worlds():
    """Whoever knows all keys; and who knows none and lets members in with the key that travels along."""
    return verifier(), Verifier(CLUSTER, Registry(Algorithm), admission=admits)


def taken(data, now=NOW):
    """Did anybody take it?"""
    results = [world.verify(data, "peer", now).result for world in worlds()]
    return any(isinstance(result, Accepted | Duplicate) for result in results)


@every_message
def test_the_message_itself_is_accepted(name):
    assert taken(MESSAGES[name])


@every_message
@every_field
def test_a_flipped_bit(name, field):
    for forged in flipped(MESSAGES[name], field):
        assert not taken(forged)


@every_message
@every_field
def test_a_field_of_another_message(name, field):
    data, tried = MESSAGES[name], 0
    for other in OTHERS:
        for forged in swapped(data, field, other):
            if forged != data:
                assert not taken(forged)
                tried += 1
    assert tried or field == "version"


@every_message
@every_field
def test_a_shortened_field(name, field):
    for forged in shortened(MESSAGES[name], field):
        assert not taken(forged)


@every_message
def test_an_end_that_is_missing(name):
    for size in range(len(MESSAGES[name])):
        assert not taken(MESSAGES[name][:size])


@every_message
def test_every_byte_is_of_a_field(name):
    assert sum(sizes(MESSAGES[name]).values()) == len(MESSAGES[name])
    assert span(MESSAGES[name], "signature")[1] == len(MESSAGES[name])


@every_message
def test_the_same_again(name):
    data, one = MESSAGES[name], verifier()
    assert outcome(one.verify(data, "peer", NOW)) == "Accepted"
    for peer, later in (("peer", 0), ("another", 1), ("peer", 60_000)):
        assert outcome(one.verify(data, peer, NOW + later)) == "Duplicate"
    assert one.counts.replays == 3


@pytest.mark.parametrize("name", ["user", "shown", "p256"])
def test_the_same_again_when_its_signature_is_forgotten(name):
    data, one = MESSAGES[name], verifier(cache_max=1)
    one.verify(data, "peer", NOW)
    one.verify(user(b"another"), "peer", NOW)
    one.verify(MESSAGES["key"], "peer", NOW)
    assert outcome(one.verify(data, "peer", NOW)) == "Duplicate"


@every_message
def test_too_old_and_too_young(name):
    data = MESSAGES[name]
    age = LIFETIMES.of(decode(data).kind)
    assert taken(data, NOW + age)
    assert taken(data, NOW - LIFETIMES.future_ms)
    assert outcome(verifier().verify(data, "peer", NOW + age + 1)) is Reason.EXPIRED
    assert outcome(verifier().verify(data, "peer", NOW - LIFETIMES.future_ms - 1)) is Reason.FUTURE
    assert not taken(data, NOW + age + 1)


@every_message
def test_of_another_cluster(name):
    for world in (verifier(cluster="bank"), verifier(cluster="shop2")):
        verdict = world.verify(MESSAGES[name], "peer", NOW)
        assert (outcome(verdict), verdict.effects) == (Reason.CLUSTER, (Blame("peer", Reason.CLUSTER),))


def forge(by, **changes):
    """What this key signed, with these fields in it: properly signed, by whoever it is."""
    made = Envelope(**{"kind": Kind.USER, "algorithm": by.public.algorithm, "cluster": CLUSTER, "topic": "prices",
                       "origin": by.public.id, "key_id": by.public.id, "epoch": 1, "sequence": 1, "time_ms": NOW,
                       "key": b"", "payload": b"1.00", "signature": b""} | changes)
    return encode(msgspec.structs.replace(made, signature=by.sign(signed_part(made))))


def reason(data):
    """Why those who know all keys refuse it, and that they blame the peer for it."""
    verdict = verifier().verify(data, "peer", NOW)
    assert verdict.effects == (Blame("peer", outcome(verdict)),)
    return outcome(verdict)


def test_signed_by_another_key_in_the_name_of_the_first():
    one = ONE.public.id
    assert reason(forge(TWO, origin=one, key_id=one)) is Reason.SIGNATURE


def test_signed_by_a_known_key_that_is_not_the_origins():
    assert reason(forge(TWO, origin=ONE.public.id)) is Reason.IDENTITY


@pytest.mark.parametrize("key_id", [ONE.public.id, TWO.public.id], ids=["ones", "twos"])
def test_with_another_key_that_travels_along(key_id):
    assert reason(forge(TWO, origin=ONE.public.id, key_id=key_id, key=TWO.public.data)) is Reason.IDENTITY


@pytest.mark.parametrize("key_id", [ONE.public.id, TWO.public.id], ids=["ones", "twos"])
def test_with_another_key_that_travels_along_to_who_knows_nobody(key_id):
    """Whoever lets member one in does not thereby let anybody in who says that it is member one."""
    stranger = Verifier(CLUSTER, Registry(Algorithm), admission=admits)
    data = forge(TWO, origin=ONE.public.id, key_id=key_id, key=TWO.public.data)
    assert outcome(stranger.verify(data, "peer", NOW)) is Reason.IDENTITY
    assert not len(stranger.registry)


def test_by_an_unknown_key_that_travels_along_under_a_known_name():
    only_one = Verifier(CLUSTER, registry("one"), admission=lambda *_: "one")
    assert outcome(only_one.verify(forge(TWO, key=TWO.public.data), "peer", NOW)) is Reason.ADMISSION
    assert only_one.registry.find(TWO.public.id) is None


def test_in_another_algorithm_than_its_keys():
    one = ONE.public.id
    assert reason(forge(P256, origin=one, key_id=one)) is Reason.ALGORITHM
    four = P256.public.id
    assert reason(forge(ONE, origin=four, key_id=four)) is Reason.ALGORITHM


def test_with_the_higher_s():
    envelope = decode(MESSAGES["p256"])
    s = P256_ORDER - int.from_bytes(envelope.signature[32:], "big")
    forged = msgspec.structs.replace(envelope, signature=envelope.signature[:32] + s.to_bytes(32, "big"))
    assert reason(encode(forged)) is Reason.SIGNATURE


def test_signed_without_what_says_what_it_is_for():
    envelope = decode(user())
    for prefix in (b"", b"holdfast/gossip/v1/claim\0", b"holdfast/gossip/v2/user\0"):
        bare = msgspec.structs.replace(envelope, signature=ONE.sign(prefix + body(envelope)))
        assert reason(encode(bare)) is Reason.SIGNATURE


def test_a_revoked_keys():
    one = verifier()
    one.registry.revoke(ONE.public.id)
    verdict = one.verify(user(), "peer", NOW)
    assert (outcome(verdict), verdict.effects) == (Reason.REVOKED, ()), "the revocation may still be under way"


def test_a_revoked_keys_though_its_signature_is_remembered():
    one = verifier()
    assert outcome(one.verify(user(), "peer", NOW)) == "Accepted"
    one.registry.revoke(ONE.public.id)
    assert outcome(one.verify(user(), "peer", NOW)) is Reason.REVOKED


def test_a_key_revoked_from_a_time_on():
    one = verifier()
    one.registry.revoke(ONE.public.id, NOW)
    assert outcome(one.verify(user(now=NOW), "peer", NOW)) is Reason.REVOKED
    assert outcome(one.verify(user(now=NOW - 1), "peer", NOW)) == "Accepted"


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_arbitrary_bytes_have_a_verdict_and_are_never_accepted(data):
    for world in worlds():
        assert isinstance(world.verify(data, "peer", NOW).result, Rejected)


@settings(deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.data())
def test_a_message_with_anything_in_place_of_a_part_of_it_is_never_accepted(name, data):
    good = MESSAGES[name]
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 40)))
    forged = good[:start] + data.draw(st.binary(max_size=40)) + good[end:]
    assert forged == good or not taken(forged)


@settings(deadline=None)
@given(st.permutations(range(8)), st.integers(1, 3))
def test_in_any_order_each_user_message_counts_once(order, origins_max):
    sent = [signer(name, seed=bytes([n])).sign(Kind.USER, "", b"", NOW + n)
            for n in range(4) for name in ("one", "two")]
    one, accepted = verifier(replays=Replays(origins_max=origins_max, epochs_max=2), cache_max=1), []
    for number in [*order, *order]:
        result = one.verify(sent[number], "peer", NOW).result
        accepted += [result.data] if isinstance(result, Accepted) else []
    assert len(set(accepted)) == len(accepted)


def test_lifetimes_are_of_each_kind():
    one = verifier(lifetimes=Lifetimes(claim_ms=1, user_ms=2, key_ms=3, future_ms=0))
    for name, age in (("alive", 1), ("user", 2), ("key", 3)):
        assert outcome(one.verify(MESSAGES[name], "peer", NOW + age)) == "Accepted"
        assert outcome(one.verify(MESSAGES[name], "peer", NOW + age + 1)) is Reason.EXPIRED
