# SPDX-License-Identifier: Apache-2.0
"""Records in a DuckDB database file: a table whose key is the record's id, so that a batch twice is there once.

DuckDB has one process with a file open for writing. Whoever wants to look at it meanwhile takes ``parquet``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ..record import Record
from ..sink import Refused, SinkDown
from .columns import checked, checked_name
from .table_files import library, lists, rows_of, selected, types_of

__all__ = ["DuckDbSink"]


class DuckDbSink:
    """Inserts into ``table`` of the file ``path``; both are made when they are not there. Needs the extra ``traces``.

    columns: fields that get a column of their own, and its kind: text, integer, float or boolean.
    """

    keeps_once = True

    def __init__(self, path: Path | str, *, table: str = "log", columns: Mapping[str, str] | None = None) -> None:
        self.name = "duckdb"
        self._path = Path(path)
        self._table = checked_name(table, "table")
        self._columns = checked(columns or {})
        self._types = types_of(self._columns)
        self._duckdb = library("the sink duckdb")
        self._connection: Any = None

    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        made = ", ".join(f'"{name}" {kind}' + (" PRIMARY KEY" if name == "id" else "")
                         for name, kind in self._types.items())
        try:
            self._connection = self._duckdb.connect(str(self._path))
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} ({made})")
            there = {row[0]: row[1] for row in self._connection.execute(f"DESCRIBE {self._table}").fetchall()}
        except self._duckdb.Error as error:
            if "lock" in str(error):
                raise SinkDown(f"{self._path} cannot be opened: another process has it") from error
            raise ConfigurationError(f"{self._path} is no database that can be written to: {_first_line(error)}"
                                     ) from error
        if there != self._types:
            raise ConfigurationError(f"{self._path}: table {self._table} has other columns than are asked for: "
                                     f"{_difference(there, self._types)}. Name another table, or alter this one")

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        rows, refused = rows_of(batch, self._columns)
        if rows:
            try:
                await asyncio.to_thread(self._insert, [row for _, row in rows])
            except self._duckdb.Error as error:
                raise SinkDown(f"{self._path} cannot be written to: {_first_line(error)}") from error
        return refused

    def _insert(self, rows: list[list[Any]]) -> None:
        # guard: by id, so that twice is once
        self._connection.execute(f"INSERT OR IGNORE INTO {self._table} {selected(self._types)}", lists(rows))

    async def close(self) -> None:
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)
            self._connection = None


def _difference(there: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    odd = [name for name in {**there, **wanted} if there.get(name) != wanted.get(name)]
    return ", ".join(f"{name} {there.get(name, 'missing')} instead of {wanted.get(name, 'none')}" for name in odd)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
