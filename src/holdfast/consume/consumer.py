# SPDX-License-Identifier: Apache-2.0
"""One consumer in one process: takes deliveries, runs handlers, decides, hands outcomes to the settlers.

::

    deliver() ─▶ queue ─▶ handler tasks (reused, at most ``concurrency``) ─▶ conclude() ─▶ settler of the origin
              └▶ suspects ─▶ one task, behind the gate: alone in the process, start mark first, settled before the next

Handler tasks are reused and woken in a chain: each that takes a message wakes one more while messages wait, so handlers
that never wait run one after the other at full speed, and handlers that wait spread over the tasks. Time-outs are kept by
one watch task that looks at all running attempts every 50 ms: a timer a message would cost more than most handlers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._base import events as ev
from .._base import points
from .._base.chance import Chance
from .._base.clock import Clock
from ..errors import HandlerTimeout, LeaseLost
from .attempt import Attempt, outcome_of
from .binding import Binding
from .contract import Delivery, Note, Origin, Settled, Settlement, Verb
from .decide import Ack, Bury, Decision, HandBack, RetryAt, before_start, decide
from .gate import Gate
from .letters import Letters
from .outcome import DONE, Done, Drop, Failed, Interrupted, Outcome, Reject, Retry
from .prefetch import Prefetch
from .settler import Settler
from .subscription import Subscription

#: Seconds between two looks at running attempts: how late a time-out may come.
WATCH_S = 0.05
#: A handler task lets others run after this long without having waited.
TURN_S = 0.005


@dataclass(slots=True)
class Slot:
    """What one handler task is doing. ``cut`` says why we cancelled it, if we did."""

    delivery: Delivery | None = None
    started: float = 0.0
    cut: str | None = None
    overdue: bool = False
    task: asyncio.Task[None] | None = None


class Consumer:
    """Fulfils ``consume.contract.Inbox``. Built by the worker, which runs its sources."""

    def __init__(self, subscription: Subscription, attempt: Attempt, binding_for: Callable[[Delivery], Binding], *,
                 name: str, gate: Gate, letters: Letters, events: ev.Events, clock: Clock, chance: Chance,
                 executor: ThreadPoolExecutor, stale_s: float = 10.0) -> None:
        self.subscription = subscription
        self.name = name
        self._attempt = attempt
        self._binding_for = binding_for
        self._gate = gate
        self._letters = letters
        self._events = events
        self._clock = clock
        self._chance = chance
        self._executor = executor
        self._stale_s = stale_s
        self._queue: deque[Delivery] = deque()
        self._suspects: deque[Delivery] = deque()
        self._slots = [Slot() for _ in range(subscription.concurrency)]
        self._suspect_slot = Slot()
        self._resting: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._settlers: dict[Origin, Settler] = {}
        self._ghosts: dict[tuple[str, str, bytes], Delivery | None] = {}
        self._prefetch = Prefetch(subscription.concurrency, subscription.prefetch_s, subscription.prefetch_max)
        self._room = asyncio.Event()
        self._suspected = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._settling: dict[Origin, asyncio.Task[None]] = {}
        self.draining = False
        self.done = 0
        gate.call_on_open(self._wake_some)

    # -- inbox ----------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many deliveries are wanted: nothing until half of the prefetch is used up, so that reads stay large."""
        if self.draining:
            return 0
        return self._prefetch.room(len(self._queue) + len(self._suspects))

    async def wait_room(self) -> None:
        self._room.clear()
        if self.room() <= 0:
            await self._room.wait()

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        settler = self._settler(deliveries[0].origin)
        settler.held.update([d.entry_id for d in deliveries])
        if self._ghosts:
            deliveries = [d for d in deliveries if not self._is_ghost(d)]
        if deliveries and deliveries[0].note is None:  # just read for the first time, all of them
            self._queue.extend(deliveries)
        else:
            for d in deliveries:
                (self._suspects if d.suspect else self._queue).append(d)
            if self._suspects:
                self._suspected.set()
        self._wake_one()

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        settler = self._settlers.get(origin)
        return settler is not None and entry_id in settler.held

    def held(self, origin: Origin) -> int:
        settler = self._settlers.get(origin)
        return 0 if settler is None else len(settler.held)

    def revoke(self, origin: Origin, cause: str) -> int:
        """The incarnation is dead: what is queued is dropped, what runs is cancelled, nothing of it is settled."""
        settler = self._settlers.get(origin)
        if settler is None:
            return 0
        self._queue = deque(d for d in self._queue if d.origin is not origin)
        self._suspects = deque(d for d in self._suspects if d.origin is not origin)
        for slot in (*self._slots, self._suspect_slot):
            d = slot.delivery
            if d is not None and d.origin is origin:
                self._ghosts.setdefault(_identity(d), None)
                self._cut(slot, "revoked")
        return settler.revoke()

    def _is_ghost(self, delivery: Delivery) -> bool:
        """Is an earlier attempt of this very entry still running here? Then the new one waits for its end."""
        key = _identity(delivery)
        if key not in self._ghosts:
            return False
        self._ghosts[key] = delivery
        return True

    def _ghost_gone(self, delivery: Delivery) -> None:
        waiting = self._ghosts.pop(_identity(delivery), None)
        if waiting is not None:
            (self._suspects if waiting.suspect else self._queue).append(waiting)
            self._suspected.set()
            self._wake_one()

    def _settler(self, origin: Origin) -> Settler:
        settler = self._settlers.get(origin)
        if settler is None:
            settler = self._settlers[origin] = Settler(origin, self._events, self._chance, self._refused)
            self._settling[origin] = asyncio.create_task(settler.run(), name=f"settle {origin.stream}")
        return settler

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the handler tasks in the running loop."""
        for slot in self._slots:
            slot.task = asyncio.create_task(self._work(slot), name=f"handle {self.name}")
        self._suspect_slot.task = asyncio.create_task(self._work_suspects(), name=f"suspects {self.name}")
        self._tasks = [asyncio.create_task(self._watch(), name=f"watch {self.name}")]

    async def drain(self, deadline_s: float) -> None:
        """Hands back what has not started, lets the rest finish until the deadline, cancels what then still runs."""
        self.draining = True
        self._room.set()
        for delivery in (*self._queue, *self._suspects):
            self._release(delivery)
        self._queue.clear()
        self._suspects.clear()
        until = time.monotonic() + deadline_s
        while self._busy() and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for slot in (*self._slots, self._suspect_slot):
            if slot.delivery is not None:
                self._cut(slot, "shutdown")
        grace = time.monotonic() + 1.0
        while self._busy(cancellable=True) and time.monotonic() < grace:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*(s.flushed() for s in self._settlers.values())), 5.0)

    async def stop(self) -> None:
        """Ends all tasks."""
        tasks = [*self._tasks, *self._settling.values(), *(s.task for s in (*self._slots, self._suspect_slot) if s.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _busy(self, *, cancellable: bool = False) -> bool:
        return any(s.delivery is not None and not (cancellable and s.overdue)
                   for s in (*self._slots, self._suspect_slot))

    # -- handler tasks: the path of every message -----------------------------------------------------------------

    async def _work(self, slot: Slot) -> None:
        gate, attempt, clock = self._gate, self._attempt, time.monotonic
        turn_ends = 0.0
        settler: Settler | None = None
        while True:
            queue = self._queue
            if not queue or not gate.open:
                await self._rest()
                turn_ends = clock() + TURN_S
                continue
            delivery = queue.popleft()
            if queue:
                if self._resting and not self._waking:
                    self._wake_one()
                if len(queue) == self._prefetch.low:
                    self._room.set()
            elif not self._room.is_set():
                self._room.set()
            slot.delivery = delivery
            slot.started = started = clock()
            gate.running += 1
            outcome: Outcome | None = None
            try:
                answer = await attempt(delivery)
                if answer is not None:
                    outcome = outcome_of(answer)
            except BaseException as error:  # every outcome is accounted for, cancellation included
                outcome = self._outcome_of_error(slot, error, started)
            finally:
                gate.running -= 1
            if not gate.open:
                gate.left()
            slot.delivery = None
            ended = clock()
            if outcome is None and slot.cut is None:
                if settler is None or settler.origin is not delivery.origin:
                    settler = self._settlers[delivery.origin]
                settler.acks.append(delivery)
                settler.times.append(ended - started)
                if len(settler.acks) == 1:
                    settler.touch()
                self.done += 1
            else:
                await self._conclude(slot, delivery, DONE if outcome is None else outcome, ended - started)
            if ended > turn_ends:
                await asyncio.sleep(0)
                turn_ends = clock() + TURN_S

    async def _rest(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._resting.append(future)
        self._waking = False
        await future
        self._waking = False

    def _wake_one(self) -> None:
        while self._resting:
            future = self._resting.popleft()
            if not future.done():
                self._waking = True
                future.set_result(None)
                return

    def _wake_some(self) -> None:
        self._waking = False
        self._wake_one()

    def _outcome_of_error(self, slot: Slot, error: BaseException, started: float) -> Outcome:
        if isinstance(error, (Retry, Reject, Drop)):
            return error
        if isinstance(error, asyncio.CancelledError):
            if slot.cut is None:
                raise error
            task = asyncio.current_task()
            while task is not None and task.cancelling():
                task.uncancel()
            if slot.cut == "timeout":
                limit = self.subscription.timeout_s
                return Failed(HandlerTimeout(f"the handler ran longer than its limit of {limit} s"), "handle",
                              time.monotonic() - started)
            return Interrupted(slot.cut)
        if not isinstance(error, Exception):
            raise error
        return Failed(error, _stage_of(error), time.monotonic() - started)

    # -- suspects -------------------------------------------------------------------------------------------------

    async def _work_suspects(self) -> None:
        slot = self._suspect_slot
        while True:
            if not self._suspects:
                self._suspected.clear()
                await self._suspected.wait()
                continue
            async with self._gate.alone():
                while self._suspects:
                    await self._run_suspect(slot, self._suspects.popleft())

    async def _run_suspect(self, slot: Slot, delivery: Delivery) -> None:
        """Buried if it has killed too often; else marked, run, and settled before anybody else starts."""
        buried = before_start(delivery.crashes, self.subscription.policy)
        slot.delivery, slot.started = delivery, time.monotonic()
        if buried is not None:
            slot.delivery = None
            await self._carry_out(delivery, buried, 0.0)
        elif await self._marked(delivery):
            outcome: Outcome = DONE
            try:
                answer = await self._attempt(delivery)
                if answer is not None:
                    outcome = outcome_of(answer) or DONE
            except BaseException as error:  # as above
                outcome = self._outcome_of_error(slot, error, slot.started)
            took, slot.delivery = time.monotonic() - slot.started, None
            await self._conclude(slot, delivery, outcome, took)
        else:
            slot.delivery = None
            self._settlers[delivery.origin].held.discard(delivery.entry_id)
        settler = self._settlers.get(delivery.origin)
        if settler is not None:
            await settler.flushed()

    async def _marked(self, delivery: Delivery) -> bool:
        try:
            return await delivery.origin.mark_started(delivery)
        except Exception as error:  # not started is safe: it stays pending and is found again
            ev.log.warning("start mark of %s: %s", delivery, error)
            return False

    # -- outcomes -------------------------------------------------------------------------------------------------

    async def _conclude(self, slot: Slot, delivery: Delivery, outcome: Outcome, took: float) -> None:
        cut, slot.cut, slot.overdue = slot.cut, None, False
        if _identity(delivery) in self._ghosts:
            self._ghost_gone(delivery)
        if cut == "revoked" or not self.holds(delivery.origin, delivery.entry_id):
            return  # the work belongs to others; our outcome is nobody's business
        effect = self.subscription.effect
        busy = effect is not None and isinstance(outcome, Failed) and effect.transient(outcome.error)
        at_ms, now = delivery.message.at_ms, self._clock.wall_ms()
        decision = decide(outcome, attempts=delivery.attempts, crashes=delivery.crashes,
                          age_s=0.0 if at_ms is None else max(0.0, (now - at_ms) / 1000), policy=self.subscription.policy,
                          now=now, chance=self._chance, effect_transient=busy, classifiers=self.subscription.classifiers)
        points.reached("decide.after")
        await self._carry_out(delivery, decision, took)

    async def _carry_out(self, delivery: Delivery, decision: Decision, took: float) -> None:
        settler = self._settler(delivery.origin)
        settler.times.append(took)
        match decision:
            case Ack():
                settler.dropped += decision.dropped is not None
                settler.duplicates += decision.duplicate
                settler.acks.append(delivery)
                settler.touch()
                self.done += 1
            case RetryAt():
                self._retry(delivery, decision)
            case Bury():
                await self._bury(delivery, decision, took)
            case HandBack():
                self._release(delivery)

    def _retry(self, delivery: Delivery, decision: RetryAt) -> None:
        note = self._noted(delivery, decision.error, decision.stage, decision.reason, counts=decision.counts)
        due_ms = max(0, int(decision.in_s * 1000))
        self._settler(delivery.origin).add(Settlement(delivery, Verb.PARK, due_in_ms=due_ms, note=note))
        message = delivery.message
        if decision.kind == "unserved":
            self._events.emit(ev.ParkedUnknown(
                stream=delivery.origin.stream, group=delivery.origin.group, message_id=message.id,
                type=message.type or "", version=message.version))
        else:
            self._tell_failed(delivery, decision.error, decision.stage, decision.in_s)

    def _tell_failed(self, delivery: Delivery, error: BaseException | None, stage: str, retry_in_s: float | None) -> None:
        self._events.emit(ev.AttemptFailed(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            entry_id=delivery.entry_id.decode(), handler=self._handler_name(delivery), attempt=delivery.attempt,
            error_type=_type_name(error), stage=stage, retry_in_s=retry_in_s))

    def _noted(self, delivery: Delivery, error: BaseException | None, stage: str, reason: str, *, counts: bool) -> Note:
        """The note that lies beside the entry until its next attempt. An outcome clears the suspicion."""
        note, now = delivery.note or Note(), self._clock.wall_ms()
        note.suspect = False
        note.attempts = delivery.attempts + counts
        note.crashes = delivery.crashes
        if error is not None and counts:
            note.first_failed_ms = note.first_failed_ms or now
            note.last_failed_ms = now
            note.reason = reason
            kind = _type_name(error)
            if note.deaths and note.deaths[-1][0] == kind and note.deaths[-1][1] == stage:
                note.deaths[-1][2] += 1
                note.deaths[-1][4] = now
            else:
                note.deaths.append([kind, stage, 1, now, now])
        return note

    async def _bury(self, delivery: Delivery, decision: Bury, took: float) -> None:
        """To the dead letters, unless the effect turns out to exist: then it is acknowledged."""
        applied = await self._applied(delivery)
        if applied is True:
            settler = self._settler(delivery.origin)
            settler.duplicates += 1
            settler.acks.append(delivery)
            settler.touch()
            return
        attempts = delivery.attempts + (decision.reason != "crash_loop")
        delivery.note = self._noted(delivery, decision.error, decision.stage, decision.reason,
                                    counts=decision.reason != "crash_loop")
        fence = delivery.fence
        letter = self._letters.of(
            delivery, decision, consumer=getattr(fence, "incarnation", ""), handler=self._handler_name(delivery),
            policy=self.subscription.policy, attempts=attempts, applied="no" if applied is False else "unknown",
            seconds=took, deliveries=getattr(fence, "count", None), is_replay=getattr(delivery.origin, "is_replay", False))
        settler = self._settler(delivery.origin)
        settler.add(Settlement(delivery, Verb.BURY, letter=letter.fields, letter_id=letter.id))
        self._tell_failed(delivery, decision.error, decision.stage, None)
        self._events.emit(ev.Buried(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            entry_id=delivery.entry_id.decode(), letter_id=letter.id, reason=decision.reason, stage=decision.stage,
            error_type=_type_name(decision.error), attempts=attempts))

    async def _applied(self, delivery: Delivery) -> bool | None:
        """Has the effect been applied? None: there is nobody to ask, or no answer."""
        effect = self.subscription.effect
        if effect is None:
            return None
        try:
            return bool((await effect.applied([delivery]))[0])
        except Exception as error:  # the letter then says "unknown", which is true
            ev.log.warning("asking whether %s was applied: %s", delivery, error)
            return None

    def _release(self, delivery: Delivery) -> None:
        self._settler(delivery.origin).add(Settlement(delivery, Verb.RELEASE, note=delivery.note))

    def _refused(self, delivery: Delivery, settlement: Settlement | None, answer: Settled) -> None:
        """A settlement did not go through. Whoever owns the entry now will deal with it; what is still ours we retry."""
        origin = delivery.origin
        if answer is Settled.MISSING:
            letter = self._letters.of_missing(origin.stream, origin.group, delivery.entry_id,
                                              getattr(delivery.fence, "incarnation", ""),
                                              getattr(delivery.fence, "count", 0),
                                              is_replay=getattr(origin, "is_replay", False))
            self._settler(origin).held.add(delivery.entry_id)
            self._settler(origin).add(Settlement(delivery, Verb.BURY, letter=letter.fields, letter_id=letter.id))
        elif answer is Settled.FAILED and settlement is not None:
            self._events.emit(ev.BuryFailed(stream=origin.stream, group=origin.group, message_id=delivery.message.id,
                                            error="the server refused the write of the letter"))
            self._settler(origin).held.add(delivery.entry_id)
            self._settler(origin).add(Settlement(delivery, Verb.PARK, due_in_ms=5000, note=delivery.note))

    def _handler_name(self, delivery: Delivery) -> str:
        try:
            return self._binding_for(delivery).name
        except Exception:  # noqa: BLE001 - a message nobody serves has no handler, and that is what failed
            return ""

    # -- watching -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Time-outs, overdue threads, work that has waited too long, and the rate the prefetch follows."""
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            self._prefetch.measured(self.done, now)
            limit = self.subscription.timeout_s
            if limit is not None:
                for slot in (*self._slots, self._suspect_slot):
                    if slot.delivery is not None and now - slot.started > limit:
                        self._time_out(slot, now - slot.started)
            while self._queue and self._clock.now() - self._queue[0].received_at > self._stale_s:
                self._release(self._queue.popleft())
            if self.room() > 0:
                self._room.set()

    def _time_out(self, slot: Slot, ran_s: float) -> None:
        delivery = slot.delivery
        if delivery is None or slot.cut is not None or slot.overdue:
            return
        binding = self._binding_for(delivery)
        if binding.is_async:
            self._cut(slot, "timeout")
            return
        slot.overdue = True  # a thread cannot be cancelled: the entry stays in flight, and no second attempt starts
        self._events.emit(ev.HandlerOverdue(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            handler=binding.name, seconds=round(ran_s, 3)))

    def _cut(self, slot: Slot, why: str) -> None:
        delivery = slot.delivery
        if delivery is None or slot.task is None:
            return
        if not self._binding_for(delivery).is_async:
            slot.overdue = True
            if why == "revoked":
                slot.cut = why  # its outcome, when the thread is through, is not settled
            return
        slot.cut = why
        slot.task.cancel()


def _identity(delivery: Delivery) -> tuple[str, str, bytes]:
    return (delivery.origin.stream, delivery.origin.group, delivery.entry_id)


def _type_name(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _stage_of(error: Exception) -> Any:
    from ..errors import DecodeError, MessageError  # noqa: PLC0415

    if isinstance(error, DecodeError):
        return "decode"
    return "validate" if isinstance(error, MessageError) else "handle"


__all__ = ["Consumer", "Done", "LeaseLost", "Slot"]
