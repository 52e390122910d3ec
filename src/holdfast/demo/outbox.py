# SPDX-License-Identifier: Apache-2.0
"""Publishing the lines of a log, as fast as it goes, or slowly on purpose.

A log of a few hundred lines is through before anybody could be hurt. It is published in small bursts over ``SLOW_S``
seconds instead. In either pace the last part is held back until the first worker has been killed and its work taken
over: what is struck next must be at work too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..app import Holdfast
from ..streams.entry import Outgoing
from .spans import Layout, line_id

#: Lines in one write at full speed.
BURST = 500
#: With fewer lines there is nothing left to hurt before they are through, however slowly they come.
STRIKE_FROM = 100
#: Logs shorter than this are published slowly, in so many bursts over so many seconds.
SLOW_BELOW = 10_000
SLOW_S = 8.0
SLOW_BURSTS = 40
#: Part of the lines that is published at once, and for how many seconds the rest is held back at most.
FIRST_PART = 0.7
HOLD_S = 30.0
#: Lines that may lie unread before publishing waits: a log of any length then takes so much of the server's memory.
BACKLOG = 50_000


@dataclass(frozen=True)
class Pace:
    """How to publish ``total`` lines: ``burst`` at a time, ``pause_s`` apart."""

    total: int
    burst: int
    pause_s: float

    @property
    def slow(self) -> bool:
        """Is it slower than it could be?"""
        return self.pause_s > 0


def pace_of(total: int) -> Pace:
    """At full speed, unless it would be over before anybody could be hurt."""
    if total < STRIKE_FROM or total >= SLOW_BELOW:
        return Pace(total, BURST, 0.0)
    burst = -(-total // SLOW_BURSTS)
    return Pace(total, burst, SLOW_S / -(-total // burst))


class Outbox:
    """What has been published, and where it lies as long as somebody needs to know."""

    def __init__(self) -> None:
        self.published = 0
        #: Is the last part held back at this moment?
        self.holding = False
        #: (partition, entry id) → line id, as long as somebody wants to know.
        self.lines: dict[tuple[str, str], str] = {}
        self._noting = True
        self._released = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def release(self) -> None:
        """Holds nothing back any more."""
        self._released.set()

    def forget(self) -> None:
        """Nobody will ask where a line lies: a log of any length needs no memory from here on."""
        self._noting = False
        self.lines.clear()

    def unread(self, count: int) -> None:
        """So many lines wait in the stream: publishing waits while they are too many."""
        (self._room.set if count < BACKLOG else self._room.clear)()

    async def publish(self, hf: Holdfast, stream: str, layout: Layout, lines: Sequence[tuple[int, bytes]], pace: Pace
                      ) -> None:
        """Publishes these lines, each under its line id, behind those before them."""
        content_type = "text/csv" if layout.format == "csv" else "application/json"
        for at in range(0, len(lines), pace.burst):
            burst = lines[at:at + pace.burst]
            if self.published + len(burst) > FIRST_PART * pace.total:
                await self._hold()
            await self._room.wait()
            receipts = await hf.publish_many(
                stream, [Outgoing(value=raw, id=line_id(number), content_type=content_type) for number, raw in burst])
            self.published += len(receipts)
            if self._noting:
                self.lines |= {(r.stream, r.entry_id): r.id for r in receipts}
            await asyncio.sleep(pace.pause_s)

    async def _hold(self) -> None:
        self.holding = not self._released.is_set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S):
                await self._released.wait()
        self._released.set()
        self.holding = False
