# SPDX-License-Identifier: Apache-2.0
"""Replay jobs at work in the console's own process, some at a time. The dead-letter service runs none.

A job lies at the desk, and whoever holds it runs it. When the console ends, it lets go of its jobs after the batch that
is under way; they are running still, and the next console takes them up. So it does with jobs of others whose runner
died, of the command line as well: one that was let be for ``ADRIFT_MS``, so that whoever has just made one comes first.
A console that is read-only runs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from ..deadletters import Shelf
from ..deadletters.desk import Actor, Desk
from ..deadletters.jobs import Job, JobRefused, Runner, adrift
from ..deadletters.jobs.closing import close
from ..deadletters.jobs.taking import HOLD_MS
from ..errors import HoldfastError
from .taking_in import served

if TYPE_CHECKING:
    from .console import Console

_log = logging.getLogger(__name__)

#: A running job that nobody holds is somebody's until then, in ms; and how often it is looked for one, in seconds.
ADRIFT_MS: Final = HOLD_MS
LOOK_S: Final = 5.0
#: Cases whose letters came to an end are closed so often while a job runs, in seconds.
CLOSE_S: Final = 2.0
#: Seconds that the end of the console gives batches under way.
LEAVE_S: Final = 5.0


class Running:
    """The jobs that this console runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._runners: dict[str, Runner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(console.settings.jobs_max)
        self._ends = False

    def begin(self, job: Job) -> None:
        """Runs a job from now on, or as soon as there is room. One that runs here already goes on."""
        if not self._ends and job.id not in self._tasks:
            task = self._tasks[job.id] = asyncio.create_task(self._run(job))
            task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    def has(self, job_id: str) -> bool:
        """Does it run here, or wait for room?"""
        return job_id in self._tasks

    async def take_up(self) -> None:
        """Takes up jobs whose runner died, again and again."""
        if not self._console.settings.allow_changes:  # guard: a read-only console runs nothing
            return
        while True:
            try:
                await self.look()
            except (HoldfastError, TimeoutError) as error:
                _log.warning("jobs that nobody runs are not looked for at the moment: %s", type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self, adrift_ms: int = ADRIFT_MS) -> None:
        """One look. adrift_ms: a job is left alone until so long after it was moved last."""
        desk = await self._console.desk()
        now_ms = await desk.now_ms()
        for job in await adrift(desk):
            alone = max(job.changed_ms, job.holder_until_ms) + adrift_ms <= now_ms  # guard: whoever made it comes first
            if alone and self._console.brokers.knows(job):  # else it is run by whoever has that broker's password
                self.begin(job)

    async def close(self) -> None:
        """Lets go of all of them."""
        self._ends = True
        for runner in self._runners.values():
            runner.leave()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job) -> None:
        async with self._at_once:
            if self._ends:
                return
            try:
                await self._ran(job)
            except JobRefused as error:  # somebody else was quicker, or has moved it meanwhile
                _log.info("job %s: %s", job.id, error)
            except (HoldfastError, TimeoutError) as error:  # it is adrift now, and taken up again
                _log.warning("job %s is interrupted: %s", job.id, type(error).__name__)

    async def _ran(self, job: Job) -> None:
        console, desk = self._console, await self._console.desk()
        shelf = await console.shelf(job.logical, job.group)
        applied = console.applied_of(job.logical, job.group) if console.applied_of is not None else None
        by = Actor(job.by)
        async with console.brokers.reach(job, shelf.server.prefix) as write:
            runner = self._runners[job.id] = Runner(desk, shelf, by, applied=applied, elsewhere=write)
            closing = asyncio.create_task(_closing(desk, shelf, job, by))
            try:
                await runner.run(job.id)
            finally:
                del self._runners[job.id]
                closing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await closing
        await _closed(desk, shelf, job, by)


async def _closing(desk: Desk, shelf: Shelf, job: Job, by: Actor) -> None:
    while True:
        await asyncio.sleep(CLOSE_S)
        with contextlib.suppress(HoldfastError, TimeoutError):  # at the next time, or at the end
            await _closed(desk, shelf, job, by)


async def _closed(desk: Desk, shelf: Shelf, job: Job, by: Actor) -> None:
    """Cases whose letters came to an end, unless a service looks after them, and counts what it finds."""
    for keys in await shelf.keys():
        if await served(shelf.server, keys.stream, keys.group):  # guard: what a service counts is its own to say
            return
    await close(desk, job, by)
