# SPDX-License-Identifier: Apache-2.0
"""A session as this process counts it: from confirmations to a state, and to being told once.

Nobody is asked whether a session is lost. A clock is: so ``check`` is right in a process that was frozen for an hour
and has not come round to hearing of anything. Who wants to be told is told by a timer of the loop, when that turns.

Renewal is a task of the loop that the session serves, so a loop that hangs for a whole ttl loses its session: a session
says that its process makes progress. Rejected: renewing from a thread, which would hold what is ours while nobody
works.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .._base.clock import Clock, Instant
from .._base.thinned import Thinned
from ..errors import LeaseLost, ServerError
from .session import OnChange, SessionState, span_s

T = TypeVar("T")

#: ``renew(timeout_s)``: the ttl in seconds that the service confirmed; None when it knows no such session.
Renew = Callable[[float], Awaitable[float | None]]

#: Between two questions to a service that does not answer.
AGAIN_S = 0.05


class Tenure:
    """Fulfils ``Session``; back ends build on it. Made in the loop it serves; ``state`` and ``check`` are any thread's.

    name: for errors. ttl_s: what the service granted. sent_at: when the request was sent that this confirmed.
    """

    def __init__(self, name: str, ttl_s: float, clock: Clock, sent_at: Instant) -> None:
        self.name, self.ttl_s, self.clock = name, ttl_s, clock
        self.cause = ""
        self.lost = asyncio.Event()
        #: The request last confirmed was sent then.
        self.confirmed_at = sent_at
        self._deadline = Instant(sent_at + span_s(ttl_s))
        self._over = self._apart = False
        self._guard = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._listeners: list[OnChange] = []
        self._errands: set[asyncio.Task[Any]] = set()
        self._told = SessionState.CONNECTED
        self._timer: asyncio.TimerHandle | None = None
        _ALIVE.add(self)
        self._watch()

    # -- for who relies on it -------------------------------------------------------------------------------------

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST."""
        now = self.clock.now()
        if self._over or now >= self._deadline:
            return SessionState.LOST
        late = now - self.confirmed_at >= self.ttl_s / 2
        return SessionState.SUSPENDED if self._apart or late else SessionState.CONNECTED

    @property
    def deadline(self) -> Instant:
        """Until then it is certainly ours."""
        return self._deadline

    def check(self) -> None:
        """Raises LeaseLost unless it is certainly ours."""
        if self._over or self.clock.now() >= self._deadline:
            raise LeaseLost(f"the session on {self.name} was lost ({self.cause or 'its deadline has passed'})")

    def on_change(self, tell: OnChange) -> None:
        """``tell(state)`` is called in the loop whenever the state has become another one; LOST once, as the last."""
        self._listeners.append(tell)

    async def unless_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits ``work``; when the session is lost before that ends, cancels it and raises LeaseLost."""
        doing = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
            self.check()  # guard: who was woken after the end has won nothing (etcd issue 9921)
            return doing.result()
        finally:
            await _dropped(doing, ending)

    # -- for back ends --------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """It is LOST, or will be told so at once: nothing is renewed any more."""
        return self.state is SessionState.LOST

    def confirm(self, sent_at: Instant, ttl_s: float) -> None:
        """The service answered what was sent at ``sent_at``: ``ttl_s`` counts from there."""
        if not self.over:  # guard: what was lost stays lost, whatever answers late
            self.ttl_s, self.confirmed_at, self._apart = ttl_s, sent_at, False
            self._deadline = Instant(sent_at + span_s(ttl_s))  # guard: from the send, not from the answer
        self._watch()

    def suspend(self) -> None:
        """The way to the service is broken. Any thread may say so; the deadline stays where it is."""
        self._apart = True
        self._soon()

    def lose(self, cause: str) -> None:
        """It is over. Any thread may say so; the first cause is kept."""
        with self._guard:
            if not self._over:
                self._over, self.cause = True, cause
        self._soon()

    def errand(self, work: Coroutine[Any, Any, None]) -> None:
        """Does ``work`` on the side; ``end_errands`` waits for it."""
        task = self._loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def end_errands(self) -> None:
        """Cancels what is done on the side, and waits until that has ended."""
        await _dropped(*self._errands)

    def _soon(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._watch)

    def _watch(self) -> None:
        """Tells of a state that is new, and comes again when the next one is due, whether or not anybody says so."""
        if self._timer is not None:
            self._timer.cancel()
        state = self.state
        if state is SessionState.LOST:
            self._over, self.cause = True, self.cause or "unreachable"
            self.lost.set()
        else:
            self._timer = self._loop.call_later(self._due_s(state), self._watch)  # guard: nobody else may tell
        if state is not self._told:  # guard: each is told once
            self._told = state
            for tell in tuple(self._listeners):
                tell(state)

    def _due_s(self, state: SessionState) -> float:
        late_at = self.confirmed_at + self.ttl_s / 2
        due = min(late_at, self._deadline) if state is SessionState.CONNECTED else self._deadline
        return max(0.001, due - self.clock.now())


async def keep(tenure: Tenure, renew: Renew) -> None:
    """Renews every third of a ttl until it is over. One that is not answered within a sixth moves no deadline, and is
    tried again after a ninth."""
    trouble, part = Thinned(tenure.clock), 3
    sent_at = tenure.confirmed_at
    while not await _over_by(tenure, Instant(sent_at + tenure.ttl_s / part)):
        sent_at, part = tenure.clock.now(), 3
        try:
            ttl_s = await renew(tenure.ttl_s / 6)
        except ServerError as error:  # guard: unconfirmed, the deadline stays where it is
            trouble.warn(f"the session on {tenure.name} could not be renewed", error)
            part = 9
        except LeaseLost:
            ttl_s = None
            tenure.lose("server")
        else:
            _answered(tenure, sent_at, ttl_s)


def _answered(tenure: Tenure, sent_at: Instant, ttl_s: float | None) -> None:
    if ttl_s is None:
        tenure.lose("server")
    else:
        tenure.confirm(sent_at, ttl_s)


async def _over_by(tenure: Tenure, due: Instant) -> bool:
    """Waits until ``due``, or until it is over; says whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, due - tenure.clock.now())):
            await tenure.lost.wait()
    return tenure.over


async def _dropped(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


#: Sessions of this process, as long as somebody knows of them.
_ALIVE: weakref.WeakSet[Tenure] = weakref.WeakSet()


def _forked() -> None:
    """A child has no session: what its parent has is lost to it."""
    for tenure in tuple(_ALIVE):
        tenure._over = True  # noqa: SLF001 - guard: forked. Its lock may have been taken when the process forked
        tenure.cause = tenure.cause or "forked"


os.register_at_fork(after_in_child=_forked)
