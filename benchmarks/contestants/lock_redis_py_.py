# SPDX-License-Identifier: Apache-2.0
"""redis-py's asyncio lock. It is not renewed and has no fencing token. A lock object a contender: its token is the
thread's, so that tasks which share one object can release each other's."""

from __future__ import annotations

from redis.asyncio import Redis

from ..job import Job
from .lock_roles import play


class OneLock:
    def __init__(self, lock) -> None:
        self.take, self.give = lock.acquire, lock.release


class Library:
    plain = False

    async def open(self, job: Job) -> None:
        self._client, self._timeout_s = Redis.from_url(job.url, max_connections=1000), job.lease_ms / 1000
        await self._client.ping()

    def lock(self, name: str) -> OneLock:
        return OneLock(self._client.lock(name, timeout=self._timeout_s))

    def lost(self) -> int:
        return 0


async def work(job: Job) -> None:
    """The role that the job names."""
    await play(job, Library())
