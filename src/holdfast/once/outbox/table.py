# SPDX-License-Identifier: Apache-2.0
"""The table of the outbox, as its relay sees it: plain functions of a ``Connection``, whose transaction stays open.

Numbers are given when a row is written and become visible when its transaction commits, so a lower one may appear after
a higher one has been relayed. Nothing here asks for "numbers above the last": the table holds what is still to be done,
and all of it is looked at.

Row -1 is no message: it holds the outbox's own name, a random one made by the first relay. What a relay remembers in
Redis is remembered under that name. Derived names lost: a host has aliases, a server's id changes with a failover, and
two services whose databases are both called "app" would have been one outbox. This one moves with the data.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from ..._sql.dialects import insert_absent

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..._sql.tables import Tables

#: Number of the row that names the outbox. The database gives positive ones.
NAME_ROW = -1


class Row(NamedTuple):
    """A message that waits. ``fields`` are netstrings; ``key`` is None without one."""

    number: int
    stream: str
    message_id: str
    key: bytes | None
    fields: bytes
    written_ms: int

    @property
    def mark(self) -> str:
        """What it is remembered by once it is in its stream. The id is part of it: numbers begin anew in a table that
        somebody truncated, or after a restore."""
        return f"{self.number}:{self.message_id}"

    @property
    def place_by(self) -> str:
        """What chooses its partition: the key, or else the id. Taking turns would lead a second attempt elsewhere."""
        return self.message_id if self.key is None else self.key.decode()  # guard: the same place each time


class Waiting(NamedTuple):
    """Rows of one stream that wait. ``bytes``: of their entries. ``oldest_ms``: wall ms at which the oldest was
    written."""

    stream: str
    rows: int
    bytes: int
    oldest_ms: int


def number_of(mark: str) -> int:
    """The row that a mark speaks of."""
    return int(mark.partition(":")[0])


def identify(connection: Connection, tables: Tables, now_ms: int) -> str:
    """The outbox's own name, made now if it has none. Of two relays that make one, both get the same."""
    row = {"number": NAME_ROW, "stream": "", "message_id": uuid4().hex, "msg_key": None, "fields": b"",
           "written_ms": now_ms}
    insert_absent(connection, tables.outbox, [row])
    t = tables.outbox.c
    return str(connection.execute(sa.select(t.message_id).where(t.number == NAME_ROW)).scalar_one())


def read(connection: Connection, tables: Tables, *, limit: int, without: Collection[str] = ()
         ) -> tuple[str | None, list[Row]]:
    """The outbox's name (None: it has lost it) and the ``limit`` lowest rows, but for those of streams in
    ``without``."""
    t = tables.outbox.c
    query = sa.select(t.number, t.stream, t.message_id, t.msg_key, t.fields, t.written_ms)
    if without:
        query = query.where(t.stream.not_in(list(without)))
    rows = [Row(*found) for found in connection.execute(query.order_by(t.number).limit(limit + 1))]
    if rows and rows[0].number == NAME_ROW:
        return rows[0].message_id, rows[1:]
    return None, rows[:limit]


def present(connection: Connection, tables: Tables, numbers: Sequence[int]) -> set[int]:
    """Which of the rows are in the table."""
    t = tables.outbox.c
    return set(connection.execute(sa.select(t.number).where(t.number.in_(numbers))).scalars())


def delete(connection: Connection, tables: Tables, numbers: Sequence[int]) -> None:
    """Removes rows that are in their streams. One that is gone already does no harm."""
    connection.execute(sa.delete(tables.outbox).where(tables.outbox.c.number.in_(numbers)))


def backlog(connection: Connection, tables: Tables) -> tuple[int, int | None]:
    """How many rows wait, and when the oldest was written. Reads the whole table."""
    t = tables.outbox.c
    count, oldest_ms = connection.execute(
        sa.select(sa.func.count(), sa.func.min(t.written_ms)).where(t.number > NAME_ROW)).one()
    return count, oldest_ms


def by_stream(connection: Connection, tables: Tables) -> list[Waiting]:
    """What waits, a line a stream, the longest-waiting first. Reads the whole table."""
    t = tables.outbox.c
    oldest = sa.func.min(t.written_ms)
    query = sa.select(t.stream, sa.func.count(), sa.func.sum(sa.func.length(t.fields)), oldest)
    rows = connection.execute(query.where(t.number > NAME_ROW).group_by(t.stream).order_by(oldest, t.stream))
    return [Waiting(stream, count, int(size), oldest_ms) for stream, count, size, oldest_ms in rows]
