# SPDX-License-Identifier: Apache-2.0
"""The report on one screen, as blocks of rows: what takes the time, what fails, who waits for whom. Pure.

The same numbers as in the JSON, in the order in which somebody who was woken up asks for them. How wide it may be is
asked of who prints it; bars take what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..answers.report import Finding, Operation, Report
from .record import Story
from .words import count_of, many, moment_of, share_of, time_of

#: Rows of each block, unless more are asked for.
ROWS = 10
_BAR, _EIGHTHS = 12, " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, and a table below it. more: rows that are left out. names: columns of names, by their place; they
    stand left and may be folded, the others stand right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int = 0
    names: frozenset[int] = frozenset()


def summary(story: Story) -> list[str]:
    """The first lines: how much, how long, how sound."""
    report, root = story.report, story.report.root_us
    if not report.spans:
        return [f"no spans; {many(report.rejected, 'rejected record')}"]
    much = (f"{many(report.traces, 'trace')}, {many(report.spans, 'span')}, {many(report.services, 'service')}, "
            f"{moment_of(report.first_us)} and {time_of(report.last_us - report.first_us)} on")
    long = (f"a trace takes {time_of(root.median)} (median), p90 {time_of(root.p90)}, p99 {time_of(root.p99)}, "
             f"at most {time_of(root.max)}; {many(report.errors, 'failed span')} "
             f"({share_of(report.errors, report.spans)}); depth {report.depth_max}")
    doubts = [many(number, one) for number, one in (
        (report.incomplete, "incomplete trace"), (report.orphans, "orphan"), (report.duplicates, "duplicate"),
        (report.conflicts, "conflict"), (report.cut, "circle")) if number]
    if report.rejected:
        why = ", ".join(f"{reason} {count_of(count)}" for reason, count in list(story.input.reasons.items())[:3])
        doubts.append(f"{many(report.rejected, 'rejected record')}{f' ({why})' if why else ''}")
    return [much, long, *(["mind: " + "; ".join(doubts)] if doubts else [])]


def blocks(story: Story, rows: int = ROWS) -> list[Block]:
    """What is told below the summary. Blocks without rows are left out."""
    report = story.report
    found = [_thresholds(story), _operations(report, rows), _slowest(report, rows), _failures(report, rows),
             _findings(report.findings, rows), _edges(report, rows)]
    return [block for block in found if block.rows]


def cut(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int,
        names: Iterable[int] = (0, 1)) -> Block:
    """The first rows."""
    return Block(title, head, rows[:most], max(0, len(rows) - most), frozenset(names))


def _thresholds(story: Story) -> Block:
    return Block("Thresholds crossed", ("threshold",), [[one.text] for one in story.breaches],
                 names=frozenset({0}))


def _operations(report: Report, most: int) -> Block:
    whole = sum(o.critical_us for o in report.operations)
    ordered = sorted(report.operations, key=lambda o: (-o.critical_us, -o.total_us, o.service, o.operation))
    rows = [[o.service, o.operation, bar(o.critical_us, whole), share_of(o.critical_us, whole), count_of(o.count),
             _errors(o), time_of(o.p50_us), time_of(o.p99_us), time_of(o.max_us)] for o in ordered]
    return cut("Where callers waited (critical path)",
                ("service", "operation", "", "share", "spans", "failed", "p50", "p99", "longest"), rows, most,
               (0, 1, 2))


def _errors(o: Operation) -> str:
    return f"{count_of(o.errors)} ({share_of(o.errors, o.count)})" if o.errors else "0"


def _slowest(report: Report, most: int) -> Block:
    rows = [[t.trace_id, time_of(t.duration_us), t.service, t.operation, count_of(t.spans), count_of(t.errors),
             "" if t.z is None else f"{t.z:+.1f}"] for t in report.slowest]
    return cut("Slowest traces", ("trace", "time", "service", "operation", "spans", "failed", "z"), rows,
               min(most, 5) if most == ROWS else most, (0, 2, 3))


def _failures(report: Report, most: int) -> Block:
    begun = sorted((o for o in report.operations if o.origins), key=lambda o: (-o.origins, o.service, o.operation))
    rows = [[o.service, o.operation, count_of(o.origins), count_of(o.propagated), count_of(o.stopped)] for o in begun]
    return cut("Where failures begin", ("service", "operation", "begun", "passed on", "stopped"), rows, most)


def _findings(findings: Sequence[Finding], most: int) -> Block:
    rows = [[f.kind.replace("_", " "), f.text, f.evidence[0].trace_id if f.evidence else ""] for f in findings]
    return cut("Findings", ("what", "where", "for example in trace"), rows, most, (0, 1, 2))


def _edges(report: Report, most: int) -> Block:
    ordered = sorted(report.edges, key=lambda e: (-e.calls, e.source, e.target))
    rows = [[e.source, e.target, count_of(e.calls), count_of(e.failed), time_of(e.p50_us), time_of(e.p99_us)]
            for e in ordered]
    return cut("Calls between services", ("caller", "callee", "calls", "failed", "p50", "p99"), rows, most)


def bar(part: float, whole: float, width: int = _BAR) -> str:
    """A bar of blocks, in eighths of one."""
    eighths = round(8 * width * part / whole) if whole > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
