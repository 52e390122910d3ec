# SPDX-License-Identifier: Apache-2.0
"""Publishing the lines of a log, as fast as it goes, or slowly on purpose.

A log of a few hundred lines is through before anybody could be hurt. It is published in small bursts over ``SLOW_S``
seconds instead. In either pace the last part is held back until the first worker has been killed and its work taken
over: what is struck next must be at work too. What is held back is also bait: whoever waits to strike an idle worker
stops it first and has one burst more let through, which the server then hands to the read that it left open.
"""

from __future__ import annotations

import asyncio
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
#: Parts of the lines behind which publishing waits: for the first blow, and in a slow log for the second one. And for
#: how many seconds it waits at most.
FIRST_PART, LAST_PART = 0.7, 0.9
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
        self._gates = {FIRST_PART: asyncio.Event(), LAST_PART: asyncio.Event()}
        self._bait = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def release(self, *, all_of_it: bool = True) -> None:
        """Holds nothing back any more, or no more than what the second blow needs."""
        for part, gate in self._gates.items():
            if all_of_it or part == FIRST_PART:
                gate.set()

    def bait(self) -> None:
        """Lets one burst through of what is held back."""
        self._bait.set()

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
            for part, gate in self._gates.items():
                if self.published + len(burst) > part * pace.total and (pace.slow or part == FIRST_PART):
                    await self._hold(gate)
            await self._room.wait()
            receipts = await hf.publish_many(
                stream, [Outgoing(value=raw, id=line_id(number), content_type=content_type) for number, raw in burst])
            self.published += len(receipts)
            if self._noting:
                self.lines |= {(r.stream, r.entry_id): r.id for r in receipts}
            await asyncio.sleep(pace.pause_s)

    async def _hold(self, gate: asyncio.Event) -> None:
        self.holding = not gate.is_set()
        waits = [asyncio.create_task(event.wait()) for event in (gate, self._bait)]
        done, _ = await asyncio.wait(waits, timeout=HOLD_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._bait.clear()
        if not done:
            self.release()
        self.holding = False
