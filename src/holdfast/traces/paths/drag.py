# SPDX-License-Identifier: Apache-2.0
"""Drag and slack: what it would help to make a span shorter, and what it would not hurt to make it longer. Pure.

**Drag** of a span on the critical path is how much earlier the root would end, were the span to take no time: until the
child of its caller that ends next would be waited for instead, and not more than that helps the caller itself. In
``crisp`` mode the caller does not count, as in CRISP. A span off the path has none.

**Slack** is how much later a span could have ended and nobody would have waited longer, if whoever began after others
had ended depends on them and keeps its distance from the last of them. It has what its caller has, too. On the path it
is nothing. A span that its caller did not wait for at all (it lies outside, or the mode leaves it out) has no slack to
speak of: None.

Who a span's caller is, is asked of the trace. Google's calligator takes the entry before it in the list of the path,
which of several calls in a row is the end of the one before: tests hold that case.

Source: google/calligator; uber-research/CRISP ``slack_drag.py``; the latest finish of the critical path method.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import msgspec

from ..assemble import Trace
from .crisp import crisp, find, fit
from .jaeger import jaeger, sound
from .path import Mode, Piece, times
from .sweep import order, sweep


class SpanDrag(msgspec.Struct, frozen=True):
    """One span. critical_us: its own time on the path, as the mode's segments have it. slack_us: None where nobody
    waited for it."""

    span_id: str
    service: str
    operation: str
    start_us: int
    end_us: int
    on_path: bool
    critical_us: int
    drag_us: int
    slack_us: int | None


@dataclass(slots=True)
class _Seen:
    """A trace as a mode sees it. children: those that are waited for, the last to end first. windows: of spans on the
    path, when they were waited for."""

    trace: Trace
    root: int
    starts: list[int]
    ends: list[int]
    children: dict[int, list[int]]
    windows: dict[int, tuple[int, int]]


def drags(trace: Trace, mode: Mode = "sweep", root: int | None = None) -> list[SpanDrag]:
    """Drag and slack of every span below ``root`` (the longest root without one), by time."""
    root = trace.root if root is None else root
    if mode == "crisp":
        pieces, seen = crisp(trace, root)[0], _seen_by_crisp(trace, root)
    else:
        pieces = jaeger(trace, root) if mode == "jaeger" else sweep(trace, root)
        seen = _seen_by_others(trace, root, mode, pieces)
    dragging, slack = _dragging(seen, capped=mode != "crisp"), _slack(seen)
    own: dict[int, int] = {}
    for n, start, end in pieces:
        own[n] = own.get(n, 0) + end - start
    starts, ends = times(trace)
    return [SpanDrag(span.span_id, span.service, span.operation, starts[n], ends[n], n in seen.windows, own.get(n, 0),
                     dragging.get(n, 0), slack.get(n)) for n in sorted(_below(trace, root))
            for span in [trace.spans[n]]]


def _below(trace: Trace, root: int) -> list[int]:
    found, stack = [], [root]
    while stack:
        n = stack.pop()
        found.append(n)
        stack.extend(trace.children[n])
    return found


def _seen_by_crisp(trace: Trace, root: int) -> _Seen:
    fitted = fit(trace, root)
    children = {n: sorted(below, key=lambda n: fitted.ends[n])[::-1] for n, below in fitted.children.items()}
    windows = {n: (fitted.ends[n] - fitted.durations[n], fitted.ends[n]) for n in find(fitted, root).nodes}
    return _Seen(trace, root, fitted.starts, fitted.ends, children, windows)


def _seen_by_others(trace: Trace, root: int, mode: Mode, pieces: list[Piece]) -> _Seen:
    starts, ends = times(trace)
    if mode == "jaeger":
        children = {n: below[::-1] for n, below in sound(trace, root, starts, ends).items()}
    else:
        children = _clipped(trace, root, starts, ends)
    return _Seen(trace, root, starts, ends, children, _windows(trace, root, pieces))


def _clipped(trace: Trace, root: int, starts: list[int], ends: list[int]) -> dict[int, list[int]]:
    """Children cut to their parents; who lies outside is left out."""
    found: dict[int, list[int]] = {}
    stack = [root]
    while stack:
        n = stack.pop()
        kept = []
        for child in reversed(order(trace, n, starts, ends)):
            starts[child], ends[child] = max(starts[child], starts[n]), min(ends[child], ends[n])
            if starts[child] < ends[child]:
                kept.append(child)
        found[n] = sorted(kept, key=lambda n: -ends[n])
        stack.extend(kept)
    return found


def _windows(trace: Trace, root: int, pieces: list[Piece]) -> dict[int, tuple[int, int]]:
    """When each span on the path was waited for: from the first to the last piece of it and of what is below it."""
    found: dict[int, tuple[int, int]] = {}
    for n, start, end in pieces:
        low, high = found.get(n, (start, end))
        found[n] = (min(low, start), max(high, end))
    for n in reversed(_below(trace, root)):
        above = trace.parents[n]
        if n in found and n != root:
            low, high = found.get(above, found[n])
            found[above] = (min(low, found[n][0]), max(high, found[n][1]))
    return found


def _dragging(seen: _Seen, *, capped: bool) -> dict[int, int]:
    """Drag of the spans on the path, from the root down."""
    low, high = seen.windows.get(seen.root, (0, 0))
    found = {seen.root: high - low}
    stack = [seen.root]
    while stack:
        n = stack.pop()
        siblings = seen.children[n]
        for place, child in enumerate(siblings):
            if child not in seen.windows:
                continue
            low, high = seen.windows[child]
            found[child] = high - low
            if place + 1 < len(siblings):
                found[child] = max(0, min(high - low, high - seen.ends[siblings[place + 1]]))
            if capped:
                found[child] = min(found[child], found[n])  # guard: no more than it helps the caller
            stack.append(child)
    return found


def _slack(seen: _Seen) -> dict[int, int]:
    """Slack of all that is waited for, from the root down."""
    found = {seen.root: 0}
    stack = [seen.root]
    while stack:
        n = stack.pop()
        local = _local(seen, seen.children[n])
        for child, slack in local.items():
            found[child] = 0 if child in seen.windows else slack + found[n]
        stack.extend(local)
    return found


def _local(seen: _Seen, children: list[int]) -> dict[int, int]:
    """Slack of children against each other: the latest end that delays neither the parent nor who depends on it."""
    if not children:
        return {}
    starts, ends = seen.starts, seen.ends
    by_end = sorted(ends[n] for n in children)
    by_start = sorted(children, key=lambda n: (starts[n], ends[n]))
    begins = [starts[n] for n in by_start]
    latest = [by_end[-1]] * (len(children) + 1)  # of those from here on: when the last before them may end
    found: dict[int, int] = {}
    for place in range(len(children) - 1, -1, -1):
        n = by_start[place]
        found[n] = max(0, latest[max(bisect_left(begins, ends[n]), place + 1)] - ends[n])
        before = bisect_right(by_end, starts[n])
        waits = by_end[before - 1] + found[n] if before else by_end[-1]
        latest[place] = min(latest[place + 1], waits)
    return found
