# SPDX-License-Identifier: Apache-2.0
"""Dead lines once more through parser and sink, after a fix or an edit.

::

    dead line ─▶ parse ─▶ sink ─▶ removed from the dead lines
                   │        │
                   └────────┴──▶ attempts + 1, with the new reason; it stays

A line is removed only when its record is durable in the sink. A crash in between leaves it there, and the next replay
writes the same record, under the same id: once in a sink that keeps by id. So replaying twice is replaying once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from ..dead_lines import DeadChoice, DeadLine, DeadLines
from ..line import Line
from ..record import Record, Rejected
from ..sink import Refused, Sink
from ..stages import Judged

__all__ = ["Parse", "Replayed", "replay"]

#: What a pipeline makes of a line, as ``Stages.judge`` does.
Parse = Callable[[Line], Judged]
#: Lines that are tried together.
_LOT: Final = 200


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a line: ``replayed``, ``filtered`` (a transform takes it out: it is done with), ``failed`` once
    more, or ``left`` as it is, since its bytes were not kept. ``attempts``: how often it has failed by now."""

    id: str
    outcome: Literal["replayed", "filtered", "failed", "left"]
    reason: str = ""
    detail: str = ""
    attempts: int = 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def replay(dead: DeadLines, choice: DeadChoice | None = None, *, parse: Parse, sink: Sink,
                 takes: Callable[[DeadLine], bool] | None = None, limit: int | None = None, dry_run: bool = False,
                 now_ms: Callable[[], int] = _now_ms) -> AsyncIterator[Replayed]:
    """Tries the lines that are meant, oldest first, each once; both ``dead`` and ``sink`` are open.

    takes: which of those that ``choice`` means. dry_run: parses only, and changes nothing. SinkDown ends it: what was
    told is done, the others are as they were.
    """
    async def tried(lot: Sequence[DeadLine]) -> list[Replayed]:
        return await _tried(dead, lot, parse=parse, sink=sink, dry_run=dry_run, now_ms=now_ms())

    lot: list[DeadLine] = []
    count = 0
    async for line in dead.list(choice):
        if takes is not None and not takes(line):
            continue
        lot.append(line)
        count += 1
        if len(lot) == _LOT or count == limit:
            for one in await tried(lot):
                yield one
            lot = []
        if count == limit:
            return
    for one in await tried(lot):
        yield one


async def _tried(dead: DeadLines, lot: Sequence[DeadLine], *, parse: Parse, sink: Sink, dry_run: bool, now_ms: int
                 ) -> list[Replayed]:
    made = [(line, _judged(line, parse)) for line in lot if not line.thinned]
    batch = [(line, found) for line, found in made if isinstance(found, Record)]
    refused: dict[str, Refused] = {}
    if batch and not dry_run:
        answers = await sink.write([record for _, record in batch])
        refused = {batch[one.index][0].id: one for one in answers}
    again = [_failed(line, found, refused.get(line.id), now_ms) for line, found in made
             if isinstance(found, Rejected) or line.id in refused]
    failed = {line.id: line for line in again}
    if not dry_run:
        await dead.put(again)
        await dead.remove([line.id for line, _ in made if line.id not in failed])  # guard: not before the sink has them
    left = [Replayed(id=line.id, outcome="left", attempts=line.attempts, reason=line.reason,
                     detail="its bytes were left out when its error flooded") for line in lot if line.thinned]
    return [_told(line, found, failed.get(line.id)) for line, found in made] + left


def _judged(line: DeadLine, parse: Parse) -> Judged:
    judged = parse(line.line)
    if isinstance(judged, Record):
        return replace(judged, id=line.id)  # guard: of an edited line, too, the id is that of the file's bytes
    return judged


def _failed(line: DeadLine, found: Judged, refused: Refused | None, now_ms: int) -> DeadLine:
    kept = replace(line, last_ms=max(now_ms, line.last_ms), attempts=line.attempts + 1)
    if refused is not None:
        return replace(kept, stage="sink", reason=refused.reason, detail=refused.detail, error=refused.error,
                       at_byte=-1)
    assert isinstance(found, Rejected)  # noqa: S101 - who calls has seen to it
    return replace(kept, stage=found.stage, reason=found.reason, detail=found.detail, error=found.error,
                   at_byte=found.at_byte)


def _told(line: DeadLine, found: Judged, failed: DeadLine | None) -> Replayed:
    if failed is not None:
        return Replayed(id=line.id, outcome="failed", reason=failed.reason, detail=failed.detail,
                        attempts=failed.attempts)
    return Replayed(id=line.id, outcome="replayed" if isinstance(found, Record) else "filtered", attempts=line.attempts)
