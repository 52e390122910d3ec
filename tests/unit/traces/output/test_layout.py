# SPDX-License-Identifier: Apache-2.0
"""Where services stand: callers left of callees, nobody on somebody else, the same for the same graph."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces.output.html.layout import BOX_HEIGHT, BOX_WIDTH, layout

NAMES = [f"s{n}" for n in range(12)]
graphs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=40)


@settings(deadline=None)
@given(graphs)
def test_no_box_lies_on_another_and_all_are_in_the_picture(edges):
    drawing = layout(NAMES, edges)
    places = list(drawing.places.values())
    assert len(places) == len(NAMES)
    for n, one in enumerate(places):
        assert one.x >= 0
        assert one.y >= 0
        assert one.x + BOX_WIDTH <= drawing.width
        assert one.y + BOX_HEIGHT <= drawing.height
        for other in places[n + 1:]:
            assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT


@settings(deadline=None)
@given(graphs)
def test_every_caller_stands_left_of_its_callee_but_where_a_circle_was_opened(edges):
    drawing = layout(NAMES, edges)
    for source, target in set(edges):
        if (source, target) not in drawing.back:
            assert drawing.places[source].x < drawing.places[target].x


@settings(deadline=None)
@given(graphs, st.integers())
def test_the_order_in_which_things_are_told_is_no_matter(edges, seed):
    shuffled = random.Random(seed)
    names, told = NAMES[:], edges[:]
    shuffled.shuffle(names)
    shuffled.shuffle(told)
    assert layout(names, told) == layout(NAMES, edges)


def test_a_graph_without_circles_leads_back_nowhere():
    assert not layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")]).back
    assert layout(["a", "b"], [("a", "b"), ("b", "a"), ("a", "a")]).back == {("b", "a"), ("a", "a")}


def test_a_chain_of_ten_thousand_is_laid_out():
    names = [f"{n:05d}" for n in range(10_000)]
    drawing = layout(names, list(itertools.pairwise(names)))
    assert drawing.places["09999"].x > drawing.places["00000"].x


def test_nothing_is_an_empty_picture():
    assert layout([], []).places == {}
