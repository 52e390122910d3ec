# SPDX-License-Identifier: Apache-2.0
"""Settling in batches: outcomes pile up while a settle is under way, and go together in the next one.

At once when idle; under load one call every ``WINDOW_S`` or every ``BATCH`` deliveries, whichever comes first. A
delivery stays *held* until its settle was answered, so nobody here takes it for lost. If the server cannot be reached
the same batch is sent again until it can be, or until the lease is lost and somebody else owns the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Literal

from .._base import events as ev
from .._base.chance import Chance
from ..errors import NotAuthorized, ServerError, ServerUnreachable
from .contract import Delivery, Origin, Rider, Settled, Settlement, Verb

#: Seconds between two settles under load.
WINDOW_S = 0.0015
#: Deliveries in one settle at most. Longer scripts hold up everybody else at the server.
BATCH = 1000

#: Answers about an effect: whoever gets one still owns the entry.
_OF_EFFECTS = frozenset({Settled.DUPLICATE, Settled.HALF, Settled.CHANGED})
#: As what an acknowledgement is counted.
WhyAcked = Literal["acked", "dropped", "duplicates"]
#: Told of each refusal: (delivery, settlement or None for an acknowledgement, what the broker said).
OnRefused = Callable[[Delivery, Settlement | None, Settled], None]
#: Told of each settlement that went through. Only ordered consumers listen.
OnSettled = Callable[[Delivery, Verb], None]


class Settler:
    """Collects what is to be settled at one origin, and settles it."""

    def __init__(self, origin: Origin, events: ev.Events, chance: Chance, on_refused: OnRefused,
                 on_settled: OnSettled | None = None) -> None:
        self.origin = origin
        self._events = events
        self._chance = chance
        self._on_refused = on_refused
        self._on_settled = on_settled
        #: Filled by the handler tasks, directly: this is the path of every message.
        self.acks: list[Delivery] = []
        self.others: list[Settlement] = []
        self.times: list[float] = []
        #: Which of those acknowledged are no plain successes, by entry id.
        self._why: dict[bytes, WhyAcked] = {}
        #: Ids that are queued, running or being settled here.
        self.held: set[bytes] = set()
        self._dirty = asyncio.Event()
        self._idle = asyncio.Event()
        self._busy = False
        self.revoked = False
        self.failing_since: float | None = None

    def touch(self) -> None:
        """There is something to settle."""
        self._dirty.set()

    def ack(self, delivery: Delivery, why: WhyAcked = "acked") -> None:
        """It is done."""
        if why != "acked":
            self._why[delivery.entry_id] = why
        self.acks.append(delivery)
        self._dirty.set()

    def add(self, settlement: Settlement) -> None:
        """Anything but an acknowledgement."""
        self.others.append(settlement)
        self._dirty.set()

    def again(self, settlement: Settlement) -> None:
        """After a refusal: the delivery is still ours, and this is what is asked instead."""
        self.held.add(settlement.delivery.entry_id)
        self.add(settlement)

    async def flushed(self, within_s: float) -> bool:
        """Returns when everything handed over so far was settled, or after ``within_s``; True in the first case."""
        until = time.monotonic() + within_s
        while self.acks or self.others or self._busy:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._idle.clear()
            self._dirty.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._idle.wait()
        return True

    def revoke(self) -> int:
        """Forgets everything that was not settled yet: it belongs to others."""
        forgotten = len(self.held)
        _give_back(self.others)
        self.acks, self.others, self.times = [], [], []
        self._why.clear()
        self.held.clear()
        self.revoked = True
        return forgotten

    async def run(self) -> None:
        """Settles until cancelled."""
        last = 0.0
        while True:
            if not (self.acks or self.others):
                self._dirty.clear()
                await self._dirty.wait()
            self._busy = True
            wait_s = last + WINDOW_S - time.monotonic()
            if wait_s > 0 and len(self.acks) < BATCH:
                await asyncio.sleep(wait_s)
            last = time.monotonic()
            acks, self.acks = self.acks[:BATCH], self.acks[BATCH:]
            others, self.others = self.others[:BATCH], self.others[BATCH:]
            times, self.times = self.times, []
            if acks or others:
                self.revoked = False
                await self._settle(acks, others, times)
                _give_back(others)
            self._busy = False
            if not (self.acks or self.others):
                self._idle.set()

    async def _settle(self, acks: list[Delivery], others: Sequence[Settlement], times: list[float]) -> None:
        started, attempt = time.monotonic(), 0
        while not self.revoked:
            try:
                refused = await self.origin.settle(acks, others)
            except (ServerUnreachable, NotAuthorized) as error:  # a right may have been taken away, and come back
                if self.failing_since is None:
                    ev.log.error("settling %s for %s: %s; trying again", self.origin.stream, self.origin.group, error)
                self.failing_since = self.failing_since or started
                self._failed("unreachable" if isinstance(error, ServerUnreachable) else "refused")
                attempt += 1
                await asyncio.sleep(min(1.0, 0.02 * 2 ** min(attempt, 6)) * (0.5 + self._chance.random() / 2))
                continue
            except ServerError as error:  # the whole call was refused: pending it stays, and it will be found there
                ev.log.error("settling %s for %s: %s", self.origin.stream, self.origin.group, error)
                self._failed("refused")
                refused = [(d, Settled.OTHER) for d in acks] + [(s.delivery, Settled.OTHER) for s in others]
            self.failing_since = None
            self._settled(acks, others, refused, times, time.monotonic() - started, repeated=attempt > 0)
            return

    def _failed(self, why: str) -> None:
        self._events.emit(ev.SettleFailed(stream=self.origin.stream, group=self.origin.group, why=why))

    def _settled(self, acks: list[Delivery], others: Sequence[Settlement], refused: Sequence[tuple[Delivery, Settled]],
                 times: list[float], seconds: float, *, repeated: bool) -> None:
        if self.revoked:  # guard: what is held by now was delivered anew (test_settler)
            return
        held = self.held
        held.difference_update([d.entry_id for d in acks])
        held.difference_update([s.delivery.entry_id for s in others])
        counts = [0] * len(Verb)
        for s in others:
            counts[s.verb] += 1
            s.answer = Settled.OK
        why = {id(d): self._why.pop(d.entry_id) for d in acks if d.entry_id in self._why} if self._why else {}
        acked, lost, repeats = len(acks), 0, 0
        if refused:
            what = {id(s.delivery): s for s in others}
            for delivery, answer in refused:
                settlement = what.get(id(delivery))
                if not (repeated and answer is Settled.GONE):  # gone after a lost reply is what we asked for
                    lost += answer not in _OF_EFFECTS
                    repeats += answer is Settled.DUPLICATE
                    if settlement is None:
                        acked -= 1
                        why.pop(id(delivery), None)
                    else:
                        counts[settlement.verb] -= 1
                        settlement.answer = answer
                    self._on_refused(delivery, settlement, answer)
        whys = list(why.values())
        self._events.emit(ev.Settled(
            stream=self.origin.stream, group=self.origin.group, acked=acked - len(whys) + counts[Verb.APPLY],
            dropped=whys.count("dropped"), duplicates=whys.count("duplicates") + repeats,
            retried=counts[Verb.PARK] + counts[Verb.STOW], buried=counts[Verb.BURY],
            handed_back=counts[Verb.RELEASE], refused=lost, seconds=seconds, handle_s=tuple(times),
            attempts=tuple([d.attempt for d in _done(acks, others) if d.attempts])))
        if self._on_settled is not None:
            unsettled = {id(d) for d, answer in refused if answer not in (Settled.GONE, Settled.DUPLICATE)}
            for d in acks:
                if id(d) not in unsettled:
                    self._on_settled(d, Verb.ACK)
            for s in others:
                if id(s.delivery) not in unsettled:
                    self._on_settled(s.delivery, s.verb)


def _done(acks: Sequence[Delivery], others: Sequence[Settlement]) -> list[Delivery]:
    return [*acks, *(s.delivery for s in others if s.verb is Verb.APPLY)]


def _give_back(others: Sequence[Settlement]) -> None:
    """What was held until the settlement was answered, or came to nothing, is held no longer."""
    for s in others:
        if s.rider is not None and s.rider.settled is not None:
            come_to_nothing(s.rider, s.answer)


def come_to_nothing(rider: Rider, answer: Settled | None = None) -> None:
    """Nobody waits for this rider any more; after an answer that is as true as before one."""
    settled, rider.settled = rider.settled, None  # it may lead back to the rider, and riders are not traced
    if settled is not None:
        settled(answer)
