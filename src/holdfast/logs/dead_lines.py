# SPDX-License-Identifier: Apache-2.0
"""Dead letters of lines: what one holds, and the contract of whatever keeps them.

A dead line has the bytes as they stood in the file, the exact range, why and where it failed, and the metadata of the
dead-letter specification (``letter_of``). Its id is that of its bytes and place, so putting it twice keeps it once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from .._base.letter import Reason
from .._base.letter_build import Letter, build
from .._base.letter_facts import LetterFacts, Site
from .line import Line, Source
from .record import Rejected, Stage

__all__ = ["SCHEMA", "DeadChoice", "DeadLine", "DeadLines", "DeadStock", "dead_line", "letter_of"]

#: Version of ``DeadLine``. Later ones only add fields.
SCHEMA = 1


class DeadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was given up on. Times are ms since 1970 by this machine.

    ``id``: of source, offset and bytes; ``pipeline`` and ``run``: who gave up on it; ``raw``: its bytes (base64 in
    JSON); ``length``: of them, the terminator included; ``number``, ``lines``: as in ``Line``; ``reason``: short and
    stable; ``at_byte``: place in ``raw``, or -1; ``parser``: name and version; ``attempts``: how often it failed,
    replays included; ``edited_from``: SHA-256 of the bytes that were edited, empty when they are the file's own
    (``id``, ``offset`` and ``length`` stay those of the file);
    ``thinned``: its bytes were left out (``raw`` is empty), since one error floods: they stand in the file alone.
    """

    id: str
    source: Source
    offset: int
    length: int
    number: int
    raw: bytes
    stage: Stage
    reason: str
    detail: str = ""
    error: str = ""
    at_byte: int = -1
    lines: int = 1
    parser: str = ""
    pipeline: str = ""
    run: str = ""
    host: str = ""
    version: str = ""
    first_ms: int = 0
    last_ms: int = 0
    attempts: int = 1
    trace_id: str = ""
    edited_from: str = ""
    thinned: bool = False
    schema: int = SCHEMA

    @property
    def line(self) -> Line:
        """The line, to be tried again: its place is the file's, so the record it becomes has the id it would have
        had."""
        return Line(source=self.source, offset=self.offset, number=self.number, raw=self.raw, lines=self.lines)


class DeadChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead lines are meant; what is left at its default chooses all. ``path``: the source's, exactly."""

    path: str = ""
    reason: str = ""
    stage: str = ""
    since_ms: int = 0
    until_ms: int = 0
    ids: tuple[str, ...] = ()

    def takes(self, line: DeadLine) -> bool:
        """Is it one of those that are meant?"""
        return ((not self.path or line.source.path == self.path) and (not self.reason or line.reason == self.reason)
                and (not self.stage or line.stage == self.stage) and line.last_ms >= self.since_ms
                and (not self.until_ms or line.last_ms < self.until_ms) and (not self.ids or line.id in self.ids))


class DeadStock(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: lines, bytes as they lie there, when the oldest of them failed first (0: there is none)."""

    count: int = 0
    bytes: int = 0
    oldest_ms: int = 0


class DeadLines(Protocol):
    """Keeps dead lines. ``SinkDown`` from any of these: it cannot be reached, ask again.

    One writer of a pipeline and any number of tools may be at it at once.
    """

    @property
    def name(self) -> str:
        """Under which events and metrics speak of it."""
        ...

    async def open(self) -> None:
        """Makes it ready; what a crash left half written is recognised here."""
        ...

    async def put(self, lines: Sequence[DeadLine]) -> None:
        """Keeps them: all are durable on return. A line whose id is there already is kept once, with the earlier
        ``first_ms``, the greater ``attempts``, and the later one's reason. ``SinkDown``: nothing, or only a part, was
        kept; put them again."""
        ...

    def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        """Those that are meant, oldest first."""
        ...

    async def get(self, line_id: str) -> DeadLine:
        """One of them by its id, or by the beginning of one that no other has. LetterNotFound."""
        ...

    async def remove(self, ids: Sequence[str]) -> int:
        """Removes them for good: how many there were. Those that are not there are no error."""
        ...

    async def stock(self) -> DeadStock:
        """How much is kept."""
        ...

    async def close(self) -> None:
        """Lets go of what it holds."""
        ...


def dead_line(rejected: Rejected, *, now_ms: int, site: Site | None = None, pipeline: str = "", run: str = "",
              parser: str = "", trace_id: str = "") -> DeadLine:
    """The dead line of a rejection."""
    line, place = rejected.line, site or Site()
    return DeadLine(id=line.id, source=line.source, offset=line.offset, length=line.length, number=line.number,
                    raw=line.raw, lines=line.lines, stage=rejected.stage, reason=rejected.reason,
                    detail=rejected.detail, error=rejected.error, at_byte=rejected.at_byte, parser=parser,
                    pipeline=pipeline, run=run, host=place.host, version=place.version, first_ms=now_ms,
                    last_ms=now_ms, trace_id=trace_id)


_REASON: dict[Stage, Reason] = {"read": "decode_error", "decode": "decode_error", "assemble": "decode_error",
                                "validate": "schema_invalid", "transform": "handler_error", "sink": "rejected"}
_STAGE: dict[Stage, str] = {"read": "decode", "decode": "decode", "assemble": "decode", "validate": "validate",
                            "transform": "handle", "sink": "commit"}


def letter_of(dead: DeadLine) -> Letter:
    """The same as a dead letter of the specification: metadata under ``x-dlq-…``, and the bytes as field ``body``.

    ``original-topic`` is the file, ``original-offset`` source and byte, ``error-code`` the reason. For streams and
    queues, whose readers know letters and need not know of lines.
    """
    facts = LetterFacts(
        stream=dead.source.path, entry_id=f"{dead.source.id}:{dead.offset}", group=dead.pipeline or "logs",
        reason=_REASON[dead.stage], stage=_STAGE[dead.stage], detail=dead.detail or dead.reason, code=dead.reason,
        category="permanent", attempts=dead.attempts, first_failed_ms=dead.first_ms, failed_ms=dead.last_ms,
        buried_ms=dead.last_ms, message_id=dead.id, consumer=dead.run, handler=dead.parser, applied="no",
        traceparent=f"00-{dead.trace_id}-0000000000000001-00" if len(dead.trace_id) == 32 else "",
        site=Site(host=dead.host, version=dead.version, service=dead.pipeline))
    return build([b"body", dead.raw], facts)
