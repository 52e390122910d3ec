# SPDX-License-Identifier: Apache-2.0
"""Records in the memory of this process: for users' tests. They guard nothing against another process or a restart.

::

    clock = ManualClock()
    refunds = Guard(MemoryStore(clock), namespace="refunds", clock=clock)
"""

from __future__ import annotations

import threading
from typing import Any

from ..._base.clock import Clock, SystemClock
from ...errors import ConfigurationError
from .records import Claimed, Done, First, Mark, Record, Running, claimed, may_finish, may_renew
from .store import DedupStore

_Key = tuple[str, str]


class PlainMemoryStore:
    """The records, and every step on them under one lock, so that threads and coroutines may share them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[_Key, Record] = {}

    def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        with self._lock:
            now = self._clock.wall_ms()
            verdict = claimed(self._records.get(_key(mark)), mark.owner, now)
            if isinstance(verdict, First):
                self._records[_key(mark)] = Running(mark.owner, now + mark.lease_ms, verdict.began_ms)
            return verdict

    def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        with self._lock:
            record = self._records.get(_key(mark))
            if not isinstance(record, Running) or not may_renew(record, mark.owner):
                return False
            self._records[_key(mark)] = Running(mark.owner, self._clock.wall_ms() + mark.lease_ms, record.began_ms)
            return True

    def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        with self._lock:
            record = self._records.get(_key(mark))
            allowed = may_finish(record, mark.owner)
            if allowed and not isinstance(record, Done):
                self._records[_key(mark)] = Done(mark.owner, result, self._clock.wall_ms() + mark.retention_ms)
            return allowed

    def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        with self._lock:
            mine = may_renew(self._records.get(_key(mark)), mark.owner)
            if mine:
                del self._records[_key(mark)]
            return mine

    def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        with self._lock:
            record = self._records.get((namespace, key))
            if isinstance(record, Done) and record.until_ms <= self._clock.wall_ms():
                return None
            return record

    def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """See ``PlainStore``."""
        with self._lock:
            now = self._clock.wall_ms()
            old = [key for key, record in self._records.items() if key[0] == namespace
                   and record.until_ms + (0 if isinstance(record, Done) else retention_ms) <= now][:limit]
            for key in old:
                del self._records[key]
            return len(old)

    def close(self) -> None:
        """Nothing is open; the records stay."""


class MemoryStore:
    """Keeps records in this process, with the time of ``clock``: the machine's by default. Fulfils ``DedupStore``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._plain = PlainMemoryStore(clock or SystemClock())

    async def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return self._plain.claim(mark)

    async def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return self._plain.renew(mark)

    async def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return self._plain.finish(mark, result)

    async def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return self._plain.clear(mark)

    async def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        return self._plain.look(namespace, key)

    async def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """See ``PlainStore``."""
        return self._plain.prune(namespace, retention_ms, limit)

    async def close(self) -> None:
        """Nothing is open; the records stay."""

    def plain(self) -> PlainMemoryStore:
        """The same records for plain code."""
        return self._plain

    def within(self, session: Any) -> DedupStore:
        """There are no transactions here."""
        raise ConfigurationError("records in memory join no transaction: give the guard an SqlStore")


def _key(mark: Mark) -> _Key:
    return mark.namespace, mark.key
