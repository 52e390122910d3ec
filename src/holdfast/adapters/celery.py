# SPDX-License-Identifier: Apache-2.0
"""Celery's dead tasks, taken in: from lists, from ``unacked``, from results that say FAILURE.

::

    async with importing("redis://celery:6379/0", shelf) as celery:
        counts = await celery.queues(["failed"])             # lists that nobody consumes
        counts += await celery.unacked(older_than_s=3600)    # given to workers that died
        counts += await celery.results()                     # failed, and only their results tell

A task is moved in two steps, and between them it lies in a list of ours on Celery's server::

    queue or unacked ──one step──▶ taken ──letter on its shelf──▶ removed from taken

The first takes it out of Celery's hands, so that no worker runs what has become a letter. Whoever dies after it leaves
the task in ``taken``, and the next import begins there; a letter that is brought twice is one. Copying and then
deleting was the alternative: Celery gives unacknowledged tasks back to their queue by itself, and would do so in
between.

Needs no Celery. Redis alone or under Sentinel, as Celery's transport does; results are copied and stay where they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._redis.keys import CeleryKeys
from .._redis.open import open_server
from .._redis.scripts import load_script
from ..deadletters.shelf import Shelf
from ..deadletters.taking_in import take_in
from .envelope import Failure, Place, failure_of, letter_of, restored, task_of, task_of_failure

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

__all__ = ["Counts", "Importer", "importing", "restored"]

_TAKE = load_script("holdfast.adapters", "celery_take")
#: kombu keeps each priority of a queue in a list of its own.
_PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
_RESULTS = "celery-task-meta-"


@dataclass(frozen=True, slots=True)
class Counts:
    """taken: new letters. known: tasks that had been taken in before. unread: letters, of ``taken``, of what could not
    be read. waiting: unacknowledged tasks that were left alone, because their workers may live. unnamed: results that
    say FAILURE and not of what (without ``result_extended``), and of which no task was found either."""

    taken: int = 0
    known: int = 0
    unread: int = 0
    waiting: int = 0
    unnamed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.taken + other.taken, self.known + other.known, self.unread + other.unread,
                      self.waiting + other.waiting, self.unnamed + other.unnamed)


class Importer:
    """Takes tasks from ``source``, Celery's server, onto ``shelf``. unacked_name: Celery's ``unacked_key``."""

    def __init__(self, source: Server, shelf: Shelf, *, unacked_name: str = "unacked") -> None:
        self._source, self._shelf = source, shelf
        self._keys = CeleryKeys(source.prefix, unacked_name)
        self._place = Place(stream=shelf.stream, group=shelf.group, prefix=shelf.prefix)
        self._seen: set[str] = set()

    async def left(self) -> Counts:
        """What an import that was cut off has left between the steps. Each of the others does this first."""
        return await self._emptied()

    async def queues(self, names: Iterable[str]) -> Counts:
        """All tasks of these lists, the oldest first, each with its priorities. For lists that no worker consumes."""
        counts = await self._emptied()
        for name in names:
            for priority in _PRIORITIES:
                key = f"{name}{priority}".encode()
                while await self._link.call("LMOVE", key, self._keys.taken, "RIGHT", "RIGHT") is not None:
                    counts += await self._emptied()
        return counts

    async def unacked(self, *, older_than_s: float) -> Counts:
        """Tasks that some worker was given so long ago and has not acknowledged.

        older_than_s: longer than the slowest task takes, or a task that runs becomes a letter while it runs; Celery's
        own answer is its visibility time-out, an hour. A task whose age nobody knows is older.
        """
        counts = await self._emptied()
        cursor: Any = b"0"
        while True:
            cursor, found = await self._link.call("HSCAN", self._keys.unacked, cursor, "COUNT", 100)
            for tag, value in zip(found[::2], found[1::2], strict=True):
                counts += await self._one_unacked(tag, value, older_than_s)
            if cursor in {b"0", 0}:
                return counts

    async def results(self) -> Counts:
        """Tasks that have failed, as far as their results in JSON say what was called (``result_extended=True``)."""
        counts = await self._emptied()
        async for names in self._link.scan(f"{_RESULTS}*", kind="string"):
            for name in names:
                raw = await self._link.call("GET", name)
                failure = None if raw is None else failure_of(raw)
                if failure is None or failure.task_id in self._seen:
                    continue
                task = task_of_failure(failure)
                if task is None:
                    counts += Counts(unnamed=1)
                    continue
                letter = letter_of(failure.raw, task, failure, self._place, now_ms=await self._shelf.now_ms())
                counts += Counts(taken=1) if await take_in(self._shelf, letter) else Counts(known=1)
        return counts

    async def _one_unacked(self, tag: bytes, value: bytes, older_than_s: float) -> Counts:
        given_s = await self._link.call("ZSCORE", self._keys.unacked_index, tag)
        age_s = None if given_s is None else await self._link.time_ms() / 1000 - float(given_s)
        if age_s is not None and age_s < older_than_s:
            return Counts(waiting=1)
        keys = (self._keys.unacked, self._keys.unacked_index, self._keys.taken)
        if not await self._link.run(_TAKE, keys, (tag, value)):
            return Counts()
        return await self._emptied(older_than_s if age_s is None else age_s)

    async def _emptied(self, unacked_s: float | None = None) -> Counts:
        """Makes letters of all that lies between the steps."""
        counts = Counts()
        while (raw := await self._link.call("LINDEX", self._keys.taken, 0)) is not None:
            task = task_of(raw)
            failure = None if task is None else await self._failure(task.id)
            given = unacked_s if unacked_s is not None or not raw.lstrip().startswith(b"[") else 0.0
            letter = letter_of(raw, task, failure, self._place, now_ms=await self._shelf.now_ms(), unacked_s=given)
            new = await take_in(self._shelf, letter)
            await self._link.call("LREM", self._keys.taken, 1, raw)
            counts += Counts(taken=int(new), known=int(not new), unread=int(new and task is None))
            if task is not None:
                self._seen.add(task.id)
        return counts

    async def _failure(self, task_id: str) -> Failure | None:
        """What a result beside it says."""
        raw = await self._link.call("GET", f"{_RESULTS}{task_id}")
        return None if raw is None else failure_of(raw)

    @property
    def _link(self) -> Link:
        return self._source.shared(self._keys.taken)


@asynccontextmanager
async def importing(url: str, shelf: Shelf, *, unacked_name: str = "unacked") -> AsyncIterator[Importer]:
    """An importer on Celery's server at ``url``, for as long as the block lasts."""
    source = await open_server(url, prefix=shelf.server.prefix)
    try:
        yield Importer(source, shelf, unacked_name=unacked_name)
    finally:
        await source.close()
