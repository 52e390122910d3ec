# SPDX-License-Identifier: Apache-2.0
"""What was heard lately, so that nothing is told twice: rings whose places are Lamport times.

Place ``time % size`` holds what came at that time. What is older than the ring is long is dropped unheard, since
nobody could say any more whether it came before. What one time may hold is bounded: times are the sender's to choose.
"""

from __future__ import annotations

from typing import Final

from .clock import LamportClock
from .messages import PastEvent, PastEvents, Query, UserEvent

SIZE: Final = 512
#: Events, or queries, of one time. Members that speak at once share a time; hundreds of them do not.
AT_ONCE_MAX: Final = 256


class RecentEvents:
    """Events that were heard, and are told to those who enter."""

    def __init__(self, clock: LamportClock, size: int = SIZE) -> None:
        self._clock = clock
        self._ring: list[PastEvents | None] = [None] * size
        #: What is earlier is not heard: it happened before this member joined, and it did not want to know.
        self.begins = 0

    def hear(self, event: UserEvent) -> bool:
        """Is it new? Then it is to be handed on and passed on. Raises BadPacket for a time that was made up."""
        self._clock.witness(event.ltime)
        if event.ltime < self.begins or too_old(event.ltime, self._clock.time, len(self._ring)):  # guard: old events
            return False
        place, past = event.ltime % len(self._ring), PastEvent(event.name, event.payload)
        known = self._ring[place]
        events = known.events if known is not None and known.ltime == event.ltime else ()
        if _same(past) in map(_same, events) or len(events) >= AT_ONCE_MAX:  # guard: heard once
            return False
        self._ring[place] = PastEvents(event.ltime, (*events, past))
        return True

    def all(self) -> tuple[PastEvents | None, ...]:
        """The ring, for those who enter."""
        return tuple(self._ring)


class RecentQueries:
    """Queries that were heard."""

    def __init__(self, clock: LamportClock, size: int = SIZE) -> None:
        self._clock = clock
        self._ring: list[tuple[int, set[int]]] = [(-1, set()) for _ in range(size)]
        self.begins = 0

    def hear(self, query: Query) -> bool:
        """Is it new? Raises BadPacket for a time that was made up."""
        self._clock.witness(query.ltime)
        if query.ltime < self.begins or too_old(query.ltime, self._clock.time, len(self._ring)):
            return False
        place = query.ltime % len(self._ring)
        if self._ring[place][0] != query.ltime:
            self._ring[place] = (query.ltime, set())
        ids = self._ring[place][1]
        if query.id in ids or len(ids) >= AT_ONCE_MAX:
            return False
        ids.add(query.id)
        return True


def too_old(ltime: int, time: int, size: int) -> bool:
    """Is its place in the ring somebody else's by now?"""
    return time > size and ltime < time - size


def _same(event: PastEvent) -> tuple[str, bytes]:
    return event.name, event.payload or b""
