# SPDX-License-Identifier: Apache-2.0
"""The quick way: DuckDB reads what counting has proven, and the exact pass reads the rest.

::

    file ─▶ counted ─┬─ every line fits ─▶ DuckDB reads the file itself           (at once: most files are clean)
                     └─ some do not ─▶ those that fit, in segments ─▶ DuckDB
                                       those that do not ─▶ the exact pass

What DuckDB found no value in is in doubt as well. It does not say where a row stood, and with several threads it does
not keep their order either; so a segment with such a row is taken back as a whole, and all of its lines go through the
exact pass. The answer is that of the exact pass in every case, and only the time is another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from ..formats import Bad, Part
from ..formats.part import Lines
from .exact import one_line
from .source import Source
from .stretches import Weight, stretches

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Timed = Callable[[str], AbstractContextManager[None]]
#: Bytes of a segment, and how many segments DuckDB is given at once.
SEGMENT, AT_ONCE = 4 << 20, 8
#: Bytes of the smallest piece of a segment: what goes through the exact pass for one line that DuckDB cannot read.
SMALLEST = 32 << 10


class Form(Protocol):
    """Knows lines by counting."""

    def fits_all(self, stretch: bytes) -> bool:
        """Whether every line fits, if DuckDB finds a value for everything."""

    def each(self, lines: list[bytes]) -> list[bool]:
        """The same of some lines, without their line feeds."""

    def weight(self, stretch: bytes) -> tuple[int, int]:
        """The keys and the objects of lines that fit, as far as the shape does not say it."""


class Read(Protocol):
    """Has DuckDB read a format's files into the table ``span``."""

    def __call__(self, cursor: DuckDBPyConnection, paths: list[str],
                 expected: Callable[[], Mapping[str, Weight] | None]) -> tuple[int, list[str]]:
        """How many spans there are, and the files with rows in doubt. expected: asked when they were read; nothing is
        to be kept when it has nothing to say. Raises duckdb.Error.
        """


class Way(msgspec.Struct, frozen=True):
    """How DuckDB reads a format's lines. form: knows the lines. reader: of the exact pass.

    longest: bytes of the longest line that DuckDB takes. direct: whether it can read the file itself, within its
    memory, when there are nothing but such lines.
    """

    read: Read
    form: Form
    reader: Lines
    longest: int
    direct: bool = True


class Line(msgspec.Struct, frozen=True):
    """A line that stands apart: it is blank or in doubt."""

    offset: int
    text: bytes
    length: int
    number: int


def _weight(text: bytes, form: Form) -> Weight:
    return Weight(text.count(b"\n"), *form.weight(text))


class Piece(msgspec.Struct):
    """Lines that fit, in a file of their own. gone: DuckDB could not read them all. pieces: what it was cut into
    then.
    """

    path: Path
    weight: Weight = Weight()
    gone: bool = False
    pieces: list[Piece] = []

    def cut(self, form: Form) -> list[Piece]:
        """Makes smaller files of it; none when it is small."""
        texts = list(stretches([self.path.read_bytes()], SMALLEST))
        if len(texts) > 1:
            self.pieces = [Piece(self.path.with_name(f"{self.path.name}-{n}"), _weight(text, form), pieces=[])
                           for n, text in enumerate(texts)]
            for piece, text in zip(self.pieces, texts, strict=True):
                piece.path.write_bytes(text)
        return self.pieces

    def leaves(self) -> Iterator[Piece]:
        """What it consists of, in order."""
        if not self.pieces:
            yield self
        for piece in self.pieces:
            yield from piece.leaves()

    def remove(self) -> None:
        """Its files."""
        self.path.unlink()
        for piece in self.pieces:
            piece.remove()


class Segment(msgspec.Struct):
    """Some lines of a file. fitting: those that fit. apart: the others. length: bytes of all."""

    fitting: Piece
    offset: int
    number: int
    length: int = 0
    apart: list[Line] = []


class Loader:
    """Has DuckDB read files into the table ``span``, each time all of them or nothing. spans: how many it has read."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._cursor = connection.cursor()
        self._over = threading.Event()
        self.spans = 0

    def load(self, way: Way, paths: list[str], expected: Callable[[], Mapping[str, Weight] | None]) -> list[str]:
        """Gives the files with rows in doubt, and has loaded nothing then. expected: as in Read."""
        import duckdb

        try:
            self._cursor.begin()
            spans, doubtful = way.read(self._cursor, paths, expected)
            if not doubtful:
                self._cursor.commit()
                self.spans += spans
                return []
        except duckdb.Error:  # interrupted, a line too long, whatever it was: the exact pass says what is wrong
            doubtful = paths
        finally:
            self._over.set()
        with suppress(duckdb.Error):  # some errors end the transaction themselves
            self._cursor.rollback()  # guard: what is in doubt is not kept
        return doubtful

    def stop(self) -> None:
        """Ends a load that goes on in another thread. Asked again, since one that has not begun does not hear it."""
        while not self._over.wait(0.001):
            self._cursor.interrupt()


def direct(loader: Loader, path: str, way: Way, timed: Timed) -> tuple[int, int] | None:
    """Has DuckDB read a clean file. Gives its lines and bytes; nothing when it is not clean, and has loaded nothing
    then.
    """
    with ThreadPoolExecutor(1) as threads:
        counting: Future[tuple[Weight, int] | None] = Future()

        def expected() -> Mapping[str, Weight] | None:
            counted = counting.result()
            return {path: counted[0]} if counted else None

        loading = threads.submit(loader.load, way, [path], expected)
        try:
            counting.set_result(_counted(Source(path), way, timed))
        except BaseException as error:
            counting.set_exception(error)
            loader.stop()
            raise
        counted = counting.result()
        if counted is None:
            loader.stop()
        with timed("duckdb"):
            return None if loading.result() or counted is None else (counted[0].lines, counted[1])


def _counted(source: Source, way: Way, timed: Timed) -> tuple[Weight, int] | None:
    weight, size = Weight(), 0
    with timed("count"):
        for text in stretches(source.chunks()):
            if not text.endswith(b"\n") or not way.form.fits_all(text) or source.compression:
                return None
            weight += _weight(text, way.form)
            size += len(text)
    return (weight, size) if size else None


class Segments:
    """Reads a source in segments. sure: how many lines DuckDB has read."""

    def __init__(self, loader: Loader, source: Source, way: Way, folder: Path, timed: Timed) -> None:
        self._loader, self._source, self._way, self._folder, self._timed = loader, source, way, folder, timed
        self.sure = self.sure_bytes = 0

    def parts(self) -> Iterator[Part | Bad]:
        """What the exact pass finds where it is needed, in order. What DuckDB has read is in the table, and in
        ``sure``.
        """
        waiting: tuple[list[Segment], Future[None]] | None = None
        with ThreadPoolExecutor(1) as threads:
            for batch in self._batches():
                loading = threads.submit(self._load, batch)
                if waiting:
                    yield from self._finished(*waiting)
                waiting = batch, loading
            if waiting:
                yield from self._finished(*waiting)

    def _load(self, batch: list[Segment]) -> None:
        """Loads what can be loaded; what cannot is cut smaller, and marked in the end."""
        pieces = {str(one.fitting.path): one.fitting for one in batch if one.fitting.weight.lines}

        def expected() -> Mapping[str, Weight]:
            return {path: piece.weight for path, piece in pieces.items()}

        with self._timed("duckdb"):
            while pieces and (doubtful := self._loader.load(self._way, list(pieces), expected)):
                for path in doubtful:
                    piece = pieces.pop(path)
                    piece.gone = not piece.cut(self._way.form)
                    pieces |= {str(smaller.path): smaller for smaller in piece.pieces}

    def _finished(self, batch: list[Segment], loading: Future[None]) -> Iterator[Part | Bad]:
        loading.result()
        for one in batch:
            leaves = list(one.fitting.leaves())
            if any(leaf.gone for leaf in leaves):
                yield from map(self._read, self._in_doubt(one, leaves))
            else:
                self._keep(one.fitting.weight.lines, one.length - sum(line.length for line in one.apart))
                yield from map(self._read, one.apart)
            one.fitting.remove()

    def _keep(self, lines: int, size: int) -> None:
        self.sure += lines
        self.sure_bytes += size

    def _in_doubt(self, one: Segment, leaves: list[Piece]) -> Iterator[Line]:
        """The lines of what is gone and those that stand apart, in order."""
        apart = deque(one.apart)
        offset, number = one.offset, one.number
        for leaf in leaves:
            for text in leaf.path.read_bytes().split(b"\n")[:-1]:
                while apart and apart[0].offset == offset:
                    offset, number = offset + apart[0].length, number + 1
                    yield apart.popleft()
                if leaf.gone:
                    yield Line(offset, text, len(text) + 1, number)
                else:
                    self._keep(1, len(text) + 1)
                offset, number = offset + len(text) + 1, number + 1
        yield from apart

    def _batches(self) -> Iterator[list[Segment]]:
        batch: list[Segment] = []
        for segment in self._segments():
            batch.append(segment)
            if len(batch) == AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def _segments(self) -> Iterator[Segment]:
        offset, number, made = 0, 1, 0
        texts = stretches(self._source.chunks())
        text = next(texts, None)
        while text is not None:
            one = Segment(Piece(self._folder / f"segment-{made}", pieces=[]), offset, number, apart=[])
            with one.fitting.path.open("wb", buffering=0) as file, self._timed("count"):
                while text is not None and one.length < SEGMENT:
                    file.write(self._fitting(text, one, offset, number))
                    offset += len(text)
                    number += text.count(b"\n")
                    one.length = offset - one.offset
                    text = next(texts, None)
            made += 1
            yield one

    def _fitting(self, text: bytes, one: Segment, offset: int, number: int) -> bytes:
        """The lines that fit, with their ends; the others are put apart."""
        if text.endswith(b"\n") and offset and len(text) <= self._way.longest and self._way.form.fits_all(text):
            one.fitting.weight += _weight(text, self._way.form)
            return text
        fitting: list[bytes] = []
        *whole, rest = text.split(b"\n")
        fits = self._way.form.each(whole)
        lines = [line + b"\n" for line in whole]
        if rest:
            lines, whole, fits = [*lines, rest], [*whole, rest], [*fits, False]
        for line, said, is_known in zip(lines, whole, fits, strict=True):
            if offset and is_known and len(line) <= self._way.longest:
                fitting.append(line)
            else:
                one.apart.append(Line(offset, said, len(line), number))
            offset += len(line)
            number += 1
        text = b"".join(fitting)
        one.fitting.weight += _weight(text, self._way.form)
        return text

    def _read(self, line: Line) -> Part | Bad:
        """The exact pass over one line."""
        text = line.text + b"\n" if line.length > len(line.text) else line.text
        return one_line(self._source, self._way.reader, line.offset, text, line.number)
