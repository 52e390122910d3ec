# SPDX-License-Identifier: Apache-2.0
"""Records of guarded keys as rows: what ``SqlStore`` does, step by step, on a plain ``Connection``.

The functions named ``…_within`` work in the transaction that is open; the others begin short ones and commit them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..._sql.dialects import insert_absent
from ..._sql.tables import GROUP_BYTES, MESSAGE_ID_BYTES, Tables, create_all, fit
from .records import Busy, Claimed, Done, First, Mark, Record, Running, claimed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

OWNER_BYTES = 64

#: Times a claim goes round again when others change the row between its steps. Then it is busy, as it must be.
ROUNDS = 8

#: Milliseconds since 1970 by the database: when it is asked, not when its transaction began.
_NOW = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000",
}
_NOW["mariadb"] = _NOW["mysql"]


def install(connection: Connection, tables: Tables) -> None:
    """Creates our tables where they are missing."""
    with connection.begin():
        create_all(connection, tables)


def claim(connection: Connection, tables: Tables, mark: Mark) -> Claimed:
    """See ``PlainStore.claim``."""
    for _ in range(ROUNDS):
        with connection.begin():
            now = _now(connection)
            if insert_absent(connection, tables.guard, [_running(mark, now, now)])[0]:
                return First(now)
        with connection.begin():
            record = _read(connection, tables, mark.namespace, mark.key)
            now = _now(connection)
        if record is None:
            continue  # it was cleared in between
        verdict = claimed(record, mark.owner, now)
        if not isinstance(verdict, First):
            return verdict
        with connection.begin():
            if _swap(connection, tables, record, mark, _running(mark, now, verdict.began_ms)):
                return verdict
    return Busy(0)


def claim_within(connection: Connection, tables: Tables, mark: Mark) -> Claimed:
    """As ``claim``, in the open transaction, which holds the row from here on. Waits for another that holds it."""
    for _ in range(ROUNDS):
        now = _now(connection)
        if insert_absent(connection, tables.guard, [_running(mark, now, now)])[0]:
            return First(now)
        # Locked, so that it is read as it is: under REPEATABLE READ a plain look would show what was before we waited.
        record = _read(connection, tables, mark.namespace, mark.key, lock=True)
        if record is None:
            continue
        now = _now(connection)
        verdict = claimed(record, mark.owner, now)
        if not isinstance(verdict, First) or _swap(connection, tables, record, mark,
                                                   _running(mark, now, verdict.began_ms)):
            return verdict
    return Busy(0)


def renew(connection: Connection, tables: Tables, mark: Mark) -> bool:
    """See ``PlainStore.renew``."""
    until = _now_of(connection) + mark.lease_ms
    with connection.begin():
        return _count(connection, sa.update(tables.guard).where(*_mine(tables, mark)).values(until_ms=until)) == 1


def finish(connection: Connection, tables: Tables, mark: Mark, result: bytes) -> bool:
    """See ``PlainStore.finish``."""
    with connection.begin():
        return finish_within(connection, tables, mark, result)


def finish_within(connection: Connection, tables: Tables, mark: Mark, result: bytes) -> bool:
    """See ``PlainStore.finish``."""
    now = _now(connection)
    done = {"state": "done", "result": result, "done_ms": now, "until_ms": now + mark.retention_ms}
    if _count(connection, sa.update(tables.guard).where(*_mine(tables, mark)).values(done)) == 1:
        return True
    record = _read(connection, tables, mark.namespace, mark.key)
    if record is None:  # the mark is gone, but the effect is in
        return insert_absent(connection, tables.guard, [{**_running(mark, now, now), **done}])[0]
    return isinstance(record, Done) and record.owner == fit(mark.owner, OWNER_BYTES)  # it was asked before


def clear(connection: Connection, tables: Tables, mark: Mark) -> bool:
    """See ``PlainStore.clear``."""
    with connection.begin():
        return _count(connection, sa.delete(tables.guard).where(*_mine(tables, mark))) == 1


def look(connection: Connection, tables: Tables, namespace: str, key: str) -> Record | None:
    """See ``PlainStore.look``."""
    with connection.begin():
        return look_within(connection, tables, namespace, key)


def look_within(connection: Connection, tables: Tables, namespace: str, key: str) -> Record | None:
    """See ``PlainStore.look``."""
    record = _read(connection, tables, namespace, key)
    return None if isinstance(record, Done) and record.until_ms <= _now(connection) else record


def prune(connection: Connection, tables: Tables, namespace: str, retention_ms: int, limit: int) -> int:
    """See ``PlainStore.prune``.

    The index goes by the time of ending; ``until_ms`` is looked at besides, in case another guard of this namespace
    promised to keep its records longer.
    """
    guard = tables.guard
    with connection.begin():
        now = _now(connection)
        old = now - retention_ms
        mine = guard.c.namespace == fit(namespace, GROUP_BYTES)
        ended = sa.and_(guard.c.done_ms <= old, guard.c.until_ms <= now)
        left = sa.and_(guard.c.done_ms.is_(None), guard.c.until_ms <= old)
        keys: list[str] = []
        for which in (ended, left):  # two looks, each along the index; first looked up: MySQL takes no LIMIT inside IN
            found = sa.select(guard.c.guarded).where(mine, which).limit(limit - len(keys))
            keys += connection.execute(found).scalars()
        if not keys:
            return 0
        return _count(connection, sa.delete(guard).where(mine, guard.c.guarded.in_(keys), sa.or_(ended, left)))


def _running(mark: Mark, now: int, began: int) -> dict[str, Any]:
    return {"namespace": fit(mark.namespace, GROUP_BYTES), "guarded": fit(mark.key, MESSAGE_ID_BYTES),
            "state": "running", "owner": fit(mark.owner, OWNER_BYTES), "began_ms": began,
            "until_ms": now + mark.lease_ms, "done_ms": None, "result": None}


def _of(tables: Tables, namespace: str, key: str) -> tuple[sa.ColumnElement[bool], ...]:
    guard = tables.guard
    return guard.c.namespace == fit(namespace, GROUP_BYTES), guard.c.guarded == fit(key, MESSAGE_ID_BYTES)


def _mine(tables: Tables, mark: Mark) -> tuple[sa.ColumnElement[bool], ...]:
    guard = tables.guard
    # guard: only the owner renews, finishes and clears
    return (*_of(tables, mark.namespace, mark.key), guard.c.state == "running",
            guard.c.owner == fit(mark.owner, OWNER_BYTES))


def _read(connection: Connection, tables: Tables, namespace: str, key: str, *, lock: bool = False) -> Record | None:
    guard = tables.guard
    query = sa.select(guard.c.state, guard.c.owner, guard.c.began_ms, guard.c.until_ms, guard.c.result)
    query = query.where(*_of(tables, namespace, key))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    if row.state == "done":
        return Done(row.owner, bytes(row.result or b""), row.until_ms)
    return Running(row.owner, row.until_ms, row.began_ms)


def _swap(connection: Connection, tables: Tables, seen: Record, mark: Mark, row: dict[str, Any]) -> bool:
    """Writes the row if it is still as it was seen; False when somebody was quicker."""
    guard = tables.guard
    # guard: of two who take over, one does
    as_seen = guard.c.owner == fit(seen.owner, OWNER_BYTES), guard.c.until_ms == seen.until_ms
    return _count(connection, sa.update(guard).where(*_of(tables, mark.namespace, mark.key), *as_seen).values(row)) == 1


def _now_of(connection: Connection) -> sa.ColumnElement[int]:
    return sa.literal_column(_NOW[connection.dialect.name], sa.BigInteger)


def _now(connection: Connection) -> int:
    return int(connection.execute(sa.select(_now_of(connection))).scalar_one())


def _count(connection: Connection, statement: Any) -> int:
    return connection.execute(statement).rowcount
