# SPDX-License-Identifier: Apache-2.0
"""A lock around the handler, and a record behind it.

::

    done? ─▶ lock, kept alive ─▶ done? ─▶ handler ─▶ record and acknowledge, in one step ─▶ unlock
      │          │ busy            │          │ lock lost: cancelled, not acknowledged
      └─ ack     └─ parked         └─ ack     └─ the fencing token refuses whoever kept running

**The lock alone is not idempotency.** It keeps two from working at the same time; a duplicate that comes after the
unlock finds it free. That one is the record's to catch, and the second look under the lock is what makes the two one:
between the first look and the lock another may have come and gone.

**The lock is kept alive by whoever holds it** (the watchdog): a time to live long enough for the slowest handler would
keep a dead one's messages as long. A holder that is paused for longer than its lease cannot know; the handler may ask
for ``Held`` and write its ``fencing_token`` along, so that storage refuses the late one.

**It is given back when the acknowledgement is through**, not before, and when there will be none. The hold lives in a
task of its own for that: handler tasks go on to the next message long before.

**Whatever a handler says once its lock is lost is worth nothing**, its errors and directives included: the message is
handed back and no attempt is counted. A handler in a thread cannot be cancelled; it is waited for, and can ask
``Held`` itself.

When does this earn its price? Where the record cannot be in the step of the effect (no transaction spans the two) and
two attempts at the same time would do harm that the callee does not prevent. ``in_sql`` and ``in_redis`` need no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base.lock import Held, HoldState
from .._base.points import reached
from .._redis.lease_lock import LeaseLocks
from ..consume.contract import Delivery, Effect, EffectContext, Rider, Settled
from ..consume.outcome import Directive
from ..errors import BadHandler, EffectBusy, LeaseLost, ServerUnreachable
from .beside import BesideStream, result_of
from .ending import Ending
from .identity import Identity
from .wiring import LockFor, Wiring

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server


def leases(wiring: Wiring) -> LockFor:
    """The lock that needs nothing else: a lease on the stream's own server, kept alive by the process's heart."""
    server, heart = wiring.server, wiring.heart
    if server is None or heart is None:
        raise BadHandler("a lock around handlers needs a server")
    family = f"once:{wiring.stream}:{wiring.group}"

    def renewal(outcome: str) -> None:
        wiring.events.emit(ev.LockRenewal(stream=wiring.stream, group=wiring.group, outcome=outcome))

    return LeaseLocks(server, heart, family, lease_ms=wiring.lease_ms, clock=wiring.clock, chance=wiring.chance,
                      on_beat=renewal).of


class _Given:
    """What a handler is given: the hold, and what the inner effect gives."""

    __slots__ = ("_held", "_inner")

    def __init__(self, held: Held, inner: EffectContext | None) -> None:
        self._held, self._inner = held, inner

    def provide(self, wanted: type) -> Any:
        if wanted is Held:
            return self._held
        if self._inner is None:
            raise KeyError(wanted)
        return self._inner.provide(wanted)


class _Turn:
    """One hold, in a task of its own: from the lock to the answered acknowledgement."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer: bool | Rider = False
        self._over = asyncio.Event()

    def answer(self, answer: bool | Rider) -> None:
        """The handler is through; the lock goes on until ``over``, if there is an acknowledgement to wait for."""
        if isinstance(answer, Rider):
            answer.settled = Ending(self.over, answer.settled)
        else:
            self.over()
        self._answer = answer
        self.answered.set_result(None)

    def take(self) -> bool | Rider:
        """The answer, which is the taker's from now on: a rider that is dropped ends the hold."""
        answer, self._answer = self._answer, False
        return answer

    def over(self, _: Settled | None = None) -> None:
        """The acknowledgement was answered, or will not be asked for: the lock may go."""
        self._over.set()

    async def until_over(self) -> None:
        await self._over.wait()


class LockedOnce(BesideStream):
    """Fulfils ``consume.contract.Effect``. Arguments as of ``modes.locked``; plain: the handler runs in a thread."""

    strategy = "lock"

    def __init__(self, server: Server, events: ev.Events, clock: Clock, lock_for: LockFor, *,
                 inner: Effect | None = None, identity: Identity | None = None, wait_s: float = 0.0,
                 kept_days: float = 30.0, plain: bool = False) -> None:
        super().__init__(server, events, clock, identity=identity, kept_days=kept_days)
        self._events = events
        self._lock_for = lock_for
        self.inner = inner
        self._wait_s = wait_s
        self._plain = plain
        self._turns: dict[asyncio.Task[None], _Turn] = {}

    def provides(self) -> tuple[type, ...]:
        return (Held, *(() if self.inner is None else self.inner.provides()))

    async def open(self) -> None:
        """Begins to look after the records."""
        if self.inner is not None:
            await self.inner.open()
        await super().open()

    async def close(self) -> None:
        """Gives back every lock that is still held."""
        for task, turn in self._turns.items():
            turn.over()  # guard: whoever swallows the cancellation does not wait for an acknowledgement either
            task.cancel()
        await asyncio.gather(*self._turns, return_exceptions=True)
        await super().close()
        if self.inner is not None:
            await self.inner.close()

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """As ``Effect.run``. Raises EffectBusy when the lock is somebody else's, LeaseLost when ours was lost."""
        identity = self._identity.of(delivery)
        if await self._done(delivery, identity):
            return False
        turn = _Turn()
        task = asyncio.create_task(self._take_turn(turn, delivery, identity, attempt), name=f"hold {identity}")
        self._turns[task] = turn
        task.add_done_callback(self._ended)
        await _answered_or_ended(turn, task)
        if turn.answered.done():
            return turn.take()
        if task.cancelled():  # not by us: some locks let out the cancellation with which they end a body
            raise LeaseLost(f"the lock of {identity} was lost")
        task.result()  # raises what ended it
        raise EffectBusy(f"the hold of {identity} ended before its handler")

    def _ended(self, task: asyncio.Task[None]) -> None:
        turn = self._turns.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and turn.answered.done() and not isinstance(error, LeaseLost):
            ev.log.warning("%s: the lock could not be given back: %s", task.get_name(), error)

    async def _take_turn(self, turn: _Turn, delivery: Delivery, identity: str,
                         attempt: Callable[[EffectContext], Any]) -> None:
        """Holds the lock, runs the handler, and keeps holding until the acknowledgement was answered."""
        asked_at = time.monotonic()
        held: Held | None = None
        try:
            async with self._lock_for(identity).hold(wait_s=self._wait_s) as held:
                began = time.monotonic()
                reached("locked.held.after")
                try:
                    await self._use(turn, held, delivery, identity, attempt)
                finally:
                    self._events.emit(ev.LockReleased(
                        stream=delivery.origin.stream, group=delivery.origin.group, waited_s=began - asked_at,
                        held_s=time.monotonic() - began, lost=held.state is HoldState.LOST))
        except TimeoutError as error:
            if held is not None:
                raise
            self._events.emit(ev.LockBusy(stream=delivery.origin.stream, group=delivery.origin.group,
                                          message_id=delivery.message.id))
            raise EffectBusy(f"somebody else holds the lock of {identity}") from error
        except ServerUnreachable as error:
            if held is not None:
                raise
            raise EffectBusy(f"the lock of {identity} could not be asked for: {error}") from error

    async def _use(self, turn: _Turn, held: Held, delivery: Delivery, identity: str,
                   attempt: Callable[[EffectContext], Any]) -> None:
        try:
            answer = await self._under_lock(held, delivery, identity, attempt)
        except Exception as error:
            if held.state is HoldState.LOST:  # guard: its errors are worth nothing either
                raise LeaseLost(f"the lock of {identity} was lost while its handler ran") from error
            raise
        held.check()  # guard: what was done without the lock is not acknowledged
        turn.answer(answer)
        del answer
        await turn.until_over()  # guard: only then unlock

    async def _under_lock(self, held: Held, delivery: Delivery, identity: str,
                          attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        if await self._done(delivery, identity):  # guard: the second look
            return False
        if self.inner is not None:
            return await self._inside(self.inner, held, delivery, attempt)
        answer = await self._handled(attempt(_Given(held, None)))
        if isinstance(answer, Directive):
            return True
        return Rider(identity, result=result_of(answer))

    async def _inside(self, inner: Effect, held: Held, delivery: Delivery, attempt: Callable[[EffectContext], Any]
                      ) -> bool | Rider:
        """With an effect that records itself; the rider then only waits for the acknowledgement."""
        said: Any = None

        async def with_hold(context: EffectContext) -> Any:
            nonlocal said
            said = await self._handled(attempt(_Given(held, context)))
            held.check()  # guard: what was done without the lock is not committed
            return said

        applied = await inner.run(delivery, with_hold)
        if applied is False or isinstance(said, Directive):
            return bool(applied)
        return applied if isinstance(applied, Rider) else Rider("")

    async def _handled(self, running: Awaitable[Any]) -> Any:
        return await (_to_its_end(running) if self._plain else running)

    async def _done(self, delivery: Delivery, identity: str) -> bool:
        try:
            if self.inner is not None:
                return (await self.inner.applied([delivery]))[0] is True
            known = await self._records.state(self._records.keys(delivery), identity)
        except ServerUnreachable as error:
            raise EffectBusy(f"whether {identity} is done could not be asked: {error}") from error
        return known.applied

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        if self.inner is not None:
            return await self.inner.applied(deliveries)
        return await super().applied(deliveries)

    def transient(self, error: BaseException) -> bool:
        """The lock was busy, or the inner store: no attempt is counted."""
        return isinstance(error, EffectBusy) or (self.inner is not None and self.inner.transient(error))


async def _answered_or_ended(turn: _Turn, task: asyncio.Task[None]) -> None:
    """Waits for a turn. Cut off, it cuts the turn off and waits on: a handler that answers even so has answered."""
    either: tuple[asyncio.Future[None], ...] = (turn.answered, task)
    try:
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if turn.answered.done():  # guard: who is cut off after his answer has answered
                return
            task.cancel()
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not turn.answered.done():
                raise
    except asyncio.CancelledError:
        turn.over()  # guard: nobody is here any more to settle what the handler may yet answer
        task.cancel()
        raise


async def _to_its_end(running: Awaitable[Any]) -> Any:
    """A thread cannot be cancelled: the cancellation is let through when it has come to its end."""
    task = asyncio.ensure_future(running)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, or asyncio reports it as never retrieved
        raise
