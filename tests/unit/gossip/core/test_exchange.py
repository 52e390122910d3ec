# SPDX-License-Identifier: Apache-2.0
"""All that is known, at once: merging, entering, leaving, finding each other again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.gossip.core.effects import Departed, Exchange, Refused, Refuted
from holdfast.gossip.core.events import Exchanged, Join, Leave
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Dead, NodeState, State, Suspect, Versions
from holdfast.gossip.profiles import LAN
from tests.unit.gossip.core.bench import PORT, Bench, alive, changes, host, messages, of, sent

QUIET = replace(LAN, probe_interval_s=1e9)


def exchanges(bench, until):
    return [effect.node for effect in of(bench.until(until), Exchange)]


def test_exchanges_go_to_whoever_is_wanted_and_alive_and_pings_to_all():
    wanted = ["m0", "nobody", "m2", "m3"]
    bench = Bench(5, partners=lambda chance: wanted)
    pinged = set()
    for second in range(1, 121):
        for effect in bench.until(float(second)):
            if sent(effect, "Ping"):
                pinged.add(effect.node)
                bench.hear(Ack(effect.messages[0].seq_no), source=int(effect.node[1:]))
            elif isinstance(effect, Exchange):
                assert effect == Exchange((host(2), PORT), "m2")
    assert pinged == {f"m{number}" for number in range(1, 6)}


def test_who_is_suspected_is_not_exchanged_with_and_without_anybody_wanted_it_is_one_at_random():
    bench = Bench(5, profile=QUIET, partners=lambda chance: ["m2", "m3"])
    bench.hear(Suspect(1, "m2", "m1"))
    assert exchanges(bench, 40.0) == ["m3"]
    assert len(set(exchanges(Bench(5, profile=QUIET, partners=lambda chance: []), 3000.0))) == 5


def state(number, incarnation=1, state=State.ALIVE, versions=SERF_VERSIONS):
    return NodeState(f"m{number}", host(number), PORT, b"", incarnation, state, versions)


def exchanged(bench, *states, join=False):
    return bench.give(Exchanged(states, (host(1), PORT), join))


def test_the_living_are_taken_over():
    bench = Bench()
    assert changes(exchanged(bench, state(1), state(2, 4))) == [("joined", "m1"), ("joined", "m2")]
    assert bench.state(2) == ("ALIVE", 4)


@pytest.mark.parametrize("held", [State.DEAD, State.SUSPECT])
def test_nobody_dies_by_hearsay(held):
    bench = Bench(3)
    assert changes(exchanged(bench, state(1, 1, held))) == [("suspected", "m1")]
    assert bench.told() == [Suspect(1, "m1", "m0")]


def test_who_left_has_left():
    bench = Bench(3)
    assert changes(exchanged(bench, state(1, 1, State.LEFT))) == [("left", "m1")]


def test_the_dead_of_others_are_not_met():
    bench = Bench()
    assert exchanged(bench, state(1, 1, State.DEAD), state(2, 1, State.LEFT), state(3, 1, 9)) == []
    assert [bench.state(number) for number in (1, 2, 3)] == [None] * 3


def test_who_hears_of_its_own_death_refutes_it():
    bench = Bench(3)
    assert [one.incarnation for one in of(exchanged(bench, state(0, 3, State.DEAD)), Refuted)] == [4]


def test_merging_twice_is_merging_once():
    bench = Bench(3)
    states = state(1, 2), state(2, 1, State.DEAD), state(3, 1, State.LEFT), state(4)
    exchanged(bench, *states)
    before = sorted(map(str, bench.core.members))
    bench.quiet()
    assert exchanged(bench, *states) == []
    assert sorted(map(str, bench.core.members)) == before
    assert bench.told() == []


@pytest.mark.parametrize(("theirs", "said"), [
    (Versions(1, 5, 6, 2, 5, 4), "speaks protocol 6"),
    (Versions(3, 5, 3, 2, 5, 4), "speaks protocol 2; all understand 3 to 5"),
    (Versions(1, 5, 2, 2, 5, 1), "version 1 of the layer above"),
    (Versions(1, 5, 2, 0, 0, 0), "layer above"),
])
def test_an_exchange_with_members_that_cannot_understand_each_other_is_refused_whole(theirs, said):
    bench = Bench(1)
    refused = of(exchanged(bench, state(2), state(3, versions=theirs)), Refused)
    assert len(refused) == 1
    assert said in refused[0].reason
    assert bench.state(2) is None


def test_what_the_dead_spoke_binds_nobody_to_understand_it():
    bench = Bench(1)
    assert not of(exchanged(bench, state(2, 1, State.DEAD, Versions(2, 2, 2, 4, 4, 4)), state(3)), Refused)
    assert bench.state(3) == ("ALIVE", 1)


def test_exchanges_come_with_one_live_peer_at_an_interval():
    bench = Bench(4, profile=QUIET)
    bench.hear(Dead(1, "m1", "m2"), Suspect(1, "m2", "m3"))
    bench.give(Leave())  # makes no difference to it
    said = of(bench.until(200.0), Exchange)
    whole = [one for one in said if not one.join]
    assert 5 <= len(whole) <= 6
    assert {one.node for one in whole} <= {"m3", "m4"}


def test_entering_opens_an_exchange_with_each_address():
    said = Bench().give(Join(((host(1), PORT), (host(2), 99))))
    assert said == [Exchange((host(1), PORT), "", True), Exchange((host(2), 99), "", True)]


def test_members_that_failed_are_tried_again_until_they_are_back():
    bench = Bench(1, profile=QUIET)
    bench.hear(Dead(1, "m1", "m1x"))
    said = of(bench.until(100.0), Exchange)
    assert len(said) in (2, 3)
    assert set(said) == {Exchange((host(1), PORT), "m1", True)}
    bench.hear(alive(1, 2))
    assert not [one for one in of(bench.until(200.0), Exchange) if one.join]


def test_among_many_living_one_failed_member_is_tried_by_a_few_at_a_time():
    tries = 0
    for seed in range(40):
        bench = Bench(20, profile=QUIET, seed=seed)
        bench.hear(Dead(1, "m1", "m2"))
        tries += sum(one.join for one in of(bench.until(60.0), Exchange))
    assert 0 < tries < 14


def test_they_are_given_up_after_their_time():
    bench = Bench(1, profile=replace(QUIET, reconnect_for_s=50.0))
    bench.hear(Dead(1, "m1", "m2"))
    bench.until(100.0)
    assert bench.core.inspect().failed == 0
    assert not of(bench.until(400.0), Exchange)


def test_who_left_is_not_tried_again():
    bench = Bench(1, profile=QUIET)
    bench.hear(Dead(1, "m1", "m1"))
    assert not of(bench.until(300.0), Exchange)


def test_reconnecting_and_exchanges_can_be_off():
    bench = Bench(2, profile=replace(QUIET, push_pull_interval_s=0.0, reconnect_interval_s=0.0))
    bench.hear(Dead(1, "m1", "m2"))
    assert not of(bench.until(500.0), Exchange)


def test_a_goodbye_is_told_as_often_as_any_news_and_then_it_is_over():
    bench = Bench(5)
    assert not of(bench.give(Leave()), Departed)
    said = bench.until(5.0, lambda effect: isinstance(effect, Departed))
    assert of(said, Departed) == [Departed()]
    assert messages(said).count(Dead(1, "m0", "m0")) == 4
    assert bench.state(0) == ("LEFT", 1)


def test_alone_it_is_over_at_once():
    assert of(Bench().give(Leave()), Departed) == [Departed()]
    bench = Bench(1)
    bench.hear(Dead(1, "m1", "m1"))
    assert of(bench.give(Leave()), Departed) == [Departed()]


def test_who_left_contradicts_nobody():
    bench = Bench(5)
    bench.give(Leave())
    assert of(bench.hear(Dead(3, "m0", "m1"), Suspect(3, "m0", "m1"), alive(0, 4)), Refuted) == []
    assert bench.state(0) == ("LEFT", 1)
    assert bench.give(Leave()) == []
