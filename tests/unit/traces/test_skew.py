# SPDX-License-Identifier: Apache-2.0
"""Corrected clocks: the answers of Jaeger's own tests, and what is never moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble
from holdfast.traces.skew import corrected

MS = 1_000_000


def span(span_id, parent, start, lasted, host="", **said):
    return Span("t", span_id, parent, "s", "o", start * MS, (start + lasted) * MS, host=host, **said)


def one(*spans):
    (trace,) = assemble(spans)
    return trace


def starts(found):
    return {span.span_id: span.start_ns // MS for span in found.trace.spans}


#: Jaeger's cases: name, spans, the limit in seconds, where they begin afterwards.
CASES = {
    "a missing parent": ([("1", "99", 0, 100, "a")], 1, {"1": 0}),
    "no host": ([("1", "", 0, 100, "")], 1, {"1": 0}),
    "the same host": ([("1", "", 0, 100, "a"), ("2", "1", 10, 50, "a")], 1, {"1": 0, "2": 10}),
    "the same host, before its parent": ([("1", "", 10, 100, "a"), ("2", "1", 0, 50, "a")], 1, {"1": 10, "2": 0}),
    "within its parent": ([("1", "", 10, 100, "a"), ("2", "1", 20, 50, "b")], 1, {"1": 10, "2": 20}),
    "longer than its parent": ([("1", "", 10, 100, "a"), ("2", "1", 20, 150, "b")], 1, {"1": 10, "2": 20}),
    "too far ahead": ([("1", "", 10, 100, "a"), ("2", "1", 0, 50, "b")], 0.01, {"1": 10, "2": 0}),
    "too far behind": ([("1", "", 10, 100, "a"), ("2", "1", 80, 50, "b")], 0.01, {"1": 10, "2": 80}),
    "nothing is allowed": ([("1", "", 10, 100, "a"), ("2", "1", 0, 50, "b")], 0, {"1": 10, "2": 0}),
    "before its parent": ([("1", "", 10, 100, "a"), ("2", "1", 0, 50, "b")], 1, {"1": 10, "2": 35}),
    "before its parent and longer": ([("1", "", 10, 100, "a"), ("2", "1", 0, 150, "b")], 1, {"1": 10, "2": 10}),
    "after its parent, and a child of its own": (
        [("1", "", 10, 100, "a"), ("2", "1", 50, 70, "b"), ("3", "2", 60, 20, "b")], 1, {"1": 10, "2": 25, "3": 35}),
}


@pytest.mark.parametrize("name", CASES)
def test_jaeger_s_own_cases(name):
    spans, max_s, expected = CASES[name]
    assert starts(corrected(one(*(span(*said) for said in spans)), max_s)) == expected


def test_what_was_read_is_left_as_it_is_and_each_move_is_named():
    trace = one(span("1", "", 10, 100, "a"), span("2", "1", 0, 50, "b"))
    before = list(trace.spans)
    found = corrected(trace, 1)
    assert trace.spans == before
    assert [(shift.span_id, shift.delta_ns, shift.applied) for shift in found.shifts] == [("2", 35 * MS, True)]
    assert "35.000 ms" in found.shifts[0].reason


def test_what_is_more_than_allowed_is_named_and_not_done():
    found = corrected(one(span("1", "", 10, 100, "a"), span("2", "1", 0, 50, "b")), 0.01)
    assert [(shift.delta_ns, shift.applied) for shift in found.shifts] == [(35 * MS, False)]
    assert "more than 0.01 s" in found.shifts[0].reason


@pytest.mark.parametrize("said", [{"follows": True}, {"kind": "consumer"}])
def test_who_is_not_waited_for_is_not_moved(said):
    trace = one(span("1", "", 10, 100, "a"), span("2", "1", 500, 50, "b", **said), span("3", "2", 510, 5, "b"))
    assert corrected(trace, 9).shifts == []


def test_below_one_that_is_left_as_it_is_others_are_measured_against_where_it_stands():
    trace = one(span("1", "", 0, 100, "a"), span("2", "1", 5_000, 50, "b"), span("3", "2", 5_010, 10, "c"),
                span("4", "3", 5_000, 4, "d"))
    assert {shift.span_id: shift.delta_ns // MS for shift in corrected(trace, 1).shifts if shift.applied} == {"4": 13}


@st.composite
def traces(draw):
    spans = [span("0", "", 100, draw(st.integers(1, 100)), "a")]
    for n in range(1, draw(st.integers(1, 15))):
        above, host = str(draw(st.integers(0, n - 1))), draw(st.sampled_from(["", "a", "b", "c"]))
        start, lasted, follows = draw(st.integers(0, 300)), draw(st.integers(0, 99)), draw(st.booleans())
        spans.append(span(str(n), above, start, lasted, host, follows=follows))
    return one(*spans)


@settings(max_examples=200, deadline=None)
@given(traces())
def test_no_duration_changes_and_who_was_moved_by_itself_fits_its_parent(trace):
    found = corrected(trace, 10)
    before = {span.span_id: span for span in trace.spans}
    deltas = {shift.span_id: shift.delta_ns for shift in found.shifts}
    for n, after in enumerate(found.trace.spans):
        was = before[after.span_id]
        assert after.end_ns - after.start_ns == was.end_ns - was.start_ns
        assert after.start_ns - was.start_ns == deltas.get(after.span_id, 0)
        above = found.trace.parents[n]
        if after.span_id in deltas and above >= 0 and found.trace.spans[above].host != after.host:
            assert after.start_ns >= found.trace.spans[above].start_ns


def test_depth_is_no_matter():
    deep = [span("0", "", 0, 10**6, "a")] + [span(str(n), str(n - 1), n, 10**6 - 2 * n, "ab"[n % 2])
                                             for n in range(1, 50_000)]
    assert corrected(one(*deep), 1).shifts == []
