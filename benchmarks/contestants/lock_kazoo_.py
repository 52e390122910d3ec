# SPDX-License-Identifier: Apache-2.0
"""kazoo's Lock on ZooKeeper: one client a process, a lock object a contender, each waits for the one before it."""

from __future__ import annotations

from kazoo.client import KazooClient

from ..job import Job
from .lock_roles import play


class OneLock:
    def __init__(self, lock) -> None:
        self._lock = lock

    async def take(self) -> None:
        self._lock.acquire()

    async def give(self) -> None:
        self._lock.release()


class Library:
    plain = True

    async def open(self, job: Job) -> None:
        self._client = KazooClient(job.zookeeper, timeout=job.lease_ms / 1000)
        self._client.start(timeout=30)

    def lock(self, name: str) -> OneLock:
        return OneLock(self._client.Lock(f"/bench/{name}", "bench"))

    def lost(self) -> int:
        return 0


async def work(job: Job) -> None:
    """The role that the job names."""
    await play(job, Library())
