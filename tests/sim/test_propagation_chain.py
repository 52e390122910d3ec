# SPDX-License-Identifier: Apache-2.0
"""Nodes that keep a chain, in a simulated network: what holds in spite of faults and attacks; forks by the formula."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

pytest.importorskip("numpy")

import numpy as np

from holdfast.errors import ConfigurationError
from holdfast.propagation.chain import Block, Settings, sealed, unsealed, words
from holdfast.propagation.relay import (
    Announce,
    Dandelion,
    Flood,
    GossipMesh,
    Reconcile,
    SqrtPush,
    Trickle,
)
from holdfast.propagation.relay.words import Message
from holdfast.propagation.sim import attacks, forks
from holdfast.propagation.sim.doors import Defence, Guarded
from holdfast.propagation.sim.ledgered import Ledgered, payment, user
from holdfast.propagation.sim.network import Conditions, Latency
from holdfast.propagation.sim.world import World
from holdfast.propagation.topology import regular

NETWORK = Conditions(Latency(0.05, 0.02), checked_s=0.01)


def network(nodes=40, seed=1, conditions=NETWORK, **more):
    return Ledgered(regular(nodes, 8, np.random.default_rng(seed)), seed, conditions, users=2 * nodes, **more)


def agreed(outcome):
    """All honest nodes have one chain and one mempool, and no chain has a double spend."""
    same = (outcome.heads, outcome.pools, outcome.both_confirmed, outcome.reached) == (1, 1, 0, 1.0)
    assert outcome.agreed == same
    return same


# -- what holds in spite of faults ----------------------------------------------------------------------------------

@pytest.mark.parametrize("seed", range(1, 7))
def test_two_halves_come_together_again_and_no_double_spend_is_confirmed_twice(seed):
    found = attacks.parted(seed=seed)
    assert agreed(found)
    assert found.confirmed == found.payments == 25
    # They were really apart: at least one half undid blocks of its own.
    assert found.undone >= 1
    assert not found.blamed.keys() - {"stall"}


@pytest.mark.parametrize("policy", [Dandelion, Flood, GossipMesh, Reconcile, SqrtPush, Trickle])
def test_whatever_the_relay_two_halves_come_together_again(policy):
    found = attacks.parted(40, 3, policy=policy)
    assert agreed(found)
    assert found.confirmed == found.payments


@pytest.mark.parametrize("seed", range(1, 7))
def test_with_a_third_that_drops_everything_all_honest_nodes_hear_and_agree(seed):
    found = attacks.dropped(seed=seed)
    assert agreed(found)
    assert 55 <= found.honest <= 85
    assert found.confirmed == found.payments == 20
    assert found.t100_s < 60.0


@pytest.mark.parametrize("seed", range(1, 4))
def test_those_who_promise_and_do_not_give_cost_time_and_keep_nothing_from_anybody(seed):
    found = attacks.dropped(seed=seed, promises=True)
    assert agreed(found)
    assert found.confirmed == found.payments == 20
    assert found.blamed.keys() <= {"stall"}


@pytest.mark.parametrize("seed", range(1, 5))
def test_nodes_that_leave_and_come_back_have_what_they_missed(seed):
    found = attacks.churned(seed=seed)
    assert agreed(found)
    assert found.confirmed == found.payments >= 10
    assert found.t50_s < 2.0


@pytest.mark.parametrize("seed", range(1, 5))
def test_spam_does_not_keep_payments_from_anybody_and_doors_keep_it_from_being_felt(seed):
    closed, open_ = (attacks.spammed(seed=seed, doors=doors) for doors in (True, False))
    for found in (closed, open_):
        assert agreed(found)
        assert found.confirmed == found.payments == 15
    assert closed.t50_s < 1.0
    assert open_.t100_s > 3 * closed.t100_s
    # Who forges is cut off, so a tenth of it and less is looked at.
    assert sum(closed.blamed.values()) * 10 < sum(open_.blamed.values())


@pytest.mark.parametrize("policy", [Announce, Dandelion, Flood, GossipMesh, Reconcile, SqrtPush, Trickle])
def test_whatever_the_relay_payments_are_confirmed_and_leave_the_mempools(policy):
    run = network(policy=policy)
    for here in range(10):
        run.pay(here)
    run.world.run(120.0)
    assert {len(node.pool) for node in run.nodes} == {10}
    run.settle(7)
    assert {len(node.pool) for node in run.nodes} == {0}
    assert len(run.heads(range(40))) == 1
    assert all(node.tree.depth(name) == 2 for node in run.nodes for name in run.paid)


def test_a_run_is_the_same_again_from_its_seed_and_another_from_another():
    first, again, other = (attacks.parted(nodes=30, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_who_was_away_for_two_hundred_blocks_catches_up():
    run = network()
    run.world.leave(5)
    run.mine(2.0, 400.0)
    run.world.run(420.0)
    assert run.nodes[5].tree.height == 0
    run.world.come_back(5)
    run.world.run(run.world.now + 30.0)
    run.settle(0, blocks=1)
    assert run.nodes[0].tree.height > 130
    assert len(run.heads(range(40))) == 1


def test_whole_blocks_and_short_ones_do_the_same_and_short_ones_weigh_less():
    sent = {}
    for compact in (True, False):
        run = network(settings=Settings(compact=compact))
        for turn in range(5):
            for number in range(40):
                run.pay(number)
            run.world.run(run.world.now + 20.0)
            run.make_block(turn)
            run.world.run(run.world.now + 20.0)
        assert run.nodes[3].tree.height == 5
        assert len(run.heads(range(40))) == 1
        sent[compact] = run.world.by_kind["block"] + run.world.by_kind["compact"] + run.world.by_kind["parts"]
    assert sent[True] < sent[False] / 20


def test_a_block_that_cannot_be_goes_no_further_than_its_makers_neighbours():
    run = network()
    run.world.nodes[0].drops = True  # it says nothing but what is said for it here
    bad = payment(user(1), 5, b"shop")
    head = run.nodes[0].tree.head
    wrong = Block(sealed(unsealed(head, (bad,), b"node 0", 1000), lambda _: b"node 0"), (bad,))
    stranger = Block(sealed(unsealed(head, (), b"stranger", 1000), lambda _: b"stranger"))
    neighbours = set(run.world.nodes[0].ways_s)
    for block in (wrong, stranger):
        for peer in neighbours:
            run.world.say(0, peer, words.headers([block.header]))
            run.world.at(run.world.now + 1.0, lambda peer=peer, block=block:
                         run.world.say(0, peer, words.whole(block, 1)))
        run.world.run(run.world.now + 30.0)
    assert all(block.id not in one.tree for one in run.nodes for block in (wrong, stranger))
    assert all((wrong.id in one.blocks.refused) == (here in neighbours) for here, one in enumerate(run.nodes))
    assert run.world.blamed == {(0, "block"): len(neighbours), (0, "seal"): len(neighbours)}


def test_links_that_are_cut_carry_nothing_and_carry_again():
    world = World(regular(40, 8, np.random.default_rng(1)), Flood, 1, NETWORK)
    world.part([here % 2 for here in range(40)])
    world.make(1, 300, 0)
    world.run(30.0)
    reached = [here for here, when in enumerate(world.spread(1).arrived_s) if math.isfinite(when)]
    assert reached == list(range(0, 40, 2))
    world.part(None)
    world.run(60.0)
    assert all(map(math.isfinite, world.spread(1).arrived_s))


def test_churn_is_by_its_part_and_its_times():
    conditions = Conditions(churn=0.5, stays_s=20.0, away_s=10.0)
    world = World(regular(200, 8, np.random.default_rng(1)), Flood, 1, conditions)
    away = []
    for turn in range(1, 40):
        world.run(10.0 * turn)
        away.append(sum(map(world.apart, range(200))))
    # Half of them are away for a third of the time.
    assert fmean(away[5:]) == pytest.approx(200 / 6, rel=0.2)
    with pytest.raises(ConfigurationError, match="churn is a part of all"):
        Conditions(churn=1.0)


# -- forks and waiting ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("interval_s", [10.0, 4.0, 2.0])
def test_forks_are_as_many_as_the_delay_of_blocks_says(interval_s):
    """1 − exp(−delay / interval), within a quarter of it or three standard deviations, whichever is more."""
    found = [forks.measured(30, seed, interval_s, blocks=300, payments=0) for seed in (1, 2)]
    rate, theory = fmean(one.fork_rate for one in found), fmean(one.theory for one in found)
    chance = 3 * math.sqrt(theory * (1 - theory) / sum(one.blocks for one in found))
    assert abs(rate - theory) <= max(0.25 * theory, chance)
    assert {one.heads for one in found} == {1}
    assert 0.3 < fmean(one.delay_s for one in found) < 1.0


def test_forks_are_more_where_blocks_take_longer():
    quick, slow = (forks.measured(20, 1, 4.0, blocks=200, payments=0,
                                  conditions=Conditions(Latency(0.05, 0.02), checked_s=checked))
                   for checked in (0.02, 0.5))
    assert slow.delay_s > 3 * quick.delay_s
    assert slow.fork_rate > 2 * quick.fork_rate
    assert slow.theory > 2 * quick.theory


def test_payments_wait_for_the_next_block_and_for_five_more():
    found = forks.measured(20, 1, 5.0, blocks=300, payments=100)
    # The time to the next block has no memory: half of them wait less than ln 2 of the interval; the sixth is six
    # intervals away on average, and a chain that forks grows more slowly than blocks are made.
    slower = 5.0 / (1 - found.stale)
    assert found.confirmed_s == pytest.approx(math.log(2) * slower + found.delay_s, rel=0.3)
    assert found.deep_s == pytest.approx(5.67 * slower + found.delay_s, rel=0.2)


# -- eclipses -------------------------------------------------------------------------------------------------------

def test_eclipses_are_as_many_as_links_and_attackers_say():
    shares = (0.1, 0.3, 0.5, 0.6, 0.7)
    found = {links: [attacks.eclipsed(shares, nodes=500, links=links, seed=seed) for seed in (1, 2)]
             for links in (8, 16)}
    for rows in found.values():
        for column in zip(*rows, strict=True):
            count, looked = sum(one.eclipsed for one in column), sum(one.nodes for one in column)
            expected = column[0].expected
            assert abs(count / looked - expected) <= max(0.25 * expected, 4 * math.sqrt(expected / looked), 2 / looked)
    # Twice as many links, and an attacker with seven tenths of all nodes has hardly anybody.
    at = [sum(one[-1].eclipsed for one in found[links]) for links in (8, 16)]
    assert at[0] > 10 * max(at[1], 1)


def test_a_victim_whose_links_are_all_an_attackers_is_shown_what_others_never_have():
    assert all(attacks.deceived(seed).shown >= 3 for seed in (1, 2, 3))
    assert all(attacks.deceived(seed).undone for seed in (1, 2, 3))
    assert not attacks.deceived(1, released=False).undone


def test_one_honest_link_is_enough_not_to_be_deceived():
    assert [attacks.deceived(seed, honest_links=1).shown for seed in (1, 2, 3)] == [0, 0, 0]


# -- doors ----------------------------------------------------------------------------------------------------------

def test_a_door_takes_so_much_of_one_neighbour_and_the_others_are_not_hurt():
    door = Guarded()
    limits = Defence().limits
    taken = sum(door.takes(1, 100, 0.0) for _ in range(10_000))
    assert taken == limits.peer_messages_s * limits.burst_s
    assert door.takes(2, 100, 0.0)
    assert door.refused == 10_000 - taken
    assert not door.takes(1, 100, 0.001)
    assert door.takes(1, 100, 1.0)


def test_who_forges_is_turned_away_and_who_is_slow_now_and_then_is_not():
    door = Guarded()
    lengths = [door.blamed(1, "signature", 0.0) for _ in range(5)]
    assert lengths == [0.0, 0.0, 0.0, 0.0, Defence().banning.first_s]
    assert all(door.blamed(2, "stall", 60.0 * turn) == 0.0 for turn in range(200))
    assert any(door.blamed(3, "stall", 0.1 * turn) for turn in range(200))


def test_who_is_turned_away_has_no_link_until_its_time_is_over():
    run = network(nodes=20)
    victim, forger = next(iter(run.world._lines))
    run.world.nodes[victim].door = Guarded()
    tx = {number: payment(user(1), 0, b"%d" % number, signature=b"forged") for number in range(5)}
    for one in tx.values():
        run.bodies[one.id] = one
        run.world.say(forger, victim, Message("body", (one.id,), 300, 1))
    run.world.run(10.0)
    assert forger not in run.world.nodes[victim].ways_s
    assert forger not in run.nodes[victim].peers
    run.world.run(620.0)
    assert forger in run.world.nodes[victim].ways_s
    assert forger in run.nodes[victim].peers
