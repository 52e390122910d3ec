# SPDX-License-Identifier: Apache-2.0
"""Where the elements of one JSON text stand in their file.

A document's stretches tile it as lines do a file: what stands before an element, brackets and commas, belongs to it,
and what follows the last one belongs to the last.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..span import Span
from .bad import Bad
from .part import Part


class Within:
    """Goes through one text, element by element, in their order."""

    def __init__(self, text: bytes, source: str, offset: int, line: int) -> None:
        self._text, self._source, self._offset, self._line = text, source, offset, line
        self._at = 0

    def all(self, spans: list[Span]) -> Part:
        """The whole text, read."""
        return Part(self._source, self._offset, len(self._text), self._line, spans)

    def refused(self, reason: str) -> Bad:
        """The whole text, refused."""
        return Bad(self._source, self._offset, len(self._text), self._line, reason, self._text)

    def part(self, raw: msgspec.Raw, spans: list[Span]) -> Part:
        """What came before, and the next element, read."""
        _, end = self._next(raw)
        part = Part(self._source, self._offset + self._at, end - self._at, self._line, spans)
        self._pass(end)
        return part

    def bad(self, raw: msgspec.Raw, reason: str) -> Iterator[Part | Bad]:
        """What came before, and the next element, refused: it alone."""
        start, end = self._next(raw)
        yield Part(self._source, self._offset + self._at, start - self._at, self._line, [], between=True)
        self._pass(start)
        yield Bad(self._source, self._offset + start, end - start, self._line, reason, self._text[start:end])
        self._pass(end)

    def end(self) -> Iterator[Part]:
        """What follows the last element."""
        if self._at < len(self._text):
            yield Part(self._source, self._offset + self._at, len(self._text) - self._at, self._line, [],
                       between=True)

    def _next(self, raw: msgspec.Raw) -> tuple[int, int]:
        start = self._text.index(bytes(raw), self._at)
        return start, start + len(bytes(raw))

    def _pass(self, end: int) -> None:
        self._line += self._text.count(b"\n", self._at, end)
        self._at = end
