# SPDX-License-Identifier: Apache-2.0
"""When a trace that comes span by span is done, and what becomes of spans that come later. Pure: now is an argument.

A trace is closed when nothing came of it for ``idle_s``, or ``age_s`` after its first span however lively it is. What
was given out stays as it is. A span that comes later opens its trace once more, and when that is closed again, it is
given out whole with the next **revision**: who counts replaces the one before.

A closed trace is remembered for ``remember_s``. A span that comes later still begins a trace anew, with revision 1,
since nobody knows of the other one. Open and remembered spans are ``spans_max`` at most: what was closed the longest
ago is forgotten first, and then what is open the longest is closed early.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ..assemble import Trace, assembled
from ..span import Span

Reason = Literal["idle", "age", "full", "end"]


@dataclass(frozen=True, slots=True)
class Closed:
    """A trace, whole as far as it came. revision: from 1. late: how many of its spans came after the one before."""

    trace: Trace
    revision: int
    reason: Reason
    late: int


class WindowState(msgspec.Struct, frozen=True):
    """What a window holds, and what it has done. late: spans that came after their trace was closed. forgotten: closed
    traces that are remembered no more. early: traces that were closed because memory ended."""

    open_traces: int
    open_spans: int
    remembered_traces: int
    remembered_spans: int
    closed: int
    revisions: int
    late: int
    forgotten: int
    early: int


@dataclass(slots=True)
class _Open:
    spans: list[Span]
    first: float
    last: float
    revision: int = 1
    late: int = 0


@dataclass(slots=True)
class Window:
    """idle_s: a longer one waits for slower senders, and answers later. age_s: a cap for what never rests. remember_s:
    how late a span may come and still be joined. spans_max: of memory; a span takes some 500 bytes."""

    idle_s: float = 30.0
    age_s: float = 900.0
    remember_s: float = 600.0
    spans_max: int = 1_000_000
    _by_last: OrderedDict[str, _Open] = field(default_factory=OrderedDict)
    _by_first: OrderedDict[str, _Open] = field(default_factory=OrderedDict)
    _closed: OrderedDict[str, _Open] = field(default_factory=OrderedDict)
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(
        ("open_spans", "remembered_spans", "closed", "revisions", "late", "forgotten", "early"), 0))

    def add(self, span: Span, now: float) -> None:
        """One more span. now: seconds that never go back."""
        found = self._by_last.get(span.trace_id)
        if found is None:
            found = self._opened(span.trace_id, now)
        else:
            self._by_last.move_to_end(span.trace_id)
        found.spans.append(span)
        found.last = now
        self._counts["open_spans"] += 1
        if found.revision > 1:
            found.late += 1
            self._counts["late"] += 1

    def due(self, now: float) -> list[Closed]:
        """Traces that are done by now; to be called often, since it also keeps memory bounded."""
        found: list[Closed] = []
        while self._by_last and now - next(iter(self._by_last.values())).last >= self.idle_s:
            found.append(self._close(next(iter(self._by_last)), "idle", now))
        while self._by_first and now - next(iter(self._by_first.values())).first >= self.age_s:
            found.append(self._close(next(iter(self._by_first)), "age", now))
        while self._closed and now - next(iter(self._closed.values())).last >= self.remember_s:
            self._forget()
        while self._closed and self._kept > self.spans_max:  # guard: memory has an end
            self._forget()
        while self._by_first and self._kept > self.spans_max:
            self._counts["early"] += 1
            found.append(self._close(next(iter(self._by_first)), "full", now))
            self._forget()
        return found

    def end(self) -> list[Closed]:
        """All that is open, at the end of the stream."""
        return [self._close(trace_id, "end", 0.0) for trace_id in list(self._by_first)]

    def inspect(self) -> WindowState:
        """What is held and was done."""
        return WindowState(open_traces=len(self._by_first), remembered_traces=len(self._closed), **self._counts)

    @property
    def _kept(self) -> int:
        return self._counts["open_spans"] + self._counts["remembered_spans"]

    def _opened(self, trace_id: str, now: float) -> _Open:
        before = self._closed.pop(trace_id, None)
        found = _Open([], now, now)
        if before is not None:  # guard: a late span joins the trace it belongs to
            found = _Open(before.spans, now, now, before.revision + 1)
            self._counts["remembered_spans"] -= len(before.spans)
            self._counts["open_spans"] += len(before.spans)
        self._by_last[trace_id] = self._by_first[trace_id] = found
        return found

    def _close(self, trace_id: str, reason: Reason, now: float) -> Closed:
        found = self._by_last.pop(trace_id)
        del self._by_first[trace_id]
        self._counts["open_spans"] -= len(found.spans)
        self._counts["remembered_spans"] += len(found.spans)
        self._counts["closed"] += 1
        self._counts["revisions"] += found.revision > 1
        self._closed[trace_id] = _Open(found.spans, found.first, now, found.revision)
        return Closed(assembled(trace_id, list(found.spans)), found.revision, reason, found.late)

    def _forget(self) -> None:
        _, found = self._closed.popitem(last=False)
        self._counts["remembered_spans"] -= len(found.spans)
        self._counts["forgotten"] += 1
