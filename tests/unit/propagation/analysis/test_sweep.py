# SPDX-License-Identifier: Apache-2.0
"""A knob turned: who is beaten by nobody, and where more is not worth it."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from holdfast.errors import ConfigurationError
from holdfast.propagation.analysis.seeds import interval
from holdfast.propagation.analysis.sweep import Point, knee, pareto, swept


def point(name, late, dear):
    return Point(name, interval([1.0]), interval([late]), interval([dear]), interval([0.0]))


CURVE = [point(str(links), 10.0 / links, 100.0 * links) for links in (1, 2, 3, 5, 10)]


def test_who_is_both_slower_and_dearer_than_another_is_not_on_the_front():
    beaten = [point("slow", 9.0, 250.0), point("never", None, 90.0), point("same", 5.0, 200.0)]
    assert [one.name for one in pareto([*CURVE, *beaten])] == ["1", "2", "3", "5", "10"]
    assert [one.name for one in pareto([point("a", 1.0, 1.0), point("b", 2.0, 2.0)])] == ["a"]


def test_the_knee_is_farthest_below_the_straight_line():
    """1/x from 1 to 10 over a line: 1 − (x − 1)/9 − (1/x − 0.1)/0.9 is greatest at √10."""
    assert knee(CURVE).name == "3"


def test_a_straight_line_and_two_points_have_no_knee():
    assert knee([point(str(n), 10.0 - n, 100.0 * n) for n in range(5)]) is None
    assert knee(CURVE[:2]) is None
    assert knee([point(str(n), 1.0, 100.0 * n) for n in range(5)]) is None


def test_more_links_are_quicker_and_dearer():
    told = []
    found = swept("flood", [4, 8, 16], nodes=100, seeds=(1, 2), done=told.append)
    assert [one.name for one in found] == ["4 links", "8 links", "16 links"]
    assert found[0].late > found[1].late > found[2].late
    assert found[0].dear < found[1].dear < found[2].dear
    assert knee(found).name == "8 links"
    assert told == [1, 2, 3, 4, 5, 6]


def test_outbound_links_are_turned_where_the_graph_is_bitcoins():
    few, many = swept("dandelion", [2, 6], nodes=100, seeds=(1,))
    assert many.dear > few.dear


def test_nodes_that_pass_nothing_on_and_packets_that_are_lost_make_it_later():
    honest, hurt = swept("flood", [0.0, 0.4], "droppers", nodes=100, seeds=(1, 2, 3))
    assert hurt.late > honest.late
    assert hurt.dear < 0.8 * honest.dear
    whole, lossy = swept("flood", [0.0, 0.3], "loss", nodes=100, seeds=(1, 2, 3))
    assert lossy.late > whole.late
    assert (honest.name, lossy.name) == ("0 droppers", "0.3 loss")


def test_nodes_that_are_not_there_are_not_reached():
    (gone,) = swept("flood", [0.2], "gone", nodes=100, seeds=(1,))
    assert gone.reached.median < 95
    assert gone.late == float("inf")


@pytest.mark.parametrize(("value", "knob", "wrong"), [
    (8, "luck", "no knob 'luck'"), (4.5, "links", "whole number of links"), (0, "links", "whole number of links"),
    (1.0, "loss", "from 0 to less than 1")], ids=["knob", "half a link", "no link", "all lost"])
def test_what_cannot_be_turned_so_is_refused(value, knob, wrong):
    with pytest.raises(ConfigurationError, match=wrong):
        swept("flood", [value], knob, nodes=20)


@pytest.mark.parametrize("name", ["bitcoin-trickle", "floods"])
def test_what_cannot_be_swept_is_refused(name):
    with pytest.raises(ConfigurationError, match="cannot be swept"):
        swept(name, [4])
