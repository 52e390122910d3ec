# SPDX-License-Identifier: Apache-2.0
"""Records as Parquet files, one a source and batch, named by the range of bytes that it covers.

::

    folder/<source>-<first byte>-<last byte>.parquet      ready
    folder/.<pid>.<the same>.new                                being written; what a crash has left is removed later

A file is written beside its place, brought to disk and renamed, so whoever reads ``folder/*.parquet`` sees whole files.
A batch that comes again after a crash may be cut at other lines than before. So the ids in files whose ranges overlap
are read first, and only what is in none of them is written: twice is once, whatever the cut. (A record in the middle of
a range may be new too: it was a dead letter and is replayed.)
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..._base.durable import sync_folder
from ...errors import ConfigurationError
from ..record import Record
from ..sink import Refused, SinkDown
from .columns import checked
from .table_files import library, lists, rows_of, selected, types_of

__all__ = ["ParquetSink"]

_NAME: Final = re.compile(r"([0-9A-Za-z_.~]+)-(\d+)-(\d+)\.parquet")
_ODD: Final = re.compile(r"[^0-9A-Za-z_.]")
#: A file that was being written so long ago, in seconds, has lost its writer.
_LEFT_S: Final = 600.0
Range = tuple[int, int]


class ParquetSink:
    """Writes into ``folder``, which is made when it is not there. Needs the extra ``traces``.

    columns: fields that get a column of their own, and its kind: text, integer, float or boolean. A file is as large as
    a batch: larger batches make fewer files.
    """

    keeps_once = True

    def __init__(self, folder: Path | str, *, columns: Mapping[str, str] | None = None) -> None:
        self.name = "parquet"
        self._folder = Path(folder)
        self._columns = checked(columns or {})
        self._types = types_of(self._columns)
        self._duckdb = library("the sink parquet")
        self._engine: Any = None
        self._there: dict[str, set[Range]] = {}

    async def open(self) -> None:
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            raise ConfigurationError(f"{self._folder} cannot be written to: {error.strerror or error}") from error

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(".*.parquet.new"):
            if time.time() - path.stat().st_mtime > _LEFT_S:  # a replay beside the pipeline may be writing
                path.unlink()
        self._there = {}
        for path in self._folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                self._there.setdefault(match[1], set()).add((int(match[2]), int(match[3])))
        self._engine = self._duckdb.connect(config={"threads": 1})

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        rows, refused = rows_of(batch, self._columns)
        sources: dict[str, list[tuple[Record, list[Any]]]] = {}
        for index, row in rows:
            sources.setdefault(_file_word(batch[index].line.source.id), []).append((batch[index], row))
        try:
            for word, found in sources.items():
                await asyncio.to_thread(self._write, word, found)
        except (OSError, self._duckdb.Error) as error:
            raise SinkDown(f"{self._folder} cannot be written to: {str(error).partition(chr(10))[0]}") from error
        return refused

    def _write(self, word: str, found: list[tuple[Record, list[Any]]]) -> None:
        known = self._ids(word, _range(record for record, _ in found))
        rows, kept = [], []
        for record, row in sorted(found, key=lambda pair: pair[0].line.offset):
            if record.id not in known:  # guard: what lies in an earlier file is not written again
                known.add(record.id)
                rows.append(row)
                kept.append(record)
        if rows:
            begin, end = _range(kept)
            self._make(f"{word}-{begin}-{end}.parquet", rows)
            self._there.setdefault(word, set()).add((begin, end))

    def _ids(self, word: str, asked: Range) -> set[str]:
        """Ids in the files whose ranges overlap."""
        known: set[str] = set()
        for begin, end in self._there.get(word, ()):
            if begin < asked[1] and asked[0] < end:
                path = self._folder / f"{word}-{begin}-{end}.parquet"
                known |= {row[0] for row in self._engine.execute("SELECT id FROM read_parquet(?)", [str(path)]
                                                                 ).fetchall()}
        return known

    def _make(self, name: str, rows: list[list[Any]]) -> None:
        spare, path = self._folder / f".{os.getpid()}.{name}.new", self._folder / name
        place = str(spare).replace("'", "''")
        self._engine.execute(f"COPY ({selected(self._types)}) TO '{place}' (FORMAT parquet, COMPRESSION zstd)",
                             lists(rows))
        with spare.open("rb+") as file:
            os.fsync(file.fileno())
        spare.replace(path)  # guard: whole, or not there
        sync_folder(path)

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _range(records: Iterable[Record]) -> Range:
    lines = [record.line for record in records]
    return min(line.offset for line in lines), max(line.end for line in lines)


def _file_word(source_id: str) -> str:
    """The source as part of a file name; ids of odd characters stay apart by what they are written as."""
    return _ODD.sub(lambda match: f"~{ord(match[0]):x}~", source_id) or "~"
