# SPDX-License-Identifier: Apache-2.0
"""How fast a death is known, and how rarely a live member is taken for dead."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest

from holdfast.gossip.core.effects import Changed
from holdfast.gossip.profiles import AS_MEMBERLIST, LAN, NO_LIFEGUARD, Lifeguard
from holdfast.gossip.sim.network import Network
from holdfast.gossip.sim.runs import detect, mistakes
from holdfast.gossip.sim.steps import Accuse, Stop, play, slowness, some, told
from holdfast.gossip.sim.world import World, name_of

#: members: the shortest time an accusation stands (s), runs.
SHORTEST = {3: (4.0, 20), 10: (4.0, 20), 100: (8.0, 10), 1000: (12.0, 1)}


@pytest.mark.parametrize("count", SHORTEST)
def test_a_crash_is_known_everywhere_within_the_bounds_of_the_table(count):
    """The first probe that fails, which some member makes within a few intervals; the accusation's shortest time, since
    others confirm it; and the way of the news."""
    shortest_s, seeds = SHORTEST[count]
    for seed in range(seeds):
        found = detect(count, random.Random(seed))
        assert found.reached.coverage == 1.0
        # The first probe comes by round robin: 2n - 1 intervals at worst, and one for its own deadline.
        assert 0.0 < found.suspected_s <= min(2 * count, 12), (seed, found)
        longest_s = 13.0 if count > 3 else 1.0  # until enough have confirmed it
        stood_s = found.declared_s - found.suspected_s
        assert shortest_s + LAN.probe_timeout_s - 1e-6 <= stood_s <= shortest_s + longest_s, (seed, found)
        assert found.reached.t99_s - found.declared_s < 1.6, (seed, found)


def test_in_a_healthy_cluster_of_100_it_takes_about_ten_seconds():
    times = sorted(detect(100, random.Random(seed)).reached.t50_s for seed in range(15))
    assert 8.0 < times[7] < 13.0


def test_loss_kills_nobody():
    lossy = mistakes(50, random.Random(3), slow=0, stopped_s=1, running_s=1, for_s=60, network=Network(loss=0.25))
    assert (lossy.declared, lossy.views) == (0, 0)


@functools.cache
def judged(lifeguard, seed):
    """50 members, of whom 10 get to run for a millisecond every 3 to 9 seconds, as on a host that starves them."""
    return mistakes(50, random.Random(seed), slow=10, stopped_s=6.0, running_s=0.001, for_s=70,
                    profile=replace(LAN, lifeguard=lifeguard))


def test_slow_members_take_twenty_times_fewer_live_ones_for_dead_with_lifeguard():
    seeds = range(2)
    swim = [judged(NO_LIFEGUARD, seed) for seed in seeds]
    as_memberlist = [judged(AS_MEMBERLIST, seed) for seed in seeds]
    ours = [judged(Lifeguard(), seed) for seed in seeds]
    worst = sum(one.declared for one in swim)
    assert worst >= 40, [one.line() for one in swim]
    assert 20 * sum(one.declared for one in as_memberlist) <= worst, [one.line() for one in as_memberlist]
    assert sum(one.declared for one in ours) == 0, [one.line() for one in ours]


def test_who_knows_that_it_slept_does_not_even_accuse():
    aware, unaware = judged(Lifeguard(), 1), judged(AS_MEMBERLIST, 1)
    assert unaware.suspected >= 10
    assert 10 * aware.suspected <= unaware.suspected


def test_members_that_freeze_for_seconds_at_random_kill_nobody():
    chance = random.Random(11)
    world, dead = World(100, chance), []
    steps = slowness(chance, some(chance, 100, 10), until_s=60.0, stopped_s=4.0, running_s=4.0)
    world.watches.append(lambda now, index, effect: dead.append((now, index, effect))
                         if isinstance(effect, Changed) and effect.what == "failed" else None)
    play(world, steps)
    world.run(75.0)
    assert not dead, told(steps)


def accused_falsely(seed, loss, lifeguard=LAN.lifeguard, for_s=50.0):
    """Three of 50 members say that a fourth is dead. When each that believed it learnt better; who buried it."""
    network = Network(loss=loss)
    world, seen = World(50, random.Random(seed), profile=replace(LAN, lifeguard=lifeguard), network=network), []
    world.watches.append(lambda now, index, effect: seen.append((now, index, effect.what)) if (
        isinstance(effect, Changed) and effect.member.node == name_of(7)) else None)
    play(world, [Accuse(5.0, accused=7, by=number, to=number) for number in (3, 4, 5)])
    world.run(for_s)
    believed = {index for _, index, what in seen if what == "suspected"}
    better = {index: now - 5.0 for now, index, what in seen if what == "restored"}
    assert believed
    return believed, better, [index for _, index, what in seen if what == "failed"]


def test_a_false_accusation_is_refuted_everywhere_within_two_seconds():
    for seed in range(10):
        believed, better, buried = accused_falsely(seed, 0.0, for_s=10.0)
        assert believed == better.keys(), seed
        assert max(better.values()) < 2.0, seed
        assert not buried


def test_with_a_quarter_lost_whoever_missed_the_refutation_buries_the_living_unless_it_asks_once_more():
    runs = [accused_falsely(seed, 0.25) for seed in range(10)]
    assert all(believed == better.keys() for believed, better, _ in runs)
    assert max(when for _, better, _ in runs for when in better.values()) < 45.0
    assert not [buried for _, _, buried in runs if buried]
    assert [buried for _, _, buried in (
        accused_falsely(seed, 0.25, AS_MEMBERLIST) for seed in range(10)) if buried]


def test_a_member_that_slept_through_its_own_death_comes_back_by_itself():
    world = World(20, random.Random(5))
    play(world, [Stop(2.0, 7, for_s=60.0)])
    world.run(61.0)
    assert name_of(7) not in world.view(0)
    world.run(75.0)
    everybody = {name_of(index) for index in range(20)}
    assert all(set(world.view(index)) == everybody for index in range(20))
