# SPDX-License-Identifier: Apache-2.0
"""Clusters that are cut, shaken and healed: whatever happened, all who run end up agreeing on who runs."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.core.effects import Changed
from holdfast.gossip.messages import State
from holdfast.gossip.sim.network import Network
from holdfast.gossip.sim.steps import Accuse, Crash, Cut, Enter, Goodbye, Heal, Lose, Stop, churn, play, told
from holdfast.gossip.sim.world import World, name_of


def agree(world, members):
    """Does each of them hold all of them to be alive, in the same incarnation, and nobody else?"""
    views = [world.view(index) for index in members]
    return (views[0].keys() == {name_of(index) for index in members} and all(view == views[0] for view in views)
            and {state for state, _ in views[0].values()} == {State.ALIVE})


def agreed_within(world, members, limit_s):
    """Runs until they agree; when, or None."""
    limit_s += world.now
    while world.now < limit_s:
        if agree(world, members):
            return world.now
        world.run(world.now + 1.0)
    return None


def test_a_cluster_forms_from_one_seed():
    world = World(60, random.Random(1), formed=False)
    play(world, [Enter(index * 0.1, index, seed=0) for index in range(1, 60)])
    world.run(6.0)
    assert agreed_within(world, range(60), 15.0)


def test_two_halves_that_were_cut_hold_each_other_dead_and_find_each_other_again():
    world, left = World(20, random.Random(2)), tuple(range(10))
    right = tuple(range(10, 20))
    play(world, [Cut(5.0, left, right), Heal(105.0)])
    world.run(100.0)
    assert agree(world, left)
    assert agree(world, right)
    world.run(105.0)
    assert agreed_within(world, range(20), 60.0)


def test_after_a_cut_so_long_that_they_forgot_each_other_they_still_do():
    world, left = World(12, random.Random(3)), tuple(range(6))
    right = tuple(range(6, 12))
    play(world, [Cut(5.0, left, right), Heal(405.0)])
    world.run(404.0)
    core = world.places[0].core
    assert core.member(name_of(9)) is None
    assert core.inspect().failed == 6
    world.run(405.0)
    assert agreed_within(world, range(12), 60.0)


def test_one_direction_that_is_cut_for_a_while_kills_nobody_for_good():
    world = World(15, random.Random(4))
    play(world, [Cut(5.0, (3,), tuple(index for index in range(15) if index != 3), both=False), Heal(65.0)])
    world.run(65.0)
    assert agreed_within(world, range(15), 90.0)


def test_a_way_that_is_cut_between_two_members_alone_is_bridged_by_helpers():
    world, changed = World(15, random.Random(5)), []
    world.watches.append(lambda now, index, effect: changed.append(effect) if isinstance(effect, Changed) else None)
    play(world, [Cut(1.0, (3,), (4,))])
    world.run(120.0)
    assert not changed


def test_where_only_streams_get_through_nobody_is_accused_and_it_is_said():
    world, said = World(6, random.Random(6), network=Network(loss=1.0)), []
    world.watches.append(lambda now, index, effect: said.append(type(effect).__name__))
    world.run(60.0)
    assert "StreamOnly" in said
    assert "Changed" not in said


def test_who_leaves_has_left_for_everybody_at_once():
    world = World(100, random.Random(7))
    play(world, [Goodbye(5.0, 42), Crash(8.0, 42)])
    world.run(8.0)
    states = {world.places[index].core.member(name_of(42)).state for index in range(100) if index != 42}
    assert states == {State.LEFT}
    world.run(40.0)
    assert agree(world, [index for index in range(100) if index != 42])


def test_with_members_coming_and_going_the_others_stay_and_all_agree_in_the_end():
    chance = random.Random(8)
    world, failed = World(60, chance, network=Network(loss=0.05)), set()
    steps = churn(chance, range(50, 60), seed=0, until_s=120.0, up_s=20.0, down_s=15.0)
    world.watches.append(lambda now, index, effect: failed.add(effect.member.node)
                         if isinstance(effect, Changed) and effect.what == "failed" else None)
    play(world, steps)
    world.run(max(step.at_s for step in steps) + 1.0)
    assert failed <= {name_of(index) for index in range(50, 60)}, told(steps)
    assert agreed_within(world, range(60), 120.0), told(steps)


def test_the_same_seed_gives_the_same_run():
    def told_by(seed):
        world, said = World(30, random.Random(seed), network=Network(loss=0.1)), []
        world.watches.append(lambda now, index, effect: said.append((now, index, str(effect))))
        play(world, [Crash(3.0, 4), Stop(5.0, 6, 9.0)])
        world.run(40.0)
        return said

    assert told_by(9) == told_by(9)
    assert told_by(9) != told_by(10)


def test_a_scenario_reads_as_one():
    steps = [Heal(9.0), Cut(2.0, (0, 1), tuple(range(2, 9))), Cut(2.5, (1,), (2,), both=False), Crash(1.0, 3),
             Enter(4.0, 3, 0), Goodbye(5.0, 2), Stop(6.0, 1, 2.5), Accuse(7.0, 1, 2, 3), Lose(8.0, 0.25)]
    assert told(steps).splitlines() == [
        "    1.000 s  node-00003 crashes",
        "    2.000 s  cut node-00000, node-00001 ◀─✂─▶ node-00002, node-00003, node-00004 … (7)",
        "    2.500 s  cut node-00001 ──✂─▶ node-00002",
        "    4.000 s  node-00003 enters by way of node-00000",
        "    5.000 s  node-00002 says goodbye",
        "    6.000 s  node-00001 is suspended for 2.50 s",
        "    7.000 s  node-00002 accuses node-00001, to node-00003",
        "    8.000 s  25% of datagrams are lost",
        "    9.000 s  all cuts heal",
    ]


COUNT = 6
indices = st.integers(0, COUNT - 1)
times = st.floats(0.0, 60.0).map(lambda at_s: round(at_s, 2))
groups = st.sets(indices, min_size=1, max_size=COUNT - 1).map(lambda some: tuple(sorted(some)))
steps_of = st.lists(st.one_of(
    st.builds(Cut, times, groups, groups, st.booleans()),
    st.builds(Heal, times),
    st.builds(Crash, times, indices),
    st.builds(Enter, times, indices, indices),
    st.builds(Stop, times, indices, st.floats(0.5, 40.0)),
    st.builds(Accuse, times, indices, indices, indices),
    st.builds(Lose, times, st.sampled_from([0.0, 0.3, 0.9])),
), max_size=12)


@given(steps_of, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_happened_once_it_is_over_all_who_run_agree_on_who_runs(steps, seed):
    world = World(COUNT, random.Random(seed))
    play(world, steps)
    play(world, [Heal(101.0), Lose(101.0, 0.0)])
    # Somebody has to be there who knows the others: one member that lost its memory and its seed is a cluster of one.
    play(world, [Enter(101.0, index, seed=(index + 1) % COUNT) for index in range(COUNT)
                 if any(isinstance(step, Crash | Enter) and step.index == index for step in steps)])
    world.run(102.0)
    assert agreed_within(world, range(COUNT), 400.0) is not None, f"seed {seed}\n{told(steps)}"
