# SPDX-License-Identifier: Apache-2.0
"""A transaction that is ours to end, and what a handler is given inside it.

The handler's session joins the transaction without owning it: its ``commit`` flushes and no more. A commit on the
connection itself is refused, since it would make the inbox row durable before the handler is through. ``rollback`` does
end the transaction, and is noticed: what the handler writes afterwards would be an effect without an inbox row.

Two kinds with one face: on an ``AsyncEngine`` for coroutines, and on an ``Engine`` for plain handlers, whose every step
runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from .._sql.dialects import limit_transaction
from .._sql.engine import READ_ONLY, Database
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import RootTransaction
    from sqlalchemy.ext.asyncio import AsyncTransaction

T = TypeVar("T")


class Transaction(Protocol):
    """An open transaction. Leaving its block without ``commit`` rolls it back."""

    async def call(self, step: Callable[[Connection], T]) -> T:
        """Runs ``step`` on the connection."""
        ...

    def provide(self, wanted: type) -> Any:
        """What a handler gets for a parameter annotated ``wanted``; KeyError when there is nothing."""
        ...

    async def commit(self) -> None:
        """Flushes what the handler left in its session, and commits."""
        ...


class InCoroutine:
    """On an ``AsyncEngine``."""

    def __init__(self, database: Database, connection: AsyncConnection, root: AsyncTransaction) -> None:
        self._database = database
        self._connection = connection
        self._root = root
        self._door = Door(connection.sync_connection)
        self._session: AsyncSession | None = None
        self._committed = False

    async def call(self, step: Callable[[Connection], T]) -> T:
        return await self._connection.run_sync(step)

    def provide(self, wanted: type) -> Any:
        if wanted is AsyncConnection:
            return self._connection
        if not issubclass(self._database.async_session_class, wanted):
            raise KeyError(wanted)
        if self._session is None:
            self._session = self._database.async_session(self._connection)
        return self._session

    async def commit(self) -> None:
        _still_open(self._root.is_active)
        if self._session is not None:
            await self._session.commit()
        self._door.open()
        await self._root.commit()
        self._committed = True

    async def close(self) -> None:
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            if not self._committed and not self._root.is_active:
                await self._connection.invalidate(_half_ended())


class InThread:
    """On an ``Engine``: every step that talks to the database goes through ``run``."""

    def __init__(self, database: Database, connection: Connection, root: RootTransaction, run: Runner) -> None:
        self._database = database
        self._connection = connection
        self._root = root
        self._run = run
        self._door = Door(connection)
        self._session: Session | None = None
        self._committed = False

    async def call(self, step: Callable[[Connection], T]) -> T:
        return await self._run(partial(step, self._connection))

    def provide(self, wanted: type) -> Any:
        if wanted is Connection:
            return self._connection
        if not issubclass(self._database.plain_session_class, wanted):
            raise KeyError(wanted)
        if self._session is None:
            self._session = self._database.plain_session(self._connection)
        return self._session

    async def commit(self) -> None:
        await self._run(self._commit)

    def _commit(self) -> None:
        _still_open(self._root.is_active)
        if self._session is not None:
            self._session.commit()
        self._door.open()
        self._root.commit()
        self._committed = True

    def close(self) -> None:
        try:
            if self._session is not None:
                self._session.close()
        finally:
            if not self._committed and not self._root.is_active:
                self._connection.invalidate(_half_ended())


class Door:
    """Refuses every commit on the connection until it is opened by us."""

    def __init__(self, connection: Connection | None) -> None:
        self._closed = True
        event.listen(connection, "commit", self._committing)

    def open(self) -> None:
        self._closed = False

    def _committing(self, connection: Connection) -> None:
        if self._closed:
            raise ConfigurationError("a handler under once='sql' must not commit: return, and its work is committed "
                                     "together with the note that this message was applied")


def _half_ended() -> Exception:
    """Why a connection is thrown away whose commit failed, or whose transaction a handler ended.

    SQLAlchemy counts a transaction as over once its commit was tried, and puts the connection back without a rollback.
    Where a failed COMMIT leaves the transaction open (SQLite: a deferred constraint, a busy reader), the next message's
    commit would carry this one's rows along.
    """
    return ConfigurationError("a transaction was ended in a way that leaves its connection in doubt")


def _still_open(active: bool) -> None:
    if not active:
        raise ConfigurationError(
            "the handler rolled back the transaction that holds its inbox row, and returned as if it had succeeded:"
            " raise an error, Retry or Reject instead, or use session.begin_nested() for what may fail"
        )


@asynccontextmanager
async def in_coroutine(database: Database, *, reading: bool = False) -> AsyncIterator[InCoroutine]:
    """Opens a transaction for a coroutine. A cancelled body rolls back like a failed one."""
    async with database.async_engine.connect() as connection:
        if reading:
            await connection.execution_options(**{READ_ONLY: True})
        root = await connection.begin()
        if database.timeouts is not None and not database.owned:
            await connection.run_sync(limit_transaction, database.timeouts)
        transaction = InCoroutine(database, connection, root)
        try:
            yield transaction
        finally:
            await transaction.close()


class Runner(Protocol):
    """Runs a function somewhere else and waits for it."""

    async def __call__(self, function: Callable[[], T], /) -> T: ...


@asynccontextmanager
async def in_thread(database: Database, run: Runner, *, reading: bool = False) -> AsyncIterator[InThread]:
    """Opens a transaction for a plain handler. The body must not end before the handler's thread: see ``to_end``."""
    connection = await run(partial(_connect, database, reading))
    transaction: InThread | None = None
    try:
        root = await run(connection.begin)
        transaction = InThread(database, connection, root, run)
        if database.timeouts is not None and not database.owned:
            await run(partial(limit_transaction, connection, database.timeouts))
        yield transaction
    finally:
        await run(partial(_leave, transaction, connection))


def _connect(database: Database, reading: bool) -> Connection:
    return database.plain_engine.connect().execution_options(**{READ_ONLY: reading})


def _leave(transaction: InThread | None, connection: Connection) -> None:
    try:
        if transaction is not None:
            transaction.close()
    finally:
        connection.close()


async def to_end(work: asyncio.Future[T]) -> T:
    """Waits for what a thread is doing, even when cancelled: a connection must not serve two threads."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                continue  # cancelled again: the thread has not ended yet
        if not work.cancelled():
            work.exception()  # looked at, or asyncio reports it as never retrieved
        raise
