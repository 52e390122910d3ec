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
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._base.events import Events, WorkerIdClaimed, WorkerIdLost, WorkerIdRefused, WorkerIdRenewed, log
from .._base.thinned import Thinned
from ..errors import ConfigurationError, HoldfastError, IdError, LeaseLost, ServerError
from .scheme import Grant, Owner, Scheme
from .term import Window

T = TypeVar("T")

#: A window is renewed every third of it, and so often a try that failed is made again.
PARTS, AGAIN_PARTS = 3, 9


class WorkerId:
    """Fulfils ``Term``. Any thread may ask it.

    name: who this is, for people; whoever had a worker id under the same name gets it again where it can. wanted: the
    one that must be had. window_s: for how long each renewal counts. Longer outlives a longer outage of the store;
    price: after a crash the id is free that much later, and a restart under a ``wanted`` one waits for so long.
    """

    def __init__(self, scheme: Scheme, *, name: str = "", wanted: int | None = None, window_s: float = 30.0,
                 clock: Clock | None = None, chance: Chance | None = None, events: Events | None = None) -> None:
        if window_s < 0.2:
            raise ConfigurationError(f"window_s={window_s}: a window under 0.2 s ends in any pause; give it more")
        if wanted is not None and not 0 <= wanted < scheme.workers:
            raise ConfigurationError(f"worker id {wanted} does not exist: there are {scheme.workers}, from 0 on")
        self._scheme, self._lease_ms = scheme, int(window_s * 1000)
        self._clock, self._events = clock or SystemClock(), events or Events()
        chance = chance or system_chance()
        self.owner = Owner(new_id(chance), name or f"{socket.gethostname()}/{os.getpid()}", wanted)
        self.worker = -1
        self.window = Window(0, -1)
        self._now: tuple[float, float] = (0.0, 0.0)
        self.cause = ""
        self._makers: list[Callable[[], int]] = []
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    def now_ms(self) -> float:
        """The store's time. Never ahead of it: it counts from when an answer was received."""
        store_ms, at = self._now
        return store_ms + (self._clock.now() - at) * 1000

    def made_by(self, last_ms: Callable[[], int]) -> None:
        """See ``Term``."""
        self._makers.append(last_ms)

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
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-worker-id", daemon=True)
        self._thread.start()
        try:
            self._do(self._claimed(wait_s))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Gives it back: whoever has it next begins behind the last id that was made here."""
        if self._thread is None or self._loop.is_closed():
            return
        self._do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- in the thread --------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _claimed(self, wait_s: float) -> None:
        asked_at = self._clock.now()
        try:
            grant = await self._scheme.claim(self.owner, self._lease_ms)
        except HoldfastError as error:
            self._events.emit(WorkerIdRefused(scheme=self._scheme.name, error=type(error).__name__))
            raise
        self._take(grant)
        self._events.emit(WorkerIdClaimed(scheme=self._scheme.name, worker=grant.worker,
                                          seconds=self._clock.now() - asked_at))
        self._stopping = asyncio.Event()
        self._renewing = asyncio.get_running_loop().create_task(self._keep(self._stopping))
        begins_in_s = (self.window.first_ms - self.now_ms()) / 1000
        if begins_in_s > wait_s:
            raise TimeoutError(f"worker id {self.worker}: the window of who had it before ends in {begins_in_s:.1f} s, "
                               f"and {wait_s:g} s were to be waited")
        await asyncio.sleep(max(begins_in_s, 0.0))

    def _take(self, grant: Grant) -> None:
        self.worker, self._now, self.window = grant.worker, (grant.now_ms, self._clock.now()), grant.window

    async def _keep(self, stopping: asyncio.Event) -> None:
        """Renews until it is told to stop, or the worker id is somebody else's."""
        trouble, part = Thinned(self._clock), PARTS
        while not await _set_within(stopping, self._lease_ms / 1000 / part):
            part = PARTS
            try:
                now = Grant(self.worker, self.window, self.now_ms())
                grant = await self._scheme.renew(self.owner, now, self._lease_ms)
            except LeaseLost as lost:
                self.cause = str(lost)
                log.error("%s; ids are made until the window ends, and then refused", lost)
                self._events.emit(WorkerIdLost(scheme=self._scheme.name, worker=self.worker))
                return
            except ServerError as error:
                trouble.warn(f"the window of worker id {self.worker} could not be extended", error)
                part = AGAIN_PARTS
            else:
                self._take(grant)
                self._events.emit(WorkerIdRenewed(scheme=self._scheme.name, worker=self.worker))

    async def _ended(self) -> None:
        if self._stopping is not None:
            self._stopping.set()
            await self._renewing
        grant = Grant(self.worker, self.window, self.now_ms())
        self.window = Window(grant.window.first_ms, -1)  # guard: nothing is made behind what is told now
        try:
            if self.worker >= 0 and not self.cause:
                last_ms = max((last_ms() for last_ms in self._makers), default=0)
                await self._scheme.release(self.owner, grant, max(last_ms, grant.window.first_ms - 1))
        except (ServerError, IdError) as error:
            log.warning("giving back worker id %s: %s; it is free when its window has ended", self.worker, error)
        finally:
            await self._scheme.close()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
