# SPDX-License-Identifier: Apache-2.0
"""A file's lines counted by operation: many at once where that is known to be right, one by one where not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from io import RawIOBase
from itertools import pairwise
from pathlib import Path

import msgspec

from ..formats import Bad, Part
from ..formats.part import Lines
from ..reading.exact import cut, one_line
from ..reading.source import Source
from ..reading.typed import Typed
from .tally import Counter, Sums

#: Bytes that are decoded at once: so much fits into a core's cache together with what becomes of it, and is no mapping
#: of its own in memory.
STRETCH = 120 << 10
#: Bad lines that are kept of one range.
BAD_KEPT = 1_000


class Range(msgspec.Struct, frozen=True):
    """Lines of a file that begin in [start, end)."""

    path: str
    format: str
    columns: dict[str, str] | None
    start: int
    end: int


class Found(msgspec.Struct):
    """What some lines hold. lines = ok + bad + blank. quick: lines that were decoded many at once. bad: the first ones,
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

    def __init__(self, source: Source, typed: Typed, reader: Lines, offset: int = 0) -> None:
        self._source, self._typed, self._reader, self._offset = source, typed, reader, offset
        self._is_ended = True
        self._counter = Counter()
        self.found = Found(NOTHING, bad=[])

    @property
    def spans(self) -> int:
        """How many there are since the last sums."""
        return self._counter.spans

    def sums(self) -> Sums:
        """What came since the last ones."""
        found, self._counter = self._counter.sums(), Counter()
        return found

    def add(self, text: bytes) -> None:
        """Some more lines, whole ones; the last one of all may lack its line feed."""
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
                self._pass(text, found.lines)
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
        self._pass(text, 1)

    def _take(self, part: Part | Bad) -> None:
        if isinstance(part, Part):
            self.found.blank += part.blank
            self._counter.add_spans(part.spans)
            return
        self.found.rejected += 1  # guard: every bad line is counted, whether it is kept or not
        if len(self.found.bad) < BAD_KEPT:
            self.found.bad.append(part)

    def _pass(self, text: bytes, lines: int) -> None:
        self.found.lines += lines
        self.found.bytes += len(text)
        self._offset += len(text)
        self._is_ended = text.endswith(b"\n")


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


def counted(some: Range, typed: Typed, reader: Lines) -> Found:
    """The lines of a range."""
    counting = Counting(Source(some.path), typed, reader, some.start)
    with Path(some.path).open("rb", buffering=0) as file:
        for text in _texts(file.fileno(), some.start, some.end):
            counting.add(text)
    counting.found.sums = counting.sums()
    return counting.found


def _texts(file: int, at: int, end: int) -> Iterator[bytes]:
    """Whole lines; what was cut is read once more, which is cheaper than to put it together."""
    size = STRETCH
    while at < end and (text := os.pread(file, min(size, end - at), at)):
        is_last = at + len(text) == end or len(text) < min(size, end - at)  # or it was cut meanwhile
        cut = len(text) if is_last else text.rfind(b"\n") + 1
        if cut:
            yield text[:cut]
            at += cut
        else:
            size *= 2


def ranges(path: str, format: str, columns: Mapping[str, str] | None, at_once: int) -> Iterator[Range]:
    """Of a whole file, in order; each begins where a line begins."""
    with Path(path).open("rb", buffering=0) as file:
        size, start = file.seek(0, 2), 0
        while start < size:
            end = _behind_a_line(file, start + at_once, size)
            yield Range(path, format, dict(columns) if columns else None, start, end)
            start = end


def _behind_a_line(file: RawIOBase, at: int, size: int) -> int:
    file.seek(min(at, size))
    while at < size and (chunk := file.read(1 << 16)):
        cut = chunk.find(b"\n") + 1
        if cut:
            return at + cut
        at += len(chunk)
    return size
