# SPDX-License-Identifier: Apache-2.0
"""How fast things go: rates between two readings of the streams, and the last of them for charts. Pure.

A rate is the rise of a count of the server's between two readings, by the server's own words: what was ever added to a
stream, what consumers ever settled in a group, what was ever buried there. A count that fell, since a stream was made
anew, rises from nothing. *Handled* is settled less buried, so a replay that a foreign consumer acknowledges is in none
of them, and a retry that is parked for long counts once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ..streams.inspect import GroupState, StreamState

#: Points of a chart, and groups that have one; the others are shown without.
POINTS: Final = 150
GROUPS_MAX: Final = 500
#: Readings that are closer together than this say nothing about a rate, in seconds.
CLOSE_S: Final = 0.2


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One group at one time: a second's messages, None where the server cannot say; and how many wait and are dead."""

    at_ms: int
    published_s: float | None
    handled_s: float | None
    dead_s: float | None
    lag: int
    dead: int


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """The last points of one group, oldest first."""

    stream: str
    group: str
    points: list[Point]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All streams at one time. at_s: by a clock that only goes forward; at_ms: by the wall's."""

    at_s: float
    at_ms: int
    streams: list[StreamState]


class Courses:
    """The last ``points`` of each group."""

    def __init__(self, points: int = POINTS) -> None:
        self._points = points
        self._last: Reading | None = None
        self._courses: dict[tuple[str, str], deque[Point]] = {}

    def add(self, reading: Reading) -> None:
        """One more reading. Groups that are gone are forgotten."""
        before = self._last
        if before is not None and reading.at_s - before.at_s < CLOSE_S:
            return
        known = {} if before is None else dict(_groups(before.streams))
        now = dict(list(_groups(reading.streams))[:GROUPS_MAX])  # guard: so many and no more
        self._courses = {name: self._courses.get(name, deque(maxlen=self._points)) for name in now}
        elapsed_s = reading.at_s - before.at_s if before is not None else 0.0
        for name, pair in now.items():
            self._courses[name].append(_point(reading.at_ms, pair, known.get(name), elapsed_s))
        self._last = reading

    def last(self, stream: str, group: str) -> Point | None:
        """Where a group is now."""
        course = self._courses.get((stream, group))
        return course[-1] if course else None

    def all(self) -> list[Course]:
        """Every group's."""
        return [Course(stream=stream, group=group, points=list(points))
                for (stream, group), points in self._courses.items()]


_Pair = tuple[StreamState, GroupState]


def _groups(streams: Iterable[StreamState]) -> Iterator[tuple[tuple[str, str], _Pair]]:
    for stream in streams:
        for group in stream.groups:
            yield (stream.stream, group.group), (stream, group)


def _point(at_ms: int, now: _Pair, before: _Pair | None, elapsed_s: float) -> Point:
    (stream, group), published, settled, dead = now, None, None, None
    if before is not None:
        published = _rise(stream.added, before[0].added, elapsed_s)
        settled, dead = (_rise(group.settled, before[1].settled, elapsed_s),
                         _rise(group.buried, before[1].buried, elapsed_s))
    handled = None if settled is None else max(0.0, round(settled - (dead or 0.0), 3))
    return Point(at_ms=at_ms, published_s=published, handled_s=handled, dead_s=dead, lag=group.lag, dead=group.dead)


def _rise(now: int | None, before: int | None, elapsed_s: float) -> float | None:
    if now is None or before is None or elapsed_s <= 0:
        return None
    return round((now - before if now >= before else now) / elapsed_s, 3)
