# SPDX-License-Identifier: Apache-2.0
"""A worker: the consumers of one process, their sources, and their end.

Stopping is always the same: take no new work, hand back what has not started, let the rest finish until the deadline,
settle, close the sources, stop the tasks. The order matters: settles need the lease, so sources close after the last
settle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from .consumer import Consumer
from .contract import Effect, Source


@dataclass(slots=True)
class Running:
    """A consumer with the sources that feed it."""

    consumer: Consumer
    sources: Sequence[Source]
    effect: Effect | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Worker:
    """Runs consumers until asked to stop, or until one of their sources needs a person."""

    def __init__(self, running: Sequence[Running]) -> None:
        self._running = running
        self._stop = asyncio.Event()
        self.started = asyncio.Event()

    def request_stop(self) -> None:
        """Begins the end; ``run`` returns when it is over.

        Safe to call again, and from a signal handler of the loop.
        """
        self._stop.set()

    async def run(self, *, drain_s: float = 10.0) -> None:
        """Works until ``request_stop``. ``drain_s``: how long running handlers may still take then.

        Then async ones are cancelled. Plain ones cannot be: they are reported (``HandlerOverdue``), and it returns when
        they are through.
        """
        for r in self._running:
            if r.effect is not None:
                await r.effect.open()
            r.consumer.start()
            r.tasks = [asyncio.create_task(s.run(r.consumer), name=f"source {r.consumer.name}") for s in r.sources]
        self.started.set()
        stop = asyncio.create_task(self._stop.wait())
        sources = [t for r in self._running for t in r.tasks]
        try:
            await asyncio.wait([stop, *sources], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            await asyncio.shield(self._end(drain_s))
        for task in sources:
            if task.done() and not task.cancelled() and task.exception():
                raise task.exception() or RuntimeError

    async def _end(self, drain_s: float) -> None:
        await asyncio.gather(*(s.stop_reading() for r in self._running for s in r.sources))
        await asyncio.gather(*(self._end_one(r, drain_s) for r in self._running))
        tasks = [t for r in self._running for t in r.tasks]
        _, late = await asyncio.wait(tasks, timeout=5.0) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for r in self._running:
            await r.consumer.stop()
            if r.effect is not None:
                await r.effect.close()

    async def _end_one(self, r: Running, drain_s: float) -> None:
        await r.consumer.drain(drain_s)
        await r.consumer.threads_ended()
        await asyncio.gather(*(s.close(r.consumer) for s in r.sources), return_exceptions=True)

    @property
    def sources(self) -> list[Source]:
        """All sources of all consumers."""
        return [s for r in self._running for s in r.sources]

    @property
    def consumers(self) -> list[Consumer]:
        return [r.consumer for r in self._running]
