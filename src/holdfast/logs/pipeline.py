# SPDX-License-Identifier: Apache-2.0
"""A pipeline at work: files are read and judged in a thread, batches wait in a short queue, one writer makes them
durable and moves the marks.

::

    intake ─▶ queue of ``queue_max`` batches ─▶ 1. sources that are new: into the checkpoint
    (thread)   full: nothing is read            2. rejected lines: dead letters, durable
                                                3. records: sink or spool, durable; what is refused: dead letters
                                                4. marks; the checkpoint, at most every ``checkpoint_s``

In that order nothing is lost wherever it stops. What may come twice: what was done in 3 since the last checkpoint,
when the process dies: up to ``checkpoint_s`` and a batch of records, in a sink that does not keep them once by their
ids (``keeps_once``). Dead letters are kept once. A source that was copied away and truncated loses what was written
between our last read and the truncation, if its copy does not lie beside it; that is what ``copytruncate`` does. And
what is written and deleted between two looks (``scan_s``, half a second) nobody has read: see ``tail.rotation``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._base.letter_facts import Site
from .._base.points import reached
from ..errors import ConfigurationError
from .assemble import Multiline
from .burial import Burial, BurialSettings
from .checkpoint import Checkpoint
from .dead_lines import DeadLines
from .delivery import Delivery, DeliverySettings
from .emergency import Emergency
from .inspect import PipelineInfo, SourceInfo
from .intake import Batch, Intake
from .mark import State
from .record import Rejected
from .registry import Registry
from .sink import Sink
from .spool import Spool
from .stages import Stages
from .tail.settings import TailSettings

__all__ = ["Pipeline", "PipelineSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """How a pipeline runs.

    poll_s: between looks for new lines when there are none; less costs idle processors, more delays lines.
    batch_bytes: read at once; larger batches are cheaper for most sinks and repeat more after a crash.
    queue_max: batches that wait for the sink; memory is bounded by so many of them.
    checkpoint_s: at most so often the checkpoint is written; 0: after each batch, at the price of two fsync each.
    gauge_s: between reports of how things stand. stop_s: so long a stop waits for what was read to become durable.
    spool_bytes_max: see ``Spool``; 0: no spool, and nothing goes on while the sink is down.
    """

    poll_s: float = 0.2
    batch_bytes: int = 1 << 20
    queue_max: int = 2
    checkpoint_s: float = 1.0
    gauge_s: float = 5.0
    stop_s: float = 10.0
    spool_bytes_max: int = 1 << 30
    emergency_bytes_max: int = 256 << 20
    tail: TailSettings = field(default_factory=TailSettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    burial: BurialSettings = field(default_factory=BurialSettings)

    def __post_init__(self) -> None:
        if min(self.poll_s, self.gauge_s, self.stop_s) <= 0 or self.checkpoint_s < 0:
            raise ConfigurationError("poll_s, gauge_s and stop_s are seconds above 0; checkpoint_s 0 or more")
        if self.batch_bytes < 1 or self.queue_max < 1:
            raise ConfigurationError("batch_bytes and queue_max count from 1")


class Pipeline:
    """Lines of ``patterns``, judged by ``stages``, into ``sink``; bad ones into ``dead_lines``.

    checkpoint: a path; beside it lie the spool and the file of last resort. Give each pipeline its own. ``run`` opens
    sink and dead letters, and closes them.
    """

    def __init__(self, name: str, patterns: Sequence[str], stages: Stages, sink: Sink, dead_lines: DeadLines, *,
                 checkpoint: str | Path, multiline: Multiline | None = None, settings: PipelineSettings | None = None,
                 events: ev.Events | None = None, clock: Clock | None = None, chance: Chance | None = None,
                 site: Site | None = None) -> None:
        self.name, self._sink, self._dead_lines = name, sink, dead_lines
        self._patterns, self._stages, self._multiline = tuple(patterns), stages, multiline
        self._settings = settings or PipelineSettings()
        self._events, self._clock = events or ev.Events(), clock or SystemClock()
        self._chance, self._site = chance or system_chance(), site
        self._path = Path(checkpoint)
        self._checkpoint = Checkpoint(self._path, chance=self._chance)
        self._spool = Spool(self._path.with_name(f"{self._path.name}.spool"), clock=self._clock,
                            bytes_max=self._settings.spool_bytes_max) if self._settings.spool_bytes_max else None
        self._emergency = Emergency(self._path.with_name("emergency.jsonl"),
                                    bytes_max=self._settings.emergency_bytes_max)
        self._delivery = Delivery(name, sink, self._spool, emit=self._emit, clock=self._clock, chance=self._chance,
                                  stalled=self._stall, refused=self._refused, settings=self._settings.delivery)
        self._burial = Burial(name, dead_lines, self._emergency, parser=stages.parser.known_as,
                              run=new_id(self._chance), emit=self._emit, clock=self._clock, chance=self._chance,
                              stalled=self._stall, settings=self._settings.burial, site=site)
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue(self._settings.queue_max)
        self._stopping = asyncio.Event()
        self._stalled: set[str] = set()
        self._registry = Registry(State(epoch=""))
        self._intake: Intake | None = None
        self._refused_now: list[Rejected] = []
        self._saved_s = self._chores_s = 0.0
        self._unsaved = False
        self._behind: dict[str, int] = {}
        self._behind_since: dict[str, float] = {}

    # -- its life -------------------------------------------------------------------------------------------------

    async def run(self, *, follow: bool = True) -> None:
        """Runs until ``stop``; with ``follow`` False until everything that is there now is durable.

        Cancelling it ends it at once: what is durable is in the checkpoint, what is not will be read again.
        ConfigurationError for what a person has to mend first.
        """
        try:
            await self._open()
            await self._work(follow=follow)
        finally:
            await self._close()

    def stop(self) -> None:
        """Reads no more; ``run`` returns when what was read is durable, or after ``stop_s``."""
        self._stopping.set()

    def inspect(self) -> PipelineInfo:
        """How things stand."""
        sources = tuple(SourceInfo(id=mark.source.id, family=mark.family, path=mark.source.path, began=mark.began,
                                   at=mark.at, done=mark.done, counts=mark.counts) for mark in self._registry.marks)
        return PipelineInfo(pipeline=self.name, sources=sources, behind=dict(self._behind),
                            stalled=tuple(sorted(self._stalled)), breaker=self._delivery.state.value,
                            spool_bytes=self._spool.bytes_held if self._spool else 0,
                            spool_records=self._spool.records if self._spool else 0,
                            emergency_bytes=self._burial.in_emergency)

    async def _open(self) -> None:
        state, found = self._checkpoint.open()
        if found in ("before", "lost"):
            self._emit(ev.LogsCheckpointFell(pipeline=self.name, to="before" if found == "before" else "none"))
        self._registry = Registry(state)
        if self._spool is not None:
            await asyncio.to_thread(self._spool.open)
            self._delivery.tell_spool()
        await asyncio.to_thread(self._emergency.open)
        await self._delivery.open()
        await self._burial.open()
        self._intake = Intake(self.name, self._patterns, state, self._stages, clock=self._clock,
                              multiline=self._multiline, tail=self._settings.tail)

    async def _work(self, *, follow: bool) -> None:
        reader = asyncio.create_task(self._read(follow=follow))
        writer = asyncio.create_task(self._write())
        others = [asyncio.create_task(self._gauge()), asyncio.create_task(self._end_in_time(reader, writer))]
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in (reader, writer, *others):
                task.cancel()
            ended = await asyncio.gather(reader, writer, *others, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _end_in_time(self, *tasks: asyncio.Task[None]) -> None:
        """A stop that takes longer than it may ends them; what is not durable by then is read again."""
        await self._stopping.wait()
        await asyncio.sleep(self._settings.stop_s)
        for task in tasks:
            task.cancel()

    async def _close(self) -> None:
        if self._intake is not None:
            self._intake.close()
        for end in (self._delivery, self._burial):
            await end.close()
        if self._spool is not None:
            self._spool.close()
        self._checkpoint.close()

    # -- reading --------------------------------------------------------------------------------------------------

    async def _read(self, *, follow: bool) -> None:
        intake = self._intake
        if intake is None:
            return
        while not self._stopping.is_set():
            batch = await asyncio.to_thread(intake.read, self._settings.batch_bytes)
            if not batch.empty:
                await self._queue.put(batch)  # guard: full, and nothing more is read
            elif not follow and intake.idle:
                await self._queue.put(await asyncio.to_thread(intake.finish))
                break
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll_s):
                        await self._stopping.wait()
        await self._queue.put(None)

    # -- writing --------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while (batch := await self._next()) is not None:
            await self._make_durable(batch)
        while self._delivery.waiting and await self._delivery.drain():
            self._unsaved = True
        await self._save()

    async def _next(self) -> Batch | None:
        """The next batch. Until there is one: what lies in the spool is drained, and the checkpoint is kept."""
        while True:
            if self._delivery.waiting and self._delivery.pause_s() <= 0 and await self._delivery.drain():
                self._unsaved = True
                await self._save_if_due()
                continue
            await self._chores()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    return await self._queue.get()

    def _idle_s(self) -> float | None:
        """For how long nothing but a batch is to be waited for."""
        waits = [self._settings.gauge_s]
        if self._delivery.waiting:
            waits.append(max(0.001, self._delivery.pause_s()))
        if self._unsaved:
            waits.append(max(0.001, self._saved_s + self._settings.checkpoint_s - self._clock.now()))
        return min(waits)

    async def _chores(self) -> None:
        await self._save_if_due()
        if self._clock.now() - self._chores_s >= self._settings.gauge_s:
            self._chores_s = self._clock.now()
            await self._burial.settle()
            await self._burial.tell_stock()

    async def _make_durable(self, batch: Batch) -> None:
        for event in batch.events:
            self._emit(event)
        if batch.tells:
            self._registry.know(batch.known, batch.next, batch.strangers)
            await self._save()  # guard: a source is known before anything of it is handed on
        await self._burial.bury(batch.rejected, self._registry.family)  # guard: dead letters before the mark moves
        self._refused_now = []
        await self._delivery.deliver(batch.records)  # guard: the sink, or its spool, before the mark moves
        reached("logs.commit.before")
        for mark in batch.marks.values():
            self._registry.advance(mark)
            self._emit(ev.LogsDone(pipeline=self.name, source=mark.family, ok=mark.counts.ok, bytes=mark.counts.bytes,
                                   rejected=mark.counts.rejected, blank=mark.counts.blank))
        self._registry.refuse(self._refused_now)
        for source_id in batch.forgotten:
            self._registry.forget(source_id)
        self._unsaved = True
        await self._save_if_due()

    async def _refused(self, rejected: list[Rejected], spooled: bool) -> None:
        await self._burial.bury(rejected, self._registry.family)
        if spooled:
            self._registry.refuse(rejected)
        else:
            self._refused_now += rejected

    # -- the checkpoint -------------------------------------------------------------------------------------------

    async def _save_if_due(self) -> None:
        if self._unsaved and self._clock.now() - self._saved_s >= self._settings.checkpoint_s:
            await self._save()

    async def _save(self) -> None:
        """Writes the checkpoint: on disk on return, however long that takes."""
        state = self._registry.state()
        while True:
            try:
                await asyncio.to_thread(self._checkpoint.write, state)
                break
            except OSError as error:
                self._stall("checkpoint", True)
                self._emit(ev.LogsUnreadable(pipeline=self.name, source=str(self._path), damaged=False,
                                             error=f"the checkpoint cannot be written: {error.strerror or error}"))
                await asyncio.sleep(1.0)
        self._stall("checkpoint", False)
        self._saved_s, self._unsaved = self._clock.now(), False

    # -- telling --------------------------------------------------------------------------------------------------

    def _emit(self, event: ev.Event) -> None:
        self._events.emit(event)

    def _stall(self, why: str, stalled: bool) -> None:
        """Told when it changes."""
        if stalled == (why in self._stalled):
            return
        (self._stalled.add if stalled else self._stalled.discard)(why)
        self._emit(ev.LogsStalled(pipeline=self.name, why=why, stalled=int(stalled)))

    async def _gauge(self) -> None:
        while True:
            await asyncio.sleep(self._settings.gauge_s)
            self._delivery.tell_spool()
            if self._intake is not None:
                self._tell_lag(await asyncio.to_thread(self._intake.sizes))

    def _tell_lag(self, sizes: Sequence[tuple[str, str, int]]) -> None:
        at = {mark.source.id: mark.at for mark in self._registry.marks}
        behind: dict[str, int] = {}
        for source_id, family, size in sizes:
            behind[family] = behind.get(family, 0) + max(0, size - at.get(source_id, 0))
        now = self._clock.now()
        for family, lag in behind.items():
            if not lag:
                self._behind_since.pop(family, None)
            since = self._behind_since.setdefault(family, now) if lag else now
            self._emit(ev.LogsLag(pipeline=self.name, source=family, bytes=lag, seconds=now - since))
        self._behind = behind
