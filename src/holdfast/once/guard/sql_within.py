# SPDX-License-Identifier: Apache-2.0
"""Records of guarded keys in a transaction of the user's: what an effect in the same database needs, and no more.

The user commits or rolls back, and the record goes the same way as the effect. So there is nothing to renew, since the
row is locked for as long as the transaction is open, and nothing to clear. A second attempt waits at its own insert for
the first one's end, as long as the user's lock timeout lets it; then the key is busy, and on PostgreSQL the second
transaction can only be rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from ..._sql import Database, Tables
from ...errors import ConfigurationError
from . import sql_records
from .records import Claimed, Mark, Record
from .sql_trouble import answer, busy

T = TypeVar("T")


class Within:
    """The store inside an asynchronous transaction; ``plain()`` for one that is not."""

    def __init__(self, database: Database, session: Any) -> None:
        if not isinstance(session, AsyncSession | AsyncConnection | Session | Connection):
            raise ConfigurationError(f"a {type(session).__name__} has no transaction to join: give a session or a "
                                     f"connection of SQLAlchemy")
        self._tables = database.tables
        self._session = session

    async def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.claim_within, tables=self._tables, mark=mark), busy)

    async def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.finish_within, tables=self._tables, mark=mark, result=result))

    async def renew(self, mark: Mark) -> bool:
        """The row is locked for as long as the transaction is open."""
        return True

    async def clear(self, mark: Mark) -> bool:
        """What failed is to be rolled back by the user, mark and all."""
        return False

    async def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        return await self._do(partial(sql_records.look_within, tables=self._tables, namespace=namespace, key=key))

    async def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """Pruning is no business of a user's transaction."""
        return 0

    async def close(self) -> None:
        """The session is the user's."""

    def plain(self) -> PlainWithin:
        """The same transaction for plain code."""
        return PlainWithin(self._tables, self._session)

    def within(self, session: Any) -> Within:
        """It is inside one already."""
        raise ConfigurationError("this store is inside a transaction already")

    async def _do(self, step: Callable[[Connection], T], waited: Callable[[], T] | None = None) -> T:
        session = self._session
        try:
            if isinstance(session, AsyncSession):
                return await session.run_sync(lambda inner: step(inner.connection()))
            if isinstance(session, AsyncConnection):
                return await session.run_sync(step)
        except SQLAlchemyError as error:
            return answer(error, waited)
        raise ConfigurationError("a coroutine needs an AsyncSession or AsyncConnection: write `with`, not `async "
                                 "with`, for a plain one")


class PlainWithin:
    """The store inside a plain transaction of the user's."""

    def __init__(self, tables: Tables, session: Any) -> None:
        self._tables = tables
        self._session = session

    def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return self._do(partial(sql_records.claim_within, tables=self._tables, mark=mark), busy)

    def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return self._do(partial(sql_records.finish_within, tables=self._tables, mark=mark, result=result))

    def renew(self, mark: Mark) -> bool:
        """The row is locked for as long as the transaction is open."""
        return True

    def clear(self, mark: Mark) -> bool:
        """What failed is to be rolled back by the user, mark and all."""
        return False

    def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        return self._do(partial(sql_records.look_within, tables=self._tables, namespace=namespace, key=key))

    def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """Pruning is no business of a user's transaction."""
        return 0

    def close(self) -> None:
        """The session is the user's."""

    def _do(self, step: Callable[[Connection], T], waited: Callable[[], T] | None = None) -> T:
        session = self._session
        try:
            if isinstance(session, Session):
                return step(session.connection())
            if isinstance(session, Connection):
                return step(session)
        except SQLAlchemyError as error:
            return answer(error, waited)
        raise ConfigurationError("plain code needs a Session or Connection: write `async with`, not `with`, for an "
                                 "asynchronous one")
