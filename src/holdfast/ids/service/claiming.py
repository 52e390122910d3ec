# SPDX-License-Identifier: Apache-2.0
"""Ids under a worker id that is asked for until it is had.

A service that starts while its store is away, or while all worker ids are held, is alive and not ready: it goes on
asking, and says what it waits for. Once it has a worker id, ``WorkerId`` looks after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from ..._base.aside import aside
from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.events import Events, log
from ..._base.thinned import Thinned
from ...errors import IdError, IdsRefused, ServerError
from ..awaited import AwaitedIds
from ..generator import Generator, Pace
from ..layout import Layout
from ..worker import WorkerId

#: Seconds between two tries; each pause is drawn from the upper half.
PAUSE_S, PAUSE_MAX_S = 0.2, 5.0
#: Longest wait for a store at the end.
CLOSE_S = 10.0
#: Longest wait for the window of whoever had the worker id before.
BEGIN_S = 3600.0


class ClaimedIds:
    """Fulfils ``AsyncIds``, for one event loop.

    make: a new ``WorkerId`` for each try; it is opened and closed here.
    """

    def __init__(self, make: Callable[[], WorkerId], layout: Layout, *, pace: Pace | None = None,
                 clock: Clock | None = None, chance: Chance | None = None, events: Events | None = None) -> None:
        self._make, self._layout, self._pace = make, layout, pace
        self._chance, self._events = chance or system_chance(), events
        self._trouble = Thinned(clock or SystemClock())
        self._worker: WorkerId | None = None
        self._ids: AwaitedIds | None = None
        self._why = "no worker id was asked for yet"

    @property
    def worker(self) -> int:
        """The worker id; -1 while there is none."""
        return self._worker.worker if self._ids is not None and self._worker is not None else -1

    def why_not(self) -> str:
        """Why no id can be made now; empty when one can."""
        if self._ids is None or self._worker is None:
            return self._why
        if self._worker.ready:  # guard: a worker id is held, and its window is open
            return ""
        return self._worker.cause or (f"the window of worker id {self._worker.worker} has ended, and its store does "
                                      "not extend it")

    async def next_id(self) -> int:
        """The next id."""
        return (await self.next_ids(1))[0]

    async def next_ids(self, count: int) -> Sequence[int]:
        """So many at once, growing. IdsRefused while there is no worker id."""
        if self._ids is None:
            raise IdsRefused(f"there is no worker id yet: {self._why}", why="window")
        return await self._ids.next_ids(count)

    async def claim(self) -> None:
        """Returns once there is a worker id. Raises what no further try would mend."""
        pause_s = PAUSE_S
        while self._ids is None:
            worker = self._worker = self._make()
            try:
                await aside(partial(worker.open, wait_s=BEGIN_S))
            except (ServerError, IdError, TimeoutError) as error:
                self._why = str(error)
                self._trouble.warn("no worker id yet", error)
                await asyncio.sleep(pause_s * (1 + self._chance.random()) / 2)
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
            else:
                self._ids = AwaitedIds(Generator(self._layout, worker, self._pace, events=self._events))

    async def close(self) -> None:
        """Gives the worker id back; whoever has it next begins behind the last id that was made."""
        worker, self._worker, self._ids, self._why = self._worker, None, None, "it was closed"
        if worker is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await aside(worker.close)
            except TimeoutError:
                log.warning("giving the worker id back takes too long; it is free when its window has ended")

