# SPDX-License-Identifier: Apache-2.0
"""A report of some spans with all that belongs to it, without a table: for the tests of what draws and prints it."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.traces import Span, assemble
from holdfast.traces.answers.report import Edge, Evidence, Finding, Operation, Report, Roots, SlowTrace
from holdfast.traces.formats import Bad
from holdfast.traces.output.html import Shown, page
from holdfast.traces.output.record import Input, Story, reasons
from holdfast.traces.output.stacks import Stacks, pieces_of


def told(spans: Sequence[Span], bad: Sequence[Bad] = (),
         text: str = "called often") -> tuple[Story, list[Shown], Stacks]:
    """Counts are right, percentiles are the longest; one finding says ``text``."""
    traces = sorted(assemble(spans), key=lambda one: -one.spans[one.root].duration_us)
    shown = [Shown(one, one.root, pieces_of(one, "sweep", one.root)) for one in traces]
    stacks = Stacks()
    operations: dict[tuple[str, str], list[int]] = {}
    edges: dict[tuple[str, str], list[int]] = {}
    for one in shown:
        stacks.add(one.trace, [(n, end - start) for n, start, end in one.pieces])
        for n, start, end in one.pieces:
            span = one.trace.spans[n]
            operations.setdefault((span.service, span.operation), [0, 0, 0, 0])[3] += end - start
        for n, span in enumerate(one.trace.spans):
            sums = operations.setdefault((span.service, span.operation), [0, 0, 0, 0])
            sums[:3] = sums[0] + 1, sums[1] + span.error, max(sums[2], span.duration_us)
            parent = one.trace.parents[n]
            if parent >= 0 and one.trace.spans[parent].service != span.service:
                called = edges.setdefault((one.trace.spans[parent].service, span.service), [0, 0])
                called[:] = called[0] + 1, called[1] + span.error
    first = traces[0]
    report = Report(
        traces=len(traces), spans=len(spans), rejected=len(bad), orphans=0,
        services=len({span.service for span in spans}), depth_max=3, root_us=Roots(1, 2, 3, 4, 5),
        edges=[Edge(a, b, calls, failed, 1, 2, 3, 4) for (a, b), (calls, failed) in edges.items()],
        operations=[Operation(service, name, count, errors, most, most, most, most, most, most * count, most, us)
                    for (service, name), (count, errors, most, us) in operations.items()],
        errors=sum(span.error for span in spans), first_us=min(span.start_us for span in spans),
        last_us=max(span.end_ns for span in spans) // 1000,
        slowest=[SlowTrace(one.trace_id, one.spans[one.root].service, one.spans[one.root].operation,
                           one.spans[one.root].start_us, one.spans[one.root].duration_us, len(one.spans), 0)
                 for one in traces],
        findings=[Finding("n_plus_one", spans[0].service, spans[0].operation, "", 1, 3, 9, text,
                          [Evidence(first.trace_id, "", [], 3)])])
    read = Input(["spans.jsonl"], len(spans) + len(bad), len(spans), len(bad), 0, 1_000, reasons(bad))
    return Story(report, read, bad), shown, stacks


def drawn(spans: Sequence[Span], bad: Sequence[Bad] = (), text: str = "called often") -> str:
    """The page."""
    story, shown, stacks = told(spans, bad, text)
    return page(story, shown, stacks.sum())
