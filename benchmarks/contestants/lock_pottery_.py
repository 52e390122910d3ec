# SPDX-License-Identifier: Apache-2.0
"""pottery's asyncio Redlock with one master: the quorum lock where there is no quorum. It is not renewed."""

from __future__ import annotations

from pottery import AIORedlock
from redis.asyncio import Redis

from ..job import Job
from .lock_roles import play


class OneLock:
    def __init__(self, lock) -> None:
        self.take, self.give = lock.acquire, lock.release


class Library:
    plain = False

    async def open(self, job: Job) -> None:
        self._client, self._release_s = Redis.from_url(job.url, max_connections=1000), job.lease_ms / 1000
        await self._client.ping()

    def lock(self, name: str) -> OneLock:
        return OneLock(AIORedlock(key=name, masters={self._client}, auto_release_time=self._release_s))

    def lost(self) -> int:
        return 0


async def work(job: Job) -> None:
    """The role that the job names."""
    await play(job, Library())
