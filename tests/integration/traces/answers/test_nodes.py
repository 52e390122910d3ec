# SPDX-License-Identifier: Apache-2.0
"""The forest that SQL makes of a table is the one of its traces."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span
from holdfast.traces.answers.nodes import circles, nodes
from holdfast.traces.table import SpanTable

KINDS = st.sampled_from(["", "client", "server"])


@st.composite
def spans(draw):
    """Traces with missing parents, circles, ids that come twice, and shared ones."""
    found = []
    for _ in range(draw(st.integers(1, 25))):
        start, parent = draw(st.integers(0, 5)), draw(st.sampled_from(["", *"0123456789"]))
        found.append(Span(draw(st.sampled_from("xy")), str(draw(st.integers(0, 8))), parent, "s", "o", start,
                          start + draw(st.integers(-1, 5)), kind=draw(KINDS),
                          attributes=draw(st.sampled_from(["", '{"a":1}']))))
    return found


def depth(trace):
    deepest, stack = 0, [(root, 1) for root in trace.roots]
    while stack:
        n, at = stack.pop()
        deepest = max(deepest, at)
        stack.extend((child, at + 1) for child in trace.children[n])
    return deepest


def below(trace):
    return {(trace.trace_id, span.span_id, span.kind, trace.spans[above].span_id if above >= 0 else None)
            for span, above in zip(trace.spans, trace.parents, strict=True)}


@settings(max_examples=25, deadline=None)
@given(spans())
def test_a_table_s_forest_is_the_one_of_its_traces(found):
    with SpanTable.of(found) as table:
        traces = list(table.traces())
        said = nodes(table)
        rows = table.query("SELECT n.trace_id, n.span_id, n.kind, p.span_id "
                           "FROM node n LEFT JOIN node p ON n.parent = p.id")
    assert set(rows) == set().union(*map(below, traces))
    assert said.spans == len(rows) == sum(len(trace.spans) for trace in traces)
    assert said.duplicates == sum(trace.duplicates for trace in traces)
    assert said.conflicts == sum(len(trace.conflicts) for trace in traces)
    assert said.orphans == sum(len(trace.orphans) for trace in traces)
    assert said.cut == sum(len(trace.cut) for trace in traces)
    assert said.depth_max == max(map(depth, traces))


def test_a_chain_of_a_hundred_thousand_is_that_deep():
    with SpanTable.of(Span("t", str(n), str(n - 1) if n else "", "s", "o", n, n) for n in range(100_000)) as table:
        assert nodes(table).depth_max == 100_000


def test_each_circle_is_cut_once_at_the_first_of_its_spans():
    assert circles({1: 2, 2: 3, 3: 1, 4: 3, 5: 5, 6: 5}) == [1, 5]
