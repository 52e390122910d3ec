# SPDX-License-Identifier: Apache-2.0
"""The fence in the user's SQL transaction: compared and stored by one statement, locked until that transaction ends.

::

    async with sessions() as session, session.begin():
        await guard.check(session, "account:7", held)      # first, then the writes it guards
        session.add(Posting(account=7, amount=12))

Whoever comes second waits at that row for the first to commit or roll back, and only then is compared: an earlier
holder cannot slip in between. Wait and deadlock are the database's own errors, and come as they are; so does a missing
table (``holdfast sql init`` makes it).

One statement, because two are a race at the first write: where the row is absent, ``UPDATE`` and then ``INSERT`` of two
transactions lock one another out on InnoDB, both holding the gap. PostgreSQL and SQLite say by ``RETURNING`` whether
their ``ON CONFLICT DO UPDATE … WHERE`` took it, and PostgreSQL locks the row also where it did not. MySQL and MariaDB
have no such ``WHERE``, and their count of rows lies; so each column keeps or takes its value by itself, and the row,
which is ours until the end, is read back.

The price: holders of one resource write one after another, from the check to the commit, and each check leaves a dead
row version on PostgreSQL. Check as close to the commit as reads allow. A transaction that was refused has to be rolled
back: an error that is swallowed before the commit guards nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from ..._base.events import Events
from ..._sql.tables import KNOWN_DIALECTS, MESSAGE_ID_BYTES, Tables, fit
from ...errors import ConfigurationError
from .offer import Fenced, Offer, offer_of
from .refusal import Guard, Refusals


class SqlGuard:
    """Guards what is written in SQL transactions on PostgreSQL, MySQL, MariaDB and SQLite.

    tables: our tables' names, if they are not the usual ones. events: told of each refusal (``FenceRejection``).
    """

    def __init__(self, tables: Tables | None = None, *, events: Events | None = None) -> None:
        self._tables = tables or Tables()
        self._refusals = Refusals("sql", events)

    async def check(self, session: AsyncSession | AsyncConnection, resource: str, held: Fenced) -> None:
        """Inside a transaction of the caller's, before its writes; ``resource`` is locked until that transaction ends.

        Raises FenceRejected when a later holder has written, or another one with the same token: roll back then.
        ConfigurationError in autocommit, where there is no transaction to be inside of; SQLAlchemy's errors as they
        are.
        """
        step = partial(self._step, resource=resource, offered=offer_of(held))
        if isinstance(session, AsyncSession):
            await session.run_sync(lambda inner: step(inner.connection()))
        elif isinstance(session, AsyncConnection):
            await session.run_sync(step)
        else:
            raise ConfigurationError(f"a {type(session).__name__} is no AsyncSession or AsyncConnection: plain ones go "
                                     f"to check_plain")

    def check_plain(self, session: Session | Connection, resource: str, held: Fenced) -> None:
        """As ``check``, for a plain session or connection."""
        if not isinstance(session, Session | Connection):
            raise ConfigurationError(f"a {type(session).__name__} is no Session or Connection: asynchronous ones go to "
                                     f"`await guard.check`")
        connection = session.connection() if isinstance(session, Session) else session
        self._step(connection, resource, offer_of(held))

    def alone(self, engine: AsyncEngine) -> Guard:
        """The same rows as a ``Guard``: each check is a transaction of its own, and guards no later write of yours."""
        return _Alone(self, engine)

    def _step(self, connection: Connection, resource: str, offered: Offer) -> None:
        _refuse_autocommit(connection)  # guard: in the caller's transaction or not at all
        stored = _swap(connection, self._tables.lock_fence, fit(resource, MESSAGE_ID_BYTES), offered)
        self._refusals.judge(resource, stored, offered)
        _refuse_no_transaction(connection)


class _Alone:
    """Fulfils ``Guard``."""

    def __init__(self, guard: SqlGuard, engine: AsyncEngine) -> None:
        self._guard = guard
        self._engine = engine

    async def check(self, resource: str, held: Fenced) -> None:
        """See ``Guard``."""
        async with self._engine.begin() as connection:
            await self._guard.check(connection, resource, held)


def _swap(connection: Connection, table: sa.Table, resource: str, offered: Offer) -> Offer:
    """Puts ``offered`` into the row if it may be there; what is in the row now, which is locked."""
    row = {"resource": resource, "token": offered.token, "acquisition": offered.acquisition}
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.execute(_upsert_by_column(table), row)
    elif connection.execute(_upsert(table, connection.dialect.name), row).first() is not None:
        return offered
    found = connection.execute(
        sa.select(table.c.token, table.c.acquisition).where(table.c.resource == resource).with_for_update()).one()
    return Offer(*found)


def _upsert(table: sa.Table, dialect_name: str) -> Any:
    """A row comes back when the offer was taken."""
    if dialect_name not in KNOWN_DIALECTS:
        raise ConfigurationError(f"there is no fence for the dialect {dialect_name!r}: it is one of "
                                 f"{', '.join(KNOWN_DIALECTS)}")
    statement = (postgresql if dialect_name == "postgresql" else sqlite).insert(table)
    offered = statement.excluded
    same = (table.c.token == offered.token) & (table.c.acquisition == offered.acquisition)
    return statement.on_conflict_do_update(
        index_elements=[table.c.resource],
        set_={"token": offered.token, "acquisition": offered.acquisition},
        where=(table.c.token < offered.token) | same,  # guard: compared in the statement that stores
    ).returning(table.c.token)


def _upsert_by_column(table: sa.Table) -> Any:
    """Assignments happen from left to right, so the acquisition is decided while the token is still the old one."""
    statement = mysql.insert(table)
    newer = statement.inserted.token > table.c.token  # guard: compared in the statement that stores
    return statement.on_duplicate_key_update([
        ("acquisition", sa.func.if_(newer, statement.inserted.acquisition, table.c.acquisition)),
        ("token", sa.func.if_(newer, statement.inserted.token, table.c.token)),
    ])


_AUTOCOMMIT = ("this connection commits each statement by itself, so the check would guard nothing that follows: give "
               "one that is inside a transaction")


def _refuse_autocommit(connection: Connection) -> None:
    level = connection.get_execution_options().get("isolation_level")
    if level is None:  # as the engine was made; SQLAlchemy tells it nowhere else
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    if level == "AUTOCOMMIT":
        raise ConfigurationError(_AUTOCOMMIT)


def _refuse_no_transaction(connection: Connection) -> None:
    """SQLite's drivers can be told to begin nothing by themselves, and SQLAlchemy does not hear of it."""
    if not getattr(connection.connection.driver_connection, "in_transaction", True):
        raise ConfigurationError(_AUTOCOMMIT)
