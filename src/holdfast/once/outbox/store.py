# SPDX-License-Identifier: Apache-2.0
"""The table of the outbox in a database: each method is a transaction, on whichever side the database has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from ..._sql import Database, DatabaseSource, is_transient, missing_tables
from ...errors import ConfigurationError, ServerUnreachable
from ..transaction import Transaction, in_coroutine, in_thread, to_end
from . import table

if TYPE_CHECKING:
    from .table import Row, Waiting

T = TypeVar("T")


class OutboxStore:
    """What a relay and the command line ask of the table. Raises what SQLAlchemy raises.

    source: a URL, an engine, a session maker, or a ``Database`` to share, which ``close`` leaves alone.
    """

    def __init__(self, source: DatabaseSource | Database) -> None:
        self._shared = isinstance(source, Database)
        self._database = source if isinstance(source, Database) else Database(source)
        self._tables = self._database.tables

    async def close(self) -> None:
        """Closes what was opened here."""
        if not self._shared:
            await self._database.close()

    async def identified(self, now_ms: int) -> str:
        """The outbox's name, made if it has none.

        Raises ConfigurationError when the table is missing, or when this database shows what is not committed.
        """
        await self.check()
        level = await self._ask(Connection.get_isolation_level)
        if level == "READ UNCOMMITTED" and self._dialect != "postgresql":  # guard: dirty reads; PostgreSQL has none
            raise ConfigurationError("the relay's engine reads what is not committed, and would publish what is rolled "
                                     "back: give it READ COMMITTED or above")
        return await self._do(partial(table.identify, tables=self._tables, now_ms=now_ms))

    async def check(self) -> None:
        """Raises ConfigurationError when the table is missing."""
        missing = await self._ask(partial(missing_tables, tables=self._tables, wanted=[self._tables.outbox]))
        if missing:
            raise ConfigurationError(f"the database lacks {', '.join(missing)}: run `holdfast sql init`")

    async def read(self, limit: int, without: Collection[str] = ()) -> tuple[str | None, list[Row]]:
        """See ``table.read``."""
        return await self._ask(partial(table.read, tables=self._tables, limit=limit, without=without))

    async def present(self, numbers: Sequence[int]) -> set[int]:
        """Which of these rows are in the table."""
        return await self._ask(partial(table.present, tables=self._tables, numbers=numbers))

    async def delete(self, numbers: Sequence[int]) -> None:
        """Removes rows, and commits."""
        await self._do(partial(table.delete, tables=self._tables, numbers=numbers))

    async def backlog(self) -> tuple[int, int | None]:
        """How many rows wait, and when the oldest was written."""
        return await self._ask(partial(table.backlog, tables=self._tables))

    async def by_stream(self) -> list[Waiting]:
        """What waits, a line a stream."""
        return await self._ask(partial(table.by_stream, tables=self._tables))

    @property
    def _dialect(self) -> str:
        database = self._database
        return (database.async_engine if database.has_async else database.plain_engine).dialect.name

    def _transaction(self, *, reading: bool = False) -> AbstractAsyncContextManager[Transaction]:
        if self._database.has_async:
            return in_coroutine(self._database, reading=reading)
        return in_thread(self._database, _in_thread, reading=reading)

    async def _ask(self, step: Callable[[Connection], T]) -> T:
        async with self._transaction(reading=True) as transaction:
            return await transaction.call(step)

    async def _do(self, step: Callable[[Connection], T]) -> T:
        async with self._transaction() as transaction:
            answer = await transaction.call(step)
            await transaction.commit()
            return answer


async def _in_thread(function: Callable[[], T]) -> T:
    return await to_end(asyncio.ensure_future(asyncio.to_thread(function)))


async def waiting(url: str) -> list[Waiting]:
    """What waits in the outbox at ``url``, a record a stream. Raises ServerUnreachable, ConfigurationError."""
    store = OutboxStore(url)
    try:
        await store.check()
        return await store.by_stream()
    except DBAPIError as error:
        if is_transient(error):
            raise ServerUnreachable(f"the database does not answer: {error.orig}") from error
        raise ConfigurationError(f"the database refused: {error.orig}") from error
    finally:
        await store.close()
