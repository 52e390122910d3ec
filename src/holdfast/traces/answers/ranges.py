# SPDX-License-Identifier: Apache-2.0
"""A file's lines counted by operation: many at once where that is known to be right, one by one where not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..formats import Bad, Part
from ..formats.part import Lines
from ..reading.covered import Stencils
from ..reading.exact import cut, one_line
from ..reading.source import Source
from ..reading.stretches import stretches
from ..reading.typed import Typed
from .tally import Columns, Counter, Sums

#: Bytes that are decoded at once: so much fits into a core's cache together with what becomes of it, and is no mapping
#: of its own in memory.
STRETCH = 120 << 10
#: Bytes that are laid under stencils at once, and the least of them.
PAGE, _PAGE = 1024 << 10, 4 << 10
#: Bytes that are looked through first for a line's end.
_AHEAD = 4 << 10
#: Bad lines that are kept of one range.
BAD_KEPT = 1_000


class Ways(NamedTuple):
    """How a file's lines are read: many at once by decoding them, and without, as far as there is such a way; one by
    one."""

    typed: Typed
    stencils: Stencils | None
    reader: Lines

    @property
    def at_once(self) -> int:
        """Bytes of lines that are best read at once."""
        return STRETCH if self.stencils is None else PAGE


class Range(msgspec.Struct, frozen=True):
    """Lines of a file that begin in [start, end)."""

    path: str
    format: str
    columns: dict[str, str] | None
    start: int
    end: int


class Found(msgspec.Struct):
    """What some lines hold. lines = ok + bad + blank. quick: lines that were read many at once. bad: the first ones,
    with lines counted from the beginning of the range."""

    sums: Sums
    lines: int = 0
    rejected: int = 0
    blank: int = 0
    bytes: int = 0
    quick: int = 0
    bad: list[Bad] = []


#: No operation at all.
NOTHING = Sums([], [], [])


class Counting:
    """Lines of one source, in order. offset: where they begin; lines are counted from 1 there."""

    def __init__(self, source: Source, ways: Ways, offset: int = 0) -> None:
        self._source, self._offset = source, offset
        self._typed, self._stencils, self._reader = ways
        self._is_ended = True
        self._counter, self._columns = Counter(), Columns()
        self.found = Found(NOTHING, bad=[])

    @property
    def spans(self) -> int:
        """How many there are since the last sums."""
        return self._counter.spans + self._columns.spans

    def sums(self) -> Sums:
        """What came since the last ones."""
        found, more = self._counter.sums(), self._columns.sums()
        self._counter, self._columns = Counter(), Columns()
        return Sums(found.names + more.names, found.us + more.us, found.errors + more.errors)

    def add(self, text: bytes) -> None:
        """Some more lines, whole ones; the last one of all may lack its line feed."""
        if self._stencils is None:
            self._decode(text)
            return
        first = 0 if self._offset else text.find(b"\n") + 1  # which may begin with a mark
        last = text.rfind(b"\n") + 1  # which is whole; another one may be cut
        for begin, end, decoded in ((0, first, True), (first, last, last - first < _PAGE), (last, len(text), True)):
            if begin < end:
                (self._decode if decoded else self._lay)(text[begin:end])

    def _lay(self, text: bytes) -> None:
        """Whole lines, under stencils."""
        assert self._stencils is not None  # noqa: S101 - somebody looked
        known = self._stencils.known(text)
        self._columns.add(self._stencils.names, known)
        begin = 0
        for end, lines, is_known in known.runs:
            if is_known:
                self.found.quick += lines
                self._pass(end - begin, lines)
            elif lines == 1:
                self._one(text[begin:end])
            else:
                for piece in stretches([text[begin:end]], STRETCH):
                    self._decode(piece)
            begin = end

    def _decode(self, text: bytes) -> None:
        """Lines that no stencil covers."""
        waiting = [text]
        while waiting:
            text = waiting.pop()
            end = text.find(b"\n") + 1
            if 0 < end < len(text) and not (self._offset and text.endswith(b"\n")):
                cut = text.rfind(b"\n") + 1 if self._offset else end
                waiting += [text[cut:], text[:cut]]
                continue
            found = self._typed.batch(text) if self._offset and end else -1
            if not isinstance(found, int):
                self._counter.add(found)
                self.found.quick += found.lines
                self._pass(len(text), found.lines)
            elif end == len(text) or not end:
                self._one(text)
            else:
                waiting += pieces(text, found)[::-1]

    def end(self) -> None:
        """There is no more."""
        for bad in cut(self._source, self.found.lines, self._offset) if self._is_ended else ():
            self._take(bad)
            self.found.lines += 1

    def _one(self, text: bytes) -> None:
        """One line, the exact way."""
        self._take(one_line(self._source, self._reader, self._offset, text, self.found.lines + 1))
        self._pass(len(text), 1)
        self._is_ended = text.endswith(b"\n")

    def _take(self, part: Part | Bad) -> None:
        if isinstance(part, Part):
            self.found.blank += part.blank
            self._counter.add_spans(part.spans)
            return
        self.found.rejected += 1  # guard: every bad line is counted, whether it is kept or not
        if len(self.found.bad) < BAD_KEPT:
            self.found.bad.append(part)

    def _pass(self, size: int, lines: int) -> None:
        self.found.lines += lines
        self.found.bytes += size
        self._offset += size
        self._is_ended = True


def pieces(text: bytes, at: int) -> list[bytes]:
    """Several lines in smaller pieces: at the place where to look first, or in halves (-1)."""
    if at < 0:
        cuts = [text.find(b"\n", len(text) // 2) + 1]
        if cuts[0] == len(text):
            cuts = [text.rfind(b"\n", 0, -1) + 1]
    else:
        begin = text.rfind(b"\n", 0, at) + 1
        cuts = [text.rfind(b"\n", 0, max(begin - 1, 0)) + 1, begin, text.find(b"\n", at) + 1]
    bounds = [0, *cuts, len(text)]
    return [text[begin:end] for begin, end in pairwise(bounds) if begin < end]


def counted(some: Range, ways: Ways) -> Found:
    """The lines of a range."""
    counting = Counting(Source(some.path), ways, some.start)
    with Path(some.path).open("rb", buffering=0) as file:
        for text in _texts(file.fileno(), some.start, some.end, ways.at_once):
            counting.add(text)
    counting.found.sums = counting.sums()
    return counting.found


def _texts(file: int, at: int, end: int, size: int) -> Iterator[bytes]:
    """Whole lines, each text read at once and never put together."""
    while at < end:
        cut = _behind_a_line(file, min(at + size, end) - 1, end)
        text = os.pread(file, cut - at, at)
        if text:
            yield text
        at = cut if len(text) == cut - at else end  # it was cut meanwhile


def ranges(path: str, format: str, columns: Mapping[str, str] | None, at_once: int) -> Iterator[Range]:
    """Of a whole file, in order; each begins where a line begins."""
    with Path(path).open("rb", buffering=0) as file:
        size, start = file.seek(0, 2), 0
        while start < size:
            end = _behind_a_line(file.fileno(), start + at_once, size)
            yield Range(path, format, dict(columns) if columns else None, start, end)
            start = end


def _behind_a_line(file: int, at: int, end: int) -> int:
    """Where the line ends that has the byte ``at``; ``end`` where it has none."""
    size = _AHEAD
    while at < end and (chunk := os.pread(file, min(size, end - at), at)):
        cut = chunk.find(b"\n") + 1
        if cut:
            return at + cut
        at, size = at + len(chunk), min(2 * size, 1 << 20)
    return end
