# SPDX-License-Identifier: Apache-2.0
r"""Bytes into lines, by ``\n``. The last one is held back until it ends: half a line is no line.

A line longer than ``line_bytes_max`` comes in pieces, each with its own range, so that memory stays bounded and no byte
is left out. Pieces are dead-lettered by whoever judges lines.
"""

from __future__ import annotations

from ..line import Line, Source

__all__ = ["LINE_BYTES_MAX", "Splitter"]

LINE_BYTES_MAX = 16 * 1024 * 1024


class Splitter:
    """The lines of one source. ``offset``, ``number``: of the line that comes next."""

    __slots__ = ("_held", "_max", "_piece", "number", "offset", "source")

    def __init__(self, source: Source, *, offset: int = 0, number: int = 1, piece: int = 0,
                 line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self.source, self.offset, self.number = source, offset, number
        self._max = line_bytes_max
        self._held: list[bytes] = []
        self._piece = piece

    @property
    def held(self) -> int:
        """Bytes of a line that has not ended."""
        return sum(map(len, self._held))

    def feed(self, content: bytes) -> list[Line]:
        """The lines that end in ``content``, together with what was held back."""
        first, newline, rest = content.partition(b"\n")
        if not newline:
            self._held.append(content)
            return self._pieces() if self.held > self._max else []
        raws = [b"".join((*self._held, first, newline))]
        if rest:
            parts = rest.split(b"\n")
            self._held = [last] if (last := parts.pop()) else []
            raws += [part + b"\n" for part in parts]
        else:
            self._held = []
        lines: list[Line] = []
        for raw in raws:
            if self._piece or len(raw) > self._max:
                lines += self._cut(raw, ended=True)
            else:
                lines.append(self._line(raw))
        return lines + (self._pieces() if self.held > self._max else [])

    def end(self) -> list[Line]:
        """What was held back, as a last line without terminator."""
        raw, self._held = b"".join(self._held), []
        if not raw:
            return []
        if self._piece or len(raw) > self._max:
            return self._cut(raw, ended=True)
        return [self._line(raw, ended=False)]

    def _line(self, raw: bytes, *, ended: bool = True) -> Line:
        line = Line(source=self.source, offset=self.offset, number=self.number, raw=raw, ended=ended)
        self.offset += len(raw)
        self.number += 1
        return line

    def _pieces(self) -> list[Line]:
        raw = b"".join(self._held)
        keep = len(raw) % self._max
        self._held = [raw[len(raw) - keep:]] if keep else []
        return self._cut(raw[:len(raw) - keep], ended=False)

    def _cut(self, raw: bytes, *, ended: bool) -> list[Line]:
        """Pieces of one line; after the last one the next line begins."""
        lines = []
        for begin in range(0, len(raw), self._max):
            part = raw[begin:begin + self._max]
            self._piece += 1
            lines.append(Line(source=self.source, offset=self.offset, number=self.number, raw=part,
                              ended=ended and begin + self._max >= len(raw), piece=self._piece))
            self.offset += len(part)
        if ended:
            self._piece = 0
            self.number += 1
        return lines
