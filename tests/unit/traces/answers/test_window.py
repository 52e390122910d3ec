# SPDX-License-Identifier: Apache-2.0
"""Traces that come span by span: when they are done, and what late spans do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span
from holdfast.traces.answers.window import Window


def span(trace_id, span_id, parent="", start=0):
    return Span(trace_id, span_id, parent, "s", "o", start, start + 1)


def said(closed):
    return [(one.trace.trace_id, len(one.trace.spans), one.revision, one.reason, one.late) for one in closed]


def test_a_trace_is_closed_when_nothing_came_of_it_for_a_while():
    window = Window(idle_s=30)
    window.add(span("a", "1"), 0)
    window.add(span("a", "2", "1"), 20)
    window.add(span("b", "1"), 25)
    assert said(window.due(49.9)) == []
    assert said(window.due(50)) == [("a", 2, 1, "idle", 0)]
    assert said(window.due(55)) == [("b", 1, 1, "idle", 0)]


def test_one_that_never_rests_is_closed_by_its_age():
    window = Window(idle_s=30, age_s=100)
    for at in range(0, 100, 10):
        window.add(span("a", str(at)), at)
        assert window.due(at) == []
    assert said(window.due(100)) == [("a", 10, 1, "age", 0)]


def test_a_late_span_makes_another_revision_and_leaves_the_one_before_as_it_was():
    window = Window(idle_s=30)
    window.add(span("a", "2", "1", start=5), 0)
    (first,) = window.due(30)
    assert first.trace.orphans == [0]
    window.add(span("a", "1"), 40)
    window.add(span("a", "3", "1"), 45)
    assert window.due(60) == []
    (second,) = window.due(75)
    assert said([second]) == [("a", 3, 2, "idle", 2)]
    assert second.trace.is_whole
    assert (len(first.trace.spans), first.trace.orphans) == (1, [0])
    state = window.inspect()
    assert (state.closed, state.revisions, state.late) == (2, 1, 2)


def test_what_was_forgotten_begins_anew():
    window = Window(idle_s=30, remember_s=100)
    window.add(span("a", "1"), 0)
    window.due(30)
    window.due(130)
    assert window.inspect().forgotten == 1
    window.add(span("a", "2"), 131)
    assert said(window.due(161)) == [("a", 1, 1, "idle", 0)]


def test_memory_has_an_end():
    window = Window(idle_s=30, spans_max=10)
    for n in range(10):
        window.add(span(f"old {n}", "1"), 0)
    assert len(window.due(30)) == 10
    for n in range(8):
        window.add(span(f"new {n}", "1"), 31)
        window.due(31)
    state = window.inspect()
    assert (state.open_spans, state.remembered_spans, state.forgotten, state.early) == (8, 2, 8, 0)
    for n in range(8, 13):
        window.add(span(f"new {n}", "1"), 32)
        closed = window.due(32)
        assert window.inspect().open_spans + window.inspect().remembered_spans <= 10
    assert said(closed) == [("new 2", 1, 1, "full", 0)], "the oldest first"
    assert window.inspect().early == 3


def test_at_the_end_all_is_given_out():
    window = Window()
    for n in range(3):
        window.add(span(str(n), "1"), n)
    assert said(window.end()) == [(str(n), 1, 1, "end", 0) for n in range(3)]
    assert window.inspect().open_traces == window.inspect().open_spans == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), max_size=40))
def test_the_last_revisions_hold_every_span_once_and_revisions_are_counted_up(steps):
    window, now, sent, given_out = Window(idle_s=30, age_s=60, remember_s=10**6), 0, {}, {}
    for n, (trace_id, pause) in enumerate(steps):
        now += pause
        collect(window.due(now), given_out)
        window.add(span(trace_id, str(n)), now)
        sent.setdefault(trace_id, set()).add(str(n))
    collect(window.end(), given_out)
    assert {trace_id: {one.span_id for one in trace.spans} for trace_id, (_, trace) in given_out.items()} == sent
    state = window.inspect()
    assert (state.open_spans, state.remembered_spans) == (0, len(steps))


def collect(closed, given_out):
    for one in closed:
        assert one.revision == given_out.get(one.trace.trace_id, (0, None))[0] + 1
        given_out[one.trace.trace_id] = (one.revision, one.trace)
