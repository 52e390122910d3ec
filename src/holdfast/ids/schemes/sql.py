# SPDX-License-Identifier: Apache-2.0
"""Worker ids in an SQL database: a row a worker id, one transaction a step, the database's clock.

A row of the pool is locked for each step, so that steps come one after another. Windows are as lasting as a commit is:
with ``synchronous_commit = off``, or a standby that may be promoted without the last commits, the newest can be lost,
and then nothing tells the next owner of them: replicate synchronously, or use another scheme.

SQLite has no clock but that of the machine, which all who share the file have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from ..._sql.engine import Database, DatabaseSource
from ..._sql.steps import clock_ms, stepped
from ..._sql.tables import GROUP_BYTES, MESSAGE_ID_BYTES, Tables, fit
from ...errors import LeaseLost
from ..scheme import Grant, Holding, Owner
from ..term import Window
from ..windows import Record, StoreTime, chosen, window_behind

T = TypeVar("T")


class SqlWorkers:
    """Fulfils ``Scheme`` on PostgreSQL, MySQL, MariaDB and SQLite. `holdfast sql init` makes its tables.

    source: as ``Database`` has it. pool: whoever shares it shares ``workers`` ids.
    """

    name = "sql"

    def __init__(self, source: DatabaseSource, *, pool: str = "default", workers: int = 1024,
                 tables: Tables | None = None) -> None:
        self.workers, self.pool = workers, pool
        self._database = Database(source, tables=tables, pool_size=2)
        self._pool = fit(pool, GROUP_BYTES)
        #: Which store and pool this is, for ``Remembered``; empty for a session maker, which does not say it.
        self.identity = f"sql {url} {pool}" if (url := _shown(source)) else ""
        self._of_pool, self._of_worker = self._database.tables.worker_pool, self._database.tables.worker

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """See ``Scheme``."""
        return await self._step(lambda connection: self._claimed(connection, owner, lease_ms))

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """See ``Scheme``."""
        return await self._step(lambda connection: self._renewed(connection, owner, grant, lease_ms))

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """See ``Scheme``."""
        await self._step(lambda connection: self._released(connection, owner, grant, last_ms))

    async def holders(self) -> list[Holding]:
        """See ``Scheme``."""
        return await self._step(self._held)

    async def close(self) -> None:
        """See ``Scheme``."""
        await self._database.close()

    # -- steps, each in a transaction of its own ------------------------------------------------------------------

    def _claimed(self, connection: Connection, owner: Owner, lease_ms: int) -> Grant:
        now_ms = self._now(connection)
        records = self._records(connection)
        found = chosen(records, owner, now_ms, self.workers, self.pool)
        if isinstance(found, Record):
            return Grant(found.worker, found.window, now_ms)
        last = next((record for record in records if record.worker == found), None)
        window = window_behind(last, now_ms, lease_ms)
        said = {"owner": owner.id, "name": fit(owner.name, MESSAGE_ID_BYTES), "first_ms": window.first_ms,
                "last_ms": window.last_ms}
        if last is None:
            connection.execute(self._of_worker.insert(), {"pool": self._pool, "worker": found, **said})
        else:
            connection.execute(self._of_worker.update().where(self._is(found)), said)
        return Grant(found, window, now_ms)

    def _renewed(self, connection: Connection, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        now_ms = self._now(connection)
        last_ms = max(now_ms + lease_ms, grant.window.last_ms)
        mine = self._of_worker.update().where(self._is(grant.worker), self._of_worker.c.owner == owner.id)
        if not connection.execute(mine, {"last_ms": last_ms}).rowcount:  # guard: owner
            raise LeaseLost(f"worker id {grant.worker} of pool {self.pool!r} is somebody else's by now")
        return Grant(grant.worker, Window(grant.window.first_ms, last_ms), now_ms)

    def _released(self, connection: Connection, owner: Owner, grant: Grant, last_ms: int) -> None:
        mine = sa.and_(self._is(grant.worker), self._of_worker.c.owner == owner.id)  # guard: owner
        connection.execute(self._of_worker.update().where(mine), {"owner": "", "last_ms": last_ms})

    def _held(self, connection: Connection) -> list[Holding]:
        now_ms = self._now(connection)
        return [Holding(r.worker, r.name, r.window.first_ms, r.window.last_ms, r.live(now_ms))
                for r in self._records(connection)]

    def _records(self, connection: Connection) -> list[Record]:
        table = self._of_worker
        rows = connection.execute(sa.select(table).where(table.c.pool == self._pool).order_by(table.c.worker))
        return [Record(row.worker, row.owner, row.name, Window(row.first_ms, row.last_ms)) for row in rows]

    def _is(self, worker: int) -> sa.ColumnElement[bool]:
        return sa.and_(self._of_worker.c.pool == self._pool, self._of_worker.c.worker == worker)

    def _now(self, connection: Connection) -> int:
        """The store's time. The pool's row is ours until the commit: whoever steps next sees what we wrote."""
        table = self._of_pool
        connection.execute(_unless_there(connection, table), {"pool": self._pool, "offset_ms": 0, "latest_ms": 0})
        query = sa.select(table).where(table.c.pool == self._pool)
        row = connection.execute(query.with_for_update()).one()
        now = StoreTime(row.offset_ms, row.latest_ms).at(clock_ms(connection))
        connection.execute(table.update().where(table.c.pool == self._pool),
                           {"offset_ms": now.offset_ms, "latest_ms": now.latest_ms})
        return now.latest_ms

    async def _step(self, step: Callable[[Connection], T]) -> T:
        return await stepped(self._database, step, what="the database of worker ids")


def _shown(source: DatabaseSource) -> str:
    url = source if isinstance(source, str | sa.URL) else getattr(source, "url", None)
    return "" if url is None else sa.make_url(url).render_as_string(hide_password=True)


def _unless_there(connection: Connection, table: sa.Table) -> sa.Insert:
    """An insert that does nothing where the row is there. On SQLite it takes the lock for writing, too."""
    if connection.dialect.name in ("mysql", "mariadb"):
        return mysql.insert(table).on_duplicate_key_update(pool=table.c.pool)
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
