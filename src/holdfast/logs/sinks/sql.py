# SPDX-License-Identifier: Apache-2.0
"""Records in a table of PostgreSQL, MariaDB, MySQL or SQLite, whose key is the record's id: twice is once.

A batch is one transaction. The values are looked at before they are sent, so that one that no column takes is refused
by itself and does not undo its neighbours'. Where the database has rules of its own (a CHECK, a trigger), a batch that
breaks them is taken apart down to the rows that do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConfigurationError, ServerUnreachable
from ..record import Record
from ..sink import Refused, SinkDown
from .columns import checked, checked_name, values_of
from .document import encoded, fields_only, place_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..._sql import DatabaseSource

__all__ = ["SqlSink"]

#: Index in the batch, and the row.
_Row = tuple[int, dict[str, Any]]
#: PostgreSQL has no way of handing over lists of floats that insert-if-absent takes; they stand in ``fields``.
_KINDS: Final = ("text", "integer", "boolean")
#: Bytes of one record's fields; MariaDB and MySQL take 16 MiB at once unless they are told otherwise.
_FIELDS_MAX: Final = 8 << 20


class SqlSink:
    """Inserts into ``table`` of the database ``source`` (a URL, or an engine of yours), which is made when it is not
    there. Needs the extra ``sql``.

    columns: fields that get a column of their own, and its kind: text, integer or boolean.
    """

    keeps_once = True

    def __init__(self, source: DatabaseSource, *, table: str = "holdfast_log", columns: Mapping[str, str] | None = None
                 ) -> None:
        from ..._sql import Database
        from ..._sql.tables import fit, log_table

        self.name = "sql"
        self._columns = checked(columns or {}, _KINDS)
        self._table = log_table(checked_name(table, "table"), self._columns)
        self._fit = fit
        self._database = Database(source)

    async def open(self) -> None:
        from ..._sql.tables import DatabaseError

        def make(connection: Connection) -> list[str]:
            self._table.create(connection, checkfirst=True)
            asked = f"SELECT * FROM {self._table.fullname} WHERE 1 = 0"  # noqa: S608 - a name that was checked
            there = set(connection.exec_driver_sql(asked).keys())
            return [column.name for column in self._table.columns if column.name not in there]

        try:
            missing = await self._stepped(make)
        except DatabaseError as error:
            raise ConfigurationError(f"table {self._table.name}: the database refuses: {_said(error)}") from error
        if missing:
            raise ConfigurationError(f"table {self._table.name} has no column {', '.join(missing)}: name another table")

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        rows, refused = self._rows(batch)
        waiting = [rows] if rows else []
        while waiting:
            part = waiting.pop()
            why = await self._inserted(part)
            if why and len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
            elif why:
                refused.append(Refused(index=part[0][0], reason="row_refused", detail=why))
        return sorted(refused, key=lambda one: one.index)

    async def _inserted(self, part: Sequence[_Row]) -> str:
        """Empty, or what the database says against one of these rows."""
        from ..._sql import insert_absent
        from ..._sql.tables import DatabaseError, RowError

        def insert(connection: Connection) -> None:
            insert_absent(connection, self._table, [row for _, row in part])  # guard: by id, so that twice is once

        try:
            await self._stepped(insert)
        except DatabaseError as error:
            if isinstance(error, RowError) or _of_row(error):
                return _said(error)
            # guard: a right that is missing is nobody's dead letter
            raise SinkDown(f"table {self._table.name}: the database refuses: {_said(error)}") from error
        return ""

    async def _stepped(self, step: Any) -> Any:
        from ..._sql.steps import stepped

        try:
            return await stepped(self._database, step, what="the database")
        except ServerUnreachable as error:
            raise SinkDown(f"table {self._table.name}: {error}") from error

    def _rows(self, batch: Sequence[Record]) -> tuple[list[_Row], list[Refused]]:
        good, refused = encoded(batch, fields_only)
        rows: dict[str, _Row] = {}
        for index, record, body in good:
            try:
                more = values_of(record.fields, self._columns)
            except ValueError as error:
                refused.append(Refused(index=index, reason="column_type", detail=str(error)))
                continue
            if len(body) > _FIELDS_MAX:
                refused.append(Refused(index=index, reason="too_large",
                                       detail=f"{len(body)} bytes of fields, and a row may have {_FIELDS_MAX}"))
                continue
            line = record.line
            rows[record.id] = index, {"id": record.id, "time_ns": record.timestamp_ns, "source": place_of(record),
                                      "source_id": self._fit(line.source.id, 255), "position": line.offset,
                                      "length": line.length, "fields": body.decode(), **more}
        return [rows[key] for key in sorted(rows)], refused  # in order: two that share some do not lock one another out

    async def close(self) -> None:
        await self._database.close()


def _of_row(error: BaseException) -> bool:
    """SQLSTATE's classes 22 (data) and 23 (integrity). MariaDB's driver calls a broken CHECK operational."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", ""))[:2] in ("22", "23")


def _said(error: BaseException) -> str:
    """What is wrong, by its name and number alone: a database quotes the row in its words."""
    orig = getattr(error, "orig", None) or error
    number = getattr(orig, "sqlstate", None) or getattr(orig, "sqlite_errorname", None) or next(
        (one for one in orig.args[:1] if isinstance(one, int)), "")
    return f"{type(orig).__name__} {number}".rstrip()
