# SPDX-License-Identifier: Apache-2.0
"""The relay: rows of the outbox go into their streams in the order of their numbers, each exactly once.

One relay leads, by a lease; others wait. Its term, on each stream::

    enter    the first time this term meets the stream: put up its fence there; it sends nothing of what it has read yet
    read     the lowest rows of the table
    send     row by row XADD and a mark, unless the mark is there; refused unless the fence still stands
    delete   the rows, in one transaction
    forget   their marks; refused unless the fence still stands

**Why no row comes twice**, whoever dies, sleeps or is late, and without any window of time:

1. A row that is in its stream is marked from that moment on, in the same step.
2. Its mark goes only after the row's deletion is committed, and only by the term whose fence stands.
3. A term sends only what it read with its fence standing. Whatever it read had not been deleted by then, so if it had
   been sent its mark was there, and nobody but this term could take it away since. Entering before reading is the
   point: a slow predecessor may delete and forget a row between its successor's read and send.
4. A call whose answer never came may still be on its way, and could arrive after its row was sent again, deleted and
   forgotten. So the term ends with it: the next has a higher epoch, and the late call is refused.

**Why none is lost**: a row is deleted only after a call that put it into its stream was answered. If the server then
forgets that (a failover to a replica that had not got it), rows still in the table are sent again, and rows already
deleted are lost; with ``replicas`` they are deleted only once so many have confirmed. The relay has to read the primary
of the database: on a delayed copy a row can seem deleted that is there.

The order of rows is that of their numbers, and numbers are given before the commit. So of two rows the first written
comes first if its transaction had ended before the other's began to write: as far as the user has serialised them.

Rejected: locking rows while they are sent (a paused relay would hold them), and marking them sent in the table first
(two SQL writes a row instead of one).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from ..._base import events as ev
from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, Instant, SystemClock
from ..._base.points import reached
from ..._redis.heart import Heart
from ..._redis.keys import LeaseKeys
from ..._redis.lease import Lease, Term
from ...errors import LeaseLost, PublishError, ServerError, ServerUnreachable
from .marks import FenceGone, Marks, Overtaken, Replicas, Sent
from .stalls import Stalls
from .store import OutboxStore
from .table import number_of

if TYPE_CHECKING:
    from ..._redis.server import Server
    from ..._sql import Database, DatabaseSource
    from .table import Row

T = TypeVar("T")

#: Answers for a logical stream how its messages are placed: from what chooses the partition to the physical stream.
Place = Callable[[str], Awaitable[Callable[[str], str]]]

#: Seconds between two gauges of the backlog, which read the whole table.
GAUGE_S = 10.0
#: Seconds to wait after the database or the lease's server failed.
TROUBLE_S = 1.0


@dataclass(frozen=True, slots=True)
class RelayState:
    """How a relay stands.

    epoch: of its term, 0 while another leads. relayed: rows since it was made; repeated: those among them that were
    found in their streams already. stalled: stream → why it rests.
    """

    outbox: str
    leading: bool
    epoch: int
    relayed: int
    repeated: int
    stalled: dict[str, str]


class _TermOver(Exception):
    """This term must end, and the next may begin at once."""


class Relay:
    """Relays one outbox. Run as many as you like: one leads, another takes over when it is gone for ``lease_ms``.

    source: the database, as the user has it. place: where messages belong, see ``Place``. heart: what keeps the lease
        alive; one of its own by default.
    poll_s: how often the table is looked at when it was empty: what a message waits for at most, at the price of one
        small query each time. ``poke`` after a commit makes it immediate, in the same process.
    batch: rows in one round; so many entries are held in memory. More: fewer transactions a row.
    lease_ms: how long a leader may be silent. Shorter hands over sooner, and interrupts at a pause as long.
    replicas: rows leave the table once so many replicas have them; waits up to ``wait_s`` seconds a call.
    """

    def __init__(self, server: Server, source: DatabaseSource | Database, place: Place, *,
                 events: ev.Events | None = None, clock: Clock | None = None, chance: Chance | None = None,
                 heart: Heart | None = None, poll_s: float = 0.2, batch: int = 500, lease_ms: int = 10_000,
                 replicas: int = 0, wait_s: float = 1.0) -> None:
        self._server = server
        self._store = OutboxStore(source)
        self._place = place
        self._events = events or ev.Events()
        self._clock = clock or SystemClock()
        self._chance = chance or system_chance()
        self._heart = heart
        self._name = f"relay-{uuid4().hex[:12]}"
        self._poll_s, self._batch, self._lease_ms = poll_s, batch, lease_ms
        self._replicas = Replicas(replicas, wait_s)
        self._stalls = Stalls()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._outbox = ""
        self._claims = self._epoch = self._relayed = self._repeated = 0
        self._gauge_at = Instant(0)

    # -- from outside

    async def run(self, *, until_empty: bool = False) -> None:
        """Relays until ``stop``; with ``until_empty`` only until nothing is left but what rests.

        Raises ConfigurationError when the table is missing or the database would show what is not committed. Trouble
        with database or server is reported as OutboxStalled, and it goes on when they do.
        """
        self._loop = asyncio.get_running_loop()
        heart = self._heart or Heart(self._server, self._clock, self._events)
        heart.start()
        try:
            while not self._stopping:
                try:
                    await self._term(heart, until_empty)
                except (SQLAlchemyError, OSError) as error:
                    await self._trouble("the database", error)
                except ServerError as error:
                    if not error.retry_may_help:
                        raise
                    await self._trouble("the server of the lease", error)
        finally:
            if self._heart is None:
                await heart.stop()
            await self._store.close()

    def stop(self) -> None:
        """Ends ``run`` when the round that runs now is through."""
        self._stopping = True
        self.poke()

    def poke(self) -> None:
        """Says that there is something new: the next round begins at once. From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the relay with it
                self._loop.call_soon_threadsafe(self._wake.set)

    def inspect(self) -> RelayState:
        """How it stands."""
        return RelayState(self._outbox, self._epoch > 0, self._epoch, self._relayed, self._repeated,
                          {stream: rest.why for stream, rest in self._stalls.of.items()})

    # -- a term

    async def _term(self, heart: Heart, until_empty: bool) -> None:
        """From waiting for the lease to giving it back. Whatever fails ends it: the next begins with what is there."""
        self._outbox = await self._store.identified(self._clock.wall_ms())
        lease = Lease(self._server, heart, f"outbox-{self._outbox}", self._name, lease_ms=self._lease_ms,
                      clock=self._clock, chance=self._chance)
        while (term := await self._claimed(lease)) is None:
            await self._pause(self._lease_ms / 3000 * (0.8 + 0.4 * self._chance.random()))
            if self._stopping:
                return
        marks = Marks(self._server, self._outbox, term.epoch, lease.member, self._replicas)
        self._epoch = term.epoch
        try:
            await self._lead(term, marks, until_empty)
        except LeaseLost as lost:
            self._events.emit(ev.OutboxStalled(error=str(lost)))
            await self._catch_up(lost, term)
        except _TermOver:
            pass
        finally:
            self._epoch = 0
            await lease.release(term)
            await marks.close()

    async def _claimed(self, lease: Lease) -> Term | None:
        # guard: a name of its own for each term. Who asks again under the same name is given the same grant and epoch,
        # and a term must not have its predecessor's, whose calls may still be on their way.
        self._claims += 1
        lease.member = f"{self._name}-{self._claims}"
        return await lease.claim()

    async def _catch_up(self, lost: LeaseLost, term: Term) -> None:
        """Epochs are counted beside the lease and compared on the streams, on another node of a Cluster perhaps. Where
        the counter has lost its last numbers, each term would be refused until it had counted its way up again."""
        if isinstance(lost, Overtaken) and lost.epoch > term.epoch and term.left_s(self._clock) > 0:
            keys = LeaseKeys(self._server.prefix, f"outbox-{self._outbox}")
            await self._server.shared(keys.lease).call("INCRBY", keys.lease_epoch, lost.epoch - term.epoch)

    async def _lead(self, term: Term, marks: Marks, until_empty: bool) -> None:
        while not self._stopping:
            term.check(self._clock)
            found, again = await self._round(term, marks)
            await self._gauge()
            if until_empty and not found:
                self._stopping = True
            elif not again and not self._stopping:
                await self._pause(self._poll_s)

    async def _round(self, term: Term, marks: Marks) -> tuple[int, bool]:
        """Answers how many rows were read, and whether there may be more at once."""
        entered = frozenset(marks.entered)
        rows = await self._read()
        placed = await self._placed(rows)
        term.check(self._clock)
        fresh = [name for name in placed if name not in entered]
        await _all([self._enter(marks, name, placed[name][0].stream) for name in fresh])
        known = [name for name in placed if name in entered]  # guard: fence before read
        sent = await _all([self._send(marks, name, placed[name]) for name in known])
        await self._clear(marks, dict(zip(known, sent, strict=True)))
        _end_if_asked(sent)
        return len(rows), bool(fresh) or len(rows) == self._batch

    async def _read(self) -> list[Row]:
        name, rows = await self._store.read(self._batch, self._stalls.resting(self._clock.now()))
        if name != self._outbox:
            raise _TermOver  # guard: somebody emptied the table; it is another outbox now
        if rows:
            reached("outbox.read.after")
        return rows

    async def _placed(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """Physical stream → its rows. A stream whose place is not known is left out as a whole."""
        ways: dict[str, Callable[[str], str]] = {}
        for stream in dict.fromkeys(row.stream for row in rows):
            try:
                ways[stream] = await self._place(stream)
            except (ServerError, PublishError) as error:
                self._stalled(stream, error)
        placed: dict[str, list[Row]] = {}
        for row in rows:
            if (way := ways.get(row.stream)) is not None:
                placed.setdefault(way(row.place_by), []).append(row)
        return placed

    async def _enter(self, marks: Marks, name: str, stream: str) -> None:
        """Puts up the fence, and removes marks that a predecessor left behind rows it had deleted."""
        try:
            there = await marks.enter(name)
            reached("outbox.fenced.after")
            for start in range(0, len(there), self._batch):
                some = there[start : start + self._batch]
                left = await self._store.present([number_of(mark) for mark in some])
                await marks.forget(name, [mark for mark in some if number_of(mark) not in left])
            marks.entered.add(name)
        except (ServerError, FenceGone) as error:
            self._stalled(stream, error)

    async def _send(self, marks: Marks, name: str, rows: list[Row]) -> Sent:
        began, stream = self._clock.now(), rows[0].stream
        sent = await marks.send(name, rows)
        if sent.rows:
            self._relayed += len(sent.rows)
            self._repeated += sent.before
            oldest_s = (self._clock.wall_ms() - min(row.written_ms for row in sent.rows)) / 1000
            self._events.emit(ev.OutboxRelayed(stream=stream, count=len(sent.rows), repeated=sent.before,
                                               oldest_s=max(0.0, oldest_s), seconds=self._clock.now() - began))
        if sent.error is None:
            self._stalls.went_well(stream)
        elif isinstance(sent.error, FenceGone):
            marks.entered.discard(name)
        elif not isinstance(sent.error, LeaseLost):
            self._stalled(stream, sent.error)
        return sent

    async def _clear(self, marks: Marks, sent: dict[str, Sent]) -> None:
        """Deletes what is in its stream, and nothing before it is there; then forgets it."""
        numbers = [row.number for found in sent.values() for row in found.rows]
        if not numbers:
            return
        reached("outbox.written.after")
        await self._store.delete(numbers)
        reached("outbox.deleted.after")
        for name, found in sent.items():
            try:
                await marks.forget(name, [row.mark for row in found.rows])
            except (ServerError, FenceGone):
                marks.entered.discard(name)  # entering again finds them
        reached("outbox.forgotten.after")

    # -- beside it

    async def _gauge(self) -> None:
        now = self._clock.now()
        if now >= self._gauge_at:
            self._gauge_at = Instant(now + GAUGE_S)
            rows, oldest_ms = await self._store.backlog()
            age_s = 0.0 if oldest_ms is None else max(0.0, (self._clock.wall_ms() - oldest_ms) / 1000)
            self._events.emit(ev.OutboxBacklog(rows=rows, oldest_s=age_s))

    def _stalled(self, stream: str, error: Exception) -> None:
        self._stalls.failed(stream, str(error), self._clock.now())
        self._events.emit(ev.OutboxStalled(error=f"stream {stream!r}: {error}"))

    async def _trouble(self, who: str, error: Exception) -> None:
        """Nothing can be done at all for the moment."""
        cause = getattr(error, "orig", None) or error  # SQLAlchemy's own text quotes values, which are payload
        self._events.emit(ev.OutboxStalled(error=f"{who}: {type(error).__name__}: {cause}"))
        await self._pause(TROUBLE_S)

    async def _pause(self, seconds: float) -> None:
        """So long, or until poked. A poke that came before counts too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()


def _end_if_asked(sent: Sequence[Sent]) -> None:
    for found in sent:
        if isinstance(found.error, LeaseLost):
            raise found.error
        if isinstance(found.error, ServerUnreachable) and found.error.maybe_done:
            raise _TermOver  # guard: a call in doubt ends the term


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """Waits for all, also when one fails: nothing of a round may go on behind it."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]
