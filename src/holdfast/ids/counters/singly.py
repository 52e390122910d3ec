# SPDX-License-Identifier: Apache-2.0
"""Ids asked of a store one by one, a round trip each: no gaps but those of lost answers, and the order of the store.

That is what an auto-increment column or ``INCR`` gives. It is as quick as the store, and there is none while it is
away; ``Segments`` is for everything else.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Self

from ..._base.clock import Clock, SystemClock
from ..._base.events import Events, NumbersTaken
from .forks import FORKS
from .store import CounterStore
from .supply import report_jump


class OneByOne:
    """Fulfils ``Ids``. Any thread may ask; ids grow in the order in which the store was asked."""

    def __init__(self, store: CounterStore, tag: str, *, clock: Clock | None = None,
                 events: Events | None = None) -> None:
        self.store, self.tag = store, tag
        self._clock, self._events = clock or SystemClock(), events or Events()

    def next_id(self) -> int:
        """The next id."""
        return self._take(1)[0]

    def next_ids(self, count: int) -> list[int]:
        """So many at once, in one step where the store has steps."""
        found: list[int] = []
        while len(found) < count:
            found.extend(self._take(count - len(found)))
        return found

    def _take(self, count: int) -> range:
        began = self._clock.now()
        with FORKS.asking():
            segment = self.store.take(self.tag, count)
        report_jump(self._events, self.store.name, self.tag, segment)
        self._events.emit(NumbersTaken(scheme=self.store.name, tag=self.tag, count=len(segment.ids),
                                       seconds=self._clock.now() - began))
        with FORKS.asking():
            self.store.tend(self.tag)
        return segment.ids

    def close(self) -> None:
        """Nothing to do: the store is whoever's who made it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncOneByOne:
    """Fulfils ``AsyncIds``: the same for the tasks of one loop, which is never blocked.

    What is asked for while the store is being asked goes with the next question, all of it at once: many tasks share a
    round trip, and each waits for two at most.
    """

    def __init__(self, store: CounterStore, tag: str, *, clock: Clock | None = None,
                 events: Events | None = None) -> None:
        self._ids = OneByOne(store, tag, clock=clock, events=events)
        self._wanted: list[tuple[int, asyncio.Future[list[int]]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def next_id(self) -> int:
        """The next id."""
        return (await self.next_ids(1))[0]

    async def next_ids(self, count: int) -> list[int]:
        """So many at once."""
        mine: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._wanted.append((count, mine))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await mine

    async def _ask(self) -> None:
        try:
            while self._wanted:
                now, self._wanted = self._wanted, []
                await self._answer(now)
        finally:
            self._asking = None

    async def _answer(self, wanted: list[tuple[int, asyncio.Future[list[int]]]]) -> None:
        try:
            ids = iter(await asyncio.to_thread(self._ids.next_ids, sum(count for count, _ in wanted)))
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            for _, mine in wanted:
                if not mine.done():
                    mine.set_exception(error)
            return
        for count, mine in wanted:
            some = list(itertools.islice(ids, count))
            if not mine.done():  # one that waits no more has lost its ids
                mine.set_result(some)

    def close(self) -> None:
        """See ``OneByOne``."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
