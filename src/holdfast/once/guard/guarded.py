# SPDX-License-Identifier: Apache-2.0
"""One attempt at a guarded key, as a block: claim, renew while the body runs, finish or leave.

::

    claim ── busy ──▶ look again, until wait_s is over ──▶ EffectBusy
      │ repeated ──▶ body with call.first False
      ▼ first
    body ── raised ──▶ on_error: clear the mark, or keep it until its lease ends
      │ ended
      ▼
    finish ── another's ──▶ LeaseLost: the effect may have happened twice
      │
    done

The asynchronous and the plain side are written out beside each other: they differ at every step that waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..._base.chance import Chance
from ..._base.clock import Clock
from ..._base.events import Events, Guarded, log
from ..._base.points import reached
from ...errors import EffectBusy, EffectError, HoldfastError, LeaseLost, ServerUnreachable
from .call import Call
from .records import Busy, Claimed, Mark, next_look_s
from .renewal import TAKEN, TaskRenewal, Term, ThreadRenewal
from .results import UNWRITABLE, Reader
from .store import DedupStore, PlainStore

T = TypeVar("T")

OnError = Literal["clear", "keep"]

#: Times the end of an attempt is told to a store that does not answer: the effect is in, and must not be forgotten.
FINISHES = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """How one guard runs its calls. See ``Guard``."""

    lease_s: float
    on_error: OnError
    wait_s: float
    #: Inside a user's transaction the row is locked: nothing to renew.
    renewed: bool
    clock: Clock
    chance: Chance
    events: Events


class Once:
    """One guarded call: ``async with`` or ``with``, once. Made by ``Guard.once``."""

    def __init__(self, store: DedupStore, mark: Mark, terms: Terms, reader: Reader) -> None:
        self._store = store
        self._mark = mark
        self._terms = terms
        self._reader = reader
        self._call: Call | None = None
        self._task_renewal: TaskRenewal | None = None
        self._thread_renewal: ThreadRenewal | None = None
        self._cancelling = 0
        self._began = terms.clock.now()
        self._sent_at = self._began

    # -- coroutines -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Call:
        self._began = self._terms.clock.now()
        try:
            verdict = await self._claimed()
        except asyncio.CancelledError:
            await to_the_end(self._cleared())  # the claim may be in, and the body has not begun
            raise
        call = self._entered(verdict)
        if call.first and self._terms.renewed:
            task = asyncio.current_task()
            self._cancelling = task.cancelling() if task else 0
            self._task_renewal = TaskRenewal(self._store, self._mark, self._term, self._terms.clock)
        reached("once.guard.claimed")
        return call

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._task_renewal is not None:
            self._task_renewal.stop()
        call = self._call
        assert call is not None  # noqa: S101 - for the type checker: a block is entered before it is left
        outcome = "failed"
        try:
            if not call.first:
                outcome = "repeated"
            elif error is None:
                await to_the_end(self._finish(call))
                outcome = "taken_over" if call.taken_over else "first"
            else:
                await to_the_end(self._leave())
                self._unless_cancelled_by_us(call, error)
        finally:
            self._tell(outcome)
            if self._task_renewal is not None:
                await self._task_renewal.ended()

    async def _claimed(self) -> Claimed:
        verdict = await self._asked()
        rounds = 0
        while isinstance(verdict, Busy) and (pause_s := self._pause_s(rounds, verdict)) > 0:
            await asyncio.sleep(pause_s)
            verdict = await self._asked()
            rounds += 1
        return verdict

    async def _asked(self) -> Claimed:
        self._sent_at = self._terms.clock.now()
        try:
            return await self._store.claim(self._mark)
        except ServerUnreachable as error:
            if not error.maybe_done:
                raise
            # It may be in, and would be in our own way for a lease. By its owner the store knows it for the same.
            return await self._store.claim(self._mark)

    async def _finish(self, call: Call) -> None:
        result, unwritable = self._result_of(call)
        reached("once.guard.finish.before")
        for again in range(FINISHES):
            try:
                recorded = await self._store.finish(self._mark, result)
                break
            except ServerUnreachable as error:
                if again + 1 == FINISHES:
                    raise self._unrecorded(call, error) from error
                await asyncio.sleep(self._again_s(again))
        self._ended(call, recorded, unwritable)

    async def _leave(self) -> None:
        if self._terms.on_error == "clear":  # guard: a kept mark is no proof that nothing happened
            await self._cleared()

    async def _cleared(self) -> None:
        try:
            await self._store.clear(self._mark)
        except HoldfastError as error:
            self._not_cleared(error)

    def _unless_cancelled_by_us(self, call: Call, error: BaseException) -> None:
        """A cancellation that the renewal sent becomes an error; one from outside stays what it is."""
        if self._task_renewal is None or not self._task_renewal.cancelled_body:
            return
        task = asyncio.current_task()
        others = task.uncancel() if task else 0
        if isinstance(error, asyncio.CancelledError) and others <= self._cancelling:
            raise self._lost(call) from error

    # -- plain code -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Call:
        self._began = self._terms.clock.now()
        store = self._store.plain()
        call = self._entered(self._claimed_plainly(store))
        if call.first and self._terms.renewed:
            self._thread_renewal = ThreadRenewal(store, self._mark, self._term, self._terms.clock)
        reached("once.guard.claimed")
        return call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._thread_renewal is not None:
            self._thread_renewal.stop()
        call = self._call
        assert call is not None  # noqa: S101 - as above
        outcome = "failed"
        try:
            if not call.first:
                outcome = "repeated"
            elif error is None:
                self._finish_plainly(self._store.plain(), call)
                outcome = "taken_over" if call.taken_over else "first"
            else:
                self._leave_plainly(self._store.plain())
        finally:
            self._tell(outcome)
            if self._thread_renewal is not None:
                self._thread_renewal.ended()

    def _claimed_plainly(self, store: PlainStore) -> Claimed:
        verdict = self._asked_plainly(store)
        rounds = 0
        while isinstance(verdict, Busy) and (pause_s := self._pause_s(rounds, verdict)) > 0:
            time.sleep(pause_s)
            verdict = self._asked_plainly(store)
            rounds += 1
        return verdict

    def _asked_plainly(self, store: PlainStore) -> Claimed:
        self._sent_at = self._terms.clock.now()
        try:
            return store.claim(self._mark)
        except ServerUnreachable as error:
            if not error.maybe_done:
                raise
            return store.claim(self._mark)

    def _finish_plainly(self, store: PlainStore, call: Call) -> None:
        result, unwritable = self._result_of(call)
        reached("once.guard.finish.before")
        for again in range(FINISHES):
            try:
                recorded = store.finish(self._mark, result)
                break
            except ServerUnreachable as error:
                if again + 1 == FINISHES:
                    raise self._unrecorded(call, error) from error
                time.sleep(self._again_s(again))
        self._ended(call, recorded, unwritable)

    def _leave_plainly(self, store: PlainStore) -> None:
        if self._terms.on_error == "clear":
            try:
                store.clear(self._mark)
            except HoldfastError as error:
                self._not_cleared(error)

    # -- both -------------------------------------------------------------------------------------------------------

    def _entered(self, verdict: Claimed) -> Call:
        if isinstance(verdict, Busy):
            self._tell("busy")
            raise EffectBusy(f"somebody else is at {self._mark.key!r} of {self._mark.namespace!r}; their lease ends in "
                             f"{verdict.left_ms / 1000:.1f} s unless they renew it: try again, or wait longer (wait_s)")
        self._term = Term(self._terms.lease_s, self._terms.clock, self._terms.chance, self._sent_at)
        if not self._terms.renewed:
            self._term.endless()
        self._call = Call(self._mark, verdict, self._term, self._reader)
        return self._call

    def _pause_s(self, rounds: int, verdict: Busy) -> float:
        left_s = self._began + self._terms.wait_s - self._terms.clock.now()
        return next_look_s(rounds, left_s, verdict.left_ms / 1000, self._terms.chance.random())

    def _again_s(self, again: int) -> float:
        return min(self._terms.lease_s / 10, 0.1 * 4.0**again) * (0.5 + self._terms.chance.random())

    def _result_of(self, call: Call) -> tuple[bytes, EffectError | None]:
        try:
            return call.written(), None
        except EffectError as error:
            return UNWRITABLE, error  # guard: an effect without a storable result is done all the same

    def _ended(self, call: Call, recorded: bool, unwritable: EffectError | None) -> None:
        if not recorded:  # guard: who was taken over does not pass for the first
            raise self._lost(call)
        if unwritable is not None:
            raise EffectError(f"{call.shown} is done and will not be done again, but its result cannot be stored: "
                              f"return what JSON can hold, or nothing ({unwritable})") from unwritable

    def _lost(self, call: Call) -> LeaseLost:
        return LeaseLost(f"the mark of {call.shown} was lost while its body ran: {call.lost_because or TAKEN}. Whoever "
                         f"runs next does it again under the same key for the callee; look whether it honours it")

    def _unrecorded(self, call: Call, error: ServerUnreachable) -> ServerUnreachable:
        return ServerUnreachable(f"{call.shown} was done, but the store did not confirm the record: after at most "
                                 f"{self._terms.lease_s:g} s it would be done again. {error}", maybe_done=True)

    def _not_cleared(self, error: HoldfastError) -> None:
        log.warning("a guard's mark in %r could not be cleared and ends with its lease, %g s: %s",
                    self._mark.namespace, self._terms.lease_s, error)

    def _tell(self, outcome: str) -> None:
        seconds = self._terms.clock.now() - self._began
        self._terms.events.emit(Guarded(namespace=self._mark.namespace, outcome=outcome, seconds=seconds))


#: Ends of attempts whose task was cancelled twice: kept until they are through, or the loop would forget them.
_going: set[asyncio.Task[Any]] = set()


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Waits for the end of an attempt even when cancelled: what happened is to be written down."""
    task = asyncio.ensure_future(work)
    _going.add(task)
    task.add_done_callback(_going.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, or asyncio reports it as never retrieved
        raise
