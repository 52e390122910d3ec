# SPDX-License-Identifier: Apache-2.0
"""One trace as bars below each other: who ran when, and who was waited for. Pure.

A page cannot show a million spans, so ``chosen`` takes those that say most: on the critical path first, by how long,
then failures, then the longest, each with all of its callers. How many are left out is said, at each span that they are
below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...._base.markup import Markup, name, tag, text
from ...assemble import Trace
from ...paths.path import Piece, times
from ..words import many, share_of, time_of

ROWS_MAX = 150
#: Spans that do not fit one after another, until no more are tried.
_TRIED = 1_000
#: Deeper ones are not moved further to the right.
DEPTH_SHOWN = 24
COLOURS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One span. hidden: spans right below it that are not shown."""

    n: int
    depth: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A trace that is to be drawn. pieces: its critical path below ``root``."""

    trace: Trace
    root: int
    pieces: Sequence[Piece]


def chosen(shown: Shown, rows_max: int = ROWS_MAX) -> list[Row]:
    """The spans to show, callers before those they called, by their beginning."""
    trace, kept = shown.trace, {shown.root}
    missed = 0
    for n in _by_weight(shown):
        way = _way(trace, n, kept, rows_max - len(kept))
        missed = missed + 1 if way is None else 0
        kept.update(way or ())
        if len(kept) >= rows_max or missed > _TRIED:
            break
    rows: list[Row] = []
    stack = [(root, 0) for root in sorted(kept & set(trace.roots), key=lambda n: (n != shown.root, n), reverse=True)]
    while stack:
        n, depth = stack.pop()
        below = [child for child in trace.children[n] if child in kept]
        rows.append(Row(n, depth, len(trace.children[n]) - len(below)))
        stack.extend((child, depth + 1) for child in reversed(below))
    return rows


def _by_weight(shown: Shown) -> list[int]:
    trace, waited = shown.trace, critical(shown)
    return sorted(range(len(trace.spans)), key=lambda n: (
        -waited.get(n, 0), not trace.spans[n].error, -trace.spans[n].duration_us, n))


def _way(trace: Trace, n: int, kept: set[int], room: int) -> list[int] | None:
    """A span and its callers that are not kept yet; None when there is no room for them."""
    way: list[int] = []
    while n >= 0 and n not in kept:
        if len(way) >= room:
            return None
        way.append(n)
        n = trace.parents[n]
    return way


def critical(shown: Shown) -> dict[int, int]:
    """µs on the path, by span."""
    found: dict[int, int] = {}
    for n, start, end in shown.pieces:
        found[n] = found.get(n, 0) + end - start
    return found


def waterfall(shown: Shown, colours: dict[str, int], rows_max: int = ROWS_MAX) -> Markup:
    """The rows as a list: name, numbers and bar of each."""
    trace, rows = shown.trace, chosen(shown, rows_max)
    starts, ends = times(trace)
    low = min(starts[row.n] for row in rows)
    frame = _Frame(low, max(1, max(ends[row.n] for row in rows) - low))
    pieces: dict[int, list[Piece]] = {}
    for piece in shown.pieces:
        pieces.setdefault(piece[0], []).append(piece)
    drawn = [_row(shown, row, frame, colours, pieces.get(row.n, ())) for row in rows]
    left_out = len(trace.spans) - len(rows)
    said = f"{many(left_out, 'span')} more: those that took less are not drawn."
    return text([_axis(frame), tag("ol", drawn, class_="fall"), tag("p", said, class_="hint") if left_out else None])


@dataclass(frozen=True, slots=True)
class _Frame:
    low: int
    width: int

    def x(self, us: int) -> str:
        return f"{100 * (us - self.low) / self.width:.3f}%"

    def span(self, us: int) -> str:
        """A width; what takes no time is still seen."""
        return f"{max(0.15, 100 * us / self.width):.3f}%"


def _axis(frame: _Frame) -> Markup:
    marks = [tag("span", time_of(frame.width * part / 4), class_=f"q{part}") for part in range(5)]
    return tag("div", tag("div", marks, class_="axis"), class_="axisrow", aria_hidden="true")


def _row(shown: Shown, row: Row, frame: _Frame, colours: dict[str, int], pieces: Sequence[Piece]) -> Markup:
    trace, span = shown.trace, shown.trace.spans[row.n]
    waited = sum(end - start for _, start, end in pieces)
    begin, lasts = span.start_us - frame.low, max(0, span.duration_us)
    bars = [tag("rect", x=frame.x(span.start_us), y=4, width=frame.span(lasts), height=10, rx=2,
                class_=f"bar c{colours.get(span.service, 0) % COLOURS}")]
    bars += [tag("rect", x=frame.x(start), y=15, width=frame.span(end - start), height=4, class_="waited")
             for _, start, end in pieces]
    marks = [tag("span", "failed", class_="tag bad") if span.error else None,
             tag("span", "caller missing", class_="tag warn") if row.n in trace.orphans else None,
             tag("span", "circle cut", class_="tag warn") if row.n in trace.cut else None,
             tag("span", f"{row.hidden} more below", class_="tag") if row.hidden else None]
    on_path = f"{time_of(waited)} on the path" if waited else ""
    return tag(
        "li",
        tag("div", tag("span", name(span.service), class_="svc"), " ", tag("span", name(span.operation), class_="op"),
            " ", marks, class_=f"who d{min(row.depth, DEPTH_SHOWN)}"),
        tag("div", tag("b", time_of(span.duration_us)), tag("span", on_path, class_="onpath"), class_="much"),
        tag("svg", bars, class_="bars", width="100%", height=20, role="img",
            aria_label=f"from {time_of(begin)} to {time_of(begin + lasts)}"
                       f"{f', {share_of(waited, frame.width)} of the trace on its critical path' if waited else ''}"),
        class_="waits" if waited else None)
