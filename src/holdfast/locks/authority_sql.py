# SPDX-License-Identifier: Apache-2.0
"""Fencing tokens from an SQL database: a row a lock, counted up in a transaction of its own. Open this after
``authority``.

::

    locks = Locks(server, authority=SqlAuthority("postgresql://…"))       # `holdfast sql init` makes the table

A row, on every dialect: holders of one lock come one after another in any case, so nobody waits at it, and it is copied
and restored like all the user's data. A sequence is drawn from where the user names one that is there: it is cheaper by
a commit, all locks share it, and it has gaps of its own (logical replication of PostgreSQL does not copy its value).

The numbers are as lasting as a commit is: with ``synchronous_commit = off``, or a standby that may be promoted without
the last of them, they can be given again.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from .._sql.engine import Database, DatabaseSource
from .._sql.tables import MESSAGE_ID_BYTES, Tables, fit
from .._sql.transient import is_transient
from ..errors import ConfigurationError, ServerUnreachable

#: Dialects that have sequences.
_WITH_SEQUENCES = {"postgresql", "mariadb", "mysql"}


class SqlAuthority:
    """Fulfils ``TokenAuthority`` on PostgreSQL, MySQL, MariaDB and SQLite.

    source: as ``Database`` has it. tables: our tables' names, if they are not the usual ones. sequence: one that is
    there already, without a cache (``NOCACHE`` on MariaDB, ``CACHE 1`` on PostgreSQL), in place of the rows; PostgreSQL
    and MariaDB have them. above: see ``authority``.

    ``next`` raises ServerUnreachable when the database is busy or away, and SQLAlchemy's errors as they are; so a
    missing table.
    """

    def __init__(self, source: DatabaseSource, *, tables: Tables | None = None, sequence: str | None = None,
                 above: int = 0) -> None:
        self._database = Database(source, tables=tables, pool_size=4)
        self._sequence, self._above = sequence, above

    async def next(self, name: str) -> int:
        """See ``TokenAuthority``."""
        try:
            if self._database.has_async:
                async with self._database.async_engine.begin() as connection:
                    number = await connection.run_sync(self._number, name)
            else:
                number = await asyncio.to_thread(self._plainly, name)
        except DBAPIError as error:
            if is_transient(error):
                raise ServerUnreachable(f"the database that gives tokens does not answer: {error.orig}",
                                        maybe_done=True) from error
            raise
        return self._above + number

    async def close(self) -> None:
        """Disposes of an engine that was made here."""
        await self._database.close()

    def _plainly(self, name: str) -> int:
        with self._database.plain_engine.begin() as connection:
            return self._number(connection, name)

    def _number(self, connection: Connection, name: str) -> int:
        if self._sequence is not None:
            return _from_sequence(connection, self._sequence)
        return _counted(connection, self._database.tables.lock_token, fit(name, MESSAGE_ID_BYTES))


def _from_sequence(connection: Connection, sequence: str) -> int:
    if not connection.dialect.supports_sequences:
        raise ConfigurationError(f"{connection.dialect.name} has no sequences: leave sequence out, and numbers come "
                                 f"from a row")
    schema, _, name = sequence.rpartition(".")
    return int(connection.execute(sa.select(sa.Sequence(name, schema=schema or None).next_value())).scalar_one())


def _counted(connection: Connection, table: sa.Table, name: str) -> int:
    """One more than the row has; the row is ours until the commit."""
    first = {"name": name, "token": 1}
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(mysql.insert(table).on_duplicate_key_update(token=table.c.token + 1), first)
        return int(connection.execute(
            sa.select(table.c.token).where(table.c.name == name).with_for_update()).scalar_one())
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    counted = insert.on_conflict_do_update(index_elements=[table.c.name], set_={"token": table.c.token + 1})
    return int(connection.execute(counted.returning(table.c.token), first).scalar_one())
