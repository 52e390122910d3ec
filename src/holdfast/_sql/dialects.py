# SPDX-License-Identifier: Apache-2.0
"""What the dialects differ in, side by side. All functions work on a plain ``Connection``; the asyncio side reaches
them through ``run_sync``.

**Insert if absent.** PostgreSQL and SQLite have ``ON CONFLICT DO NOTHING``; a second transaction waits there until the
first has ended, and then knows. MySQL and MariaDB have two statements that look alike and both lie: ``INSERT IGNORE``
also turns a truncated id into a warning, so that two messages become one; ``ON DUPLICATE KEY UPDATE`` reports one
affected row for an absent and for a present key alike under the ``FOUND_ROWS`` flag, which SQLAlchemy sets. So there a
plain ``INSERT`` is tried and error 1062 means present; it undoes that statement alone and the transaction lives on.

**SQLite** has one writer. A transaction that reads first and writes later can find that its snapshot is too old, and
fails at once, without waiting; so ours are begun with ``BEGIN IMMEDIATE``, or, on an engine of the user's whose
transactions we do not begin, write first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a transaction may wait, in seconds.

    lock_s: for another's lock (PostgreSQL ``lock_timeout``, SQLite ``busy_timeout``, InnoDB
        ``innodb_lock_wait_timeout``). Longer: fewer retries under contention; shorter: a worker is not held up by a
        message that another one runs.
    idle_s: between two statements (PostgreSQL ``idle_in_transaction_session_timeout``, MariaDB
        ``idle_transaction_timeout``; MySQL and SQLite have none). A process that is paused inside a transaction keeps
        its locks for this long, and whoever takes its messages over waits as long; where several of its transactions
        were waiting for one another's rows, up to ``lock_s`` longer. Shorter: faster recovery; a handler that waits
        longer than this for something else, mid-transaction, loses its transaction.
    """

    lock_s: float = 5.0
    idle_s: float = 30.0


def insert_absent(connection: Connection, table: sa.Table, rows: Sequence[Row]) -> list[bool]:
    """Inserts each row whose primary key is absent; True where it was. Waits for others that insert the same.

    Give rows of one transaction in the order of their keys: two batches that share some then wait for one another
    instead of locking one another out.
    """
    if connection.dialect.name in ("mysql", "mariadb"):
        return [_insert_or_1062(connection, table, row) for row in rows]
    keys = list(table.primary_key.columns)
    if connection.dialect.name == "postgresql":
        columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
        found = connection.execute(_from_arrays(table, tuple(columns)), columns) if rows else ()
    else:
        statement = sqlite.insert(table).on_conflict_do_nothing()
        found = connection.execute(statement.returning(*keys), list(rows))
    inserted = {tuple(key) for key in found}
    return [tuple(row[c.name] for c in keys) in inserted for row in rows]


@lru_cache(64)
def _from_arrays(table: sa.Table, names: tuple[str, ...]) -> Any:
    """One statement for any number of rows: an array a column, a third of the time that many sets of parameters take.

    Text goes as plain text: the column's own collation decides what is equal, and the row is checked on its way in.
    """
    def kind(column: sa.Column[Any]) -> Any:
        if isinstance(column.type, sa.LargeBinary):
            return postgresql.ARRAY(postgresql.BYTEA)
        if isinstance(column.type, sa.Boolean):
            return postgresql.ARRAY(sa.Boolean)
        return postgresql.ARRAY(sa.BigInteger if isinstance(column.type, sa.Integer) else sa.Text)

    arrays = [sa.func.unnest(sa.bindparam(name, type_=kind(table.c[name]))) for name in names]
    statement = postgresql.insert(table).from_select(list(names), sa.select(*arrays))
    return statement.on_conflict_do_nothing().returning(*table.primary_key.columns)


_DUPLICATE_KEY = 1062


def _insert_or_1062(connection: Connection, table: sa.Table, row: Row) -> bool:
    try:
        connection.execute(sa.insert(table), row)
    except sa.exc.IntegrityError as error:
        if error.orig is None or error.orig.args[0] != _DUPLICATE_KEY:
            raise
        return False
    return True


def session_settings(dialect_name: str, timeouts: Timeouts) -> list[str]:
    """Statements for a new connection of an engine that is ours alone."""
    lock_ms, idle_ms = round(timeouts.lock_s * 1000), round(timeouts.idle_s * 1000)
    if dialect_name == "postgresql":
        return [f"SET lock_timeout = {lock_ms}", f"SET idle_in_transaction_session_timeout = {idle_ms}"]
    if dialect_name == "sqlite":  # synchronous stays FULL: an acknowledgement must not outlive the commit it stands for
        return [f"PRAGMA busy_timeout = {lock_ms}", "PRAGMA journal_mode = WAL"]
    lock = f"SET SESSION innodb_lock_wait_timeout = {max(1, round(timeouts.lock_s))}"
    if dialect_name == "mariadb":
        return [lock, f"SET SESSION idle_transaction_timeout = {max(1, round(timeouts.idle_s))}"]
    return [lock]


_LOCAL_TIMEOUTS = sa.text(
    "SELECT set_config('lock_timeout', :lock_ms, true),"
    " set_config('idle_in_transaction_session_timeout', :idle_ms, true)"
)


def limit_transaction(connection: Connection, timeouts: Timeouts) -> None:
    """Sets the limits for this transaction alone, on a connection that belongs to the user.

    Only PostgreSQL can: elsewhere such settings outlive the transaction, and the user's other work would meet them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCAL_TIMEOUTS, {"lock_ms": f"{round(timeouts.lock_s * 1000)}",
                                             "idle_ms": f"{round(timeouts.idle_s * 1000)}"})
