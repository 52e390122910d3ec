# SPDX-License-Identifier: Apache-2.0
"""Spans become traces, and what does not fit is named."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble


def span(span_id, parent="", start=0, end=10, **said):
    return Span(**{"trace_id": "t", "span_id": span_id, "parent_id": parent, "service": "s", "operation": "o",
                   "start_ns": start, "end_ns": end, **said})


def names(trace, numbers):
    return sorted(trace.spans[n].span_id for n in numbers)


def one(*spans):
    (trace,) = assemble(spans)
    return trace


def test_traces_are_told_apart_and_come_by_time():
    late, early = span("a", start=50, trace_id="x"), span("a", start=5, trace_id="y")
    assert [trace.trace_id for trace in assemble([late, early])] == ["y", "x"]


def test_what_came_twice_counts_and_what_differs_is_kept_beside():
    trace = one(span("a"), span("a"), span("a", end=11))
    assert len(trace.spans) == 1
    assert trace.duplicates == len(trace.copies) == 1
    assert [found.end_ns for found in trace.conflicts] == [11]


def test_whose_parent_is_missing_is_a_root_and_is_named():
    trace = one(span("a"), span("b", "gone"))
    assert names(trace, trace.roots) == ["a", "b"]
    assert names(trace, trace.orphans) == ["b"]
    assert not trace.is_whole


def test_both_halves_of_a_call_with_one_id_are_parent_and_child():
    trace = one(span("r"), span("a", "r", kind="client", start=1), span("a", "r", kind="server", start=2),
                span("b", "a", start=3))
    client, server = (n for n, found in enumerate(trace.spans) if found.span_id == "a")
    assert trace.parents[server] == client
    assert trace.spans[trace.parents[[found.span_id for found in trace.spans].index("b")]].kind == "server"


def test_a_circle_is_cut_where_it_begins():
    trace = one(span("a", "c", start=1), span("b", "a", start=2), span("c", "b", start=3), span("d", "c", start=4))
    assert names(trace, trace.roots) == names(trace, trace.cut) == ["a"]
    assert not trace.is_whole


def test_a_span_that_is_its_own_parent_is_a_root():
    trace = one(span("a", "a"))
    assert (trace.roots, trace.cut, trace.children) == ([0], [0], [[]])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 14), st.integers(0, 9)), min_size=1, max_size=30),
       st.randoms())
def test_every_span_is_reached_from_a_root_once_however_the_file_was_shuffled(found, chance):
    spans = list({span_id: span(str(span_id), str(parent) if parent < 13 else "", start=start)
                  for span_id, parent, start in found}.values())
    trace = one(*spans)
    shuffled = list(spans)
    chance.shuffle(shuffled)
    again = one(*shuffled)
    assert (again.spans, again.parents, again.roots, again.cut) == (trace.spans, trace.parents, trace.roots, trace.cut)
    reached, waiting = [], list(trace.roots)
    while waiting:
        n = waiting.pop()
        reached.append(n)
        waiting.extend(trace.children[n])
    assert sorted(reached) == list(range(len(trace.spans)))  # guard: a circle ends


def test_a_chain_of_a_hundred_thousand_is_a_trace():
    chain = [span("0")] + [span(str(n), str(n - 1), start=n) for n in range(1, 100_000)]
    assert one(*chain).is_whole
