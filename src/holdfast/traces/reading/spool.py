# SPDX-License-Identifier: Apache-2.0
"""Spans on their way into a table: as JSON lines in a file, which DuckDB reads faster than it takes rows one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from ..span import Span

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: The table's columns: Span's fields, in their order.
COLUMNS = {
    "trace_id": "VARCHAR", "span_id": "VARCHAR", "parent_id": "VARCHAR", "service": "VARCHAR", "operation": "VARCHAR",
    "start_ns": "BIGINT", "end_ns": "BIGINT", "kind": "VARCHAR", "error": "BOOLEAN", "host": "VARCHAR",
    "follows": "BOOLEAN", "attributes": "VARCHAR"}
#: Attributes as DuckDB writes JSON, so that the same are equal however they were read.
_SELECTED = [*[*COLUMNS][:-1], "CASE WHEN attributes = '' THEN '' ELSE CAST(json(attributes) AS VARCHAR) END"]
#: Bytes that are written before they are loaded: what the disk holds of spans that are on their way.
FULL = 64 << 20
_BATCH = 4_096
#: The longest line that DuckDB makes room for by itself: each of its threads takes twice as much.
_USUAL = 4 << 20


class Spool:
    """Takes spans and puts them into the table ``span``, the last ones when it is left."""

    def __init__(self, connection: DuckDBPyConnection, folder: Path,
                 timed: Callable[[str], AbstractContextManager[None]]) -> None:
        self._connection = connection
        self._path = folder / "spool.jsonl"
        self._timed = timed
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[Span] = []
        self._size = 0
        self._longest = 0

    def add(self, spans: list[Span]) -> None:
        """These too."""
        self._waiting += spans
        if len(self._waiting) >= _BATCH:
            self._write()

    def __enter__(self) -> Self:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._file:
            if kind is None:
                self._write()
                self._load()
        self._path.unlink()

    def _write(self) -> None:
        written = self._encoder.encode_lines(self._waiting)
        if len(written) > _USUAL:
            self._longest = max(self._longest, *(len(self._encoder.encode(span)) for span in self._waiting))
        self._file.write(written)
        self._size += len(written)
        self._waiting.clear()
        if self._size >= FULL:
            self._load()

    def _load(self) -> None:
        if not self._size:
            return
        with self._timed("load"), room_for(self._connection, self._longest):
            size = max(_USUAL, self._longest + 1)
            self._connection.execute(
                f"INSERT INTO span SELECT {', '.join(_SELECTED)} "  # noqa: S608
                f"FROM read_json(?, format='newline_delimited', "
                f"records=true, columns={COLUMNS}, maximum_object_size={size})", [str(self._path)])
        self._file.seek(0)
        self._file.truncate()
        self._size = self._longest = 0


@contextmanager
def room_for(connection: DuckDBPyConnection, longest: int) -> Iterator[None]:
    """More memory, while lines are read for whose length the limit is too small: a line is in memory several times."""
    (limit, threads), = connection.execute(
        "SELECT current_setting('memory_limit'), current_setting('threads')").fetchall()
    if longest <= _USUAL:
        yield
        return
    connection.execute("SET threads = 1")
    connection.execute(f"SET memory_limit = '{256 + (longest * 8 >> 20)}MiB'")
    try:
        yield
    finally:
        connection.execute(f"SET memory_limit = '{limit}'")
        connection.execute(f"SET threads = {threads}")
