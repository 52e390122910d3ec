# SPDX-License-Identifier: Apache-2.0
"""The stock of one client, filled by a thread of its own.

The thread has an event loop and connections of its own: a caller's loop that is busy does not keep the stock from being
filled, and callers in threads and in tasks share the code. Whoever draws takes a lock and, mostly, nothing else.

A forked child has an empty stock and begins anew with its first draw: what the parent has in hand is the parent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any

from ..._base.chance import Chance
from ..._base.clock import Clock
from ..._base.events import Events, RemoteIdsFailed, RemoteIdsFetched, log
from ..._base.thinned import Thinned
from ...errors import ConfigurationError, HoldfastError, IdsRefused, NotAuthorized
from ..counters.forks import begins_anew
from .asking import Asking, OverQuota, TooMany
from .stock import Stock
from .turns import Turns

#: Loops of parents: kept, so that nobody closes in a child what the parent uses.
_PARENTS: list[Any] = []


@dataclass(frozen=True)
class Plan:
    """How much is kept, and how it is asked for. See ``RemoteIds``."""

    tag: str
    ahead_s: float
    lag_s: float | None
    least: int
    most: int
    batch_max: int


class Prefetch:
    """Any thread may draw. asking: makes what asks, in the loop of the thread."""

    def __init__(self, plan: Plan, asking: Callable[[], Asking], turns: Callable[[], Turns], *, clock: Clock,
                 chance: Chance, events: Events) -> None:
        self.plan, self._asking, self._turns = plan, asking, turns
        self._clock, self._chance, self._events = clock, chance, events
        self._trouble = Thinned(clock)
        self._closed = False
        self._begin()
        begins_anew(self)

    def _begin(self) -> None:
        self._guard = threading.Lock()
        self._stock = Stock(ahead_s=self.plan.ahead_s, lag_s=self.plan.lag_s, least=self.plan.least,
                            most=self.plan.most, now=self._clock.now())
        self._waiters: list[Future[None]] = []
        #: Why there was nothing the last time; None when there was.
        self.cause: Exception | None = None
        self._most = self._some = self.plan.batch_max
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filling: asyncio.Task[None] | None = None
        self._event = asyncio.Event()
        self._awake = False

    # -- drawing --------------------------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """How many are in hand."""
        return self._stock.left

    def draw(self, count: int) -> list[int]:
        """At most so many, without waiting. IdsRefused after ``close``."""
        with self._guard:
            self._start()
            now = self._clock.now()
            found = self._stock.take(count, now)
            self._wake(now)
        return found

    @contextlib.contextmanager
    def waiting(self, missing: int) -> Any:
        """Gives a future that is done when more have come, or the cause has changed. They are asked for meanwhile."""
        waiter: Future[None] = Future()
        with self._guard:
            stock = self._stock
            stock.missing += missing
            self._waiters.append(waiter)
            self._wake(self._clock.now())
        try:
            yield waiter
        finally:
            with self._guard:
                stock.missing -= missing
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _wake(self, now: float) -> None:
        if not (self._awake or self._closed) and self._loop is not None and self._stock.wanted(now):
            self._awake = True
            self._loop.call_soon_threadsafe(self._event.set)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._closed:
            raise IdsRefused(f"these ids of tag {self.plan.tag!r} were closed", why="closed")
        if self._thread is None:
            self._loop, self._awake = asyncio.new_event_loop(), True
            self._filling = self._loop.create_task(self._fill())
            self._thread = threading.Thread(target=self._run, args=(self._loop, self._filling), daemon=True,
                                            name="holdfast-remote-ids")
            self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop, filling: asyncio.Task[None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(filling)
        loop.close()

    def close(self) -> None:
        """Ends the thread. What is in hand is thrown away: nobody else will have it."""
        with self._guard:
            self._closed = True
            thread, loop, filling, self._thread = self._thread, self._loop, self._filling, None
        if thread is not None and loop is not None and filling is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                loop.call_soon_threadsafe(filling.cancel)
            thread.join()
            self._tell()

    async def _fill(self) -> None:
        asking, turns = self._asking(), self._turns()
        try:
            while True:
                with self._guard:
                    now = self._clock.now()
                    wanted, due_s = min(self._stock.wanted(now), self._most, self._some), self._stock.due_s(now)
                    self._awake = bool(wanted)
                if wanted:
                    await asyncio.sleep(await self._ask(asking, turns, wanted))
                else:
                    await self._rest(due_s)
        except Exception as error:  # noqa: BLE001 - a bug: whoever waits is told, instead of waiting for nothing
            self._awake = True  # nobody is woken any more
            log.exception("fetching ids of tag %r", self.plan.tag)
            self.cause = ConfigurationError(f"fetching ids has failed for good: {type(error).__name__}: {error}")
            self._tell()
        finally:
            await asking.close()

    async def _rest(self, due_s: float) -> None:
        """Until somebody needs more, or what is here is too old."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due_s == math.inf else max(due_s, 0.0) + 0.001):
                await self._event.wait()
        self._event.clear()

    async def _ask(self, asking: Asking, turns: Turns, wanted: int) -> float:
        """Asks once; for how many seconds to wait before the next time."""
        asked_at = self._clock.now()
        try:
            found = await asking.ask(turns.url, wanted)
        except OverQuota as told:
            self._some = max(1, wanted // 2)
            self._fail(told)
            return turns.told(told.seconds)
        except TooMany as told:
            self._most = min(told.most, wanted - 1) or 1
            return 0.0
        except HoldfastError as error:
            self._fail(error)
            return turns.failed()
        turns.answered()
        self._some = min(self._some * 2, self._most)
        with self._guard:
            left = self._stock.left
            self._stock.add(found, asked_at)
            self.cause = None
        self._events.emit(RemoteIdsFetched(tag=self.plan.tag, count=len(found), left=left,
                                           seconds=self._clock.now() - asked_at))
        self._tell()
        return 0.0

    def _fail(self, error: HoldfastError) -> None:
        self.cause = error
        self._trouble.warn(f"no ids of tag {self.plan.tag!r} are to be had", error)
        self._events.emit(RemoteIdsFailed(tag=self.plan.tag, error=type(error).__name__, left=self.left))
        if isinstance(error, ConfigurationError | NotAuthorized):
            self._tell()

    def _tell(self) -> None:
        """Whoever waits looks again."""
        with self._guard:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            with contextlib.suppress(InvalidStateError):  # it has given up
                waiter.set_result(None)

    def forked(self) -> None:
        """In a child."""
        _PARENTS.append((self._loop, self._filling))
        self._begin()  # guard: a child has nothing that its parent may give


