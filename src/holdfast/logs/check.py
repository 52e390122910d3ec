# SPDX-License-Identifier: Apache-2.0
"""A file, or a stream, checked: what a pipeline would make of each of its bytes, without a sink and without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .._base.clock import Instant
from .assemble import Assembler, Multiline
from .ledger import Ledger, counted
from .line import Line, Source
from .mark import Counts
from .stages import Judged, Stages
from .tail.splitter import LINE_BYTES_MAX, Splitter

__all__ = ["Check"]

_READ = 1 << 20


class Check:
    """Judges a stream of bytes. Iterate it: it answers with what became of each event, in order; ``counts`` and
    ``at``, how many bytes there were, are right behind the last one."""

    def __init__(self, stream: BinaryIO, source: Source, stages: Stages, *, multiline: Multiline | None = None,
                 line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._stream, self._stages = stream, stages
        self._splitter = Splitter(source, line_bytes_max=line_bytes_max)
        self._assembler = Assembler(multiline)
        self._ledger = Ledger()

    @property
    def counts(self) -> Counts:
        """Lines and bytes so far, by what became of them."""
        return self._ledger.counts

    @property
    def at(self) -> int:
        """Bytes so far. Equal to ``counts.bytes``."""
        return self._ledger.at

    def __iter__(self) -> Iterator[Judged]:
        never = Instant(0.0)
        while content := self._stream.read(_READ):
            yield from self._judged(self._assembler.feed(self._splitter.feed(content), never))
        yield from self._judged(self._assembler.feed(self._splitter.end(), never))
        yield from self._judged(self._assembler.flush())

    def _judged(self, events: list[Line]) -> list[Judged]:
        judged = [self._stages.judge(event) for event in events]
        self._ledger.add(events, counted(judged))
        return judged
