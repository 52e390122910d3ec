# SPDX-License-Identifier: Apache-2.0
"""Spans in a table that SQL can ask: files of any size, in bounded memory.

::

    with SpanTable.read(["spans.jsonl.gz"]) as table:
        table.query("SELECT service, count(*) FROM span GROUP BY service")
        for trace in table.traces():
            ...

The table ``span`` has the fields of Span as its columns, and nothing is NULL there: what nobody said is an empty text.
It lies in a DuckDB of its own in a temporary folder, and goes to disk when memory ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import astuple

from .._base.typed import json_decoder
from ..errors import ConfigurationError, MissingExtra
from .assemble import Trace, assembled
from .formats import Bad, Part
from .reading.exact import beginning, parts
from .reading.plans import SMALL, is_plain, way_of
from .reading.quick import Loader, Segments, direct
from .reading.source import Source
from .reading.spool import COLUMNS, Spool
from .span import Span

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Bad records that are kept in memory; all of them are in a file beside the table.
BAD_KEPT = 1_000
#: As ``small``: nothing goes the quick way.
NEVER = 1 << 30
#: The least memory for DuckDB, and what each of its threads needs: to read JSON, one takes 32 MB at once.
LEAST_MB, THREAD_MB = 128, 64
_ROWS = 10_000


@dataclass(slots=True)
class Counts:
    """What was found. lines = ok + bad + blank; in a document a span counts as a line. bytes: without compression.

    quick: how many of the lines DuckDB has read.
    """

    lines: int = 0
    ok: int = 0
    bad: int = 0
    blank: int = 0
    spans: int = 0
    bytes: int = 0
    quick: int = 0


@dataclass(slots=True)
class SpanTable:
    """Made by ``read`` or ``of``. To be closed, or used in a ``with``; its folder goes with it.

    bad: the first BAD_KEPT of what could not be read; ``all_bad`` has all. profile: seconds by stage.
    """

    connection: DuckDBPyConnection
    folder: Path
    counts: Counts = field(default_factory=Counts)
    bad: list[Bad] = field(default_factory=list)
    profile: dict[str, float] = field(default_factory=dict)
    small: int = SMALL
    memory_mb: int = 256

    @classmethod
    def read(cls, paths: str | Sequence[str], format: str | None = None, *, columns: Mapping[str, str] | None = None,
             memory_mb: int = 256, threads: int | None = None, small: int = SMALL) -> SpanTable:
        """The spans of files, one after another. paths, format, columns: as in ``reading.read``.

        memory_mb: of DuckDB, 128 at least; with less it goes to disk earlier. threads: as many as there are cores by
        default, but no more than the memory is enough for, 64 MB each. small: bytes below which a file is read the
        exact way at once; NEVER: all of them are. Raises ConfigurationError, and MissingExtra without DuckDB.
        """
        table = cls._made(memory_mb, threads)
        table.small = small
        try:
            for path in [paths] if isinstance(paths, str) else paths:
                table.add(Source(path), format, columns)
        except BaseException:
            table.close()
            raise
        return table

    @classmethod
    def of(cls, spans: Iterable[Span], *, memory_mb: int = 256, threads: int | None = None) -> SpanTable:
        """These spans. Raises MissingExtra without DuckDB."""
        table = cls._made(memory_mb, threads)
        with table.spool() as spool:
            for span in spans:
                spool.add([span])
                table.counts.lines += 1
        table.counts.ok = table.counts.spans = table.counts.lines
        return table

    @classmethod
    def _made(cls, memory_mb: int, threads: int | None) -> SpanTable:
        duckdb = require_duckdb()
        if memory_mb < LEAST_MB:
            raise ConfigurationError(f"a table of spans needs {LEAST_MB} MB of memory at least, not {memory_mb}")
        threads = max(1, min(threads or os.cpu_count() or 1, memory_mb // THREAD_MB))
        folder = Path(tempfile.mkdtemp(prefix="holdfast-spans-"))
        connection = duckdb.connect(config={"memory_limit": f"{memory_mb}MB", "threads": threads,
                                            "preserve_insertion_order": False,
                                            "temp_directory": str(folder / "spilled")})
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"CREATE TABLE span ({columns})")
        return cls(connection, folder, memory_mb=memory_mb)

    def query(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of an answer, all of them in memory. params: for the ``?`` in it."""
        return self.connection.cursor().execute(sql, list(params)).fetchall()

    def traces(self) -> Iterator[Trace]:
        """Every trace, assembled, in the order of their ids. One trace at a time is in memory.

        The same spans give the same traces, whatever files they stood in and in whatever order.
        """
        found: list[Span] = []
        for first, last in self._ranges():
            cursor = self.connection.cursor()
            cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM span WHERE trace_id BETWEEN ? AND ?"  # noqa: S608
                           + (" ORDER BY trace_id" if first != last else ""), [first, last])
            while rows := cursor.fetchmany(_ROWS):
                for row in rows:
                    if found and found[0].trace_id != row[0]:
                        yield _assembled(found)
                        found = []
                    found.append(Span(*row))
        if found:
            yield _assembled(found)

    def _ranges(self) -> list[tuple[str, str]]:
        """Ranges of trace ids, each of which can be sorted in memory; a trace that cannot has one of its own."""
        at_once = self.memory_mb * (1 << 20) // 16
        return self.query(
            "SELECT min(trace_id), max(trace_id) FROM (SELECT trace_id, size > $1 AS large, "
            "(sum(size) OVER (ORDER BY trace_id) - size) // $1 AS part FROM (SELECT trace_id, "
            "sum(200 + strlen(operation) + strlen(attributes)) AS size FROM span GROUP BY trace_id)) "
            "GROUP BY part, CASE WHEN large THEN trace_id END ORDER BY 1", [at_once])

    def all_bad(self) -> Iterator[Bad]:
        """All that could not be read, from the file beside the table."""
        path = self.folder / "bad.jsonl"
        if path.exists():
            decoder = json_decoder(Bad)
            with path.open("rb") as file:
                for line in file:
                    yield decoder.decode(line)

    def close(self) -> None:
        """Ends the database and removes its folder. More than once is as good as once."""
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, source: Source, format: str | None = None, columns: Mapping[str, str] | None = None) -> None:
        """Another file's spans."""
        begins = beginning(source, format)
        way = None
        if (begins is not None and not begins.is_document and self.small < NEVER
                and len(source.head(self.small)) >= self.small):
            way = way_of(begins.module, begins.lines, columns)
        if way is None:
            with self._timed("exact"):
                self._take(parts(source, format, columns))
            return
        loader = Loader(self.connection)
        if way.direct and not source.is_stream and not source.compression and is_plain(source.name):
            counted = direct(loader, source.name, way, self._timed)
            if counted:
                self._sure(*counted, loader.spans)
                return
        segments = Segments(loader, source, way, self.folder, self._timed)
        self._take(segments.parts())
        self._sure(segments.sure, segments.sure_bytes, loader.spans)

    def _sure(self, lines: int, size: int, spans: int) -> None:
        counts = self.counts
        counts.lines += lines
        counts.quick += lines
        counts.ok += lines
        counts.spans += spans
        counts.bytes += size

    def _take(self, some: Iterable[Part | Bad]) -> None:
        counts = self.counts
        with self.spool() as spool, (self.folder / "bad.jsonl").open("ab") as bad:
            for found in some:
                counts.bytes += found.length
                if isinstance(found, Bad):
                    self._refused(found, bad.write)
                elif found.blank:
                    counts.blank += 1
                elif not found.between:
                    counts.ok += 1
                    counts.spans += len(found.spans)
                    spool.add(found.spans)
        counts.lines = counts.ok + counts.bad + counts.blank

    def _refused(self, found: Bad, write: Callable[[bytes], object]) -> None:
        self.counts.bad += 1
        if len(self.bad) < BAD_KEPT:
            self.bad.append(found)
        write(msgspec.json.encode(found) + b"\n")  # guard: what is not kept in memory is kept in a file

    def spool(self) -> Spool:
        """Takes spans one by one."""
        return Spool(self.connection, self.folder, self._timed)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.profile[stage] = self.profile.get(stage, 0.0) + time.perf_counter() - begun


def _assembled(found: list[Span]) -> Trace:
    """The trace of these spans. Where two have one id, the order of their contents says which is the first."""
    if len({span.span_id for span in found}) < len(found):
        found.sort(key=astuple)  # guard: which of two spans of one id stays does not depend on the order of files
    return assembled(found[0].trace_id, found)


def require_duckdb() -> Any:
    """The module ``duckdb``. Raises MissingExtra."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("traces", "a table of spans") from error
    return duckdb
