# SPDX-License-Identifier: Apache-2.0
"""Our locks: fenced, renewed, with the settings they come with."""

from __future__ import annotations

from holdfast import Holdfast
from holdfast.locks import LockSettings

from ..job import Job
from .lock_roles import play


class OneLock:
    def __init__(self, lock) -> None:
        self._lock, self._held = lock, None

    async def take(self) -> None:
        self._held = await self._lock.acquire()

    async def give(self) -> None:
        await self._lock.release(self._held)


class Library:
    plain = False

    async def open(self, job: Job) -> None:
        self._fair, self._n = job.fair, job.n
        self._hf = Holdfast(job.url)
        self._locks = await self._hf.locks(LockSettings(ttl_s=job.lease_ms / 1000))

    def lock(self, name: str) -> OneLock:
        return OneLock(self._locks.lock(name, fair=self._fair))

    def lost(self) -> int:
        return sum(1 for held in self._locks.held if held.over or held.state.name == "LOST")


async def work(job: Job) -> None:
    """The role that the job names."""
    await play(job, Library())
