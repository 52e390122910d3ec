# SPDX-License-Identifier: Apache-2.0
"""What is chosen to be drawn: rows of a waterfall, frames of a flame graph, numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import assemble
from holdfast.traces.output.html.flame import FRAMES_MAX, NARROWEST, frames
from holdfast.traces.output.html.waterfall import Shown, chosen
from holdfast.traces.output.stacks import Node, Stacks, pieces_of
from holdfast.traces.output.words import count_of, many, moment_of, share_of, time_of
from tests.unit.traces.output.shop import order, span, span_lists


def shown(spans) -> Shown:
    (trace,) = assemble(spans)
    return Shown(trace, trace.root, pieces_of(trace, "sweep", trace.root))


def test_all_rows_are_chosen_where_there_is_room_callers_first():
    one = shown(order(1))
    assert [(one.trace.spans[row.n].span_id, row.depth, row.hidden) for row in chosen(one)] == [
        ("a", 0, 0), ("b", 1, 0), ("c", 1, 0), ("d", 2, 0), ("e", 1, 0)]


def test_the_critical_path_stays_when_there_is_little_room():
    many = [span("t" * 32, "r", "", "s", "root", 0, 1_000), span("t" * 32, "slow", "r", "s", "slow", 0, 900),
            span("t" * 32, "query", "slow", "db", "query", 10, 800),
            *(span("t" * 32, f"x{n}", "r", "s", "quick", n, 1) for n in range(500))]
    one = shown(many)
    rows = chosen(one, rows_max=5)
    assert {"r", "slow", "query"} <= {one.trace.spans[row.n].span_id for row in rows}
    assert len(rows) == 5
    assert sum(row.hidden for row in rows) == 498


@settings(deadline=None)
@given(span_lists(), st.integers(1, 6))
def test_no_row_is_shown_without_its_caller(spans, rows_max):
    for trace in assemble(spans):
        one = Shown(trace, trace.root, pieces_of(trace, "sweep", trace.root))
        rows = chosen(one, rows_max)
        kept = [row.n for row in rows]
        assert len(set(kept)) == len(kept) <= max(1, rows_max)
        assert all(trace.parents[n] < 0 or trace.parents[n] in kept for n in kept)
        assert trace.root in kept


def tree(*widths: int) -> Node:
    stacks = Stacks()
    for n, us in enumerate(widths):
        stacks.root.below[f"s{n}", "op"] = Node(f"s{n}", "op", 1, own_us=us)
    return stacks.sum()


def test_frames_fill_the_width_from_the_left_the_widest_first():
    found, narrow = frames(tree(25, 50, 25))
    assert [(one.node.service, one.x, one.width) for one in found] == [
        ("s1", 0.0, 0.5), ("s0", 0.5, 0.25), ("s2", 0.75, 0.25)]
    assert narrow == 0


def test_what_is_too_narrow_to_be_seen_is_counted():
    found, narrow = frames(tree(100_000, *[int(100_000 * NARROWEST / 2)] * 7))
    assert (len(found), narrow) == (1, 7)
    assert len(frames(tree(*[1] * 900))[0]) == 900
    assert len(frames(tree(*[1] * (FRAMES_MAX + 9)))[0]) <= FRAMES_MAX
    assert frames(tree()) == ([], 0)


@pytest.mark.parametrize(("us", "said"), [
    (0, "0 µs"), (1, "1 µs"), (999, "999 µs"), (1_000, "1.00 ms"), (9_994, "9.99 ms"), (9_996, "10.0 ms"),
    (99_960, "100 ms"), (419_462, "419 ms"), (1_002_500, "1.00 s"), (119_999_999, "120 s"), (120_000_000, "2 min 0 s"),
    (7_260_000_000, "2 h 1 min"), (-1_500, "−1.50 ms")])
def test_times_have_three_digits_and_a_unit(us, said):
    assert time_of(us) == said


@pytest.mark.parametrize(("part", "whole", "said"), [
    (0, 10, "0 %"), (1, 0, "0 %"), (1, 100_000, "<0.1 %"), (1, 8, "12.5 %"), (99_999, 100_000, "100 %")])
def test_a_share_that_is_more_than_nothing_is_not_shown_as_nothing(part, whole, said):
    assert share_of(part, whole) == said


def test_counts_and_moments():
    assert (count_of(1_234_567), many(1, "span"), many(2, "trace")) == ("1\u202f234\u202f567", "1 span", "2 traces")
    assert moment_of(1_674_987_573_082_000) == "2023-01-29 10:19:33.082 UTC"
    assert moment_of(2**62) == f"{2**62} µs"
