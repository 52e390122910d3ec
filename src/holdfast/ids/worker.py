# SPDX-License-Identifier: Apache-2.0
"""Holding a worker id: claimed, renewed from a thread of its own, given back; what a generator asks in between.

Renewal has an event loop, connections and a budget of its own: a loop of the user's that is busy for a while does not
end a window, and a process that hangs makes no ids. Nothing here decides whether an id may be made. The window does,
and whoever cannot renew it finds it ended.

::

    with WorkerId(RedisWorkers("redis://localhost:6379/0")) as worker:
        ids = Generator(layout_called("snowflake"), worker)
        ids.next_id()
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._base.events import (
    Events,
    IdsMade,
    WorkerIdClaimed,
    WorkerIdLost,
    WorkerIdRefused,
    WorkerIdRenewed,
    WorkerIdsHeld,
    WorkerIdUnrenewed,
    log,
)
from .._base.thinned import Thinned
from ..errors import ConfigurationError, HoldfastError, IdError, IdsRefused, LeaseLost, ServerError
from .scheme import Grant, Owner, Scheme, Telling
from .term import Held, Maker, Window

T = TypeVar("T")

NOTHING = Held(-1, Window(0, -1))
#: A window is renewed every third of it, and so often a try that failed is made again.
PARTS, AGAIN_PARTS = 3, 9


class WorkerId:
    """Fulfils ``Term``. Any thread may ask it.

    name: who this is, for people; whoever had a worker id under the same name gets it again where it can. wanted: the
    one that must be had. window_s: for how long each renewal counts. Longer outlives a longer outage of the store;
    price: after a crash the id is free that much later, and a restart under a ``wanted`` one waits for so long. One
    that is lost is given up at once, and another one is asked for until there is one.
    """

    def __init__(self, scheme: Scheme, *, name: str = "", wanted: int | None = None, window_s: float = 30.0,
                 clock: Clock | None = None, chance: Chance | None = None, events: Events | None = None) -> None:
        if window_s < 0.2:
            raise ConfigurationError(f"window_s={window_s}: a window under 0.2 s ends in any pause; give it more")
        if wanted is not None and not 0 <= wanted < scheme.workers:
            raise ConfigurationError(f"worker id {wanted} does not exist: there are {scheme.workers}, from 0 on")
        self._scheme, self._lease_ms = scheme, int(window_s * 1000)
        self._clock, self._events = clock or SystemClock(), events or Events()
        self._chance = chance or system_chance()
        self.owner = Owner(new_id(self._chance), name or f"{socket.gethostname()}/{os.getpid()}", wanted)
        self.held = NOTHING
        self._now: tuple[float, float] = (0.0, 0.0)
        self.cause = ""
        self._maker: Maker | None = None
        self._told = 0
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._stopping = False
        self._woken = asyncio.Event()
        self._beginning: asyncio.Task[Any] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._closing = threading.Lock()

    @property
    def worker(self) -> int:
        """The worker id; -1 before it is had."""
        return self.held.worker

    @property
    def window(self) -> Window:
        """What may be used of the store's time."""
        return self.held.window

    def now_ms(self) -> float:
        """The store's time. Never ahead of it: it counts from when an answer was received."""
        store_ms, at = self._now
        return store_ms + (self._clock.now() - at) * 1000

    def made_by(self, maker: Maker) -> None:
        """See ``Term``. ConfigurationError for a second one: both would make the same ids."""
        if self._maker is not None:  # guard: one generator a worker id
            raise ConfigurationError(f"worker id {self.worker} has a generator: all threads and tasks share that one")
        self._maker = maker

    @property
    def ready(self) -> bool:
        """Whether an id can be made now: for a readiness probe."""
        return self.window.first_ms <= self.now_ms() <= self.window.last_ms

    def open(self, *, wait_s: float = 60.0) -> Self:
        """Claims a worker id and waits until its window has begun. TimeoutError when that is not so within ``wait_s``.

        Raises WorkerIdTaken, WorkerIdsExhausted, ServerUnreachable and the like at once.
        """
        if self._thread is not None:
            raise ConfigurationError("this worker id was opened before")
        self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-worker-id", daemon=True)
        self._thread.start()
        try:
            self._do(self._begun(wait_s))
        except concurrent.futures.CancelledError:
            raise IdsRefused("this worker id was closed while it was waited for", why="window") from None
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Gives it back: whoever has it next begins behind the last id that was made here."""
        if self._thread is None or os.getpid() != self._pid:
            return
        with self._closing:  # guard: who comes second waits for the first
            if not self._loop.is_closed():
                self._do(self._ended())
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()

    def close_on(self, *signals: signal.Signals) -> None:
        """Gives it back when one of these arrives, and lets it do then what it would have done. Of the main thread.

        For a process that SIGTERM would end on the spot: without it, the worker id is free when its window has ended.
        """
        for number in signals:
            before = signal.getsignal(number)
            signal.signal(number, lambda *_, number=number, before=before: self._signalled(number, before))

    def _signalled(self, number: int, before: Any) -> None:
        """Not here: a handler runs in the midst of anything, and may hold the very lock that closing has to take."""
        signal.signal(number, signal.SIG_DFL if before is None else before)

        def end() -> None:
            self.close()
            os.kill(os.getpid(), number)

        threading.Thread(target=end, name="holdfast-worker-id-end").start()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.open)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- in the thread --------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begun(self, wait_s: float) -> None:
        self._beginning = asyncio.current_task()
        if isinstance(self._scheme, Telling):
            self._scheme.lost(self._told_lost)
        await self._claimed()
        self._renewing = asyncio.get_running_loop().create_task(self._keep())
        begins_in_s = (self.window.first_ms - self.now_ms()) / 1000
        if begins_in_s > wait_s:
            raise TimeoutError(f"worker id {self.worker}: the window of who had it before ends in {begins_in_s:.1f} s, "
                               f"and {wait_s:g} s were to be waited")
        await asyncio.sleep(max(begins_in_s, 0.0))

    async def _claimed(self) -> None:
        asked_at = self._clock.now()
        try:
            grant = await self._scheme.claim(self.owner, self._lease_ms)
        except HoldfastError as error:
            self._events.emit(WorkerIdRefused(scheme=self._scheme.name, error=type(error).__name__))
            raise
        self._take(grant)
        self._events.emit(WorkerIdClaimed(scheme=self._scheme.name, worker=grant.worker,
                                          seconds=self._clock.now() - asked_at))

    def _take(self, grant: Grant) -> None:
        self._now = (grant.now_ms, self._clock.now())
        self.held, self.cause = Held(grant.worker, grant.window), ""

    async def _keep(self) -> None:
        """Renews until it is told to stop; what was lost is claimed anew."""
        trouble, part, looks = Thinned(self._clock), PARTS, 1
        while not await self._stops_within(self._lease_ms / 1000 / part):
            part = PARTS
            try:
                if self.cause:
                    await self._claimed()
                else:
                    self._take(await self._scheme.renew(self.owner, self._grant(), self._lease_ms))
                    self._events.emit(WorkerIdRenewed(scheme=self._scheme.name, worker=self.worker))
                if self._chance.random() * looks < 1:  # one look among all that hold one, each time they renew
                    looks = await self._look()
            except LeaseLost as lost:
                part = AGAIN_PARTS
                self._lose(lost)
            except (ServerError, IdError) as error:
                part = AGAIN_PARTS
                self._fail(trouble, error)
            self._count()

    async def _stops_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
        return self._stopping

    def _told_lost(self, cause: str) -> None:
        """By the scheme itself: another one is asked for at once."""
        if not self.cause and self.worker >= 0:
            self._lose(LeaseLost(cause))
            self._woken.set()

    def _grant(self) -> Grant:
        return Grant(self.worker, self.window, self.now_ms())

    def _lose(self, lost: LeaseLost) -> None:
        """Makes no id under it from now on, and is somebody else at the next claim."""
        worker, self.cause = self.worker, str(lost)
        self.held = Held(worker, Window(self.window.first_ms, -1))  # guard: nothing is made once it is lost
        if self._maker is not None:
            self._maker.drop()
        self.owner = Owner(new_id(self._chance), self.owner.name, self.owner.wanted)
        log.error("%s; no id is made until another one is had", lost)
        self._events.emit(WorkerIdLost(scheme=self._scheme.name, worker=worker))

    def _fail(self, trouble: Thinned, error: HoldfastError) -> None:
        if self.cause:
            trouble.warn("a worker id in the place of the one that was lost is not to be had", error)
            return
        trouble.warn(f"the window of worker id {self.worker} could not be extended", error)
        self._events.emit(WorkerIdUnrenewed(scheme=self._scheme.name, worker=self.worker, error=type(error).__name__,
                                            left_s=max(self.window.last_ms - self.now_ms(), 0) / 1000))

    async def _look(self) -> int:
        """How many are held, for whoever watches."""
        held = sum(holding.live for holding in await self._scheme.holders())
        self._events.emit(WorkerIdsHeld(scheme=self._scheme.name, held=held, capacity=self._scheme.workers))
        return max(held, 1)

    def _count(self) -> None:
        made = self._maker.made if self._maker is not None else 0
        if made > self._told:
            self._events.emit(IdsMade(scheme=self._scheme.name, count=made - self._told))
            self._told = made

    async def _ended(self) -> None:
        self._stopping = True
        self._woken.set()
        if self._beginning is not None:
            self._beginning.cancel()  # guard: whoever waits for it is told
            await asyncio.wait([self._beginning])
        if self._renewing is not None:
            await self._renewing
        grant = self._grant()
        self.held = Held(grant.worker, Window(grant.window.first_ms, -1))  # guard: nothing is made behind what is told
        if self._maker is not None:
            self._maker.drop()
        self._count()
        try:
            if self.worker >= 0 and not self.cause:
                self.cause = "its worker id was given back"
                last_ms = self._maker.last_ms() if self._maker is not None else 0
                await self._scheme.release(self.owner, grant, max(last_ms, grant.window.first_ms - 1))
        except (ServerError, IdError) as error:
            log.warning("giving back worker id %s: %s; it is free when its window has ended", self.worker, error)
        finally:
            await self._scheme.close()
