# SPDX-License-Identifier: Apache-2.0
"""The demo's database from the side of the one who runs it: made ready, and looked at while others write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa

from .._sql import Database, Timeouts, create_all, is_transient
from .._sql.engine import READ_ONLY
from ..errors import ConfigurationError
from . import store

#: Whoever cannot get the writer's lock for so many seconds is kept out by a frozen one: a batch takes a tenth of it.
_LOCK_S = 0.5


class Effects:
    """The tables the workers write to."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, timeouts=Timeouts(lock_s=_LOCK_S))
        self._engine = self._database.plain_engine

    def prepare(self) -> None:
        """Creates the tables. Raises ConfigurationError when spans are there already: the books could not balance."""
        with self._engine.begin() as connection:
            create_all(connection, self._database.tables)
            store.create_all(connection)
            if connection.execute(sa.select(store.spans.c.row_id).limit(1)).first() is not None:
                raise ConfigurationError("the database holds spans already: give the demo one of its own, or drop its "
                                         "tables `spans` and `operations`")

    async def committed(self, lines: Sequence[str]) -> int:
        """How many of these lines have their row."""
        return await asyncio.to_thread(self._committed, lines) if lines else 0

    def _committed(self, lines: Sequence[str]) -> int:
        with self._engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            found = connection.execute(
                sa.select(sa.func.count(sa.distinct(store.spans.c.line_id))).where(store.spans.c.line_id.in_(lines)))
            return int(found.scalar_one())

    async def locked(self) -> bool:
        """Is somebody keeping all writers out? Only SQLite has such a lock."""
        return self._engine.dialect.name == "sqlite" and await asyncio.to_thread(self._locked)

    def _locked(self) -> bool:
        try:
            with self._engine.begin():
                return False
        except sa.exc.OperationalError as error:
            if is_transient(error):
                return True
            raise

    def slowest(self) -> list[store.Slow]:
        """Operations with the highest mean time."""
        with self._engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            return store.slowest(connection)

    def close(self) -> None:
        """Closes its connections."""
        self._engine.dispose()
