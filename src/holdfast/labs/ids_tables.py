# SPDX-License-Identifier: Apache-2.0
"""The lab's tables in a SQL database: those of worker ids and counters, twice, and tables whose key is an id.

Auto-increment in steps wants two databases; two sets of tables in one stand for them. Everything carries the run's own
name and is dropped at its end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.exc import DBAPIError

from .._sql import Database, Tables, is_transient
from ..errors import ConfigurationError, ServerUnreachable
from .ids_count import LONG

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

#: Sets of tables: what stands for so many databases.
SETS = 2
#: Rows of one transaction, and bytes that a row has besides its key.
BATCH, FILLER = 500, 100


def tables_of(token: str, part: int = 0) -> Tables:
    """One of the sets."""
    return Tables(prefix=f"lab_{token}_{part}_")


class LabTables:
    """The tables of one run. Everything here blocks."""

    def __init__(self, url: str, token: str) -> None:
        self._database, self._token = Database(url, pool_size=2), token
        self._sets = [tables_of(token, part) for part in range(SETS)]
        self._keyed: list[sa.Table] = []

    @property
    def dialect(self) -> str:
        """Name of the database's kind: ``postgresql``, ``sqlite``, …"""
        return self._engine.dialect.name

    def create(self) -> None:
        """Makes those of worker ids and counters. Raises ServerUnreachable, ConfigurationError."""
        try:
            for tables in self._sets:
                tables.metadata.create_all(self._engine, tables=_needed(tables))
        except DBAPIError as error:
            if is_transient(error):
                raise ServerUnreachable(f"the database does not answer: {error.orig}") from error
            raise ConfigurationError(f"the database refused: {error.orig}") from error

    def drop(self) -> None:
        """Takes out all of them."""
        for tables in self._sets:
            tables.metadata.drop_all(self._engine, tables=_needed(tables))
        for table in self._keyed:
            table.drop(self._engine, checkfirst=True)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def inserted(self, name: str, ids: Sequence[int], width: int, fill: int) -> dict[str, float]:
        """Rows with these ids as their key, of which the first ``fill`` are not measured; what the rest took."""
        table = self._table(name, width)
        key = _key_of(self.dialect, width)
        rows = [{"id": key(one), "filler": "x" * FILLER} for one in ids]
        self._insert(table, rows[:fill])
        began, log = time.perf_counter(), self._log_bytes()
        self._insert(table, rows[fill:])
        seconds, after = time.perf_counter() - began, self._log_bytes()
        count = len(rows) - fill
        found = {"inserts_per_s": count / seconds}
        if log is not None and after is not None:
            found["log_bytes"] = (after - log) / count
        if (size := self._index_bytes(table)) is not None:
            found["index_bytes"] = size / len(rows)
        table.drop(self._engine)
        self._keyed.remove(table)
        return found

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _engine(self) -> Engine:
        return self._database.plain_engine

    def _table(self, name: str, width: int) -> sa.Table:
        kind: Any = sa.BigInteger()
        if width == LONG:
            kind = sa.LargeBinary(LONG).with_variant(postgresql.UUID(as_uuid=True), "postgresql").with_variant(
                mysql.BINARY(LONG), "mysql", "mariadb")
        table = sa.Table(f"lab_{self._token}_key_{name.replace('-', '_')}", sa.MetaData(),
                         sa.Column("id", kind, primary_key=True, autoincrement=False),
                         sa.Column("filler", sa.String(FILLER), nullable=False))
        self._keyed.append(table)
        table.create(self._engine)
        return table

    def _insert(self, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
        for at in range(0, len(rows), BATCH):
            with self._engine.begin() as connection:
                connection.execute(sa.insert(table), rows[at:at + BATCH])

    def _log_bytes(self) -> float | None:
        """What was written ahead so far, by everybody; None where the database does not say it."""
        if self.dialect != "postgresql":
            return None
        return float(self._scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def _index_bytes(self, table: sa.Table) -> float | None:
        if self.dialect != "postgresql":
            return None
        return float(self._scalar("SELECT pg_indexes_size(CAST(:name AS regclass))", name=table.name))

    def _scalar(self, asked: str, **values: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(sa.text(asked), values).scalar_one()


def _needed(tables: Tables) -> list[sa.Table]:
    return [tables.worker_pool, tables.worker, tables.counter, tables.ticket]


def _key_of(dialect: str, width: int) -> Any:
    """How an id is given to the driver."""
    if width != LONG:
        return int
    return (lambda one: uuid.UUID(int=one)) if dialect == "postgresql" else (lambda one: one.to_bytes(LONG, "big"))
