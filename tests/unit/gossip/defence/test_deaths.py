# SPDX-License-Identifier: Apache-2.0
"""One liar kills nobody; as many as it takes, together, do."""

from __future__ import annotations

import random

import pytest

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.core.core import Core
from holdfast.gossip.core.events import Received, Start
from holdfast.gossip.defence.deaths import (
    CERTIFICATE_MAX,
    Accusation,
    Certificate,
    Deaths,
    Quorum,
    decode,
    encode,
)
from holdfast.gossip.messages import Alive, Dead, Ping, State, Suspect
from holdfast.gossip.sim.sizes import weigh

LIVE = frozenset("abcdefgh")


@pytest.fixture
def member(signers):
    return lambda name, cluster=b"test", **changed: Deaths(Quorum(**changed), name, signers.sign(name), signers.verify,
                                                           cluster)


def accusations(member, accusers, node="h", incarnation=1, **changed):
    return [member(name, **changed).accuse(node, incarnation, 0.0) for name in accusers]


@pytest.mark.parametrize(("live", "wanted"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (1_000, 3)])
def test_a_death_takes_three_accusers_or_all_others(member, live, wanted):
    assert member("a").wanted("0", {str(number) for number in range(live)}) == wanted


def test_whom_this_member_gave_up_on_is_not_waited_for_and_no_word_of_others_does_that(member):
    here = member("g")
    live = LIVE | {"g"}
    for node in "abcdef":
        for accuser in "abcdef".replace(node, ""):
            here.heard(member(accuser).accuse(node, 1, 0.0), live, 0.0)
    assert here.wanted("h", live) == 3
    for node in "abcde":
        here.accuse(node, 1, 0.0)
    assert here.wanted("h", live) == 2
    assert here.wanted("a", live) == 3
    here.accuse("f", 1, 0.0)
    here.accuse("h", 1, 0.0)
    assert here.wanted("h", live) == 1
    assert here.may_bury("h", 1, live, 0.0)
    here.refuted("a", 2)
    assert here.wanted("h", live) == 2
    here.tidy(1_000.0)
    assert here.wanted("h", live) == 3


def test_one_accuser_is_not_enough_and_three_are(member):
    here = member("g")
    for count, one in enumerate(accusations(member, "abc"), 1):
        assert here.may_bury("h", 1, LIVE, 1.0) is False
        assert here.heard(one, LIVE, 1.0)
        assert (here.certificate("h", 1, LIVE, 1.0) is not None) == (count == 3)
    assert here.may_bury("h", 1, LIVE, 1.0)


def test_one_accuser_counts_once(member):
    here = member("g")
    one = accusations(member, "a")[0]
    assert [here.heard(one, LIVE, 1.0) for _ in range(5)] == [True] + [False] * 4
    assert here.may_bury("h", 1, LIVE, 1.0) is False


def test_a_certificate_convinces_who_has_heard_nothing(member):
    here, there = member("g"), member("f")
    for one in accusations(member, "abc"):
        here.heard(one, LIVE, 1.0)
    certificate = decode(encode(here.certificate("h", 1, LIVE, 1.0)))
    assert there.check(certificate, LIVE, 1.0) is True
    assert there.may_bury("h", 1, LIVE, 500.0)  # it stays believed


def test_a_certificate_of_one_accuser_three_times_is_not_enough(member):
    one = accusations(member, "a")[0]
    assert member("f").check(Certificate("h", 1, (one, one, one)), LIVE, 1.0) is False


@pytest.mark.parametrize("changed", [{"node": "g"}, {"incarnation": 2}, {"accuser": "b"}, {"signature": bytes(32)}],
                         ids=["node", "incarnation", "accuser", "signature"])
def test_a_forged_accusation_is_none_and_whoever_brought_it_pays(member, changed):
    one = accusations(member, "a")[0]
    forged = Accusation(**{"node": one.node, "incarnation": one.incarnation, "accuser": one.accuser,
                           "signature": one.signature, **changed})
    here = member("f")
    assert here.heard(forged, LIVE, 1.0) is None
    assert here.check(Certificate(forged.node, forged.incarnation, (forged,)), LIVE, 1.0) is None


def test_an_accusation_of_another_cluster_is_forged_here(member):
    assert member("f").heard(accusations(member, "a", cluster=b"other")[0], LIVE, 1.0) is None


def test_strangers_and_the_accused_itself_do_not_count(member):
    here = member("g")
    for one in accusations(member, ["x", "y", "z", "h"]):
        assert here.heard(one, LIVE, 1.0) is False
    assert here.may_bury("h", 1, LIVE, 1.0) is False


def test_accusers_that_are_not_live_any_more_do_not_count(member):
    here = member("g")
    for one in accusations(member, "abc"):
        here.heard(one, LIVE, 1.0)
    assert here.certificate("h", 1, LIVE - {"a"}, 1.0) is None


def test_a_certificate_fits_a_packet_however_many_accuse(member):
    here = member("g")
    live = LIVE | {"h" * 100} | {"m" * 100 + str(number) for number in range(10)}
    for accuser in sorted(live - LIVE - {"h" * 100}):
        here.heard(member(accuser).accuse("h" * 100, 1, 0.0), live, 0.0)
    assert len(here.known("h" * 100, 1).accusations) == 10
    certificate = here.certificate("h" * 100, 1, live, 0.0)
    assert len(certificate.accusations) == 3
    assert len(encode(certificate)) < 1_000
    assert member("f").check(certificate, live, 0.0)


def test_accusations_of_long_ago_do_not_add_up(member):
    here = member("g", window_s=100.0)
    for one, now in zip(accusations(member, "abc"), (0.0, 60.0, 120.0), strict=True):
        here.heard(one, LIVE, now)
    assert here.may_bury("h", 1, LIVE, 120.0) is False
    here.tidy(300.0)
    assert not here._cases


def test_a_refutation_voids_what_was_said_of_lower_incarnations(member):
    here = member("g")
    old = accusations(member, "abc")
    for one in old[:2]:
        here.heard(one, LIVE, 1.0)
    assert here.refuted("h", 2)
    assert not here.refuted("h", 2)
    here.accuse("h", 2, 2.0)
    assert [here.heard(one, LIVE, 2.0) for one in old] == [False] * 3
    assert here.may_bury("h", 2, LIVE, 2.0) is False


def test_what_was_refuted_is_no_news_again_when_its_case_is_closed(member):
    """Or it goes round for as long as anybody is there who has not heard it lately."""
    here, old = member("g"), accusations(member, "abc")
    assert not here.refuted("h", 2)  # nobody had accused it here
    assert [here.heard(one, LIVE, 0.0) for one in old] == [False] * 3
    new = accusations(member, "a", incarnation=2)[0]
    assert here.heard(new, LIVE, 0.0)
    assert here.refuted("h", 3)
    here.tidy(1_000.0)
    assert not here._cases
    assert [here.heard(one, LIVE, 1_000.0) for one in [*old, new]] == [False] * 4
    assert here.check(Certificate("h", 1, tuple(old)), LIVE, 1_000.0) is False
    assert not here.may_probe("h", 2, LIVE, 1_000.0)
    assert here.may_probe("h", 3, LIVE, 1_000.0)


def test_an_old_life_that_is_told_late_makes_no_accusation_news_again(member):
    here = member("g")
    here.refuted("h", 5)
    here.refuted("h", 2)
    assert here.heard(accusations(member, "a", incarnation=4)[0], LIVE, 0.0) is False


def test_what_members_refuted_is_remembered_of_so_many_and_of_members_alone(member):
    here = member("g", floors_max=3)
    for number in range(10):
        here.refuted(f"m{number}", 2)
        here.refuted(f"n{number}", 1)  # its first life: nothing is below
    assert list(here._floors) == ["m7", "m8", "m9"]
    here.refuted("m7", 3)
    here.refuted("m0", 2)
    assert list(here._floors) == ["m9", "m7", "m0"]
    here.forget("m7")
    here.forget("m7")
    assert list(here._floors) == ["m9", "m0"]


def test_accusations_of_different_incarnations_do_not_add_up(member):
    here = member("g")
    for one in accusations(member, "ab"):
        here.heard(one, LIVE, 1.0)
    here.heard(accusations(member, "c", incarnation=2)[0], LIVE, 1.0)
    assert not here.may_bury("h", 1, LIVE, 1.0)
    assert not here.may_bury("h", 2, LIVE, 1.0)
    assert [len(here.known("h", incarnation).accusations) for incarnation in (1, 2)] == [2, 1]


def test_who_invents_incarnations_keeps_no_death_from_being_certified(member):
    here = member("g")
    for incarnation in (2**32 - 1, 7, 2**31):
        here.heard(member("liar").accuse("h", incarnation, 0.0), LIVE | {"liar"}, 0.0)
    assert here.may_probe("h", 2**32 - 1, LIVE, 0.0)
    for one in accusations(member, "abc"):
        assert here.heard(one, LIVE | {"liar"}, 1.0)
    assert here.may_bury("h", 1, LIVE, 1.0)
    assert len(here._cases["h"].words) == 4


def test_what_comes_through_the_gate(member):
    here = member("g")
    assert here.gate(Dead(1, "h", "liar"), LIVE, 1.0) == Suspect(1, "h", "liar")
    assert here.gate(Dead(1, "h", "h"), LIVE, 1.0) == Dead(1, "h", "h")
    ping = Ping(1, "g")
    assert here.gate(ping, LIVE, 1.0) is ping
    for one in accusations(member, "abc"):
        here.heard(one, LIVE, 1.0)
    assert here.gate(Dead(1, "h", "a"), LIVE, 1.0) == Dead(1, "h", "a")
    assert here.gate(Dead(2, "h", "a"), LIVE, 1.0) == Suspect(2, "h", "a")


def test_the_core_behind_the_gate_believes_no_liar_and_without_it_does(member):
    def state_after(through):
        core, chance = Core("g", (bytes([127, 0, 0, 1]), 1), weigh=weigh), random.Random(1)
        core.handle(Start(), 0.0, chance)
        source = bytes([127, 0, 0, 2]), 1
        core.handle(Received((Alive(1, "h", bytes([127, 0, 0, 3]), 1),), source), 0.1, chance)
        core.handle(Received((through(Dead(1, "h", "liar")),), source), 0.2, chance)
        return core.member("h").state

    assert state_after(lambda message: message) is State.DEAD
    assert state_after(lambda message: member("g").gate(message, LIVE, 0.2)) is State.SUSPECT


def test_others_are_asked_who_have_not_spoken_and_not_again_at_once(member):
    here, chance = member("g", ask=4, every_s=2.0), random.Random(1)
    here.accuse("h", 1, 0.0)
    here.heard(accusations(member, "a")[0], LIVE, 0.0)
    asked = here.solicit("h", 1, LIVE, 0.0, chance)
    assert len(asked.asked) == 4
    assert set(asked.asked) <= set("bcdef")
    assert here.solicit("h", 1, LIVE, 1.9, chance) is None
    assert here.solicit("h", 1, LIVE, 2.0, chance) is not None


def test_where_nobody_is_left_nobody_is_asked(member):
    here = member("g")
    here.accuse("h", 1, 0.0)
    assert here.solicit("h", 1, {"g", "h"}, 0.0, random.Random(1)) is None
    assert here.may_bury("h", 1, {"g", "h"}, 0.0)  # of two, the other one's word is all there can be


def test_cases_and_accusers_have_a_bound(member):
    here = member("g", accused_max=10, accusers_max=5)
    live = {f"m{number}" for number in range(200)}
    for accuser in range(20):
        here.heard(member(f"m{accuser}").accuse("m100", 1, 0.0), live, 0.0)
    assert len(here.known("m100", 1).accusations) == 5
    for number in range(101, 150):
        here.heard(member("m1").accuse(f"m{number}", 1, 0.0), live, 0.0)
    assert len(here._cases) == 10


def test_a_stranger_costs_no_signature(signers):
    verified = []
    here = Deaths(Quorum(), "g", signers.sign("g"), lambda *args: verified.append(args) or True)
    assert here.heard(Accusation("h", 1, "stranger", b""), LIVE, 0.0) is False
    assert here.heard(Accusation("nobody", 1, "a", b""), LIVE, 0.0) is False
    assert verified == []


def test_a_name_that_is_no_text_is_written_and_read():
    certificate = Certificate("\udcff", 1, (Accusation("\udcff", 1, "b\udcfe", b"s"),))
    assert decode(encode(certificate)) == certificate


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x93\xc4\x01h\xff\x90", b"\x91" * 9_000,
                                  bytes(CERTIFICATE_MAX + 1)], ids=["empty", "none", "below", "deep", "large"])
def test_what_is_no_certificate_is_a_bad_packet(data):
    with pytest.raises(BadPacket):
        decode(data)


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="quorum"):
        Quorum(accusers=0)
    with pytest.raises(ConfigurationError, match="keeps as many"):
        Quorum(accusers=20, accusers_max=10)
