# SPDX-License-Identifier: Apache-2.0
"""Jaeger's mode draws what Jaeger's page draws: the cases of its own tests, by their times."""

from __future__ import annotations

import pytest

from holdfast.traces import Span, assemble, critical_path

#: Of each case the spans (id, parent, from, for how long) and the sections (id, from, to), by time.
CASES = {
    "two calls in a row": (
        [("E", "C", 50, 10), ("C", "", 1, 100), ("D", "C", 20, 20)],
        [("C", 1, 20), ("D", 20, 40), ("C", 40, 50), ("E", 50, 60), ("C", 60, 101)]),
    "two calls that overlap": (
        [("X", "", 1, 100), ("A", "X", 10, 40), ("C", "X", 20, 40)],
        [("X", 1, 20), ("C", 20, 60), ("X", 60, 101)]),
    "a child that begins after its parent, and its own": (
        [("A", "", 1, 30), ("B", "A", 40, 40), ("C", "B", 50, 10)], [("A", 1, 31)]),
    "a child that sticks out behind, and its own in front": (
        [("A", "", 1, 29), ("B", "A", 15, 20), ("C", "B", 10, 15)],
        [("A", 1, 15), ("C", 15, 25), ("B", 25, 30)]),
    "children that stick out behind, one more than the other": (
        [("A", "", 1, 29), ("B", "A", 15, 20), ("C", "B", 20, 20)],
        [("A", 1, 15), ("B", 15, 20), ("C", 20, 30)]),
    "a child that covers its parent": ([("A", "", 10, 20), ("B", "A", 5, 30)], [("B", 10, 30)]),
    "a child that ends before its parent": ([("A", "", 10, 20), ("B", "A", 1, 4)], [("A", 10, 30)]),
}


@pytest.mark.parametrize("name", CASES)
def test_jaeger_s_own_cases(name):
    spans, sections = CASES[name]
    (trace,) = assemble(Span("t", span_id, parent, "s", span_id, start * 1000, (start + lasted) * 1000)
                        for span_id, parent, start, lasted in spans)
    root = next(n for n, one in enumerate(trace.spans) if not one.parent_id)
    found = critical_path(trace, "jaeger", root)
    assert [(one.span_id, one.start_us, one.end_us) for one in found.segments] == sections
