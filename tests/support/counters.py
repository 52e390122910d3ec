# SPDX-License-Identifier: Apache-2.0
"""Stores of counters by name, for tests in this process and in others."""

from __future__ import annotations

from holdfast.ids.counters import CounterStore, Dated, Several
from holdfast.ids.counters.memory import MemoryCounter
from holdfast.ids.counters.redis import RedisCounter
from holdfast.ids.counters.sql import SqlSegments
from holdfast.ids.counters.tickets import SqlTickets


def opened(name: str, url: str) -> CounterStore:
    """A store of its own."""
    match name:
        case "memory":
            return MemoryCounter()
        case "sql":
            return SqlSegments(url)
        case "tickets":
            return SqlTickets(url)
        case "several":  # of one database: two counters that know nothing of each other
            return Several([Renamed(SqlSegments(url, part=n, parts=2), f"part{n}") for n in range(2)])
        case "redis":
            return RedisCounter(url)
        case "dated":
            return RedisCounter(url, dated=Dated("day"))
    raise ValueError(name)


class Renamed:
    """A store that has its tags under other names: two databases in one."""

    def __init__(self, store: CounterStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self.name, self.share = store.name, store.share

    def take(self, tag: str, count: int):
        """See ``CounterStore``."""
        return self._store.take(f"{self._prefix}-{tag}", count)

    def tend(self, tag: str) -> None:
        """See ``CounterStore``."""
        self._store.tend(f"{self._prefix}-{tag}")

    def close(self) -> None:
        """See ``CounterStore``."""
        self._store.close()
