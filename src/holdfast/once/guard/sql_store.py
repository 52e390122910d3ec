# SPDX-License-Identifier: Apache-2.0
"""Records in the user's SQL database: one row for each guarded key.

Two ways::

    SqlStore          short transactions of its own: claim, renew, finish. The effect lies elsewhere.
    store.within(s)   inside the user's open transaction: effect and record commit together, or neither does. The row is
                      the lock: a second attempt waits at its own insert until the first has ended.

A claim inserts first, since most keys are new. When the row is there it is read, ``records.claimed`` says what it
means, and a take-over is a compare-and-set of what was read; between these steps no lock is held. Holding one over the
look would have two claimants wait for each other on MySQL, where a refused insert locks the row it met.

**Time is the database's**, asked in the transaction that acts on it, so workers' clocks do not matter. It is a wall
clock: a step of it ends leases early or late by as much.

A row with a key of 40 characters and a result of 100 bytes takes about 320 bytes with its indexes (measured on SQLite),
and is there until ``prune``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..._sql import Database, DatabaseSource
from ..._sql.dialects import limit_transaction
from ..transaction import to_end
from . import sql_records
from .records import Claimed, Mark, Record
from .sql_trouble import answer, busy
from .sql_within import Within

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

T = TypeVar("T")


class SqlStore:
    """Keeps records in the database behind ``source``: a URL, an engine, a session maker, or a ``Database`` to share.
    Fulfils ``DedupStore``.

    threads: claims and finishes that may run at once; more wait their turn. Renewals have two threads beside them. With
        an ``AsyncEngine`` alone there are no threads, and no plain side.
    """

    def __init__(self, source: DatabaseSource | Database, *, threads: int = 8) -> None:
        self._owns = not isinstance(source, Database)
        self.database = source if isinstance(source, Database) else Database(source)
        self._plain = PlainSqlStore(self.database)
        self._threads = threads
        self._home = 0
        self._working: ThreadPoolExecutor | None = None
        self._renewing: ThreadPoolExecutor | None = None

    async def install(self) -> None:
        """Creates our tables where they are missing, as ``holdfast sql init`` does. Harmless when they exist."""
        await self._do(partial(sql_records.install, tables=self.database.tables))

    async def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.claim, tables=self.database.tables, mark=mark), busy)

    async def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.renew, tables=self.database.tables, mark=mark), renewing=True)

    async def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.finish, tables=self.database.tables, mark=mark, result=result))

    async def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.clear, tables=self.database.tables, mark=mark))

    async def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.look, tables=self.database.tables, namespace=namespace, key=key))

    async def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.prune, tables=self.database.tables, namespace=namespace,
                                      retention_ms=retention_ms, limit=limit))

    async def close(self) -> None:
        """Ends our threads, and the engines made here; a ``Database`` or an engine handed in stays open."""
        for executor in (self._working, self._renewing):
            if executor is not None and self._home == os.getpid():
                executor.shutdown(wait=False)
        self._working = self._renewing = None
        if self._owns:
            await self.database.close()

    def plain(self) -> PlainSqlStore:
        """The same records for plain code."""
        return self._plain

    def within(self, session: Any) -> Within:
        """The store inside the user's transaction: an ``AsyncSession`` or ``AsyncConnection`` for coroutines, a
        ``Session`` or ``Connection`` for plain code. What it writes is there when the user commits."""
        return Within(self.database, session)

    async def _do(self, step: Callable[[Connection], T], waited: Callable[[], T] | None = None, *,
                  renewing: bool = False) -> T:
        """Runs ``step`` on a connection of its own. In a thread if there is a plain engine: unlike an asynchronous one
        it may be used from any event loop, and a guard often lives longer than one."""
        if self.database.has_plain:
            work = partial(self._plain.do, step, waited)
            return await to_end(asyncio.get_running_loop().run_in_executor(self._executor(renewing), work))
        try:
            async with self.database.async_engine.connect() as connection:
                return await connection.run_sync(partial(_in_turn, self.database, step))
        except SQLAlchemyError as error:
            return answer(error, waited)

    def _executor(self, renewing: bool) -> ThreadPoolExecutor:
        if self._home != os.getpid():  # threads do not survive a fork
            self._home, self._working, self._renewing = os.getpid(), None, None
        if self._working is None or self._renewing is None:
            self._working = ThreadPoolExecutor(self._threads, thread_name_prefix="holdfast-guard")
            self._renewing = ThreadPoolExecutor(2, thread_name_prefix="holdfast-guard-renewal")
        return self._renewing if renewing else self._working


class PlainSqlStore:
    """The same for plain code, in the caller's thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._home = os.getpid()

    def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.claim, tables=self._database.tables, mark=mark), busy)

    def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.renew, tables=self._database.tables, mark=mark))

    def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.finish, tables=self._database.tables, mark=mark, result=result))

    def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.clear, tables=self._database.tables, mark=mark))

    def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.look, tables=self._database.tables, namespace=namespace, key=key))

    def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """See ``PlainStore``."""
        return self.do(partial(sql_records.prune, tables=self._database.tables, namespace=namespace,
                               retention_ms=retention_ms, limit=limit))

    def close(self) -> None:
        """Lets go of pooled connections, if the engine was made here. A later call opens others."""
        if self._database.owned and self._home == os.getpid():
            self._database.plain_engine.dispose()

    def do(self, step: Callable[[Connection], T], waited: Callable[[], T] | None = None) -> T:
        """Runs ``step`` on a connection of its own; ``waited`` answers for it when a lock was waited for in vain."""
        if self._home != os.getpid() and self._database.owned:  # guard: a forked child shares no connection
            self._database.plain_engine.dispose(close=False)
        self._home = os.getpid()
        try:
            with self._database.plain_engine.connect() as connection:
                return _in_turn(self._database, step, connection)
        except SQLAlchemyError as error:
            return answer(error, waited)


def _in_turn(database: Database, step: Callable[[Connection], T], connection: Connection) -> T:
    """Runs a step that begins and commits its own transactions. Only PostgreSQL can limit the user's for one alone."""
    if database.timeouts is None or database.owned or connection.dialect.name != "postgresql":
        return step(connection)
    limits = database.timeouts
    sa.event.listen(connection, "begin", lambda begun: limit_transaction(begun, limits))
    return step(connection)
