# SPDX-License-Identifier: Apache-2.0
"""Numbers of a spread, by hand."""

from __future__ import annotations

import math

import pytest

from holdfast.propagation.analyse import Spread, first_spy, gini, part_s, residue, summarise


def spread(arrived, **more):
    count = len(arrived)
    given = {"hops": [0] + [1] * (count - 1), "duplicates": [0] * count, "sent_bytes": [0] * count, **more}
    return Spread(arrived, **given)


@pytest.mark.parametrize(("part", "when"), [(0.5, 4.0), (0.9, 8.0), (0.99, 9.0), (1.0, 9.0), (0.05, 0.0)])
def test_a_part_is_reached_when_so_many_have_it(part, when):
    assert part_s([float(one) for one in range(10)], part) == when


def test_who_never_had_it_is_late_for_ever_and_nobody_elses_time_stands_in():
    one = spread([0.0, 1.0, math.inf, 2.0], hops=[0, 1, -1, 2])
    found = summarise([one], 5)
    assert (found.nodes, found.seed, found.reached, found.t50_s) == (4, 5, 3, 1.0)
    assert (found.t90_s, found.t100_s) == (None, None)
    assert found.hops_mean == 1.0
    assert residue(one) == 0.25


def test_counts_are_means_over_nodes_and_transactions():
    found = summarise([spread([0.0, 1.0], duplicates=[1, 2], sent_bytes=[100, 0]),
                       spread([0.0, 3.0], duplicates=[0, 0], sent_bytes=[300, 0])], 1)
    assert (found.duplicates_per_node, found.bytes_per_node, found.t100_s) == (0.75, 100.0, 2.0)


@pytest.mark.parametrize(("values", "found"), [([1, 1, 1, 1], 0.0), ([0, 0, 0, 4], 0.75), ([], 0.0), ([0, 0], 0.0)])
def test_gini(values, found):
    assert gini(values) == pytest.approx(found)


def test_the_first_spy_names_who_told_it_first():
    one = spread([0.0, 1.0, 2.0, 3.0], first_peer=[-1, 0, 0, 1])
    assert first_spy(one, 0, [2, 3])
    assert not first_spy(one, 0, [3])
    assert not first_spy(one, 0, [])
