# SPDX-License-Identifier: Apache-2.0
"""Presets beside figures that others published or that follow from a formula, each with its tolerance.

What is met is asserted with its tolerance; what is not met is asserted as it is, with the figure it misses, so that the
page which says so (docs/explanation/propagation.md) stays true.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import fmean, median

import pytest

pytest.importorskip("numpy")

import numpy as np

from holdfast.propagation import PRESETS, simulate
from holdfast.propagation.presets import ran
from holdfast.propagation.relay import Flood, Reconcile, Trickle
from holdfast.propagation.sim.network import Conditions, Latency
from holdfast.propagation.sim.world import World
from holdfast.propagation.topology import regular, two_tier


def test_trickle_at_110_000_nodes():
    """Bitcoin Core's policy, another implementation's four runs: half after 5.9 to 8.2 s, 90 % after 7.0 to 9.3 s, 99 %
    after 8.4 to 10.7 s, the last after 13 to 16 s, 8.0 announcements a node. Median of nine of ours."""
    found = [simulate("bitcoin-trickle", seed=seed) for seed in range(1, 10)]
    whole = [summary for summary, _ in found]
    assert {one.nodes for one in whole} == {one.reached for one in whole} == {110_000}
    assert 5.9 <= median(one.t50_s for one in whole) <= 8.2
    assert 7.0 <= median(one.t90_s for one in whole) <= 9.3
    assert 8.4 <= median(one.t99_s for one in whole) <= 10.7
    assert 13.0 <= median(one.t100_s for one in whole) <= 16.0
    assert fmean(spreads[0].messages["announce"] / 110_000 for _, spreads in found) == pytest.approx(8.0, rel=0.03)


def test_110_000_nodes_take_three_seconds_of_one_processor():
    simulate("bitcoin-trickle", nodes=1000)
    began = time.process_time()
    simulate("bitcoin-trickle", seed=3)
    assert time.process_time() - began <= 3.0


def test_copies_in_a_mesh_are_half_of_its_neighbours_less_two():
    """ProbeLab's model, (k - 2)/2: each link carries one body. Within a quarter; more, because some cross."""
    for seed in (1, 2, 3):
        preset = PRESETS["gossipsub"]
        links = preset.graph(1000, np.random.default_rng([seed, 0]))
        world = World(links, preset.policy, seed, preset.conditions, warm_s=preset.warm_s)
        k = fmean(len(node.relay.mesh) for node in world.nodes)
        assert k == pytest.approx(8.0, abs=0.4)
        copies = simulate("gossipsub", seed=seed)[0].duplicates_per_node
        assert copies == pytest.approx((k - 2) / 2, rel=0.25)


def test_time_and_hops_grow_with_the_logarithm_of_the_number():
    """Ten times as many nodes add as much each time, and not ten times as much."""
    rows = {nodes: [simulate("flood", nodes=nodes, seed=seed)[0] for seed in range(3)] for nodes in (100, 1000, 10_000)}
    for name in ("t50_s", "hops_mean"):
        small, middle, large = (fmean(getattr(one, name) for one in found) for found in rows.values())
        assert large - middle == pytest.approx(middle - small, rel=0.25), name
        assert large < 2.5 * small, name
    big, bigger = (median(simulate("bitcoin-trickle", nodes=nodes, seed=seed)[0].hops_mean for seed in range(5))
                   for nodes in (11_000, 110_000))
    assert bigger - big < 2.0


def test_hops_of_a_flood_are_what_a_random_graph_gives():
    """With equal links a flood is a breadth-first search: ln N / ln(d - 1) links to most nodes, here within a tenth."""
    nodes, degree = 10_000, 8
    world = World(regular(nodes, degree, np.random.default_rng(1)), Flood, 1, Conditions(Latency(0.05, 0.0)))
    world.make(1, 300, 0)
    world.run(60.0)
    (spread,) = world.spreads()
    assert fmean(spread.hops) == pytest.approx(math.log(nodes) / math.log(degree - 1), rel=0.1)
    # Nobody tells who told it: N(d - 1) + 1 bodies, of which N - 1 were needed.
    assert simulate("flood", nodes=10_000)[0].duplicates_per_node == pytest.approx(degree - 2, rel=0.02)


def test_the_root_of_the_neighbours_is_pushed_to():
    """Ethereum's rule: ⌈√50⌉ = 8 bodies a node are sent, 7 of them for nothing, and all others hear the hash."""
    summary, (spread,) = simulate("ethereum-sqrt")
    assert spread.messages["body"] / 1000 == pytest.approx(8.0, rel=0.02)
    assert summary.duplicates_per_node == pytest.approx(7.0, rel=0.02)
    assert spread.messages["announce"] / 1000 == pytest.approx(50 - 8, rel=0.2)


def test_saying_what_is_not_needed_saves_more_than_was_seen():
    """Seen on Ethereum's main network: from 3 copies to 2; here to fewer than 1. It misses: all do it, and at once, and
    blocks wait long at each node, so that the word is always there in time."""
    plain, said = (fmean(simulate(name, seed=seed)[0].duplicates_per_node for seed in (1, 2, 3))
                   for name in ("gossipsub", "gossipsub-idontwant"))
    assert said < plain * 2 / 3
    assert said == pytest.approx(0.62, abs=0.3)


def saved(outbound):
    """Which part of Bitcoin's relay traffic comparing sets saves, at so many outbound links."""
    base = replace(PRESETS["erlay"], txs=20, linger_s=20.0)
    sent = {}
    for policy in (Trickle, Reconcile):
        links = two_tier(330, np.random.default_rng([1, 0]), reachable=110, outbound=outbound)
        sent[policy] = fmean(sum(one.sent_bytes) for one in ran(base, policy, links, 1))
    return 1 - sent[Reconcile] / sent[Trickle]


def test_comparing_sets_saves_most_of_the_announcements():
    """Erlay's paper: 40 % of the traffic at 8 outbound links; its authors: 75 % at 32. Within 12 points."""
    assert saved(8) == pytest.approx(0.40, abs=0.12)
    assert saved(32) == pytest.approx(0.75, abs=0.12)


def test_push_is_an_order_quicker_than_trickle():
    """Timers hide who was first, at the price of being ten times as late or more."""
    quick, slow = simulate("flood", nodes=10_000)[0], simulate("bitcoin-trickle", nodes=10_000)[0]
    assert slow.t50_s > 10 * quick.t50_s
