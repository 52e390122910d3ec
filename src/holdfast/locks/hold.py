# SPDX-License-Identifier: Apache-2.0
"""Holding: what is the same for a lock wherever it is kept. Open this after ``held``.

A lock is an acquisition, not an object: a ``Lock`` is a name, and each ``hold`` makes an ``Acquisition`` whose id is
what makes a lost reply harmless. Where and how it is kept is a ``Keeper``'s: it waits until the acquisition is granted,
and gives it back. Here is the rest: who of this process holds what, holding again, the cancelled body, the end.

Who holds is known by owner: the running task, or the thread for which it speaks (see ``plain``). An owner that holds
may hold again and gets the same token; tasks and threads that it starts inherit nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

from .._base import events as ev
from .._base.clock import Clock, Instant
from ..errors import ConfigurationError, LeaseLost, LockUnconfirmed, ServerError
from .held import Acquisition

#: The thread for which the running task speaks; unset, a task speaks for itself.
SPEAKS_FOR: ContextVar[object | None] = ContextVar("holdfast_lock_owner", default=None)


def owner() -> object:
    """Who would hold what is acquired now."""
    speaks_for = SPEAKS_FOR.get()
    found = asyncio.current_task() if speaks_for is None else speaks_for
    if found is None:
        raise ConfigurationError("a lock is held by a task: call this inside of one")
    return found


class Who:
    """Who asks, for people who look at a lock: host, process, task or thread, and what its owner calls itself."""

    def __init__(self, who: str) -> None:
        self._said = {"host": socket.gethostname(), "pid": os.getpid(), "who": who}

    def about(self, **more: str) -> bytes:
        """What lies beside what the running owner holds or waits for, as JSON."""
        whose = owner()
        task = whose.get_name() if isinstance(whose, asyncio.Task) else str(getattr(whose, "name", ""))
        return msgspec.json.encode(self._said | {"task": task} | more)


class Keeper(Protocol):
    """Where a lock is kept: a back end, and a kind of lock on it.

    kind: for events and metrics. again: whoever holds one of these kinds of the same name holds this one too.
    never_under: whoever holds one of these would wait for itself.
    """

    kind: str
    again: tuple[str, ...]
    never_under: tuple[str, ...]

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition for which nobody was asked yet. ConfigurationError for a lease that cannot be."""
        ...

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Returns once ``held.granted`` was called. ``wait_s``: 0 looks once, None waits for ever.

        Raises TimeoutError when it waited in vain. While ``held.in_doubt`` is set, it may be granted all the same.
        """
        ...

    def keep(self, held: Acquisition) -> None:
        """It is held: renews it from now on, where that is done."""
        ...

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether it was ours until now; None when that is not known. Never raises for a server that is away."""
        ...


#: Kind and name of a lock, and who holds it.
Place = tuple[str, str, object]


class Ledger:
    """What one process holds of one back end, by owner; and what it is still giving back."""

    def __init__(self, clock: Clock, events: ev.Events) -> None:
        self.clock, self.events = clock, events
        self._held: dict[Acquisition, tuple[Place, Keeper]] = {}
        self._mine: dict[Place, Acquisition] = {}
        self._giving_back: set[asyncio.Task[bool | None]] = set()

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return tuple(self._held)

    def mine(self, kind: str, name: str) -> Acquisition | None:
        """What the running owner holds of this lock."""
        return self._mine.get((kind, name, owner()))

    def took(self, held: Acquisition, keeper: Keeper) -> None:
        """The running owner holds it from now on."""
        place = (keeper.kind, held.name, owner())
        self._held[held] = place, keeper
        self._mine.setdefault(place, held)

    def left(self, held: Acquisition) -> bool:
        """It is held no more. Whether it was until now."""
        found = self._held.pop(held, None)
        if found is None:
            return False
        if self._mine.get(found[0]) is held:
            del self._mine[found[0]]
        return True

    def later(self, work: Coroutine[Any, Any, bool | None]) -> asyncio.Task[bool | None]:
        """``work`` in a task of its own, which no cancellation of ours reaches."""
        task = asyncio.ensure_future(work)
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
        return task

    def report(self, held: Acquisition, certain: bool) -> None:
        """Says that its holder has ended it, which was certainly held until then or not."""
        seconds = self.clock.now() - held.since
        if certain:
            self.events.emit(ev.LockGivenBack(kind=held.kind, lock=held.name, seconds=seconds))
        else:
            cause = "deadline" if held.cause in {"", "released"} else held.cause
            self.events.emit(ev.LockLost(kind=held.kind, lock=held.name, seconds=seconds, cause=cause))

    async def close(self) -> None:
        """Gives back all that is held."""
        for held, (_, keeper) in tuple(self._held.items()):
            self.left(held)
            if held.forked:  # guard: its parent's to give back
                continue
            self.report(held, held.let_go())
            self.later(keeper.give_back(held))
        if self._giving_back:
            await asyncio.gather(*self._giving_back, return_exceptions=True)


class Lock:
    """One name. Fulfils ``_base.lock.Lock``. Safe to share: state belongs to each ``hold``."""

    def __init__(self, name: str, keeper: Keeper, ledger: Ledger) -> None:
        if not name:
            raise ConfigurationError("a lock needs a name")
        self.name = name
        self._keeper, self._ledger = keeper, ledger

    @property
    def held(self) -> Acquisition | None:
        """What the running task or thread holds of it; None when it does not."""
        found = (self._ledger.mine(kind, self.name) for kind in self._keeper.again)
        return next((held for held in found if held is not None), None)

    @contextlib.asynccontextmanager
    async def hold(self, *, wait_s: float | None = None, lease_s: float | None = None, max_hold_s: float | None = None,
                   renew_while: Callable[[], bool] | None = None) -> AsyncIterator[Acquisition]:
        """Waits until it is ours, holds it for the block, gives it back. The body is cancelled when it is lost.

        wait_s: at most so long (0: one look; None: for ever). lease_s: a fixed lease that nobody renews. max_hold_s:
        the end of a renewed one. renew_while: asked in the renewer's thread before each renewal; False lets it run out.

        Raises TimeoutError when it waited in vain, LeaseLost in the place of the body's cancellation, and at the end
        of a body that came through while the lock was somebody else's; LockUnconfirmed, ServerUnreachable and the like
        when the server cannot do its part.
        """
        if (outer := self.held) is not None:
            outer.check()
            yield outer  # guard: held again by its own task, with the same token
            return
        held = await self.acquire(wait_s=wait_s, lease_s=lease_s, max_hold_s=max_hold_s, renew_while=renew_while)
        body = Body(held)
        try:
            yield held
        except asyncio.CancelledError:
            if body.was_cancelled_by_us():
                raise LeaseLost(f"lock {self.name!r} was lost ({held.cause})") from None
            raise
        finally:
            cause = held.cause
            held.let_go()  # nobody is cancelled from here on
            await body.quiet()
            still_ours = await self.release(held)
        if not still_ours:
            raise LeaseLost(f"lock {self.name!r} was not held any more when its block ended ({cause or 'server'})")

    async def acquire(self, *, wait_s: float | None = None, lease_s: float | None = None,
                      max_hold_s: float | None = None, renew_while: Callable[[], bool] | None = None) -> Acquisition:
        """As ``hold`` without a block: the caller gives it back with ``release``, and asks ``check`` in between."""
        if lease_s is not None and (max_hold_s is not None or renew_while is not None):
            raise ConfigurationError("with lease_s nobody renews: max_hold_s and renew_while are for renewed locks")
        if any(self._ledger.mine(kind, self.name) for kind in self._keeper.never_under):
            raise ConfigurationError(f"lock {self.name!r} is held for reading by this task, which would wait for "
                                     "itself: end that first, or hold it for writing from the start")
        held = self._keeper.new(self.name, lease_s)
        held.renew_while = renew_while
        await self._obtained(held, wait_s)
        if max_hold_s is not None:
            held.ends_at = Instant(self._ledger.clock.now() + max_hold_s)
        self._ledger.took(held, self._keeper)
        self._keeper.keep(held)
        return held

    async def release(self, held: Acquisition) -> bool:
        """Gives it back. False when it had been lost: somebody else may have held it in the meantime.

        When the server does not answer, the deadline decides; what it still has of ours ends with its lease. Once is
        enough: a second time does nothing.
        """
        was_held = self._ledger.left(held)
        certain = held.let_go()  # guard: no renewal after it
        if held.forked or not was_held:
            return certain and not held.forked
        self._ledger.report(held, certain)
        if not certain:  # whoever lost it is told at once, however long the server is away
            self._ledger.later(self._keeper.give_back(held))
            return False
        try:
            answer = await self._keeper.give_back(held)
        except asyncio.CancelledError:  # guard: said once more where no cancellation reaches; twice is as good as once
            self._ledger.later(self._keeper.give_back(held))
            raise
        return certain if answer is None else answer

    async def _obtained(self, held: Acquisition, wait_s: float | None) -> None:
        asked_at = self._ledger.clock.now()
        try:
            await self._keeper.obtain(held, wait_s)
        except BaseException as error:
            held.let_go()
            if isinstance(error, TimeoutError | ServerError | LockUnconfirmed):
                self._emit(ev.LockRefused, seconds=self._since(asked_at), error=type(error).__name__)
            if held.in_doubt:  # guard: it may be granted, and nobody would know
                await asyncio.shield(self._ledger.later(self._keeper.give_back(held)))
            raise
        self._emit(ev.LockGranted, seconds=self._since(asked_at), left_s=held.deadline - self._ledger.clock.now())

    def _since(self, then: Instant) -> float:
        return self._ledger.clock.now() - then

    def _emit(self, kind: Any, **fields: Any) -> None:
        self._ledger.events.emit(kind(kind=self._keeper.kind, lock=self.name, **fields))


class Body:
    """Cancels the task of a block when its lock is lost, and tells that cancellation from anybody else's."""

    def __init__(self, held: Acquisition) -> None:
        self._task = asyncio.current_task()
        self._cancelled = False
        held.on_lost(self._cancel)

    def _cancel(self, _: str) -> None:
        if self._task is not None and not self._task.done():
            self._cancelled = True
            self._task.cancel()

    def was_cancelled_by_us(self) -> bool:
        """Whether the cancellation that has just arrived is ours alone."""
        ours, self._cancelled = self._cancelled, False
        return ours and self._task is not None and self._task.uncancel() == 0

    async def quiet(self) -> None:
        """Takes in our cancellation if the block ended before it came."""
        if self._cancelled:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            self.was_cancelled_by_us()
