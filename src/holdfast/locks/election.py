# SPDX-License-Identifier: Apache-2.0
"""Leader election: of many who could do something, one does, until it ends or can no longer be sure.

It is a lock that is held for as long as one leads, on whichever back end: what a lock promises is what an election
promises, and what the leader writes needs the fence as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from .._base.events import log
from .._base.lock import Held
from ..errors import LeaseLost, LockUnconfirmed, ServerError

Held_co = TypeVar("Held_co", bound=Held, covariant=True)
T = TypeVar("T")


class Electoral(Protocol[Held_co]):
    """A lock, as far as an election needs one."""

    name: str

    def hold(self, *, wait_s: float | None = None) -> AbstractAsyncContextManager[Held_co]:
        """See ``Lock.hold``."""
        ...


class Election:
    """Leads under the lock ``lock``. again_s: between a lost term, or a server that does not answer, and the next try.

    ::

        await Election(locks.lock("scheduler")).run(schedule)     # async def schedule(held): …
    """

    def __init__(self, lock: Electoral[Held], *, again_s: float = 0.5) -> None:
        self.name, self.again_s = lock.name, again_s
        self._lock = lock

    async def run(self, work: Callable[[Held], Awaitable[T]]) -> T:
        """Waits until it leads, does ``work(held)``, and gives what that returns. A term that is lost cancels the work,
        and it stands again; an error of the work ends it, and is raised.

        Work that came through although its term had been lost by its end may have been done beside another leader's: it
        is begun again.
        """
        while True:
            if done := await self._term(work):
                return done[0]
            await asyncio.sleep(self.again_s)

    async def _term(self, work: Callable[[Held], Awaitable[T]]) -> list[T]:
        """What the work returned in one term; empty when that was lost."""
        done: list[T] = []
        failed: list[Exception] = []
        try:
            async with self._lock.hold() as held:
                try:
                    done.append(await work(held))
                except LeaseLost:
                    raise
                except Exception as error:  # noqa: BLE001 - the work's own, told apart from the lock's below
                    failed.append(error)
        except (LeaseLost, LockUnconfirmed, ServerError) as error:
            done.clear()  # guard: a term that was lost has no result
            log.warning("election %s: %s; standing again", self.name, error)
        if failed:
            raise failed[0]
        return done
