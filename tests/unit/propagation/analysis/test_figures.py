# SPDX-License-Identifier: Apache-2.0
"""All figures of a run of four nodes, by hand; and of those who listen."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.propagation.analyse import Spread
from holdfast.propagation.analysis.figures import by_node, coverage, figures, heat, top_share
from holdfast.propagation.analysis.run import CLASSES, Run, class_of
from holdfast.propagation.analysis.spies import privacy
from holdfast.propagation.relay.words import Kind, Message
from holdfast.propagation.wire import weigh

NODES = ["a", "b", "c", "d"]


def run(**more):
    """a made t, told b and c; d never had it. c had it from both."""
    given = {
        "spreads": [Spread([0.0, 1.0, 2.0, math.inf], [0, 1, 1, -1], [0, 0, 1, 0], [0.0] * 4,
                           first_peer=[-1, 0, 0, -1])],
        "sent": {(0, 1, "body"): 300, (0, 2, "body"): 300, (1, 2, "body"): 300, (1, 3, "announce"): 36,
                 (2, 1, "want"): 36, (2, -1, "sketch"): 8}, **more}
    return Run("hand", 7, NODES, ["t"], **given)


def told(one=None, spies=0.25):
    return figures(one or run(), random.Random(1), spies=spies)


def test_who_had_it_and_who_did_not():
    found = told()
    assert (found.summary.nodes, found.summary.seed, found.summary.reached) == (4, 7, 3)
    assert found.coverage == 0.75
    assert (found.unreached, found.unreached_nodes) == (1, ["d"])
    assert found.times_s == {"50%": 1.0, "90%": None, "95%": None, "99%": None, "100%": None}
    assert found.hops == {0: 1, 1: 2}


def test_bytes_are_split_by_what_they_are_for_and_copies_are_what_was_not_needed():
    found = told()
    assert found.bytes == {"announce": 36, "request": 36, "body": 900, "control": 8}
    assert found.redundancy == 1.5
    busiest = [(link.sender, link.receiver, link.bytes) for link in found.busiest[:2]]
    assert busiest == [("a", "b", 300), ("a", "c", 300)]
    assert sum(link.bytes for link in found.busiest) == 972


def test_load_is_uneven_by_gini_and_by_the_busiest_hundredth():
    found = told()
    assert found.load_top == pytest.approx(600 / 980)
    # Sorted 0, 44, 336, 600: 2(44·2 + 336·3 + 600·4)/(4·980) − 5/4.
    assert found.load_gini == pytest.approx(2 * (88 + 1008 + 2400) / 3920 - 1.25)
    assert top_share([1.0] * 200) == 0.01
    assert top_share([0.0, 0.0]) == 0.0


def test_every_kind_that_a_relay_says_is_for_something():
    for_ = {"announce": {"announce", "headers"}, "body": {"body", "stem", "block", "compact", "parts"},
            "request": {"want", "getheaders", "getblock", "getcompact", "getparts"}}
    assert set(for_) | {"control"} == set(CLASSES)
    for kind in {*Kind.__args__, *for_["announce"], *for_["body"], *for_["request"]}:
        assert class_of(kind) == next((one for one, kinds in for_.items() if kind in kinds), "control"), kind
    assert weigh(Message("body", (1,), 300)) == 300


def test_a_row_a_node():
    rows = by_node(run())
    assert [row.node for row in rows] == NODES
    assert [row.sent for row in rows] == [600, 336, 44, 0]
    assert (rows[2].arrived_s, rows[2].hops, rows[2].duplicates, rows[2].request) == (2.0, 1.0, 1, 36)
    assert (rows[3].arrived_s, rows[3].hops) == (None, None)


def test_a_heat_map_has_who_sends_to_whom_and_more_nodes_share_a_cell():
    assert heat(run()).bytes == [[0, 300, 300, 0], [0, 0, 300, 36], [0, 36, 0, 0], [0, 0, 0, 0]]
    folded = heat(run(), cells=2)
    assert (folded.each, folded.bytes) == (2, [[300, 636], [36, 0]])


def test_coverage_over_time_ends_where_nobody_more_had_it():
    assert coverage(run().spreads[0]) == [(0.0, 0.25), (1.0, 0.5), (2.0, 0.75)]
    many = Spread([float(one) for one in range(5000)], [0] * 5000, [0] * 5000, [0] * 5000)
    drawn = coverage(many, points=100)
    assert len(drawn) == 101
    assert (drawn[0], drawn[-1]) == ((0.0, 1 / 5000), (4999.0, 1.0))


def test_who_listens_names_whoever_told_the_first():
    """All spies but the origin hear it from the origin here, so each name is right; one of three hears nothing."""
    found = privacy(run().spreads, 0.25, random.Random(3), draws=400)
    assert found.spies == 1
    assert found.precision == 1.0
    assert found.recall == pytest.approx(2 / 3, abs=0.08)
    assert found.asked == pytest.approx(300, abs=40)


def test_who_is_told_by_a_middleman_names_the_middleman():
    way = Spread([0.0, 1.0, 2.0], [0, 1, 2], [0] * 3, [0] * 3, first_peer=[-1, 0, 1])
    found = privacy([way], 0.34, random.Random(1), draws=300)
    assert found.right == pytest.approx(found.asked / 2, abs=30)
    assert found.named == found.asked


def test_nobody_is_accused_where_the_origin_is_not_known():
    found = privacy([Spread([0.0, 1.0], [1, 1], [0] * 2, [0] * 2, first_peer=[-1, 0])], 0.5, random.Random(1))
    assert (found.asked, found.precision, found.recall) == (0, None, None)


def test_a_run_in_which_nothing_was_made_has_no_figures():
    assert told(run(spreads=[])) is None
