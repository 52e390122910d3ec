# SPDX-License-Identifier: Apache-2.0
"""Answers that grow: what one run has counted is saved, and the next one goes on from there.

::

    state = loaded(path.read_bytes()) if path.exists() else Aggregate()
    with SpanTable.read(rest_of_the_file) as table:
        state = counted(table, state)
    path.write_bytes(saved(state))
    print(finished(state).report().operations)

A trace may go on in the next part of a file. One whose last span lies less than ``idle_s`` before the newest of all is
*held*: its spans stay in the state until it is that old, or until ``finished`` counts it as it is. So one run over a
file and several over its parts agree, unless a trace pauses for longer; then it counts as two.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..assemble import Trace, assembled
from ..paths.path import Mode
from ..span import Span
from .aggregate import SLOW_KEPT, Aggregate, EdgeSums, OperationSums, merged_aggregates, slowest_of
from .report import LARGEST, SlowTrace
from .reporting import Spans
from .sketch import RELATIVE_ERROR, Sketch
from .walk import Walked

IDLE_S = 30.0

__all__ = ["IDLE_S", "Aggregate", "Counter", "counted", "finished", "merged_aggregates"]


def counted(table: Spans, before: Aggregate | None = None, *, idle_s: float = IDLE_S) -> Aggregate:
    """``before`` and all of ``table``. idle_s: how long a trace may pause; more holds back more spans."""
    before = before or Aggregate()
    (newest,), = table.query("SELECT coalesce(max(greatest(start_ns, end_ns)), 0) FROM span")
    newest = max(newest, before.newest_ns)
    held: dict[str, list[Span]] = {}
    for span in before.held:
        held.setdefault(span.trace_id, []).append(span)
    counter = Counter(before.mode, before.roots.relative_error)
    waiting: list[Span] = []
    for trace in _joined(table.traces(), held):
        if _ended(trace) > newest - idle_s * 1e9:
            waiting += _all(trace)  # guard: a trace that may go on is held
        else:
            counter.add(trace)
    found = merged_aggregates([msgspec.structs.replace(before, held=[]), counter.result()])
    return msgspec.structs.replace(found, held=waiting, newest_ns=newest, rejected=before.rejected + table.counts.bad)


def finished(state: Aggregate) -> Aggregate:
    """With all that is held counted as it is."""
    counter = Counter(state.mode, state.roots.relative_error)
    for trace in _joined(iter(()), _by_trace(state.held)):
        counter.add(trace)
    return merged_aggregates([msgspec.structs.replace(state, held=[]), counter.result()])


class Counter:
    """Counts traces one by one."""

    def __init__(self, mode: Mode = "sweep", relative_error: float = RELATIVE_ERROR) -> None:
        self.aggregate = Aggregate(mode=mode, roots=Sketch(relative_error))
        self._walked = Walked(mode)
        self._operations: dict[tuple[str, str], OperationSums] = {}
        self._edges: dict[tuple[str, str], EdgeSums] = {}

    def add(self, trace: Trace) -> None:
        """One more trace, whole."""
        sums = self.aggregate
        self._walked.sums(trace)
        sums.traces += 1
        sums.spans += len(trace.spans)
        sums.orphans += len(trace.orphans)
        sums.cut += len(trace.cut)
        sums.incomplete += not trace.is_whole
        sums.duplicates += trace.duplicates
        sums.conflicts += len(trace.conflicts)
        sums.depth_max = max(sums.depth_max, _depth(trace))
        first = trace.spans[0].start_us
        sums.first_us = first if sums.first_us is None else min(sums.first_us, first)
        sums.newest_ns = max(sums.newest_ns, _ended(trace))
        self._spans(trace)
        self._root(trace)

    def _spans(self, trace: Trace) -> None:
        spans, error = trace.spans, self.aggregate.roots.relative_error
        for span, above, children in zip(spans, trace.parents, trace.children, strict=True):
            us = max(0, span.duration_us)
            one = self._operations.get((span.service, span.operation))
            if one is None:
                one = self._operations[span.service, span.operation] = OperationSums(
                    span.service, span.operation, Sketch(error))
            one.us.add(us)
            below = any(spans[child].error for child in children)
            one.errors += span.error
            one.origins += span.error and not below
            one.propagated += span.error and below
            one.stopped += below and not span.error
            self.aggregate.errors += span.error
            if above >= 0 and spans[above].service != span.service:
                edge = self._edges.setdefault((spans[above].service, span.service),
                                              EdgeSums(spans[above].service, span.service, Sketch(error)))
                edge.us.add(us)
                edge.failed += span.error
                edge.messages += span.kind == "consumer"

    def _root(self, trace: Trace) -> None:
        root = trace.spans[trace.root]
        us = max(0, root.duration_us)
        self.aggregate.roots.add(us)
        slowest = self.aggregate.slowest
        if len(slowest) < SLOW_KEPT or us >= slowest[-1].duration_us:
            self.aggregate.slowest = slowest_of([*slowest, SlowTrace(
                trace.trace_id, root.service, root.operation, root.start_us, us, len(trace.spans),
                sum(span.error for span in trace.spans))])

    def result(self) -> Aggregate:
        """What was counted."""
        self_ns, critical_us = self._walked.self_ns, self._walked.critical_us
        for name, one in self._operations.items():
            one.self_ns, one.critical_us = min(self_ns[name], LARGEST), min(critical_us[name], LARGEST)
        return msgspec.structs.replace(self.aggregate,
                                       operations=[self._operations[name] for name in sorted(self._operations)],
                                       edges=[self._edges[name] for name in sorted(self._edges)])


def _joined(traces: Iterator[Trace], held: dict[str, list[Span]]) -> Iterator[Trace]:
    """Traces, each with what is held of it; then those of which nothing came."""
    for trace in traces:
        before = held.pop(trace.trace_id, None)
        if before is None:
            yield trace
        else:
            yield assembled(trace.trace_id, sorted([*before, *_all(trace)], key=msgspec.structs.astuple))
    for trace_id, spans in held.items():
        yield assembled(trace_id, sorted(spans, key=msgspec.structs.astuple))


def _all(trace: Trace) -> list[Span]:
    """All that came of a trace: what is a copy, and what a conflict, may look different when more has come."""
    return [*trace.spans, *trace.copies, *trace.conflicts]


def _by_trace(spans: list[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.trace_id, []).append(span)
    return found


def _ended(trace: Trace) -> int:
    return max(max(span.start_ns, span.end_ns) for span in trace.spans)


def _depth(trace: Trace) -> int:
    depths: dict[int, int] = {}
    deepest = 0
    stack = [(root, 1) for root in trace.roots]
    while stack:
        n, depth = stack.pop()
        depths[n] = depth
        deepest = max(deepest, depth)
        stack.extend((child, depth + 1) for child in trace.children[n])
    return deepest
