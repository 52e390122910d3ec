# SPDX-License-Identifier: Apache-2.0
"""The relays that ship in a simulated network: what holds in every run, and both ways of running one agree."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

pytest.importorskip("numpy")

import numpy as np

from holdfast.errors import ConfigurationError
from holdfast.propagation import PRESETS, simulate
from holdfast.propagation.analyse import first_spy, part_s, residue
from holdfast.propagation.mempool import Accepted, Account, Mempool, Transaction
from holdfast.propagation.relay import (
    Announce,
    Dandelion,
    Flood,
    GossipMesh,
    Reconcile,
    Relay,
    SqrtPush,
    Timing,
    Trickle,
)
from holdfast.propagation.sim import fast
from holdfast.propagation.sim.network import Conditions, Latency
from holdfast.propagation.sim.world import World
from holdfast.propagation.stopping import RULES, stopped
from holdfast.propagation.topology import regular, scale_free, small_world, two_tier


def rng(seed=1):
    return np.random.default_rng(seed)


def ran(links, policy, seed=1, conditions=None, *, at=0, size=300, warm_s=0.0, until_s=400.0, linger_s=30.0):
    world = World(links, policy, seed, conditions, warm_s=warm_s)
    world.make(1, size, at)
    world.run(world.now + until_s, linger_s=linger_s)
    return world, world.spreads()[0]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reaches_everybody_and_is_the_same_again_from_its_seed(name):
    (first, spreads), (again, _), (other, _) = (simulate(name, nodes=220, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert first.reached == first.nodes == 220
    assert 0 < first.t50_s <= first.t90_s <= first.t99_s <= first.t100_s
    assert all(min(one.hops) == 0 and max(one.hops) < 40 for one in spreads)
    assert first.bytes_per_node > PRESETS[name].size * 0.9


@pytest.mark.parametrize("policy", [Announce, Dandelion, Flood, GossipMesh, Reconcile, SqrtPush, Trickle])
@pytest.mark.parametrize("graph", [regular, small_world, scale_free], ids=lambda graph: graph.__name__)
def test_every_policy_reaches_everybody_on_every_graph(policy, graph):
    _, spread = ran(graph(150, 8, rng()), policy, warm_s=3.0)
    assert residue(spread) == 0.0


def test_the_shortest_path_and_the_events_tell_the_same():
    """The same policy on the same graphs, by two programs that share its numbers and nothing else."""
    latency, by_path, by_event = Latency(0.05, 0.02), [], []
    for seed in range(40):
        links = two_tier(440, rng(seed))
        path = fast.trickle(links, 300, rng(seed + 100), size=300, latency=latency)
        _, event = ran(links, Trickle, seed, Conditions(latency), at=300)
        for found, spread in ((by_path, path), (by_event, event)):
            found.append((part_s(spread.arrived_s, 0.9) - part_s(spread.arrived_s, 0.1), part_s(spread.arrived_s, 0.5),
                          sum(spread.sent_bytes) / 440, np.mean(spread.hops), spread.messages["announce"]))
    # Times of one run vary by a fifth, so the means of forty by a thirtieth.
    path, event = ([fmean(column) for column in zip(*rows, strict=True)] for rows in (by_path, by_event))
    assert path[0] == pytest.approx(event[0], rel=0.1)
    assert path[1] == pytest.approx(event[1], rel=0.1)
    assert path[2] == pytest.approx(event[2], rel=0.02)
    assert path[3] == pytest.approx(event[3], rel=0.1)
    assert path[4] == pytest.approx(event[4], rel=0.02)


def test_the_shortest_path_is_dijkstras():
    import heapq
    links = two_tier(400, rng(2))
    source = np.concatenate([links.opener, links.accepter])
    target = np.concatenate([links.accepter, links.opener])
    length = rng(3).random(len(source))
    arrived, before = fast.shortest(source, target, length, nodes=400, origin=7)
    beside = [[] for _ in range(400)]
    for a, b, far in zip(source.tolist(), target.tolist(), length.tolist(), strict=True):
        beside[a].append((b, far))
    done, heap = {}, [(0.0, 7, 0)]
    while heap:
        when, here, hops = heapq.heappop(heap)
        if here not in done:
            done[here] = (when, hops)
            for there, far in beside[here]:
                heapq.heappush(heap, (when + far, there, hops + 1))
    assert arrived.tolist() == pytest.approx([done[node][0] for node in range(400)])
    assert fast.hops_of(before, 7, arrived).tolist() == [done[node][1] for node in range(400)]


def test_who_has_no_way_is_never_reached():
    arrived, before = fast.shortest(np.array([0, 2]), np.array([1, 3]), np.array([1.0, 1.0]), nodes=4, origin=0)
    assert arrived.tolist() == [0.0, 1.0, math.inf, math.inf]
    assert fast.hops_of(before, 0, arrived).tolist() == [0, 1, -1, -1]


def test_with_a_third_that_drops_everything_all_others_still_hear_of_it():
    conditions = Conditions(Latency(0.05, 0.02), droppers=0.3)
    for seed in range(3):
        _, spread = ran(regular(400, 12, rng(seed)), Announce, seed, conditions, until_s=900.0, linger_s=1.0)
        assert residue(spread) == 0.0
        # Who asked a dropper waits for a minute before asking the next one.
        assert part_s(spread.arrived_s, 0.5) < 60.0 * 6


def test_those_that_are_not_there_are_not_reached_and_the_others_are():
    world, spread = ran(regular(400, 12, rng()), Flood, 3, Conditions(gone=0.2), at=1)
    gone = {index for index, node in enumerate(world.nodes) if not node.works}
    assert 40 < len(gone) < 120
    assert {index for index, when in enumerate(spread.arrived_s) if math.isinf(when)} == gone
    with pytest.raises(ConfigurationError, match="is not there"):
        world.make(2, 300, min(gone))


def test_slow_nodes_and_loss_make_the_tail_late_and_lose_nobody():
    links = regular(400, 8, rng())
    quick, hurt = (ran(links, Flood, 1, conditions)[1] for conditions in
                   (Conditions(), Conditions(slow=0.1, slower=20.0, loss=0.05)))
    assert residue(hurt) == 0.0
    assert part_s(hurt.arrived_s, 0.99) > 3 * part_s(quick.arrived_s, 0.99)
    assert part_s(hurt.arrived_s, 0.5) < 2 * part_s(quick.arrived_s, 0.5)


def test_bodies_queue_for_the_uplink():
    links = regular(100, 8, rng())
    free, bound = (ran(links, Flood, 1, Conditions(Latency(0.01, 0.0), uplink_bytes_s=rate), size=100_000)[1]
                   for rate in (0.0, 1_000_000.0))
    assert part_s(free.arrived_s, 0.5) == pytest.approx(0.02, abs=0.011)
    assert part_s(bound.arrived_s, 0.5) > 0.2


def test_several_transactions_at_once_reach_everybody():
    world = World(regular(200, 8, rng()), Reconcile, 4)
    for tx in range(20):
        world.make(tx, 300, tx)
        world.run(world.now + 0.2)
    world.run(world.now + 120.0, linger_s=1.0)
    assert [residue(spread) for spread in world.spreads()] == [0.0] * 20
    assert all(set(range(20)) == set(node.relay.held) for node in world.nodes)


def test_everybody_starts_its_heartbeat_and_meshes_are_of_both():
    world = World(regular(300, 40, rng()), GossipMesh, 1, warm_s=5.0)
    sizes = [len(node.relay.mesh) for node in world.nodes]
    assert min(sizes) >= 6
    assert max(sizes) <= 12 + 4
    one_sided = sum(index not in world.nodes[peer].relay.mesh
                    for index, node in enumerate(world.nodes) for peer in node.relay.mesh)
    assert one_sided == 0


@pytest.mark.parametrize("wrong", [{"loss": 1.0}, {"droppers": -0.1}, {"gone": 2.0}], ids=str)
def test_parts_are_parts(wrong):
    with pytest.raises(ConfigurationError, match="is a part of all"):
        Conditions(**wrong)


def test_a_walk_hides_who_was_first_from_spies():
    """A tenth of the nodes listen. By trickle they name the origin often, after a walk hardly ever."""
    named = {}
    for policy in (Trickle, Dandelion):
        named[policy] = 0
        for seed in range(40):
            links = regular(200, 16, rng(seed))
            _, spread = ran(links, policy, seed, at=0, linger_s=0.0)
            spies = random.Random(seed).sample(range(1, 200), 20)
            named[policy] += first_spy(spread, 0, spies)
    assert named[Trickle] >= 10
    assert named[Dandelion] <= named[Trickle] / 3


def test_a_walk_into_a_dropper_is_told_by_others_after_the_embargo():
    late = 0
    for seed in range(12):
        conditions = Conditions(droppers=0.2)
        world = World(two_tier(220, rng(seed)), Dandelion, seed, conditions)
        origin = next(index for index, node in enumerate(world.nodes) if not node.drops)
        world.make(1, 300, origin)
        world.run(900.0, linger_s=0.0)
        spread = world.spreads()[0]
        assert residue(spread) < 0.02, seed
        late += part_s(spread.arrived_s, 0.5) > 10.0
    assert late >= 4


@pytest.mark.parametrize(("rule", "left"), [("interest 1", 0.203), ("interest 2", 0.060)])
def test_loss_of_interest_leaves_as_many_as_demers_computed(rule, left):
    """s = e^{-(k+1)(1-s)}, for rumours that are pushed with feedback and a coin."""
    assert left == pytest.approx(math.exp(-(RULES[rule].limit + 1) * (1 - left)), abs=0.001)
    assert stopped(rule, runs=4).residue == pytest.approx(left, rel=0.15)


def test_a_pulled_tail_leaves_nobody_at_a_third_more():
    alone, pulled = (stopped(rule, nodes=500, runs=3) for rule in ("interest 1", "interest 1, pulled"))
    assert alone.residue > 0.15
    assert pulled.residue == 0.0
    assert pulled.sends < alone.sends * 1.5


def test_each_rule_but_the_dearest_leaves_somebody():
    found = {rule: stopped(rule, nodes=500, runs=2) for rule in RULES}
    assert {rule for rule, one in found.items() if one.residue > 0} == {"hops 12", "interest 1", "interest 2"}
    assert max(found.values(), key=lambda one: one.sends).rule == "seen 3"


def test_the_simulator_has_no_rules_of_its_own():
    """What decides in a simulation is what a node imports: every relay there is lives in ``relay``, also where presets
    give it settings."""
    def below(kind):
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    assert {kind.__module__.rpartition(".")[0] for kind in below(Relay)} == {"holdfast.propagation.relay"}
    for preset in PRESETS.values():
        if preset.policy is not None:
            assert type(preset.policy([])).__module__.startswith("holdfast.propagation.relay.")
    assert fast.Timing is Timing


@pytest.mark.parametrize("policy", [Announce, Flood, GossipMesh, Reconcile, SqrtPush, Trickle])
def test_rubbish_goes_no_further_than_its_makers_neighbours(policy):
    """One node finds its own rubbish good; everybody else checks before passing on."""
    links = regular(200, 8, rng())
    world = World(links, policy, 1, judge=lambda node, tx, _: node == 0 or tx != 666, warm_s=3.0)
    world.make(666, 300, 0)
    world.make(7, 300, 1)
    world.run(world.now + 200.0)
    rubbish, honest = world.spreads()
    assert residue(honest) == 0.0
    beside = {b if a == 0 else a for a, b in zip(links.opener.tolist(), links.accepter.tolist(), strict=True)
              if 0 in (a, b)}
    touched = {node for node, when in enumerate(rubbish.arrived_s) if not math.isinf(when)}
    assert {0} < touched <= beside | {0}
    assert not any(666 in node.relay.held for node in world.nodes[1:])


def test_of_a_double_spend_every_node_has_one_and_none_has_both():
    """Two payments with one nonce, made on opposite sides at once; each node's own mempool is the judge."""
    payments = {number: Transaction(bytes([number]), b"anna", bytes([number]), 0, 10, 300, 300) for number in (1, 2)}
    for seed in range(5):
        pools = [Mempool(lambda _: True, lambda _: Account(10_000, 0)) for _ in range(200)]

        def judge(node, tx, now, pools=pools):
            return isinstance(pools[node].offer(payments[tx], now), Accepted)

        world = World(regular(200, 8, rng(seed)), Flood, seed, judge=judge)
        world.make(1, 300, 0)
        world.make(2, 300, 100)
        world.run(60.0)
        assert [len(pool) for pool in pools] == [1] * 200
        assert all(len(node.relay.held) == 1 for node in world.nodes)
        winners = sum(1 in node.relay.held for node in world.nodes)
        assert 20 < winners < 180
