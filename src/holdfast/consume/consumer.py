# SPDX-License-Identifier: Apache-2.0
"""One consumer in one process: takes deliveries, runs handlers, hands what they came to on.

::

    deliver() ─▶ queue ─▶ handler tasks (reused, at most ``concurrency``) ─▶ conclusions ─▶ settler of the origin
              └▶ suspects ─▶ one task, behind the gate: alone in the process, start mark first, settled before the next

Handler tasks are reused and woken in a chain: each that takes a message wakes one more while messages wait, so handlers
that never wait run one after the other at full speed, and handlers that wait spread over the tasks. Time-outs are kept
by one watch task that looks at all running attempts every 50 ms: a timer a message would cost more than most handlers.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from .._base import events as ev
from ..errors import HandlerTimeout, MessageError, ServerError
from .admission import ASIDE, Admission
from .answer import outcome_of, stage_of
from .attempt import Attempt
from .conclude import Conclusions, following_dead_head
from .contract import Delivery, Origin, Settlement, Verb
from .decide import Decision, before_start, too_late
from .limits_file import Limits
from .lineup import Lined, LineUp
from .outcome import DONE, Done, Drop, Failed, Interrupted, Outcome, Reject, Retry
from .parts import Parts
from .prefetch import Prefetch
from .routes import Routes
from .settler import Settler, come_to_nothing
from .subscription import Subscription

#: Seconds between two looks at running attempts: how late a time-out may come.
WATCH_S = 0.05
#: A handler task lets others run after this long without having waited.
TURN_S = 0.005
#: Seconds after which whoever waits for a limit looks whether it still holds.
LOOK_S = 0.5
#: Seconds after which an async handler that goes on in spite of its cancellation is told of.
STUBBORN_S = 1.0
#: What ends the process, or the coroutine; any other error of a handler is a failure, whatever its base.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(slots=True, eq=False)
class Slot:
    """What one handler task is doing. ``cut`` says why we cancelled it, if we did."""

    deliveries: Sequence[Delivery] = ()
    started: float = 0.0
    cut: str | None = None
    overdue: bool = False
    retired: bool = False
    task: asyncio.Task[None] | None = None


class Consumer:
    """Fulfils ``consume.contract.Inbox``. Built by the worker, which runs its sources."""

    def __init__(self, subscription: Subscription, attempt: Attempt, routes: Routes, parts: Parts, *,
                 name: str) -> None:
        self.subscription = subscription
        self.name = name
        self._attempt = attempt
        self._routes = routes
        self._gate = parts.gate
        self._events = parts.events
        self._clock = parts.clock
        self._chance = parts.chance
        self._stale_s = parts.stale_s
        limits = subscription.limits
        self._queue: deque[Delivery] = deque()
        self._suspects: deque[Delivery] = deque()
        #: Those a handler task holds until the limits let them start.
        self._entering: set[Delivery] = set()
        self._slots = [Slot() for _ in range(limits.concurrency)]
        self._suspect_slot = Slot()
        self._resting: deque[asyncio.Future[None]] = deque()
        self._waking = False
        self._settlers: dict[Origin, Settler] = {}
        self._settling: dict[Origin, asyncio.Task[None]] = {}
        self._ghosts: dict[tuple[str, str, bytes], Delivery | None] = {}
        self._prefetch = self._ahead(limits)
        self._room = asyncio.Event()
        self._suspected = asyncio.Event()
        self._side_tasks: set[asyncio.Task[Any]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._admission = Admission.of(name, limits, subscription.breaker, parts.events, parts.clock)
        self._lineup = LineUp(limits.held_max, subscription.on_dead_head) if subscription.ordered else None
        self._conclusions = Conclusions(subscription, routes, parts, self._settler, self._aside)
        self._readers = 0
        self.draining = False
        self._stopped = False
        self.done = 0
        #: Of those done, how many took the long way out, and of the others how many have earned retries.
        self._concluded = self._earned = 0
        parts.gate.call_on_open(self._wake_some)

    def adjust(self, limits: Limits) -> None:
        """New numbers from now on. Fewer handler tasks end when they have nothing to do; more start at once."""
        if limits == self.subscription.limits:
            return
        subscription = self.subscription = replace(self.subscription, limits=limits)
        self._prefetch = self._ahead(limits)
        self._conclusions.adjust(limits)
        if self._lineup is not None:
            self._lineup.adjust(limits.held_max)
        if self._admission is None:
            self._admission = Admission.of(self.name, limits, subscription.breaker, self._events, self._clock)
        else:
            self._admission.adjust(limits)
            self._enqueue(self._admission.take_out(lambda _: True))
        while len(self._slots) < limits.concurrency:
            self._slots.append(Slot())
            if self._watcher is not None:
                self._start(self._slots[-1])
        for slot in self._slots[limits.concurrency :]:
            slot.retired = True
        for future in self._resting:
            if not future.done():
                future.set_result(None)
        self._room.set()

    def _ahead(self, limits: Limits) -> Prefetch:
        return Prefetch(limits.concurrency, limits.prefetch_s, limits.prefetch_max)

    # -- inbox ----------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        self._readers += 1

    def leave(self) -> None:
        self._readers -= 1

    def room(self) -> int:
        """How many deliveries are wanted: nothing until half of the prefetch is used up, so that reads stay large.

        Each of several sources is promised its share, since all may find something at the same time.
        """
        if self.draining or (self._lineup is not None and self._lineup.paused):
            return 0
        waiting = len(self._queue) + len(self._suspects)
        if self._admission is not None:
            if self._admission.reading_paused:
                return 0
            waiting += self._admission.aside + len(self._entering)
        room = self._prefetch.room(waiting)
        return -(-room // self._readers) if self._readers > 1 else room

    async def wait_room(self) -> None:
        self._room.clear()
        if self.room() <= 0:
            await self._room.wait()

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        held = self._settler(deliveries[0].origin).held
        ids = [d.entry_id for d in deliveries]
        if not held.isdisjoint(ids):  # guard: an id in flight is not started again (test_consumer)
            # Whatever delivered it again, its first delivery ends first: if that can no longer be settled, the entry is
            # pending, in nobody's hands, and will be found.
            deliveries = [d for d in deliveries if d.entry_id not in held]
        held.update(ids)
        if self._ghosts:
            deliveries = [d for d in deliveries if not self._is_ghost(d)]
        if self.draining:  # a read that was on its way when reading stopped
            for d in deliveries:
                self._conclusions.release(d)
        elif self._lineup is not None:
            self._line(self._lineup.arrived(deliveries))
        elif any(map(_suspect, deliveries)):  # guard: each is told by itself (test_consumer)
            self._enqueue(deliveries)
        else:
            self._queue.extend(deliveries)
            self._wake_one()

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        settler = self._settlers.get(origin)
        return settler is not None and entry_id in settler.held

    def held(self, origin: Origin) -> int:
        settler = self._settlers.get(origin)
        return 0 if settler is None else len(settler.held)

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]], dead_keys: Iterable[str]) -> None:
        """An ordered source tells what is pending before it reads anything new."""
        if self._lineup is not None:
            self._lineup.restore(origin, pending, dead_keys)

    @property
    def ordered(self) -> bool:
        return self._lineup is not None

    def revoke(self, origin: Origin, cause: str) -> int:
        """The incarnation is dead: what is queued is dropped, what runs is cancelled, nothing of it is settled."""
        settler = self._settlers.get(origin)
        if settler is None:
            return 0
        self._take_out(origin)
        for slot in (*self._slots, self._suspect_slot):
            mine = [d for d in slot.deliveries if d.origin is origin]
            for d in mine:
                self._ghosts.setdefault(_identity(d), None)
            if mine:
                self._cut(slot, "revoked")
        return settler.revoke()

    def hand_back(self, origin: Origin) -> None:
        """Hands back what has not started; what runs goes on."""
        for delivery in self._take_out(origin):
            self._conclusions.release(delivery)

    def _take_out(self, origin: Origin) -> list[Delivery]:
        """Everything of the origin that waits here."""
        out = [d for d in (*self._queue, *self._suspects) if d.origin is origin]
        self._queue = deque(d for d in self._queue if d.origin is not origin)
        self._suspects = deque(d for d in self._suspects if d.origin is not origin)
        out += self._take_limited(lambda d: d.origin is origin)
        if self._lineup is not None:
            out += self._lineup.forget(origin)
        return out

    def _take_limited(self, wanted: Callable[[Delivery], bool]) -> list[Delivery]:
        """Those among what waits for its limits that are wanted."""
        found = [d for d in self._entering if wanted(d)]
        self._entering.difference_update(found)
        return found if self._admission is None else found + self._admission.take_out(wanted)

    def _enqueue(self, deliveries: Iterable[Delivery]) -> None:
        for d in deliveries:
            (self._suspects if d.suspect else self._queue).append(d)
        if self._suspects:
            self._suspected.set()
        self._wake_one()

    def _line(self, lined: Lined) -> None:
        """What the order of keys lets through, and what it sends after a dead head."""
        self._enqueue(lined.run)
        for d in lined.bury:
            self._aside(self._conclusions.carry_out(d, following_dead_head(), 0.0))

    def _is_ghost(self, delivery: Delivery) -> bool:
        """Is an earlier attempt of this very entry still running here? Then the new one waits for its end."""
        key = _identity(delivery)
        if key not in self._ghosts:
            return False
        self._ghosts[key] = delivery
        return True

    def _settler(self, origin: Origin) -> Settler:
        settler = self._settlers.get(origin)
        if settler is None:
            listen = self._settled if self._lineup is not None else None
            settler = Settler(origin, self._events, self._chance, self._conclusions.refused, listen)
            self._settlers[origin] = settler
            self._settling[origin] = asyncio.create_task(settler.run(), name=f"settle {origin.stream}")
        return settler

    def _settled(self, delivery: Delivery, verb: Verb) -> None:
        if self._lineup is not None:
            self._line(self._lineup.settled(delivery, verb))

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the handler tasks in the running loop."""
        for slot in self._slots:
            self._start(slot)
        self._suspect_slot.task = asyncio.create_task(self._work_suspects(), name=f"suspects {self.name}")
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    def _start(self, slot: Slot) -> None:
        slot.task = asyncio.create_task(self._work(slot), name=f"handle {self.name}")

    async def drain(self, deadline_s: float) -> None:
        """Hands back what has not started, lets the rest finish until the deadline, cancels what then still runs."""
        self.draining = True
        self._room.set()
        for delivery in self._waiting():
            self._conclusions.release(delivery)
        await self._until_idle(deadline_s)
        for slot in (*self._slots, self._suspect_slot):
            if slot.deliveries:
                known = slot.overdue
                if not self._cut(slot, "shutdown") and not known:
                    self._tell_overdue(slot, time.monotonic() - slot.started)
        await self._until_idle(1.0, threads_too=False)
        await self._flushed()

    async def threads_ended(self) -> None:
        """Returns when no plain handler runs any more, and what they came to is settled.

        A thread can be neither cancelled nor handed back: its lease has to live as long as it does, or somebody else
        would start the same message beside it. Whoever cannot wait has to end the process.
        """
        if any(slot.overdue for slot in (*self._slots, self._suspect_slot)):
            await self._until_idle(math.inf)  # guard: no second attempt beside a running thread
            await self._flushed()

    async def _flushed(self) -> None:
        for settler in self._settlers.values():
            await settler.flushed(5.0)

    def _waiting(self) -> list[Delivery]:
        found = [*self._queue, *self._suspects]
        self._queue.clear()
        self._suspects.clear()
        if self._lineup is not None:
            found += self._lineup.drain()
        return found + self._take_limited(lambda _: True)

    async def _until_idle(self, deadline_s: float, *, threads_too: bool = True) -> None:
        until = time.monotonic() + deadline_s
        while time.monotonic() < until and any(  # noqa: ASYNC110 - once, at the end: an event a message would cost more
                s.deliveries and (threads_too or not s.overdue) for s in (*self._slots, self._suspect_slot)):
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Ends all tasks."""
        self._stopped = True
        slots = (*self._slots, self._suspect_slot)
        tasks = [*self._settling.values(), *self._side_tasks, *(s.task for s in slots if s.task is not None)]
        tasks += [self._watcher] if self._watcher is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- handler tasks: the path of every message -----------------------------------------------------------------

    async def _work(self, slot: Slot) -> None:  # noqa: C901, PLR0912, PLR0915 - every call here is paid by every message
        gate, attempt, clock = self._gate, self._attempt, time.monotonic
        turn_ends, expires = 0.0, self.subscription.policy.expires
        settler: Settler | None = None
        while True:
            queue = self._queue
            if not queue or not gate.open or slot.retired:
                if slot.retired and self._retire(slot):
                    return
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
            admission = self._admission
            if admission is not None and not await self._admitted(admission, delivery):
                continue
            if expires and await self._expired(delivery):
                continue
            slot.deliveries = (delivery,)
            slot.started = started = clock()
            gate.running += 1
            outcome: Outcome = DONE
            try:
                answer = await attempt(delivery)
                if answer is not None:
                    outcome = outcome_of(answer)
            except BaseException as error:  # noqa: BLE001 - every outcome is accounted for, cancellation included
                outcome = self._outcome_of_error(slot, error)
            finally:
                gate.running -= 1
            if gate.awaited:
                gate.left()
            ended = clock()
            if outcome is DONE and slot.cut is None and admission is None and not slot.overdue:
                if settler is None or settler.origin is not delivery.origin:
                    settler = self._settlers[delivery.origin]
                settler.acks.append(delivery)
                settler.times.append(ended - started)
                if len(settler.acks) == 1:
                    settler.touch()
                slot.deliveries = ()
            elif type(outcome) is Done and slot.cut is None and admission is None and not slot.overdue:
                self._done(slot, delivery, outcome, ended - started)
            else:
                await self._conclude(slot, delivery, outcome, ended - started)
            self.done += 1
            if ended > turn_ends:
                await asyncio.sleep(0)
                turn_ends = clock() + TURN_S

    def _done(self, slot: Slot, delivery: Delivery, outcome: Done, took: float) -> None:
        """The common way out of an effect: a rider, and nothing to decide."""
        slot.deliveries = ()
        settler = self._settlers[delivery.origin]
        settler.times.append(took)
        if outcome.rider is not None:
            settler.others.append(Settlement(delivery, Verb.APPLY, rider=outcome.rider))
            settler.touch()
        else:
            self._conclusions.repeated(delivery)

    def _retire(self, slot: Slot) -> bool:
        """There are fewer tasks now: this one ends, unless numbers went up again meanwhile."""
        if self._slots.index(slot) < self.subscription.limits.concurrency:
            slot.retired = False
            return False
        self._slots.remove(slot)
        self._wake_one()
        return True

    async def _admitted(self, admission: Admission, delivery: Delivery) -> bool:
        """Waits until the limits let it start. False: it is not to be started by this task now."""
        while (wait_s := admission.enter(delivery)) > 0:
            self._entering.add(delivery)
            await asyncio.sleep(min(wait_s, LOOK_S))  # the numbers may change meanwhile
            if delivery not in self._entering:  # it was handed back, or revoked
                return False
            self._entering.discard(delivery)
        if wait_s == ASIDE:
            return False
        self._entering.add(delivery)
        await self._gate.opened()  # guard: a suspect may have begun while this one waited for its turn (test_consumer)
        if delivery in self._entering and self.holds(delivery.origin, delivery.entry_id):
            self._entering.discard(delivery)
            return True
        self._admission_left(delivery, None)  # it was revoked while it waited
        return False

    async def _expired(self, delivery: Delivery) -> bool:
        """Did its time run out before it could start? Then it is buried, unless it is a person who replays it."""
        at_ms, now = delivery.message.at_ms, self._clock.wall_ms()
        if getattr(delivery.origin, "is_replay", False):
            return False
        buried = too_late(0.0 if at_ms is None else (now - at_ms) / 1000, now, self.subscription.policy)
        if buried is None:
            return False
        self._admission_left(delivery, None)
        await self._conclusions.carry_out(delivery, buried, 0.0)
        return True

    def _admission_left(self, delivery: Delivery, decision: Decision | None) -> None:
        if self._admission is not None:
            freed = self._admission.left(delivery, decision)
            if freed is not None:
                self._queue.appendleft(freed)
                self._wake_one()
            self._room.set()

    async def _rest(self) -> None:
        if self._stopped:
            raise asyncio.CancelledError  # a handler swallowed that of its task
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

    def _outcome_of_error(self, slot: Slot, error: BaseException) -> Outcome:
        if isinstance(error, (Retry, Reject, Drop)):
            return error
        ran_s = time.monotonic() - slot.started
        if isinstance(error, asyncio.CancelledError) and (self._stopped or slot.cut is not None or _cancelling()):
            if slot.cut is None or self._stopped:  # guard: who is cut off can still be stopped (test_consumer)
                raise error
            _uncancel()
            if slot.cut == "timeout":
                limit = self.subscription.limits.timeout_s
                return Failed(HandlerTimeout(f"the handler ran longer than its limit of {limit} s"), "handle", ran_s)
            return Interrupted(slot.cut)
        if isinstance(error, _ENDS):
            raise error
        return Failed(error, stage_of(error) if isinstance(error, MessageError) else "handle", ran_s)

    async def _conclude(self, slot: Slot, delivery: Delivery, outcome: Outcome, took: float) -> None:
        """The slow way out: anything but plain success."""
        self._concluded += 1
        cut, slot.cut, slot.overdue, slot.deliveries = slot.cut, None, False, ()
        if cut is not None and not self._stopped:
            _uncancel()  # guard: who swallowed it leaves no cancelled task to the next message (test_consumer_timeouts)
        decision: Decision | None = None
        if _identity(delivery) in self._ghosts:
            waiting = self._ghosts.pop(_identity(delivery))
            self._enqueue([] if waiting is None else [waiting])
        elif cut != "revoked" and self.holds(delivery.origin, delivery.entry_id):
            decision = await self._conclusions.conclude(delivery, outcome, took)
        if decision is None and isinstance(outcome, Done) and outcome.rider is not None:
            come_to_nothing(outcome.rider)
        self._admission_left(delivery, decision)

    # -- suspects -------------------------------------------------------------------------------------------------

    async def _work_suspects(self) -> None:
        while True:
            if not self._suspects:
                self._suspected.clear()
                await self._suspected.wait()
                continue
            async with self._gate.alone():
                while self._suspects:
                    await self._run_suspect(self._suspect_slot, self._suspects.popleft())

    async def _run_suspect(self, slot: Slot, delivery: Delivery) -> None:
        """Buried if it has killed too often; else marked, run, and settled before anybody else starts."""
        buried = before_start(delivery.crashes, self.subscription.policy)
        if buried is not None:
            await self._conclusions.carry_out(delivery, buried, 0.0)
        elif self.subscription.policy.expires and await self._expired(delivery):
            pass
        elif await self._marked(delivery):
            slot.deliveries, slot.started = (delivery,), time.monotonic()
            outcome: Outcome = DONE
            try:
                outcome = await self._run_alone(delivery)
            except BaseException as error:  # noqa: BLE001 - as above
                outcome = self._outcome_of_error(slot, error)
            await self._conclude(slot, delivery, outcome, time.monotonic() - slot.started)
            self.done += 1
        else:
            self._settlers[delivery.origin].held.discard(delivery.entry_id)
        await self._settler(delivery.origin).flushed(self._stale_s)

    async def _run_alone(self, delivery: Delivery) -> Outcome:
        """One attempt of a suspect, never in a batch."""
        answer = await self._attempt(delivery)
        return DONE if answer is None else outcome_of(answer)

    async def _marked(self, delivery: Delivery) -> bool:
        try:
            return await delivery.origin.mark_started(delivery)
        except ServerError as error:  # not started is safe: it stays pending and is found again
            ev.log.warning("start mark of %s: %s", delivery, error)
            return False

    # -- watching -------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Time-outs, overdue threads, work that has waited too long, and the rate the prefetch follows."""
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            self._prefetch.measured(self.done, now)
            self._earn()
            limit = self.subscription.limits.timeout_s
            if limit is not None:
                for slot in (*self._slots, self._suspect_slot):
                    if slot.deliveries and now - slot.started > limit:
                        self._time_out(slot, now - slot.started)
            self._hand_back_stale(self._clock.now() - self._stale_s)
            if self._admission is not None and (due := self._admission.due()):
                self._queue.extendleft(reversed(due))
                self._wake_one()
            if self.room() > 0:
                self._room.set()

    def _earn(self) -> None:
        """Plain successes are told to the retry budget by and by: a call for each would be paid by every message."""
        plain = self.done - self._concluded
        if plain > self._earned:
            self._conclusions.succeeded(plain - self._earned)  # guard: successes earn retries (test_consumer_limits)
            self._earned = plain

    def _hand_back_stale(self, before: float) -> None:
        """What was received before that instant and has not started: somebody else may have time for it."""
        for line in (self._queue, self._suspects):
            while line and line[0].received_at < before:
                self._conclusions.release(line.popleft())
        for delivery in self._take_limited(lambda d: d.received_at < before):
            self._conclusions.release(delivery)

    def _time_out(self, slot: Slot, ran_s: float) -> None:
        if slot.overdue:
            return
        if slot.cut is None:
            overdue = not self._cut(slot, "timeout")
        else:
            overdue = slot.overdue = ran_s > (self.subscription.limits.timeout_s or 0.0) + STUBBORN_S
        if overdue:
            self._tell_overdue(slot, ran_s)

    def _tell_overdue(self, slot: Slot, ran_s: float) -> None:
        delivery = slot.deliveries[0]
        self._events.emit(ev.HandlerOverdue(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            handler=self._conclusions.handler_name(delivery), seconds=round(ran_s, 3)))

    def _cut(self, slot: Slot, why: str) -> bool:
        """Cancels a running attempt. A thread cannot be cancelled: False, it is overdue, its entry stays in flight."""
        if slot.task is None:
            return False
        if self._in_thread(slot.deliveries[0]):
            slot.overdue = True
            if why == "revoked":
                slot.cut = why  # its outcome, when the thread is through, is not settled
            return False
        slot.cut = why
        slot.task.cancel()
        return True

    def _in_thread(self, delivery: Delivery) -> bool:
        try:
            return not self._routes.find(delivery.message).binding.is_async
        except MessageError:  # no handler takes it: what runs is middleware
            return False

    def _aside(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)


_suspect = attrgetter("suspect")


def _cancelling() -> bool:
    """Is it this task that was cancelled? If not, a ``CancelledError`` is of something that the handler waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _uncancel() -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


def _identity(delivery: Delivery) -> tuple[str, str, bytes]:
    return (delivery.origin.stream, delivery.origin.group, delivery.entry_id)
