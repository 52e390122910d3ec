# SPDX-License-Identifier: Apache-2.0
"""Whom a member believes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.core.core import Core
from holdfast.gossip.core.effects import Changed, Conflict, Refuted
from holdfast.gossip.core.events import Exchanged, SetMeta, Start
from holdfast.gossip.core.node import NUMBER_MAX
from holdfast.gossip.messages import SERF_VERSIONS, Dead, Suspect, Versions
from holdfast.gossip.profiles import AS_MEMBERLIST, LAN
from holdfast.gossip.sim.sizes import weigh
from tests.unit.gossip.core.bench import PORT, Bench, alive, changes, host, of

MEMBERLIST = replace(LAN, lifeguard=AS_MEMBERLIST)


def test_who_was_not_known_joins_and_is_passed_on():
    bench = Bench()
    assert changes(bench.hear(alive(1))) == [("joined", "m1")]
    assert bench.state(1) == ("ALIVE", 1)
    assert bench.told() == [alive(1)]


def test_nothing_is_known_of_a_member_that_was_accused_before_it_was_met():
    bench = Bench()
    assert bench.hear(Suspect(1, "m1", "m2"), Dead(1, "m1", "m2")) == []
    assert bench.state(1) is None
    assert bench.told() == []


@pytest.mark.parametrize("incarnation", [3, 2])
def test_life_needs_a_higher_incarnation_to_be_news(incarnation):
    bench = Bench()
    bench.hear(alive(1, 3))
    bench.quiet()
    assert bench.hear(alive(1, incarnation, meta=b"else")) == []
    assert bench.core.member("m1").meta == b""
    assert bench.told() == []


def test_a_higher_incarnation_updates_what_is_shown():
    bench = Bench(1)
    assert changes(bench.hear(alive(1, 2, meta=b"else"))) == [("updated", "m1")]
    assert bench.core.member("m1").meta == b"else"
    assert changes(bench.hear(alive(1, 3, meta=b"else"))) == []


def test_a_life_without_an_incarnation_is_no_life():
    assert Bench().hear(alive(1, 0)) == []


@pytest.mark.parametrize("versions", [Versions(0, 5, 2, 2, 5, 4), Versions(3, 2, 2, 2, 5, 4)])
def test_a_member_whose_versions_make_no_sense_is_ignored(versions):
    bench = Bench()
    assert bench.hear(alive(1, versions=versions)) == []
    assert bench.state(1) is None


def test_a_claim_that_names_no_versions_leaves_those_known():
    bench = Bench(1)
    bench.hear(alive(1, 2, versions=None))
    assert bench.core.member("m1").versions == SERF_VERSIONS


def test_an_accusation_is_believed_passed_on_and_becomes_a_death():
    bench = Bench(9, profile=MEMBERLIST)
    assert changes(bench.hear(Suspect(1, "m1", "m2"))) == [("suspected", "m1")]
    assert bench.state(1) == ("SUSPECT", 1)
    assert bench.told() == [Suspect(1, "m1", "m2")]
    said = bench.until(23.9, lambda effect: isinstance(effect, Changed) and effect.member.node == "m1")
    assert ("failed", "m1") not in changes(said)
    assert ("failed", "m1") in changes(bench.until(24.1))
    assert bench.state(1) == ("DEAD", 1)


def test_two_confirmations_make_it_a_death_after_the_shortest_time():
    bench = Bench(9, profile=MEMBERLIST)
    bench.hear(Suspect(1, "m1", "m2"))
    bench.hear(Suspect(1, "m1", "m3"), Suspect(1, "m1", "m4"), after_s=1.0)
    assert ("failed", "m1") not in changes(bench.until(3.9))
    assert ("failed", "m1") in changes(bench.until(4.1))


def test_a_confirmation_is_passed_on_once():
    bench = Bench(9)
    bench.hear(Suspect(1, "m1", "m2"))
    bench.quiet()
    bench.hear(Suspect(1, "m1", "m3"))
    assert bench.told() == [Suspect(1, "m1", "m3")]
    bench.quiet()
    bench.hear(Suspect(1, "m1", "m3"), Suspect(1, "m1", "m2"))
    assert bench.told() == []


def test_an_accusation_of_an_older_incarnation_is_refuted_already():
    bench = Bench()
    bench.hear(alive(1, 5))
    assert bench.hear(Suspect(4, "m1", "m2"), Dead(4, "m1", "m2")) == []
    assert bench.state(1) == ("ALIVE", 5)


def test_a_higher_incarnation_ends_an_accusation():
    bench = Bench(9)
    bench.hear(Suspect(1, "m1", "m2"))
    assert changes(bench.hear(alive(1, 2))) == [("restored", "m1")]
    assert bench.core.inspect().suspicions == 0
    assert bench.state(1) == ("ALIVE", 2)


def test_the_same_incarnation_does_not_end_it():
    bench = Bench(9)
    bench.hear(Suspect(1, "m1", "m2"))
    assert bench.hear(alive(1, 1)) == []
    assert bench.state(1) == ("SUSPECT", 1)


def test_a_death_is_believed_at_once_and_passed_on():
    bench = Bench(9)
    assert changes(bench.hear(Dead(1, "m1", "m2"))) == [("failed", "m1")]
    assert bench.told() == [Dead(1, "m1", "m2")]
    bench.quiet()
    assert bench.hear(Dead(1, "m1", "m3"), Suspect(1, "m1", "m3")) == []
    assert bench.told() == []


def test_who_says_it_of_itself_left():
    bench = Bench(9)
    assert changes(bench.hear(Dead(1, "m1", "m1"))) == [("left", "m1")]
    assert bench.state(1) == ("LEFT", 1)


def test_the_dead_come_back_by_a_higher_incarnation():
    bench = Bench(9)
    bench.hear(Dead(3, "m1", "m2"))
    assert bench.hear(alive(1, 3)) == []
    assert changes(bench.hear(alive(1, 4))) == [("joined", "m1")]


@pytest.mark.parametrize("accusation", [Suspect(7, "m0", "m1"), Dead(7, "m0", "m1"), Dead(7, "m0", "m0")])
def test_an_accused_member_refutes_above_the_accusation_and_trusts_itself_less(accusation):
    bench = Bench(9)
    said = bench.hear(accusation)
    assert [effect.incarnation for effect in of(said, Refuted)] == [8]
    assert bench.state(0) == ("ALIVE", 8)
    assert bench.told() == [alive(0, 8)]
    assert bench.core.inspect().health == 1


def test_an_accusation_of_an_older_life_needs_no_answer():
    bench = Bench(9)
    bench.hear(Suspect(7, "m0", "m1"))
    assert of(bench.hear(Suspect(7, "m0", "m1")), Refuted) == []


def test_the_highest_incarnation_stays_a_number_of_the_wire():
    bench = Bench(9)
    bench.hear(Suspect(NUMBER_MAX, "m0", "m1"))
    assert bench.state(0) == ("ALIVE", NUMBER_MAX)


def test_an_echo_of_ones_own_life_is_nothing_and_an_earlier_life_is_outdone():
    bench = Bench(9)
    assert bench.hear(alive(0, 1)) == []
    assert [effect.incarnation for effect in of(bench.hear(alive(0, 6)), Refuted)] == [7]


@pytest.mark.parametrize("differs", [{"meta": b"lie"}, {"versions": Versions(1, 5, 2, 0, 0, 0)}])
def test_a_claim_about_oneself_that_differs_is_refuted(differs):
    bench = Bench(9)
    assert [effect.incarnation for effect in of(bench.hear(alive(0, 1, **differs)), Refuted)] == [2]
    assert bench.core.member("m0").meta == b""


def test_a_live_members_name_is_not_taken_by_another_address():
    bench = Bench(9)
    said = bench.hear(alive(1, 9, at=77))
    assert [(effect.held.host, effect.claim.host) for effect in of(said, Conflict)] == [(host(1), host(77))]
    assert bench.core.member("m1").host == host(1)
    assert bench.told() == []


def test_nor_is_ones_own():
    bench = Bench(9)
    assert len(of(bench.hear(alive(0, 9, at=77)), Conflict)) == 1
    assert bench.state(0) == ("ALIVE", 1)


def test_a_dead_members_name_is_free_after_its_time_whatever_the_incarnation():
    bench = Bench(9, profile=replace(LAN, dead_reclaim_s=10.0))
    bench.hear(Dead(5, "m1", "m2"))
    assert len(of(bench.hear(alive(1, 1, at=77), after_s=9.0), Conflict)) == 1
    assert changes(bench.hear(alive(1, 1, at=77), after_s=2.0)) == [("joined", "m1")]
    assert bench.core.member("m1").host == host(77)


def test_by_default_a_dead_members_name_stays_its_own():
    bench = Bench(9)
    bench.hear(Dead(5, "m1", "m2"))
    assert len(of(bench.hear(alive(1, 9, at=77), after_s=1e6), Conflict)) == 1


def test_the_name_of_one_that_left_is_free_at_once():
    bench = Bench(9)
    bench.hear(Dead(5, "m1", "m1"))
    assert changes(bench.hear(alive(1, 1, at=77))) == [("joined", "m1")]


def test_other_meta_is_said_in_a_new_incarnation():
    bench = Bench(9)
    bench.give(SetMeta(b"mine"))
    assert bench.told() == [alive(0, 2, meta=b"mine")]
    assert bench.core.member("m0").meta == b"mine"


def test_too_much_meta_is_refused():
    with pytest.raises(ConfigurationError, match="512"):
        Bench().give(SetMeta(b"x" * 513))
    with pytest.raises(ConfigurationError, match="512"):
        Core("m0", (host(0), PORT), weigh=weigh, meta=b"x" * 513)


def test_a_restarted_member_outdoes_its_earlier_life():
    """Others hold it dead in incarnation 5; it begins with 1, hears of it, and is above."""
    bench = Bench(9)
    bench.hear(Dead(5, "m1", "m2"))
    assert bench.hear(alive(1, 1)) == []
    restarted = Core("m1", (host(1), PORT), weigh=weigh)
    restarted.handle(Start(), 0.0, bench.chance)
    restarted.handle(Exchanged(bench.core.states(), (host(0), PORT), join=True), 0.0, bench.chance)
    assert restarted.inspect().incarnation == 6
    assert changes(bench.hear(restarted.member("m1").alive())) == [("joined", "m1")]

