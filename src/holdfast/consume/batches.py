# SPDX-License-Identifier: Apache-2.0
"""A consumer whose handler takes lists: same inbox, suspects and conclusions; what a handler task does differs.

A failed batch counts no attempt: its members run one by one, and each comes to its own outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from ..errors import LeaseLost
from .admission import ASIDE
from .attempt import Attempt
from .batch import BatchAttempt
from .consumer import LOOK_S, Consumer, Slot
from .contract import Delivery
from .limits_file import Limits
from .outcome import DONE, Failed, Outcome
from .parts import Parts
from .prefetch import Prefetch
from .routes import Routes
from .subscription import Subscription


class BatchConsumer(Consumer):
    """Gathers up to ``batch_size`` messages, or what came within ``batch_wait_s``, into one call of the handler."""

    def __init__(self, subscription: Subscription, batch: BatchAttempt, routes: Routes, parts: Parts, *,
                 name: str) -> None:
        super().__init__(subscription, _one_of(batch), routes, parts, name=name)
        self._batch = batch

    def _ahead(self, limits: Limits) -> Prefetch:
        # guard: a task that runs wants a batch, not a message, to wait behind it (test_consumer_batches)
        return Prefetch(limits.concurrency * limits.batch_size, limits.prefetch_s, limits.prefetch_max)

    async def _run_alone(self, delivery: Delivery) -> Outcome:
        return (await self._batch([delivery]))[0]

    async def _work(self, slot: Slot) -> None:
        """Takes up to ``batch_size`` messages at a time.

        A failed batch counts no attempt: its members run one by one.
        """
        while True:
            if not self._queue or not self._gate.open or slot.retired:
                if slot.retired and self._retire(slot):
                    return
                await self._rest()
                continue
            members = await self._gather_batch()
            if not members:
                continue
            took, outcomes = await self._run_batch(slot, members)
            if len(members) > 1 and self._failed_whole(outcomes):
                await self._run_one_by_one(slot, members)
            elif slot.cut is None and not slot.overdue and all(o is DONE for o in outcomes) and self._admission is None:
                self._all_done(slot, members, took)
            else:
                for member, outcome in zip(members, outcomes, strict=True):
                    await self._conclude(slot, member, outcome, took / len(members))
            self.done += len(members)

    def _all_done(self, slot: Slot, members: Sequence[Delivery], took: float) -> None:
        """The common way out: nothing to decide, nothing to tell one by one."""
        slot.deliveries = ()
        for origin in {id(m.origin): m.origin for m in members}.values():
            settler = self._settler(origin)
            mine = [m for m in members if m.origin is origin and m.entry_id in settler.held]
            settler.acks += mine
            settler.times += [took / len(members)] * len(mine)
            settler.touch()

    def _failed_whole(self, outcomes: Sequence[Outcome]) -> bool:
        """Did the call fail, for whatever one of its members did? A store that is busy, or a lost lease, is no member's
        doing: then the batch is retried as it is."""
        first, effect = outcomes[0], self.subscription.effect
        if not isinstance(first, Failed) or any(o is not first for o in outcomes):
            return False
        return not (isinstance(first.error, LeaseLost) or (effect is not None and effect.transient(first.error)))

    async def _run_one_by_one(self, slot: Slot, members: Sequence[Delivery]) -> None:
        # Between two of them nothing of this task runs that could be cut off, and those that wait can be taken out.
        slot.deliveries, slot.cut = (), None
        for member in members:
            member.received_at = self._clock.now()
        self._entering.update(members)
        for member in members:
            await self._gate.opened()
            if member in self._entering:  # guard: not if it was revoked or handed back meanwhile (test_consumer)
                self._entering.discard(member)
                member.body = None  # the batch handler may have changed it
                took, alone = await self._run_batch(slot, [member])
                await self._conclude(slot, member, alone[0], took)
            else:
                self._admission_left(member, None)

    async def _gather_batch(self) -> list[Delivery]:
        limits = self.subscription.limits
        until = time.monotonic() + limits.batch_wait_s
        while len(self._queue) < limits.batch_size and time.monotonic() < until and not self.draining:
            self._room.set()
            await asyncio.sleep(min(0.005, limits.batch_wait_s))
        await self._gate.opened()  # guard: a suspect may have begun while the batch was gathered
        members, wait_s = self._take_members(limits.batch_size)
        if self.subscription.policy.expires:
            members = [m for m in members if not await self._expired(m)]
        self._room.set()
        if self._queue and (members or not wait_s):
            self._wake_one()
        elif wait_s:
            await asyncio.sleep(min(wait_s, LOOK_S))
        return members

    def _take_members(self, most: int) -> tuple[list[Delivery], float]:
        """As many as wait and the limits let pass; and after how many seconds they will let more."""
        members: list[Delivery] = []
        while self._queue and len(members) < most:
            wait_s = 0.0 if self._admission is None else self._admission.enter(self._queue[0])
            if wait_s > 0:  # guard: limits and breaker hold for batches too (test_consumer_batches)
                return members, wait_s
            member = self._queue.popleft()
            if wait_s != ASIDE:
                members.append(member)
        return members, 0.0

    async def _run_batch(self, slot: Slot, members: list[Delivery]) -> tuple[float, Sequence[Outcome]]:
        slot.deliveries, slot.started, slot.cut = members, time.monotonic(), None
        self._gate.running += 1
        try:
            outcomes = await self._batch(members)
        except BaseException as error:  # noqa: BLE001 - as above
            outcomes = [self._outcome_of_error(slot, error)] * len(members)
        finally:
            self._gate.running -= 1
        if self._gate.awaited:
            self._gate.left()
        return time.monotonic() - slot.started, outcomes


def _one_of(batch: BatchAttempt) -> Attempt:
    """The batch attempt for a single message."""
    async def run(delivery: Delivery) -> Outcome:
        return (await batch([delivery]))[0]

    return run
