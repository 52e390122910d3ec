# SPDX-License-Identifier: Apache-2.0
"""Records into the sink, or into the spool while it is down. One call at a time, in order.

::

    records ─▶ sink ─ down ─▶ back-off ─▶ … ─▶ breaker opens ─▶ spool ─▶ (room?) ─▶ taken
                 ▲                                                │         └─ no: wait, the files are the buffer
                 └───────────────── drained in order ◀────────────┘

A sink that is down is nobody's fault: no line becomes a dead letter by it, however long it lasts. What the sink refuses
for good is named record by record. An error that it should not raise may be a record's doing: after ``fault_attempts``
in a row the batch is written record by record, and those at which it is raised are refused. If it is raised at all of
them the sink is the one at fault, and is taken for down; only after three times as many attempts are they refused, for
nothing else would ever come past them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from .._base import events as ev
from .._base.chance import Chance
from .._base.clock import Clock
from .._base.points import reached
from ..consume.backoff import Backoff, Exponential
from ..consume.breaker import Breaker, BreakerSettings, State
from .record import Record, Rejected
from .sink import Refused, Sink, SinkDown
from .spool import Spool

__all__ = ["Delivery", "DeliverySettings", "OnRefused"]

#: Told what the sink refused (and whether it had lain in the spool): durable among the dead letters on return.
OnRefused = Callable[[list[Rejected], bool], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How records are handed to the sink.

    backoff: between attempts of one batch. breaker: when attempts fail one after the other, nothing is tried for a
        while; see ``BreakerSettings``. batch_max: records a call. write_timeout_s: a call that takes longer failed, and
        may have gone in all the same. fault_attempts: see above.
    """

    backoff: Backoff = field(default_factory=lambda: Exponential(0.2, 5.0, jitter="equal"))
    breaker: BreakerSettings = field(default_factory=lambda: BreakerSettings(
        ratio=0.5, min_calls=3, window_s=60.0, open_s=1.0, open_s_max=30.0, probes=1))
    batch_max: int = 1000
    write_timeout_s: float = 60.0
    fault_attempts: int = 3


class Delivery:
    """Hands records of one pipeline to its sink. ``spool`` None: while the sink is down, nothing goes on."""

    def __init__(self, pipeline: str, sink: Sink, spool: Spool | None, *, emit: Callable[[ev.Event], None],
                 clock: Clock, chance: Chance, stalled: Callable[[str, bool], None], refused: OnRefused,
                 settings: DeliverySettings | None = None) -> None:
        self._pipeline, self._sink, self._spool, self._refused = pipeline, sink, spool, refused
        self._emit, self._clock, self._chance, self._stalled = emit, clock, chance, stalled
        self._settings = settings or DeliverySettings()
        self._breaker = Breaker(self._settings.breaker)
        self._opened = False
        self._attempt = 0
        self._faults = 0
        self._not_before_s = 0.0

    @property
    def state(self) -> State:
        """The breaker's."""
        return self._breaker.state

    @property
    def waiting(self) -> bool:
        """Do records lie in the spool?"""
        return self._spool is not None and not self._spool.empty

    def pause_s(self) -> float:
        """For how long nothing is to be tried."""
        now = self._clock.now()
        probe_s = (self._breaker.next_probe_at or now) - now if self._breaker.state is State.OPEN else 0.0
        return max(0.0, probe_s, self._not_before_s - now)

    async def open(self) -> None:
        """Opens the sink. One that is down is opened later; ConfigurationError for what a person has to mend."""
        try:
            await self._ready()
        except Exception as error:
            if not _passes(error):
                raise

    async def _ready(self) -> None:
        if not self._opened:
            async with asyncio.timeout(self._settings.write_timeout_s):
                await self._sink.open()
            self._opened = True

    async def close(self) -> None:
        """Lets go of the sink."""
        if self._opened:
            self._opened = False
            await self._sink.close()

    async def deliver(self, records: Sequence[Record]) -> None:
        """Takes them: they are in the sink, its spool, or refused and buried on return, however long that takes."""
        for begin in range(0, len(records), self._settings.batch_max):
            await self._deliver(records[begin:begin + self._settings.batch_max])

    async def drain(self) -> bool:
        """Hands one frame of the spool to the sink, if that may be tried now. False: it did not go in."""
        spool = self._spool
        if spool is None or spool.empty or self.pause_s() > 0:
            return False
        records = await asyncio.to_thread(spool.peek)
        self._name_damage(spool)
        if not records:
            return False
        found = await self._try(records, spooled=True)
        if found is None:
            return False
        if found:
            await self._refused(found, True)  # guard: buried before it leaves the spool
        await asyncio.to_thread(spool.delivered)
        self.tell_spool()
        return True

    def tell_spool(self) -> None:
        """How the spool stands."""
        if self._spool is not None:
            self._emit(ev.LogsSpoolStood(pipeline=self._pipeline, bytes=self._spool.bytes_held,
                                         records=self._spool.records, oldest_s=self._spool.oldest_s()))

    async def _deliver(self, records: Sequence[Record]) -> None:
        try:
            while True:
                if not self.waiting and self.pause_s() <= 0:  # guard: in order, behind what lies in the spool
                    found = await self._try(records)
                    if found is not None:
                        if found:
                            await self._refused(found, False)
                        return
                if self._breaker.state is State.CLOSED and not self.waiting:
                    await asyncio.sleep(self.pause_s())
                elif self._spool is None:
                    self._stalled("sink_down", True)
                    await asyncio.sleep(self.pause_s())
                elif await self._put_by(self._spool, records):
                    return
                else:  # guard: no room is no reason to drop a line
                    self._stalled("spool_full", True)
                    await asyncio.sleep(min(1.0, self.pause_s()))
                    await self.drain()
        finally:
            self._stalled("sink_down", False)
            self._stalled("spool_full", False)

    async def _put_by(self, spool: Spool, records: Sequence[Record]) -> bool:
        try:
            taken = await asyncio.to_thread(spool.append, records)
        except OSError as error:
            self._emit(ev.LogsSinkFailed(pipeline=self._pipeline, sink="spool", why="fault", error=str(error),
                                         retry_in_s=1.0))
            await asyncio.sleep(1.0)
            return False
        if taken:
            self._emit(ev.LogsSpooled(pipeline=self._pipeline, count=len(records), bytes=spool.bytes_held))
        return taken

    async def _try(self, records: Sequence[Record], *, spooled: bool = False) -> list[Rejected] | None:
        """One attempt: what was refused, or None when the sink is down."""
        ticket = self._breaker.admits(self._clock.now())
        if not ticket:
            return None
        began = self._clock.now()
        try:
            await self._ready()
            reached("logs.write.before")
            if self._faults < self._settings.fault_attempts:
                async with asyncio.timeout(self._settings.write_timeout_s):
                    found = await self._sink.write(records)
            else:
                found = await self._one_by_one(records)
            reached("logs.write.after")
        except Exception as error:  # noqa: BLE001 - whatever a sink raises: the batch is not in, and is tried again
            self._faults += not _passes(error)
            self._failed(ticket, "down" if _passes(error) else "fault", error)
            return None
        self._went_in(ticket)
        self._emit(ev.LogsDelivered(pipeline=self._pipeline, sink=self._sink.name, count=len(records),
                                    refused=len(found), seconds=self._clock.now() - began, spooled=spooled))
        return [_rejected(records[one.index], one) for one in found]

    async def _one_by_one(self, records: Sequence[Record]) -> list[Refused]:
        found: list[Refused] = []
        faults: list[Exception] = []
        for index, record in enumerate(records):
            try:
                async with asyncio.timeout(self._settings.write_timeout_s):
                    answered = await self._sink.write([record])
            except Exception as error:
                if _passes(error):
                    raise
                faults.append(error)
                found.append(Refused(index=index, reason="sink_error", detail=str(error)[:1024],
                                     error=type(error).__qualname__))
                continue
            found += [Refused(index=index, reason=one.reason, detail=one.detail, error=one.error) for one in answered]
        if len(faults) == len(records) > 1 and self._faults < 3 * self._settings.fault_attempts:
            raise faults[-1]  # guard: a sink that fails at everything does not bury everything
        return found

    def _went_in(self, ticket: int) -> None:
        self._attempt = self._faults = 0
        self._not_before_s = 0.0
        self._changed(ticket, "ok")

    def _failed(self, ticket: int, why: str, error: Exception) -> None:
        self._attempt += 1
        wait_s = error.retry_after_s if isinstance(error, SinkDown) else None
        wait_s = self._settings.backoff.delay_s(self._attempt, self._chance) if wait_s is None else wait_s
        now = self._clock.now()
        self._not_before_s = now + wait_s
        self._changed(ticket, "failed")
        self._emit(ev.LogsSinkFailed(pipeline=self._pipeline, sink=self._sink.name, why=why,
                                     error=f"{type(error).__name__}: {error}"[:1024], retry_in_s=self.pause_s()))

    def _changed(self, ticket: int, result: str) -> None:
        before = self._breaker.state
        after = self._breaker.on("ok" if result == "ok" else "failed", self._clock.now(), ticket)
        if after is not before:
            self._emit(ev.BreakerChanged(name_of=self._pipeline, state=after.value))

    def _name_damage(self, spool: Spool) -> None:
        while spool.aside:
            aside = spool.aside.pop()
            self._emit(ev.LogsSpoolDamaged(pipeline=self._pipeline, path=aside.path, bytes=aside.bytes))


def _passes(error: Exception) -> bool:
    """Does it say something of the sink, and nothing of a record?"""
    return isinstance(error, OSError) or bool(getattr(error, "retry_may_help", False))


def _rejected(record: Record, refused: Refused) -> Rejected:
    return Rejected(line=record.line, stage="sink", reason=refused.reason, detail=refused.detail, error=refused.error)
