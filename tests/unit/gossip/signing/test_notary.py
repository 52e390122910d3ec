# SPDX-License-Identifier: Apache-2.0
"""A claim travels with its origin's own proof, and only the right member can make one."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.messages import Alive, Dead, Suspect
from holdfast.gossip.signing import (
    Accepted,
    Algorithm,
    Blame,
    Kind,
    Mode,
    Modes,
    Notary,
    PrivateKey,
    Reason,
    Registry,
    Rejected,
    Signer,
    Verdict,
    Verifier,
    decode,
)
from holdfast.gossip.signing.claims import payload, speaker, topic
from tests.unit.gossip.core.bench import Bench, alive, messages
from tests.unit.gossip.signing.town import (
    ALIVE,
    CLUSTER,
    DEAD,
    KEYS,
    LEAVE,
    LIFETIMES,
    NOW,
    ONE,
    SUSPECT,
    TWO,
    chance,
    notary,
    outcome,
    registry,
    signer,
    user,
    verifier,
)

HALF = LIFETIMES.claim_ms // 2


def equal(claim):
    """The same value as another object, as the core passes it on."""
    return type(claim)(*msgspec.structs.astuple(claim))


@pytest.mark.parametrize("claim", [ALIVE, SUSPECT, DEAD, LEAVE], ids=["alive", "suspect", "dead", "leave"])
def test_a_claim_travels_with_the_origins_own_bytes(claim):
    one, two, three = notary("one"), notary("two"), notary("three")
    data = one.sign(claim, NOW)
    told = two.accept(data, "one", NOW)
    assert told.claim == claim
    assert two.proof_of(equal(told.claim), NOW + 1) == data
    assert three.accept(two.proof_of(told.claim, NOW + 1), "two", NOW + 2).claim == claim


@pytest.mark.parametrize("claim", [ALIVE, SUSPECT, DEAD, LEAVE], ids=["alive", "suspect", "dead", "leave"])
def test_nobody_says_it_in_anothers_name(claim):
    with pytest.raises(ConfigurationError):
        notary("two").sign(claim, NOW)
    data = signer("two").sign(Kind.CLAIM, topic(claim), payload(claim), NOW)
    three = notary("three")
    told = three.accept(data, "peer", NOW)
    assert (outcome(told.verdict), told.claim) == (Reason.AUTHORITY, None)
    assert told.verdict.effects == (Blame("peer", Reason.AUTHORITY),)
    assert three.proof_of(claim, NOW) is None
    assert not len(three)


def test_whoever_is_accused_cannot_be_made_to_leave_by_its_accuser():
    data = signer("two").sign(Kind.CLAIM, "dead", payload(Dead(7, "one", "one")), NOW)
    assert outcome(notary("three").accept(data, "peer", NOW).verdict) is Reason.AUTHORITY
    data = signer("two").sign(Kind.CLAIM, "dead", payload(Dead(7, "one", "two")), NOW)
    assert notary("three").accept(data, "peer", NOW).claim == Dead(7, "one", "two")


def test_an_accusation_is_no_death():
    """The two have the same payload; the topic, which is signed, tells them apart."""
    envelope = decode(notary("one").sign(SUSPECT, NOW))
    assert envelope.payload == payload(DEAD)
    assert notary("two").accept(notary("one").sign(SUSPECT, NOW), "peer", NOW).claim == SUSPECT


def test_a_claim_in_another_form_is_refused_though_it_is_signed():
    for kind, data in (("alive", payload(ALIVE) + b"\0"), ("friend", payload(SUSPECT)), ("dead", b"")):
        told = notary("two").accept(signer("one").sign(Kind.CLAIM, kind, data, NOW), "peer", NOW)
        assert (outcome(told.verdict), told.claim) == (Reason.MALFORMED, None)


def test_what_cannot_be_proved_is_not_passed_on():
    assert notary("two").proof_of(ALIVE, NOW) is None
    two = notary("two")
    two.accept(notary("one").sign(ALIVE, NOW), "one", NOW)
    assert two.proof_of(msgspec.structs.replace(ALIVE, meta=b"other"), NOW) is None
    assert two.proof_of(msgspec.structs.replace(ALIVE, incarnation=8), NOW) is None


def test_ones_own_claim_keeps_its_bytes_for_half_of_its_lifetime_and_is_signed_anew_then():
    one = notary("one")
    data = one.sign(ALIVE, NOW)
    assert one.proof_of(equal(ALIVE), NOW + HALF - 1) == data
    again = one.proof_of(ALIVE, NOW + HALF)
    assert again != data
    assert decode(again).time_ms == NOW + HALF
    assert one.signer.signed == 2


def test_a_clock_that_was_ahead_leaves_no_proof_in_the_future():
    one, day = notary("one"), 86_400_000
    one.sign(ALIVE, NOW + day)
    data = one.sign(ALIVE, NOW)
    assert decode(data).time_ms == NOW
    assert one.sign(ALIVE, NOW + 1) == data
    assert notary("two").accept(data, "one", NOW).claim == ALIVE


def test_what_the_core_passes_on_has_a_proof():
    """Member m0's core hears claims from its notary; whatever it then tells about others, its notary can prove."""
    keys = {f"m{n}": PrivateKey(Algorithm.ED25519, bytes([n]) * 32) for n in range(6)}
    known = Registry()
    for name, key in keys.items():
        known.bind(key.public, name)
    notaries = {name: Notary(Signer(key, CLUSTER, chance()), Verifier(CLUSTER, known)) for name, key in keys.items()}
    m0, bench = notaries["m0"], Bench()
    said = [alive(n) for n in range(1, 6)] + [Suspect(1, "m1", "m2"), alive(1, 2), Suspect(1, "m5", "m1"),
                                              Dead(1, "m4", "m2"), Dead(1, "m3", "m3"), Dead(1, "m2", "m4")]
    sent = {notaries[speaker(claim)].sign(claim, NOW) for claim in said}
    for claim in said:
        told = m0.accept(notaries[speaker(claim)].sign(claim, NOW), "peer", NOW)
        bench.hear(told.claim)
    passed = [one for one in messages(bench.until(30)) if isinstance(one, Alive | Suspect | Dead)]
    others = {claim for claim in passed if speaker(claim) != "m0"}
    assert {type(claim) for claim in others} == {Alive, Suspect, Dead}
    assert {m0.proof_of(claim, NOW) for claim in others} <= sent


def test_of_others_claims_the_youngest_proof_is_kept():
    one, two = notary("one"), notary("two")
    old, young = one.sign(ALIVE, NOW), one.sign(ALIVE, NOW + HALF)
    for data in (young, old):
        assert two.accept(data, "peer", NOW + HALF).claim == ALIVE
    assert two.proof_of(ALIVE, NOW + HALF) == young
    assert len(two) == 1


def test_a_proof_that_nobody_would_believe_is_not_told():
    two = notary("two")
    two.accept(notary("one").sign(ALIVE, NOW), "one", NOW)
    assert two.proof_of(ALIVE, NOW + LIFETIMES.claim_ms)
    assert two.proof_of(ALIVE, NOW + LIFETIMES.claim_ms + 1) is None
    two.verifier.registry.revoke(ONE.public.id, NOW + 1)
    assert two.proof_of(ALIVE, NOW)
    two.verifier.registry.revoke(ONE.public.id)
    assert two.proof_of(ALIVE, NOW) is None


def test_a_claim_that_comes_again_is_given_again():
    """The core may not have known the accused when it came first."""
    two, data = notary("two"), notary("one").sign(SUSPECT, NOW)
    assert outcome(two.accept(data, "peer", NOW).verdict) == "Accepted"
    told = two.accept(data, "peer", NOW)
    assert (outcome(told.verdict), told.claim) == ("Duplicate", SUSPECT)


def test_what_is_no_claim_goes_to_the_layer_above():
    told = notary("two").accept(user(), "peer", NOW)
    assert told.claim is None
    assert isinstance(told.verdict.result, Accepted)
    assert told.verdict.result.envelope.payload == b"9.99"


def test_a_claim_that_waited_for_its_key_is_given_with_it():
    two = notary("two", "two")
    data = notary("one").sign(ALIVE, NOW)
    assert outcome(two.accept(data, "peer", NOW).verdict) == "Quarantined"
    two.verifier.registry.bind(ONE.public, "one")
    assert [(peer, told.claim) for peer, told in two.release(ONE.public.id, NOW)] == [("peer", ALIVE)]
    assert two.proof_of(ALIVE, NOW) == data


def test_all_that_is_proved_about_a_member():
    one, two, three = notary("one"), notary("two"), notary("three")
    life = two.sign(Alive(7, "two", b"1234", 1), NOW)
    accused, buried = one.sign(SUSPECT, NOW), one.sign(DEAD, NOW)
    for data in (life, accused, buried):
        three.accept(data, "peer", NOW)
    assert three.proofs_about("two", NOW) == (life, accused, buried)
    assert three.proofs_about("one", NOW) == ()
    refuted = two.sign(Alive(8, "two", b"1234", 1), NOW)
    three.accept(refuted, "peer", NOW)
    assert three.proofs_about("two", NOW) == (refuted,), "what was said of an older life is over"
    assert len(three) == 1


def test_an_accusation_of_an_older_life_is_not_kept():
    two, three = notary("two"), notary("three")
    refuted = two.sign(Alive(8, "two", b"1234", 1), NOW)
    three.accept(refuted, "peer", NOW)
    assert three.accept(notary("one").sign(SUSPECT, NOW), "peer", NOW).claim == SUSPECT
    assert three.proofs_about("two", NOW) == (refuted,)


def test_what_a_member_says_of_itself_is_renewed_and_what_it_said_of_others_is_not():
    one = notary("one")
    life, accused = one.sign(ALIVE, NOW), one.sign(SUSPECT, NOW)
    assert (one.proofs_about("one", NOW), one.proofs_about("two", NOW)) == ((life,), (accused,))
    later = NOW + LIFETIMES.claim_ms + 1
    renewed, = one.proofs_about("one", later)
    assert decode(renewed).time_ms == later
    assert one.proofs_about("two", later) == ()


def test_whoever_plays_an_old_claim_to_its_signer_gets_no_new_signature():
    for claim in (ALIVE, SUSPECT, LEAVE):
        old = notary("one").sign(claim, NOW)
        reborn = Notary(signer("one", seed=b"another start"), verifier())
        assert reborn.accept(old, "peer", NOW + HALF + 1).claim == claim
        assert reborn.proof_of(claim, NOW + HALF + 1) == old
        assert reborn.proofs_about(claim.node, NOW + HALF + 1) == (old,)
        assert reborn.signer.signed == 0
        assert reborn.sign(claim, NOW + HALF + 1) != old, "unless it says so itself"


def test_whoever_lost_its_name_says_nothing_under_it():
    two = notary("two", "one", "two")
    data = notary("one").sign(ALIVE, NOW)
    two.verifier.registry.revoke(ONE.public.id, NOW + 1)
    assert two.accept(data, "peer", NOW).claim == ALIVE, "it was said before"
    two.verifier.registry.bind(KEYS["three"].public, "one")
    told = two.accept(data, "peer", NOW)
    assert (told.claim, told.verdict) == (None, Verdict(Rejected(Reason.REVOKED))), "nobody is blamed"


def test_none_washes_out_the_others_proofs():
    three = notary("three", each_max=4, proofs_max=6)
    one, two = notary("one"), notary("two")
    kept = two.sign(Suspect(1, "x", "two"), NOW)
    three.accept(kept, "peer", NOW)
    for number in range(20):
        three.accept(one.sign(Suspect(1, f"n{number}", "one"), NOW), "peer", NOW)
    assert three.proof_of(Suspect(1, "x", "two"), NOW) == kept
    assert len(three) == 5
    assert three.proof_of(Suspect(1, "n19", "one"), NOW)
    assert three.proof_of(Suspect(1, "n15", "one"), NOW) is None


def test_its_memory_is_bounded():
    three, one, two = notary("three", proofs_max=6), notary("one"), notary("two")
    for number in range(10):
        for who in (one, two):
            three.accept(who.sign(Suspect(1, f"n{number}", who.name), NOW), "peer", NOW)
    assert len(three) == 6
    assert sum(map(len, three._of.values())) == sum(map(len, three._about.values())) == 6


def test_where_nothing_is_proved_nothing_is_kept_as_a_proof():
    off = Modes(topics={(Kind.CLAIM, "alive"): Mode.OFF})
    two = notary("two")
    two = Notary(two.signer, verifier(modes=off))
    data = notary("one").sign(ALIVE, NOW)
    told = two.accept(data[:-1] + bytes([data[-1] ^ 1]), "peer", NOW)
    assert told.claim == ALIVE
    assert not told.verdict.result.proved
    assert two.proof_of(ALIVE, NOW) is None
    told = two.accept(signer("one").sign(Kind.CLAIM, "alive", b"?", NOW), "peer", NOW)
    assert told.claim is None


def test_a_further_key_of_a_member_speaks_in_its_name():
    known = registry("one", "three")
    known.bind(TWO.public, "one", node_id=ONE.public.id)
    three = notary("three", "one", "three")
    three.verifier.registry.bind(TWO.public, "one", node_id=ONE.public.id)
    data = signer("two", node_id=ONE.public.id).sign(Kind.CLAIM, "alive", payload(ALIVE), NOW)
    assert three.accept(data, "peer", NOW).claim == ALIVE


def test_a_notary_is_a_member_of_its_own_cluster():
    with pytest.raises(ConfigurationError):
        Notary(signer("one"), verifier("two"))
    with pytest.raises(ConfigurationError):
        Notary(signer("one", "bank"), verifier())
    assert Notary(signer("one"), verifier()).name == "one"


def test_a_claim_of_another_cluster_is_no_claim():
    other = Notary(signer("one", "bank"), verifier(cluster="bank"))
    assert other.signer.cluster != CLUSTER
    told = notary("two").accept(other.sign(ALIVE, NOW), "peer", NOW)
    assert (told.claim, told.verdict.effects) == (None, (Blame("peer", Reason.CLUSTER),))
    assert isinstance(told.verdict, Verdict)
