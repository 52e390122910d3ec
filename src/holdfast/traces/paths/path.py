# SPDX-License-Identifier: Apache-2.0
"""What a critical path is: which span the caller was waiting for, at each µs."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Literal

import msgspec

from ..assemble import Trace

Mode = Literal["sweep", "crisp", "jaeger"]
#: A span by number, from when to when, in µs.
Piece = tuple[int, int, int]


class Segment(msgspec.Struct, frozen=True):
    """A time in which one span was waited for. start_us, end_us: since 1970, the end not included."""

    span_id: str
    service: str
    operation: str
    start_us: int
    end_us: int


class CriticalPath(msgspec.Struct, frozen=True):
    """segments: by time. exclusive_us: by ``service;operation``, as the mode counts it."""

    trace_id: str
    mode: Mode
    root_us: int
    segments: list[Segment]
    exclusive_us: dict[str, int]


def times(trace: Trace) -> tuple[list[int], list[int]]:
    """Beginnings and ends of all spans, in µs since 1970. One that ends before it begins lasts for nothing."""
    starts: list[int] = []
    ends: list[int] = []
    for span in trace.spans:
        begin, end = span.start_ns, span.end_ns
        starts.append(begin // 1000)
        ends.append(begin // 1000 + (end - begin) // 1000 if end > begin else begin // 1000)
    return starts, ends


_by_time = itemgetter(1, 2)


def name_of(trace: Trace, n: int) -> str:
    """``service;operation``."""
    return f"{trace.spans[n].service};{trace.spans[n].operation}"


def segments_of(trace: Trace, pieces: Iterable[Piece]) -> list[Segment]:
    """Pieces as records, by time."""
    spans = trace.spans
    return [Segment(spans[n].span_id, spans[n].service, spans[n].operation, start, end)
            for n, start, end in sorted(pieces, key=_by_time)]


def summed(trace: Trace, pieces: Iterable[tuple[int, int]]) -> dict[str, int]:
    """µs by name, of (span, µs)."""
    spent: dict[int, int] = {}
    for n, us in pieces:
        spent[n] = spent.get(n, 0) + us
    found: dict[str, int] = {}
    for n, us in spent.items():
        name = name_of(trace, n)
        found[name] = found.get(name, 0) + us
    return found
