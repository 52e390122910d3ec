# SPDX-License-Identifier: Apache-2.0
"""Calls of one operation again and again by one span: N+1 queries, retries, fan-outs. Pure.

All of them are groups of siblings with one service and operation, looked at by time:

* a **retry storm**: at least 3 in a row, the first two of which failed at least, each begun after the one before had
  failed;
* **N+1**: at least 5 in a row, each begun after the one before had ended: what one call with a list would do;
* a **fan-out**: at least 20 of which some run at once.

A group is one thing, the first of these that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ..assemble import Trace

RepeatKind = Literal["n_plus_one", "retry_storm", "fan_out"]
RETRIES_MIN, ROW_MIN, FAN_MIN = 3, 5, 20


@dataclass(frozen=True, slots=True)
class Repeat:
    """Spans by number, all of one operation, below ``parent``."""

    kind: RepeatKind
    parent: int
    spans: list[int]


def repeats(trace: Trace) -> Iterator[Repeat]:
    """All repeats of a trace."""
    for parent, children in enumerate(trace.children):
        if len(children) >= RETRIES_MIN:
            for group in _alike(trace, children):
                found = _judged(trace, parent, group)
                if found is not None:
                    yield found


def _alike(trace: Trace, children: list[int]) -> Iterable[list[int]]:
    """Siblings of one operation by time, where there are enough."""
    if len({trace.spans[child].operation for child in children}) > len(children) - RETRIES_MIN + 1:
        return ()
    groups: dict[tuple[str, str], list[int]] = {}
    for child in children:
        span = trace.spans[child]
        groups.setdefault((span.service, span.operation), []).append(child)
    return (group for group in groups.values() if len(group) >= RETRIES_MIN)


def _judged(trace: Trace, parent: int, group: list[int]) -> Repeat | None:
    for row in _rows(trace, group):
        retried = _retried(trace, row)
        if len(retried) >= RETRIES_MIN:
            return Repeat("retry_storm", parent, retried)
        if len(row) >= ROW_MIN:
            return Repeat("n_plus_one", parent, row)
    return Repeat("fan_out", parent, group) if len(group) >= FAN_MIN and _some_at_once(trace, group) else None


def _rows(trace: Trace, group: list[int]) -> list[list[int]]:
    """Runs in which each begins after the one before ended, the longest first."""
    rows: list[list[int]] = []
    until = 0
    for child in group:
        span = trace.spans[child]
        if rows and span.start_ns >= until:
            rows[-1].append(child)
        else:
            rows.append([child])
        until = max(until, span.end_ns) if len(rows[-1]) > 1 else span.end_ns
    return sorted(rows, key=len, reverse=True)


def _retried(trace: Trace, row: list[int]) -> list[int]:
    """The longest run in which every one but the last has failed."""
    longest: list[int] = []
    current: list[int] = []
    for child in row:
        current.append(child)
        if len(current) > len(longest):
            longest = list(current)
        if not trace.spans[child].error:  # guard: who succeeded is not retried
            current = []
    return longest


def _some_at_once(trace: Trace, group: list[int]) -> bool:
    return any(trace.spans[after].start_ns < trace.spans[before].end_ns
               for before, after in pairwise(group))
