# SPDX-License-Identifier: Apache-2.0
"""Dead lines in a table, ``holdfast_dead_line``, of PostgreSQL, MariaDB, MySQL or SQLite. Needs the extra ``sql``.

The table is among those of ``holdfast sql init``; ``open`` makes it where it is missing. A put is one transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from ..._base.typed import from_json
from ...errors import ConfigurationError, ServerUnreachable
from ..dead_lines import DeadChoice, DeadLine, DeadStock
from ..sink import SinkDown
from .lookup import the_one
from .merge import folded, merged

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..._sql import DatabaseSource, Tables

__all__ = ["SqlDeadLines"]

T = TypeVar("T")
#: Where the last row of a page stands.
_After = tuple[int, int, str]
_Lines = list[DeadLine]

#: Rows that are read, or looked for, in one statement.
_CHUNK: Final = 500


class SqlDeadLines:
    """Keeps dead lines in the database ``source`` (a URL, or an engine of yours). tables: our tables' names there."""

    def __init__(self, source: DatabaseSource, *, tables: Tables | None = None) -> None:
        from ..._sql import Database

        self.name = "sql"
        self._database = Database(source, tables=tables)
        self._table = self._database.tables.dead_line

    async def open(self) -> None:
        from ..._sql.tables import DatabaseError

        try:
            await self._stepped(lambda connection: self._table.create(connection, checkfirst=True))
        except DatabaseError as error:
            raise ConfigurationError(f"{self._table.name} cannot be made ({type(error.orig).__name__}): run `holdfast "
                                     "sql init` as a user who may make tables") from error

    async def put(self, lines: Sequence[DeadLine]) -> None:
        new = folded(lines)
        if new:
            await self._stepped(lambda connection: self._put(connection, new))

    def _put(self, connection: Connection, new: dict[str, DeadLine]) -> None:
        from ..._sql import insert_absent

        ids = sorted(new)  # in order: two that put some of the same do not lock one another out
        # Written first and read then: SQLite cannot write on a snapshot that it has read from and others have left.
        absent = insert_absent(connection, self._table, [_row(new[one]) for one in ids])
        there = [one for one, inserted in zip(ids, absent, strict=True) if not inserted]
        for begin in range(0, len(there), _CHUNK):
            part = there[begin:begin + _CHUNK]
            found = connection.execute(self._table.select().where(self._table.c.id.in_(part)).with_for_update())
            for old in [_line(row) for row in found]:
                now = merged(old, new[old.id])
                if now != old:
                    connection.execute(self._table.update().where(self._table.c.id == old.id).values(_row(now)))

    async def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        wanted = choice or DeadChoice()
        after: _After | None = (-1, -1, "")
        while after is not None:
            page, after = await self._stepped(partial(self._page, wanted, after), reads=True)
            for line in page:
                if wanted.takes(line):
                    yield line

    def _page(self, wanted: DeadChoice, after: _After, connection: Connection) -> tuple[_Lines, _After | None]:
        """Some rows behind ``after``, and the last one's place, None when there are no more."""
        c = self._table.c
        behind = (c.position > after[1]) | ((c.position == after[1]) & (c.id > after[2]))
        asked = self._table.select().where((c.first_ms > after[0]) | ((c.first_ms == after[0]) & behind))
        if wanted.reason:
            asked = asked.where(c.reason == wanted.reason[:128])
        if wanted.stage:
            asked = asked.where(c.stage == wanted.stage)
        if wanted.ids:
            asked = asked.where(c.id.in_(wanted.ids)) if len(wanted.ids) <= _CHUNK else asked
        rows = connection.execute(asked.order_by(c.first_ms, c.position, c.id).limit(_CHUNK)).all()
        last = (rows[-1].first_ms, rows[-1].position, rows[-1].id) if len(rows) == _CHUNK else None
        return [_line(row) for row in rows], last

    async def get(self, line_id: str) -> DeadLine:
        def got(connection: Connection) -> DeadLine:
            c = self._table.c
            # Not LIKE: a name is bytes on some databases, and `~` comes behind everything an id can hold.
            near = self._table.select().with_only_columns(c.id).where((c.id >= line_id) & (c.id < line_id + "~"))
            whole = the_one(line_id, [row.id for row in connection.execute(near.limit(9))])
            return _line(connection.execute(self._table.select().where(c.id == whole)).one())

        return await self._stepped(got, reads=True)

    async def remove(self, ids: Sequence[str]) -> int:
        def removed(connection: Connection) -> int:
            count = 0
            for begin in range(0, len(ids), _CHUNK):
                part = list(ids[begin:begin + _CHUNK])
                count += connection.execute(self._table.delete().where(self._table.c.id.in_(part))).rowcount
            return count

        return await self._stepped(removed) if ids else 0

    async def stock(self) -> DeadStock:
        def counted(connection: Connection) -> DeadStock:
            sums = "count(*), coalesce(sum(bytes), 0), coalesce(min(first_ms), 0)"
            asked = f"SELECT {sums} FROM {self._table.fullname}"  # noqa: S608 - names of ours
            count, size, oldest = connection.exec_driver_sql(asked).one()
            return DeadStock(count=int(count), bytes=int(size), oldest_ms=int(oldest))

        return await self._stepped(counted, reads=True)

    async def close(self) -> None:
        await self._database.close()

    async def _stepped(self, step: Callable[[Connection], T], *, reads: bool = False) -> T:
        from ..._sql.steps import stepped

        try:
            return await stepped(self._database, step, what="the database", reads=reads)
        except ServerUnreachable as error:
            raise SinkDown(f"the dead lines of {self._table.name}: {error}") from error


def _row(line: DeadLine) -> dict[str, Any]:
    text = msgspec.json.encode(replace(line, raw=b"")).decode()
    return {"id": line.id, "first_ms": line.first_ms, "last_ms": line.last_ms, "position": line.offset,
            "reason": line.reason[:128], "stage": line.stage, "bytes": len(line.raw) + len(text), "raw": line.raw,
            "line": text}


def _line(row: Any) -> DeadLine:
    return replace(from_json(row.line, DeadLine), raw=bytes(row.raw))
