# SPDX-License-Identifier: Apache-2.0
"""One pair of eyes on the streams, however many people look: a reading is shared for as long as it is fresh.

While somebody looks, and for a while after, readings go on by themselves, so that a chart has its points when its page
is opened again. Then they stop: a walk through the key space for nobody is nobody's wish.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from ..errors import HoldfastError
from ..streams.inspect import stream_names, stream_state
from .course import Courses, Reading

if TYPE_CHECKING:
    from .console import Console

#: Streams on one page: each is a few requests to the server.
STREAMS_MAX: Final = 200
#: Readings go on for so long after the last look, in seconds.
IDLE_S: Final = 600.0


class Watching:
    """The latest reading of a console's streams, and their courses."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.courses = Courses()
        self._latest: Reading | None = None
        self._more = 0
        self._asked_s = 0.0
        self._one = asyncio.Lock()
        self._going: asyncio.Task[None] | None = None

    async def latest(self) -> tuple[Reading, int]:
        """A reading no older than ``live_s``, and how many streams are not in it. Raises ServerUnreachable."""
        self._asked_s = self._console.clock.now()
        found = await self._fresh()
        if self._going is None or self._going.done():
            self._going = self._console.spawn(self._go_on())
        return found, self._more

    async def _fresh(self) -> Reading:
        clock, settings = self._console.clock, self._console.settings
        async with self._one:
            if self._latest is None or clock.now() - self._latest.at_s >= settings.live_s:  # guard: one reads for all
                self._latest = await self._read()
                self.courses.add(self._latest)
            return self._latest

    async def _read(self) -> Reading:
        server, clock = await self._console.server(), self._console.clock
        names = await stream_names(server)
        self._more = max(0, len(names) - STREAMS_MAX)
        found = [await stream_state(server, name) for name in names[:STREAMS_MAX]]
        return Reading(at_s=clock.now(), at_ms=clock.wall_ms(), streams=[one for one in found if one is not None])

    async def _go_on(self) -> None:
        clock, live_s = self._console.clock, self._console.settings.live_s
        while clock.now() - self._asked_s < IDLE_S:
            await asyncio.sleep(live_s)
            with contextlib.suppress(HoldfastError, TimeoutError):  # whoever looks is told; the next may go through
                await self._fresh()
