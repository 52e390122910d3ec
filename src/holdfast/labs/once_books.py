# SPDX-License-Identifier: Apache-2.0
"""The lab's tables in a SQL database, and the books on them: who took effect how often.

An effect is a row, and nothing keeps it from standing there twice: ``effects`` has no unique key on the message, on
purpose. All tables, the inbox included, carry the run's own name and are dropped at its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from .._sql import Database, Tables, is_transient
from ..errors import ConfigurationError, ServerUnreachable
from ..once.machine.machine import StateMachine, Step

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..once.machine.on_sql import TableMachine

_Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
#: An order is paid once. ``effects`` says how often it was.
ORDER = StateMachine("order", initial="created", steps=[Step("pay", "created", "paid")])


class Books:
    """The tables of one run."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.database = Database(url, tables=Tables(prefix=f"lab_{token}_"))
        metadata = self.database.tables.metadata
        self.effects = sa.Table(
            f"lab_{token}_effects", metadata,
            sa.Column("row_id", _Serial, primary_key=True),
            sa.Column("scheme", sa.String(32), nullable=False),
            sa.Column("message_id", sa.String(64), nullable=False))
        self.orders = sa.Table(
            f"lab_{token}_orders", metadata,
            sa.Column("id", sa.String(64), primary_key=True),
            sa.Column("state", sa.String(16), nullable=False),
            sa.Column("version", sa.Integer, nullable=False))
        self.machine: TableMachine[str] = ORDER.over(
            self.orders, id=self.orders.c.id, state=self.orders.c.state, version=self.orders.c.version)

    @property
    def engine(self) -> AsyncEngine:
        """Of the handlers that open transactions by themselves."""
        return self.database.async_engine

    @property
    def dialect(self) -> str:
        """Name of the database's kind: ``postgresql``, ``sqlite``, …"""
        return self.engine.dialect.name

    @property
    def _mine(self) -> list[sa.Table]:
        tables = self.database.tables
        return [tables.inbox, tables.fence, self.effects, self.orders]

    async def create(self) -> None:
        """Makes the tables. Raises ServerUnreachable, ConfigurationError."""
        try:
            async with self.engine.begin() as connection:
                await connection.run_sync(self.database.tables.metadata.create_all, tables=self._mine)
        except DBAPIError as error:
            if is_transient(error):
                raise ServerUnreachable(f"the database does not answer: {error.orig}") from error
            raise ConfigurationError(f"the database refused: {error.orig}") from error

    async def drop(self) -> None:
        """Takes them out again."""
        async with self.engine.begin() as connection:
            await connection.run_sync(self.database.tables.metadata.drop_all, tables=self._mine)

    async def close(self) -> None:
        """Closes the connections."""
        await self.database.close()

    async def take_orders(self, ids: Iterable[str]) -> None:
        """Rows in their first state."""
        rows = [{"id": one, "state": "created", "version": 0} for one in ids]
        async with self.engine.begin() as connection:
            await connection.execute(sa.insert(self.orders), rows)

    def row(self, scheme: str, message_id: str) -> dict[str, str]:
        """One effect."""
        return {"scheme": scheme, "message_id": message_id}

    async def applied(self, scheme: str, like: str) -> Counter[str]:
        """Message id → how often it took effect, of ids that begin with ``like``."""
        asked = sa.select(self.effects.c.message_id, sa.func.count()).where(
            self.effects.c.scheme == scheme, self.effects.c.message_id.startswith(like, autoescape=True))
        async with self.engine.connect() as connection:
            found = (await connection.execute(asked.group_by(self.effects.c.message_id))).all()
        return Counter({str(row[0]): int(row[1]) for row in found})

    async def inbox_bytes(self) -> int | None:
        """Bytes of the inbox with its indexes; None where the database does not say it exactly."""
        asked = _SIZES.get(self.dialect)
        if asked is None:
            return None
        async with self.engine.connect() as connection:
            found = (await connection.execute(sa.text(asked), {"name": self.database.tables.inbox.name})).scalar()
        return None if found is None else int(found)

    def count_statements(self) -> Statements:
        """Counts what goes to the database from now on, until it is stopped."""
        return Statements(self.engine.sync_engine)


#: MySQL and MariaDB only estimate. A SQLite built without ``dbstat`` refuses, and is asked once.
_SIZES = {
    "postgresql": "SELECT pg_total_relation_size(CAST(:name AS regclass))",
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = :name)",
}


class Statements:
    """Statements and ends of transactions on one engine: each is a round trip, where the database is not a file."""

    def __init__(self, engine: sa.Engine) -> None:
        self.count = 0
        self._engine = engine
        self._heard: Sequence[tuple[str, Any]] = (
            ("before_cursor_execute", self._statement), ("commit", self._end), ("rollback", self._end))
        for name, heard in self._heard:
            event.listen(engine, name, heard)

    def _statement(self, *_: Any) -> None:
        self.count += 1

    def _end(self, _: Connection) -> None:
        self.count += 1

    def stop(self) -> int:
        """How many there were."""
        for name, heard in self._heard:
            event.remove(self._engine, name, heard)
        return self.count
