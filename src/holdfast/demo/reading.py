# SPDX-License-Identifier: Apache-2.0
"""The log, read as any log is: by a pipeline of ``logs`` whose sink is the stream.

Lines go on as they are: which of them are spans is found out by whoever handles them, so that a bad one dies where it
can be seen, in the dead letters of the stream. What the pipeline itself refuses is a line too long for a message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ..logs import Pipeline, PipelineSettings, Record, Refused, Stages, TailSettings, parser_called
from ..logs.dead.file import FileDeadLines
from .source import Log

#: A line's number in its file, from 1, and its bytes.
Numbered = tuple[int, bytes]
#: Longer lines are no spans, and are cut.
LINE_BYTES_MAX = 16 << 20


class Lines:
    """Fulfils ``logs.Sink``: hands lines on, and has them taken when ``put`` returns."""

    name = "demo"
    keeps_once = False  # the demo's own process is not killed, and a pipeline repeats nothing but after its death

    def __init__(self, put: Callable[[Sequence[Numbered]], Awaitable[None]], *, header: bool) -> None:
        self._header, self._put = header, put

    async def open(self) -> None:
        """The stream is there."""

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        """All of them, but for the header of a CSV, which is the first that comes."""
        first, self._header = int(self._header), False
        await self._put([(record.line.number, record.line.raw.rstrip(b"\r\n")) for record in batch[first:]])
        return []

    async def close(self) -> None:
        """Nothing is held."""


def pipeline(log: Log, folder: Path, put: Callable[[Sequence[Numbered]], Awaitable[None]]) -> Pipeline:
    """Of this log. folder: for its checkpoint and for what it refuses."""
    tail = TailSettings(line_bytes_max=LINE_BYTES_MAX)
    return Pipeline("demo", [str(log.path)], Stages(parser_called("raw")), Lines(put, header=bool(log.layout.header)),
                    FileDeadLines(folder / "dead-lines"), checkpoint=folder / "checkpoint",
                    settings=PipelineSettings(spool_bytes_max=0, tail=tail))
