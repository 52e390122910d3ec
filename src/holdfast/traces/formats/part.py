# SPDX-License-Identifier: Apache-2.0
"""What a reader gives for a stretch of its file, and what a format has to offer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from ..span import Span
from .bad import Bad


class Part(msgspec.Struct, frozen=True):
    """A stretch that was read. offset, length: as in Bad; parts and bad stretches tile the file. line: counted from 1.

    blank: nothing stands there. between: brackets and commas around records; no record of its own. A header, or a line
    that adds to a span that is given later, has no spans.
    """

    source: str
    offset: int
    length: int
    line: int
    spans: list[Span]
    blank: bool = False
    between: bool = False


class Lines(Protocol):
    """A format whose records are lines."""

    def spans(self, raw: bytes) -> list[Span]:
        """The spans of one line. Raises Refused."""

    def rest(self) -> list[Span]:
        """What was kept until the end of the file."""


class Document(Protocol):
    """A format whose records stand inside of one JSON text."""

    def pieces(self, text: bytes, source: str, offset: int, line: int) -> Iterator[Part | Bad]:
        """What stands in ``text``, which begins at this offset and line of the source."""
