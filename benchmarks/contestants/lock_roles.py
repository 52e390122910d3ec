# SPDX-License-Identifier: Apache-2.0
"""What a process does with a lock, whoever's lock it is. One file a library makes a ``Library`` of it.

Roles are coroutines. Where a library's calls block, a role runs in a thread of its own, and nothing in it ever waits
for an event loop: then a coroutine comes to its end at the first step.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ..board import Board
from ..figures import percentile
from ..job import Job
from ..tally import say

WARM = 200
#: A holder gives back so many seconds after all others wait: anywhere in the time in which a poller looks again.
HOLD_S = (0.02, 0.12)
_LOOK_S = 0.002


class Taking(Protocol):
    """One contender's lock."""

    async def take(self) -> None:
        """Waits for ever."""

    async def give(self) -> None:
        """Back."""


class Library(Protocol):
    """plain: its calls block. lost: of locks that are kept, how many were lost."""

    plain: bool

    async def open(self, job: Job) -> None:
        """Connects."""

    def lock(self, name: str) -> Taking:
        """For one contender."""

    def lost(self) -> int:
        """So far."""


class Role:
    """A job, a library, and what they share with the other processes."""

    def __init__(self, job: Job, library: Library) -> None:
        self.job, self.library = job, library
        self.board = Board(Path(job.board), job.place)
        self.grants: list[tuple[int, int, int]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def sleep(self, seconds: float) -> None:
        """As its kind sleeps."""
        if self.library.plain:
            time.sleep(seconds)  # noqa: ASYNC251 - in a thread of its own, whose loop is nobody's
        else:
            await asyncio.sleep(seconds)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Looks every 2 ms. The end of the run ends it, too."""
        while not reached() and not self.board.stopped:
            await self.sleep(_LOOK_S)

    # -- uncontended ------------------------------------------------------------------------------------------------

    async def pair(self) -> None:
        """Takes it and gives it back, n times."""
        lock, took_ns = self.library.lock(self.job.stream), []
        for _ in range(min(WARM, self.job.n)):
            await lock.take()
            await lock.give()
        say(event="ready")
        cpu_s = time.process_time()
        for _ in range(self.job.n):
            began_ns = time.monotonic_ns()
            await lock.take()
            await lock.give()
            took_ns.append(time.monotonic_ns() - began_ns)
        cpu_s = time.process_time() - cpu_s
        took_ns.sort()
        say(event="report", p50_us=percentile(took_ns, 50) / 1e3, p99_us=percentile(took_ns, 99) / 1e3,
            client_cpu_us=cpu_s * 1e6 / self.job.n)

    # -- contended --------------------------------------------------------------------------------------------------

    async def contend(self, me: int) -> None:
        """Waits with the others, holds it until all others wait, gives it back, and waits again once it is taken."""
        lock, board = self.library.lock(self.job.stream), self.board
        while not board.stopped:
            board.add("waiting", 1)
            await lock.take()
            got_ns = time.monotonic_ns()
            board.add("waiting", -1)
            board.add("grants", 1)
            mine = board.total("grants")
            await self.until(lambda: board.total("waiting") >= self.job.crowd)
            await self.sleep(random.uniform(*HOLD_S))
            gave_ns = time.monotonic_ns()
            await lock.give()
            self.grants.append((got_ns, gave_ns, me))
            await self.until(lambda mine=mine: board.total("grants") != mine)

    async def crowd(self) -> None:
        """n of them in this process, until the run ends. Whoever waits then is left to its end."""
        for number in range(self.job.n):
            self._start(_or_end(self.contend(1000 * self.job.place + number)))
        say(event="ready")
        await self._stopped()
        await asyncio.sleep(0.2)
        say(event="report", grants=self.grants)

    def _start(self, one: Coroutine[Any, Any, None]) -> None:
        if self.library.plain:
            threading.Thread(target=_to_its_end, args=(one,), daemon=True).start()
        else:
            self.tasks.append(asyncio.ensure_future(one))

    # -- a death ----------------------------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Takes it, and never gives it back."""
        lock = self.library.lock(self.job.stream)
        await lock.take()
        self.board.add("grants", 1)
        say(event="taken")
        await asyncio.sleep(3600)

    async def wait(self) -> None:
        """Waits for it once the other one holds it."""
        lock = self.library.lock(self.job.stream)
        say(event="ready")
        await self.until(lambda: self.board.total("grants") > 0)
        say(event="waiting")
        await lock.take()
        say(event="got", at_ns=time.monotonic_ns())

    # -- many -------------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Holds n locks until the run ends."""
        locks = [self.library.lock(f"{self.job.stream}-{number}") for number in range(self.job.n)]
        for lock in locks:
            await lock.take()
        say(event="ready")
        cpu_s = time.process_time()
        await self._stopped()
        say(event="report", cpu_s=time.process_time() - cpu_s, lost=self.library.lost(),
            threads=threading.active_count())

    async def _stopped(self) -> None:
        while not self.board.stopped:  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.05)


async def play(job: Job, library: Library) -> None:
    """The role that the job names. Nothing is closed at the end: what waits would only come to hold."""
    role = Role(job, library)
    await library.open(job)
    await getattr(role, job.measure)()
    os._exit(0)


async def _or_end(one: Coroutine[Any, Any, None]) -> None:
    """A contender that fails ends the process: the others would be measured without it."""
    try:
        await one
    except Exception:  # noqa: BLE001 - it is told, and nothing goes on
        traceback.print_exc()
        os._exit(1)


def _to_its_end(one: Coroutine[Any, Any, None]) -> None:
    with suppress(StopIteration):
        one.send(None)
        raise RuntimeError("a role in a thread waited for an event loop")
