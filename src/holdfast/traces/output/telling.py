# SPDX-License-Identifier: Apache-2.0
"""From a table of spans to what an output shows: the report, and one walk through the traces for those that draw."""

from __future__ import annotations

from collections.abc import Sequence

from ..answers.reporting import report
from ..paths import Mode
from ..table import SpanTable
from .html import Shown
from .record import Input, Story, reasons
from .stacks import Stacks, pieces_of
from .thresholds import Threshold, judge


def story(table: SpanTable, sources: Sequence[str], *, mode: Mode = "sweep", slowest: int = 10,
          thresholds: Sequence[Threshold] = ()) -> Story:
    """The report with what belongs to it. sources: what was read, as it is to be called."""
    found = report(table, slowest=slowest, mode=mode)
    counts = table.counts
    read = Input(list(sources), counts.lines, counts.ok, counts.bad, counts.blank, counts.bytes, reasons(table.bad))
    return Story(found, read, table.bad, judge(found, thresholds), len(thresholds))


def walked(table: SpanTable, told: Story) -> tuple[Stacks, list[Shown]]:
    """Time by call path of all traces, and the slowest ones of the report, as they are to be drawn."""
    mode: Mode = told.report.mode  # type: ignore[assignment]  # a report's mode is one of them
    wanted = {one.trace_id: n for n, one in enumerate(told.report.slowest)}
    stacks, shown = Stacks(), []
    for trace in table.traces():
        pieces = pieces_of(trace, mode, trace.root)
        stacks.add(trace, [(n, end - start) for n, start, end in pieces])
        if trace.trace_id in wanted:
            shown.append(Shown(trace, trace.root, pieces))
    shown.sort(key=lambda one: wanted[one.trace.trace_id])
    return stacks, shown
