# SPDX-License-Identifier: Apache-2.0
"""Traces read while their files grow: spans go into a window, closed traces are counted, and somebody is told.

::

    files ─ look ─▶ spans ─▶ Window ─ due ─▶ closed traces ─▶ counted ─ each interval ─▶ report ─▶ thresholds

``Service`` is the whole of it without a loop: whoever runs it calls ``look`` a few times a second, ``turn`` at the end
of each interval, and ``end`` once. Time is an argument. What happened goes to the events; none is emitted a trace.

A trace is counted when it is closed first. A later revision (spans that came late) is given out again, but not counted
twice: a sketch cannot forget. ``TracesClosed.revisions`` says how many there were.
"""

from __future__ import annotations

import logging
import math
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Protocol

import msgspec

from .._base.events import Events, TraceFileTrouble, TracesClosed, TracesRead, TraceThresholdCrossed
from ..errors import ConfigurationError
from .answers.increment import Aggregate, Counter, merged_aggregates
from .answers.report import Report
from .answers.window import Closed, Window, WindowState
from .formats import Bad, Part
from .output.thresholds import Breach, Threshold, judge
from .paths import Mode

#: Records of one file that are taken in one look, so that all files, and what is due, have their turn.
TAKEN = 20_000


class Following(Protocol):
    """One file that grows; see ``reading/follow.py``. lag_bytes: what is there and was not read yet."""

    path: str

    @property
    def lag_bytes(self) -> int:
        """How much is written and was not read yet."""

    def poll(self) -> Iterator[Part | Bad]:
        """What came since the last time. Raises ConfigurationError for a file that cannot be read now."""

    def rest(self) -> Iterator[Part | Bad]:
        """What is left at the end."""


class ServiceState(msgspec.Struct, frozen=True):
    """What a service has done and holds. troubles: files that cannot be read now, and why."""

    lines: int
    spans: int
    rejected: int
    lag_bytes: int
    closed: int
    revisions: int
    window: WindowState
    troubles: dict[str, str]


@dataclass(slots=True)
class Service:
    """files: read in their order. window: when a trace is done. closed: hears of every closed trace, revisions
    included. rejected: hears of what could not be read. thresholds: judged at each ``turn``, of that interval."""

    files: Sequence[Following]
    window: Window = field(default_factory=Window)
    events: Events = field(default_factory=Events)
    mode: Mode = "sweep"
    thresholds: Sequence[Threshold] = ()
    closed: Callable[[Closed], object] | None = None
    rejected: Callable[[Bad], object] | None = None
    _sums: Counts[str] = field(default_factory=Counts)
    _counter: Counter = field(init=False)
    _bad: int = 0
    _before: Aggregate = field(init=False)
    _crossed: set[str] = field(default_factory=set)
    _troubles: dict[str, str] = field(default_factory=dict)
    _polls: dict[str, Iterator[Part | Bad]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._counter = Counter(self.mode)
        self._before = Aggregate(mode=self.mode)

    def look(self, now: float) -> int:
        """Reads what is new in all files, and closes what is due; how many records there were. now: seconds that never
        go back."""
        found: Counts[str] = Counts()
        for file in self.files:
            self._poll(file, found, now)
        self._give(self.window.due(now))
        state = self.window.inspect()
        self._told(found, state)
        return found["lines"]

    @property
    def lag_bytes(self) -> int:
        """Of all files."""
        return sum(file.lag_bytes for file in self.files)

    def turn(self) -> tuple[Report, list[Breach]]:
        """The report of the interval that ends now, and the thresholds that it crosses and the one before did not."""
        part = msgspec.structs.replace(self._counter.result(), rejected=self._bad)
        self._before = merged_aggregates([self._before, part])
        self._counter, self._bad = Counter(self.mode), 0
        report = part.report()
        return report, self._judged(report)

    def total(self) -> Report:
        """The report of all intervals that have ended."""
        return self._before.report()

    def end(self, now: float) -> None:
        """Reads what is left, and closes all that is open."""
        found: Counts[str] = Counts()
        for file in self.files:
            self._read(file, chain(self._polls.pop(file.path, ()), file.rest()), found, now)
        self._give(self.window.end())
        self._told(found, self.window.inspect())

    def inspect(self) -> ServiceState:
        """What was done, and what is held."""
        state = self.window.inspect()
        return ServiceState(self._sums["lines"], self._sums["spans"], self._sums["rejected"], self.lag_bytes,
                            state.closed, state.revisions, state, dict(self._troubles))

    def _told(self, found: Counts[str], state: WindowState) -> None:
        self._sums.update(found)
        self.events.emit(TracesRead(**found, lag_bytes=self.lag_bytes, open_traces=state.open_traces,
                                    open_spans=state.open_spans))

    def _poll(self, file: Following, found: Counts[str], now: float) -> None:
        """Some of what is new; the rest of it is the next look's."""
        poll = self._polls.pop(file.path, None) or file.poll()
        if self._read(file, islice(poll, TAKEN), found, now) == TAKEN:
            self._polls[file.path] = poll

    def _read(self, file: Following, parts: Iterable[Part | Bad], found: Counts[str], now: float) -> int:
        """How many there were."""
        taken = 0
        try:
            for taken, part in enumerate(parts, 1):  # noqa: B007 - counted
                self._take(part, found, now)
        except (OSError, ConfigurationError) as error:
            self._trouble(file.path, str(error))
        else:
            self._troubles.pop(file.path, None)
        return taken

    def _take(self, part: Part | Bad, found: Counts[str], now: float) -> None:
        found["bytes"] += part.length
        if isinstance(part, Bad):
            found["lines"] += 1
            found["rejected"] += 1
            self._bad += 1
            if self.rejected is not None:
                self.rejected(part)  # guard: what could not be read is not dropped in silence
        elif not part.between:
            found["lines"] += not part.blank
            found["spans"] += len(part.spans)
            for span in part.spans:
                self.window.add(span, now)

    def _trouble(self, name: str, why: str) -> None:
        """Told when it begins and when it changes; counted at each look that failed would be a storm."""
        if self._troubles.get(name) != why:
            self._troubles[name] = why
            self.events.emit(TraceFileTrouble(file=name, error=why))

    def _give(self, closed: Sequence[Closed]) -> None:
        if not closed:
            return
        sums: Counts[str] = Counts()
        lasted = []
        for one in closed:
            trace = one.trace
            sums[one.reason] += 1
            sums["late"] += one.late
            sums["revisions"] += one.revision > 1
            if one.revision == 1:  # guard: a trace that is given out again is not counted again
                self._counter.add(trace)
                root = trace.spans[trace.root]
                sums["incomplete"] += not trace.is_whole
                sums["failed"] += root.error
                lasted.append(max(0, root.end_ns - root.start_ns) / 1e9)
            if self.closed is not None:
                self.closed(one)
        self.events.emit(TracesClosed(**sums, root_s=tuple(lasted)))

    def _judged(self, report: Report) -> list[Breach]:
        """New ones; what was crossed by the interval before was told then. An interval without spans judges nothing."""
        if not report.spans and not report.rejected:
            return []
        breaches = judge(report, self.thresholds)
        fresh = [one for one in breaches if one.threshold not in self._crossed]
        self._crossed = {one.threshold for one in breaches}
        for threshold, value in {one.threshold: one.value for one in reversed(fresh)}.items():
            self.events.emit(TraceThresholdCrossed(threshold=threshold, value=math.nan if value is None else value,
                                                   level=logging.WARNING))
        return fresh
