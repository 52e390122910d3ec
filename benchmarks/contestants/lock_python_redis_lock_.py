# SPDX-License-Identifier: Apache-2.0
"""python-redis-lock with its renewal, which is a thread a lock. It has no fencing token.

It waits in BLPOP for as long as the lock expires, and redis-py 8 gives up reading after 5 s unless told otherwise: then
a waiter fails.
"""

from __future__ import annotations

import redis_lock
from redis import StrictRedis

from ..job import Job
from .lock_roles import play


class OneLock:
    def __init__(self, lock) -> None:
        self.lock = lock

    async def take(self) -> None:
        self.lock.acquire()

    async def give(self) -> None:
        self.lock.release()


class Library:
    plain = True

    async def open(self, job: Job) -> None:
        self._client = StrictRedis.from_url(job.url, max_connections=1000, socket_timeout=None)
        self._expire_s = job.lease_ms // 1000
        self._client.ping()
        self._made = []

    def lock(self, name: str) -> OneLock:
        self._made.append(OneLock(redis_lock.Lock(self._client, name, expire=self._expire_s, auto_renewal=True)))
        return self._made[-1]

    def lost(self) -> int:
        return sum(1 for one in self._made if one.lock.get_owner_id() != one.lock.id)


async def work(job: Job) -> None:
    """The role that the job names."""
    await play(job, Library())
