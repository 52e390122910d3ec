# SPDX-License-Identifier: Apache-2.0
"""Rejected lines become dead letters, durably, before anything moves on.

When they cannot be written the pipeline stands still, and says so. After ``emergency_after_s`` they go to the file of
last resort beside the checkpoint, and the pipeline goes on; once dead letters can be written again, what lies in that
file goes where it belongs, first. When that file is full, or cannot be written either, the pipeline stands still.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from .._base import events as ev
from .._base.chance import Chance
from .._base.clock import Clock
from .._base.letter_facts import Site
from .._base.points import reached
from ..consume.backoff import Backoff, Exponential
from ..errors import ConfigurationError, HoldfastError
from .dead_lines import DeadLine, DeadLines, dead_line
from .emergency import Emergency
from .flood import Flood, FloodSettings
from .record import Rejected

__all__ = ["Burial", "BurialSettings"]

_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BurialSettings:
    """emergency_after_s: so long the pipeline stands still before dead lines go to the file of last resort. backoff:
    between attempts. put_timeout_s: a write of dead letters that takes longer failed. flood: see ``FloodSettings``."""

    emergency_after_s: float = 10.0
    backoff: Backoff = field(default_factory=lambda: Exponential(0.2, 5.0, jitter="equal"))
    put_timeout_s: float = 30.0
    flood: FloodSettings = field(default_factory=FloodSettings)


class Burial:
    """Where rejected lines of one pipeline go."""

    def __init__(self, pipeline: str, dead_lines: DeadLines, emergency: Emergency, *, parser: str, run: str,
                 emit: Callable[[ev.Event], None], clock: Clock, chance: Chance,
                 stalled: Callable[[str, bool], None], settings: BurialSettings | None = None,
                 site: Site | None = None) -> None:
        self._pipeline, self._dead_lines, self._emergency = pipeline, dead_lines, emergency
        self._parser, self._run, self._emit = parser, run, emit
        self._clock, self._chance, self._stalled = clock, chance, stalled
        self._settings = settings or BurialSettings()
        self._site = site or Site(host=socket.gethostname(), pid=os.getpid())
        self._flood = Flood(self._settings.flood)
        self._opened = False

    @property
    def in_emergency(self) -> int:
        """Bytes in the file of last resort."""
        return self._emergency.bytes

    async def open(self) -> None:
        """Opens the dead letters. When that cannot be now it is done later; ConfigurationError for what a person has to
        mend."""
        try:
            await self._ready()
        except (HoldfastError, OSError) as error:
            if isinstance(error, ConfigurationError):
                raise

    async def _ready(self) -> None:
        if not self._opened:
            async with asyncio.timeout(self._settings.put_timeout_s):
                await self._dead_lines.open()
            self._opened = True

    async def close(self) -> None:
        """Lets go of the dead letters."""
        if self._opened:
            self._opened = False
            await self._dead_lines.close()

    async def tell_stock(self) -> None:
        """How much is kept."""
        try:
            await self._ready()
            async with asyncio.timeout(self._settings.put_timeout_s):
                stock = await self._dead_lines.stock()
        except (HoldfastError, OSError):
            return  # whoever has something to keep there says that it cannot
        oldest_s = max(0.0, (self._clock.wall_ms() - stock.oldest_ms) / 1000) if stock.oldest_ms else 0.0
        self._emit(ev.LogsDeadStood(pipeline=self._pipeline, count=stock.count, bytes=stock.bytes, oldest_s=oldest_s))

    async def bury(self, rejected: Sequence[Rejected], family_of: Callable[[str], str]) -> None:
        """Keeps them: durable on return, however long that takes. ``family_of``: the path asked for, by source id."""
        if not rejected:
            return
        now_ms, lines = self._clock.wall_ms(), []
        thinned: Counter[tuple[str, str]] = Counter()
        told = []
        for one in rejected:
            family = family_of(one.line.source.id)
            tell, keep = self._flood.take(family, one.reason, self._clock.now())
            line = dead_line(one, now_ms=now_ms, site=self._site, pipeline=self._pipeline, run=self._run,
                             parser=self._parser)
            if not keep:
                thinned[family, one.reason] += 1
                line = msgspec.structs.replace(line, raw=b"", thinned=True)
            if tell:
                told.append((family, line))
            lines.append(line)
        for begin in range(0, len(lines), _BATCH):
            await self._put(lines[begin:begin + _BATCH])
        self._tell(rejected, family_of, told, thinned)

    async def settle(self) -> bool:
        """Moves what lies in the file of last resort to where it belongs. True when nothing is left there."""
        if not self._emergency.bytes:
            return True
        try:
            await self._ready()
            lines = await asyncio.to_thread(self._emergency.lines)
            for begin in range(0, len(lines), _BATCH):
                async with asyncio.timeout(self._settings.put_timeout_s):
                    await self._dead_lines.put(lines[begin:begin + _BATCH])
            await asyncio.to_thread(self._emergency.clear)
        except (HoldfastError, OSError, msgspec.DecodeError):
            return False
        self._emit(ev.LogsEmergency(pipeline=self._pipeline, what="moved", count=len(lines)))
        return True

    async def _put(self, lines: Sequence[DeadLine]) -> None:
        attempt, began = 0, self._clock.now()
        try:
            while True:
                reached("logs.bury.before")
                error = await self._try(lines)
                if error is None:
                    reached("logs.bury.after")
                    return
                attempt += 1
                late = self._clock.now() - began >= self._settings.emergency_after_s
                if late and await self._last_resort(lines):
                    return
                wait_s = self._settings.backoff.delay_s(attempt, self._chance)
                self._stalled("dead_letters", True)
                self._emit(ev.LogsBuryFailed(pipeline=self._pipeline, error=error, retry_in_s=wait_s))
                await asyncio.sleep(wait_s)
        finally:
            self._stalled("dead_letters", False)

    async def _try(self, lines: Sequence[DeadLine]) -> str | None:
        """Why it failed; None when they are kept."""
        if not await self.settle():
            return "what lies in the file of last resort cannot be moved yet"
        try:
            await self._ready()
            async with asyncio.timeout(self._settings.put_timeout_s):
                await self._dead_lines.put(lines)
        except Exception as error:  # noqa: BLE001 - whatever a back end raises: the lines are not kept, and must be
            return f"{type(error).__name__}: {error}"[:1024]
        return None

    async def _last_resort(self, lines: Sequence[DeadLine]) -> bool:
        try:
            kept = await asyncio.to_thread(self._emergency.put, lines)
        except OSError:
            return False
        if kept:
            self._emit(ev.LogsEmergency(pipeline=self._pipeline, what="written", count=len(lines)))
        return kept

    def _tell(self, rejected: Sequence[Rejected], family_of: Callable[[str], str], told: list[tuple[str, DeadLine]],
              thinned: Counter[tuple[str, str]]) -> None:
        counts = Counter((family_of(one.line.source.id), one.stage, one.reason) for one in rejected)
        for (family, stage, reason), count in counts.items():
            self._emit(ev.LogsBuried(pipeline=self._pipeline, source=family, stage=stage, reason=reason, count=count))
        for family, line in told:
            self._emit(ev.LogsLineBuried(pipeline=self._pipeline, source=family, stage=line.stage, reason=line.reason,
                                         offset=line.offset, length=line.length, line_id=line.id))
        for (family, reason), count in thinned.items():
            self._emit(ev.LogsThinned(pipeline=self._pipeline, source=family, reason=reason, count=count))
