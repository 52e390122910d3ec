# SPDX-License-Identifier: Apache-2.0
"""What the demo found: one record, as JSON for programs, as tables on a terminal, as plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from .._base.terminal import drawn
from .store import Slow
from .timing import Timing

if TYPE_CHECKING:
    from rich.progress import Progress

#: Seconds before a progress bar shows itself.
_PATIENCE_S = 2.0


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the dead, once rules were at them.

    planted: lines that a rule can mend, by the ledger's count. repaired: letters that it has mended, by the handling
    log. applied: of those lines, in the database. lost, applied_twice: of all lines, counted again. waiting: letters
    that wait for somebody.
    """

    planted: int
    repaired: int
    applied: int
    lost: int
    applied_twice: int
    waiting: int

    @property
    def good(self) -> bool:
        """Is every line that can be mended applied once?"""  # guard: one that is not is enough for exit code 1
        return self.planted == self.repaired == self.applied and not (self.lost or self.applied_twice)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one run.

    published: lines in the stream. applied: good lines with their row. dead: letters. planted_bad: bad lines that were
    made on purpose; 0 for a log that was given. lost, applied_twice, stray: by the independent count (see ``ledger``).
    kills: workers killed; killed_with, killed_committed: entries it held, and those of them that had their effect but
    no acknowledgement. stops: workers frozen. recovery_s: from the kill until the last of its entries was taken over or
    settled. throughput_msg_s: lines a second from the first publish until everything was settled, outages included.
    trouble: what else went wrong. mended: what came of the dead, where rules were let at them. timing: where the time
    went, without the extra ``traces`` null.
    """

    published: int
    applied: int
    dead: int
    planted_bad: int
    lost: int
    applied_twice: int
    stray: int
    kills: int
    killed_with: int
    killed_committed: int
    stops: int
    recovery_s: float | None
    throughput_msg_s: float
    seconds: float
    lease_s: float
    workers: int
    partitions: int
    seed: int | None
    dead_by_cause: dict[str, int]
    slowest: list[Slow]
    trouble: list[str]
    timing: Timing | None = None
    mended: Mended | msgspec.UnsetType = msgspec.UNSET

    @property
    def good(self) -> bool:
        """Is every line applied once or dead, and nothing else?"""
        generated = self.seed is not None
        mended = self.mended is msgspec.UNSET or self.mended.good
        return (self.published == self.applied + self.dead and not (self.lost or self.applied_twice or self.stray)
                and mended and (not generated or self.dead == self.planted_bad) and not self.trouble)


Row = tuple[str, str]


def sections(report: Report) -> list[tuple[str, list[Row]]]:
    """What is shown, as headings with pairs of words."""
    r = report
    books = [("published", f"{r.published:,}"), ("applied", f"{r.applied:,}"), ("dead", f"{r.dead:,}"),
             ("lost", f"{r.lost:,}"), ("applied twice", f"{r.applied_twice:,}")]
    if r.seed is not None:
        books.insert(3, ("planted bad lines", f"{r.planted_bad:,}"))
    if r.stray:
        books.append(("rows that should not be there", f"{r.stray:,}"))
    books.append(("the books", "balance" if r.good else "DO NOT BALANCE"))
    recovery = "-" if r.recovery_s is None else f"{r.recovery_s:.2f} s (lease {r.lease_s:g} s)"
    run = [("workers killed", str(r.kills)), ("recovery after the kill", recovery), ("workers frozen", str(r.stops)),
           ("throughput", f"{r.throughput_msg_s:,.0f} messages/s, outages included"), ("took", f"{r.seconds:.1f} s")]
    found = [("ledger", books), ("run", run),
             ("repaired by rule", _mended_rows(r.mended)),
             ("dead letters by cause", [(cause, f"{n:,}") for cause, n in r.dead_by_cause.items()]),
             *_timing(r),
             ("trouble", [(trouble, "") for trouble in r.trouble])]
    return [(heading, rows) for heading, rows in found if rows]


def _timing(report: Report) -> list[tuple[str, list[Row]]]:
    """As ``holdfast traces report`` has it; without that, what the database says."""
    found = report.timing
    if found is None:
        return [("slowest operations", [(s.name, f"{s.mean_us:,.0f} us, {s.count:,} spans") for s in report.slowest])]
    from ..traces.output.words import share_of, time_of

    median, p99, most = map(time_of, found.root_us)
    return [("traces", [("traces", f"{found.traces:,}, of {found.spans:,} spans of {found.services} services"),
                        ("a trace takes", f"{median} (median), p99 {p99}, at most {most}")]),
            ("where callers waited", [
                (one.name, (f"{share_of(one.critical_us, found.critical_us)} of all critical paths; "
                            f"p50 {time_of(one.p50_us)}, p99 {time_of(one.p99_us)}")) for one in found.waited])]


def _mended_rows(mended: Mended | msgspec.UnsetType) -> list[Row]:
    if mended is msgspec.UNSET:
        return []
    return [("planted, in another charset", f"{mended.planted:,}"), ("repaired and sent back", f"{mended.repaired:,}"),
            ("applied", f"{mended.applied:,}"), ("applied twice", f"{mended.applied_twice:,}"),
            ("others, waiting for somebody", f"{mended.waiting:,}")]


def show(report: Report, *, as_json: bool) -> None:
    """Prints it to stdout."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    elif drawn(sys.stdout):
        _show_tables(sections(report), "green" if report.good else "red")
    else:
        lines = ((heading, _plain(name), value) for heading, rows in sections(report) for name, value in rows)
        sys.stdout.writelines("\t".join(line).rstrip() + "\n" for line in lines)
    sys.stdout.flush()


def _plain(text: str) -> str:
    """Names of operations come from the log, and must not command a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _show_tables(found: Sequence[tuple[str, Sequence[Row]]], colour: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for heading, rows in found:
        table = Table(title=heading, title_justify="left", title_style="bold", box=box.SIMPLE, show_header=False)
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(Text(_plain(name)), value, style=colour if name == "the books" else None)
        console.print(table)


class Talk:
    """What is said on the way, on stderr: lines, and on a terminal a progress bar below them."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        if drawn(sys.stderr):
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("settled", total=None, visible=False)
        return self

    def progress(self, done: int, total: int) -> None:
        """So many of ``total`` lines are settled."""
        if self._bar is not None:
            shown = time.monotonic() - self._began > _PATIENCE_S
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, visible=shown)

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """No progress from here on: a bar that is there goes."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
