# SPDX-License-Identifier: Apache-2.0
"""Graphs are what their names say, and the same from the same seed."""

from __future__ import annotations

from collections import deque

import pytest

pytest.importorskip("numpy")

import numpy as np

from holdfast.errors import ConfigurationError
from holdfast.propagation.topology import regular, scale_free, small_world, two_tier


def rng(seed=1):
    return np.random.default_rng(seed)


GRAPHS = {
    "regular": lambda seed: regular(500, 8, rng(seed)),
    "regular, odd": lambda seed: regular(500, 7, rng(seed)),
    "regular, dense": lambda seed: regular(12, 10, rng(seed)),
    "small world": lambda seed: small_world(500, 8, rng(seed)),
    "scale free": lambda seed: scale_free(500, 8, rng(seed)),
    "two tier": lambda seed: two_tier(500, rng(seed)),
}


def degrees(links):
    return np.bincount(np.concatenate([links.opener, links.accepter]), minlength=links.nodes)


def reach(links):
    """How far each node is from the first, in links."""
    beside = [[] for _ in range(links.nodes)]
    for a, b in zip(links.opener.tolist(), links.accepter.tolist(), strict=True):
        beside[a].append(b)
        beside[b].append(a)
    far, queue = {0: 0}, deque([0])
    while queue:
        here = queue.popleft()
        for there in beside[here]:
            if there not in far:
                far[there] = far[here] + 1
                queue.append(there)
    return list(far.values())


@pytest.mark.parametrize("graph", GRAPHS)
def test_no_loops_no_doubles_all_connected_and_the_same_again(graph):
    links, again, other = GRAPHS[graph](3), GRAPHS[graph](3), GRAPHS[graph](4)
    pairs = {frozenset(pair) for pair in zip(links.opener.tolist(), links.accepter.tolist(), strict=True)}
    assert len(pairs) == len(links.opener)
    assert all(len(pair) == 2 for pair in pairs)
    assert len(reach(links)) == links.nodes
    assert np.array_equal(links.opener, again.opener)
    assert np.array_equal(links.accepter, again.accepter)
    assert not (np.array_equal(links.opener, other.opener) and np.array_equal(links.accepter, other.accepter))


@pytest.mark.parametrize(("nodes", "degree"), [(500, 8), (500, 7), (12, 10), (11, 4)])
def test_each_node_of_a_regular_graph_has_as_many_links(nodes, degree):
    assert set(degrees(regular(nodes, degree, rng())).tolist()) == {degree}


def test_about_half_of_a_nodes_links_are_its_own():
    links = regular(1000, 8, rng())
    assert np.bincount(links.opener, minlength=1000).mean() == pytest.approx(4.0)
    assert np.bincount(links.opener, minlength=1000).max() > 5


def test_a_small_world_is_a_ring_with_short_cuts():
    ring, world = (small_world(1000, 6, rng(), moved=moved) for moved in (0.0, 0.1))
    assert max(reach(ring)) == 167
    assert max(reach(world)) < 20
    assert world.mean_degree == 6


def test_a_few_nodes_of_a_scale_free_graph_have_very_many_links():
    links = scale_free(3000, 6, rng())
    counts = np.sort(degrees(links))
    assert links.mean_degree == pytest.approx(6, abs=0.05)
    assert counts[-1] > 80
    assert np.median(counts) < 6


def test_only_an_eleventh_can_be_reached_and_each_opens_eight():
    links = two_tier(1100, rng())
    assert links.accepter.max() == 99
    assert set(np.bincount(links.opener, minlength=1100).tolist()) == {8}


@pytest.mark.parametrize("wrong", [
    lambda: regular(7, 7, rng()), lambda: regular(7, 3, rng()), lambda: regular(9, 1, rng()),
    lambda: small_world(50, 5, rng()),
    lambda: two_tier(8, rng(), outbound=8), lambda: two_tier(100, rng(), reachable=200),
], ids=["too many links", "odd", "too few links", "odd small world", "too few nodes", "more than there are"])
def test_what_cannot_be_is_said(wrong):
    with pytest.raises(ConfigurationError, match=r"nodes|even number"):
        wrong()
