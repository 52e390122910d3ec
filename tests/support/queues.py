# SPDX-License-Identifier: Apache-2.0
"""Locks with a queue, and what the server has of one: who holds, who waits, what is known of them."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast._redis.keys import LockKeys
from holdfast.locks import Lock, Locks
from holdfast.testing import wait_until_async

#: Each kind with a queue, as one of which there is one.
ONE = ("fair", "write", "permit")


def of(locks: Locks, kind: str, name: str, permits: int = 1) -> Lock:
    """A lock of this kind."""
    if kind in ("read", "write"):
        return getattr(locks.read_write(name), kind)
    return locks.semaphore(name, permits) if kind == "permit" else locks.lock(name, fair=kind == "fair")


class Place:
    """What the server has of one lock. sort: fair, rw or permits."""

    def __init__(self, backend: Any, name: str, sort: str = "fair") -> None:
        self.admin, self.keys = backend.admin, LockKeys("hf", name, sort=sort)

    def waiting(self) -> int:
        return self.admin.zcard(self.keys.lock_queue)

    def holding(self) -> list[bytes]:
        return self.admin.zrange(self.keys.lock_holders, 0, -1)

    def left(self) -> set[bytes]:
        """Fields about anybody: none when nobody holds or waits."""
        return {field for field in self.admin.hkeys(self.keys.lock_about) if field != b"capacity"}

    async def until(self, count: int) -> None:
        await wait_until_async(lambda: self.waiting() == count, 10, f"{count} wait")


async def queue_up(place: Place, lock: Lock, tasks: list[asyncio.Task[Any]], **how: Any) -> None:
    """One more task that waits, once it has its place."""
    count = place.waiting()
    tasks.append(asyncio.create_task(lock.acquire(**how)))
    await place.until(count + 1)


async def dead_waiter(locks: Locks, lock: Lock) -> str:
    """Somebody who has a place and never comes again: its acquisition."""
    held = lock._keeper.new(lock.name, None)
    await locks.ask(await lock._keeper._question(held, waits=True), held)
    return held.acquisition
