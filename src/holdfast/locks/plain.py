# SPDX-License-Identifier: Apache-2.0
"""Locks for plain code and threads: ``with`` in the place of ``async with``.

::

    with hf.blocking() as plain:
        locks = plain.locks()
        with locks.lock("nightly-report").hold(wait_s=5) as held:
            for page in pages:
                held.check()                                  # asks no server
                store(page, fence=held.fencing_token)

A thread holds; threads that it starts do not, and it may hold again. Nobody can cancel a thread: where the body of
``async with`` is cancelled, this one has to ask ``held.check()`` and is told at the end of its block.

The renewer watches the event loop behind this, not the thread: a thread that hangs keeps its lock. Give ``max_hold_s``,
or a ``renew_while`` that knows whether there is progress.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import LeaseLost
from .held import Acquisition
from .hold import SPEAKS_FOR, Lock

if TYPE_CHECKING:
    from .redis import Locks

T = TypeVar("T")


class Portal(Protocol):
    """Does work in the event loop of another thread, and waits for it."""

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises; interrupted here, it is cancelled there."""
        ...


class PlainLocks:
    """``Locks`` for plain code. Safe to share among threads."""

    def __init__(self, portal: Portal, locks: Locks) -> None:
        self._portal, self._locks = portal, locks

    def lock(self, name: str, *, fair: bool = False) -> PlainLock:
        """See ``Locks.lock``."""
        return PlainLock(self._portal, self._locks.lock(name, fair=fair))

    def read_write(self, name: str) -> tuple[PlainLock, PlainLock]:
        """For reading, and for writing. See ``Locks.read_write``."""
        both = self._locks.read_write(name)
        return PlainLock(self._portal, both.read), PlainLock(self._portal, both.write)

    def semaphore(self, name: str, permits: int, *, units: int = 1) -> PlainLock:
        """See ``Locks.semaphore``."""
        return PlainLock(self._portal, self._locks.semaphore(name, permits, units=units))

    def close(self) -> None:
        """Gives back what is held, and ends the renewer and the connections."""
        self._portal.wait_for(self._locks.close())


class PlainLock:
    """One name, for threads."""

    def __init__(self, portal: Portal, lock: Lock) -> None:
        self.name = lock.name
        self._portal, self._lock = portal, lock

    @contextlib.contextmanager
    def hold(self, *, wait_s: float | None = None, lease_s: float | None = None, max_hold_s: float | None = None,
             renew_while: Callable[[], bool] | None = None) -> Iterator[Acquisition]:
        """Waits until it is ours, holds it for the block, gives it back. Arguments and errors: see ``Lock.hold``.

        Raises LeaseLost at the end of a block that came through although the lock had been lost.
        """
        if (outer := self._in_the_loop(self._mine())) is not None:
            outer.check()
            yield outer  # guard: held again by its own thread, with the same token
            return
        held = self.acquire(wait_s=wait_s, lease_s=lease_s, max_hold_s=max_hold_s, renew_while=renew_while)
        try:
            yield held
        finally:
            cause = held.cause
            still_ours = self.release(held)
        if not still_ours:
            raise LeaseLost(f"lock {self.name!r} was not held any more when its block ended ({cause or 'server'})")

    def acquire(self, *, wait_s: float | None = None, lease_s: float | None = None, max_hold_s: float | None = None,
                renew_while: Callable[[], bool] | None = None) -> Acquisition:
        """As ``hold`` without a block. See ``Lock.acquire``."""
        taken: list[Acquisition] = []
        try:
            return self._in_the_loop(self._taken(taken, wait_s=wait_s, lease_s=lease_s, max_hold_s=max_hold_s,
                                                 renew_while=renew_while))
        except BaseException:  # guard: a Ctrl-C that comes when it has just been granted
            self._portal.wait_for(self._given_up(taken))
            raise

    def release(self, held: Acquisition) -> bool:
        """Gives it back. False when it had been lost. See ``Lock.release``."""
        if held.forked:  # guard: its parent's, in whose loop it lives
            return False
        return self._in_the_loop(self._lock.release(held))

    async def _taken(self, taken: list[Acquisition], **how: Any) -> Acquisition:
        held = await self._lock.acquire(**how)
        taken.append(held)
        return held

    async def _given_up(self, taken: list[Acquisition]) -> None:
        for held in taken:
            await self._lock.release(held)

    async def _mine(self) -> Acquisition | None:
        return self._lock.held

    def _in_the_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """``work`` speaks for this thread: a task that is started takes its starter's context along."""
        before = SPEAKS_FOR.set(threading.current_thread())
        try:
            return self._portal.wait_for(work)
        finally:
            SPEAKS_FOR.reset(before)
