# SPDX-License-Identifier: Apache-2.0
"""A worker id that a restart keeps: the store lets a long window, and short ones of it are sublet through a file.

::

    store ── a window of 10 minutes ──▶ Remembered ── 3 s, then 3 s more, … ──▶ WorkerId ──▶ Generator
                                            │
                                            └─ each on disk before it is handed out

    workers = Remembered(RedisWorkers(url), Path("/var/lib/orders/worker-id"), store_window_s=600)
    with WorkerId(workers, name="orders-1", window_s=3) as worker: ...

A process that starts while the store does not answer goes on under the worker id that it had, behind whatever it may
have used, up to the end of the store's window. What makes that sound is said in ``memory``.

The store is always asked first. CosId's local file answers in its place, and an instance that was away for long comes
back with a worker id that is somebody else's by then. What the file adds while the store answers: a restart asks as the
owner it was, and has the same worker id after one sublet; and a store that was put back from a backup gives nothing
that was used before.

Not covered: a virtual machine that is resumed twice from one snapshot of its memory. No process can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from .._base.boot import boot_id
from .._base.clock import Clock, SystemClock
from .._base.events import Events, WorkerIdRemembered, WorkerIdRewound, WorkerIdUnrenewed, log
from ..errors import ConfigurationError, IdError, LeaseLost, ServerError, ServerUnreachable
from .memory import Memory, stranger, window_left
from .memory_file import Found, MemoryFile
from .scheme import Grant, Holding, Owner, Scheme
from .term import Window

T = TypeVar("T")

#: The store is asked for more once so much of its window is gone, and given so much of a sublet's time to answer:
#: with the third of it after which ``WorkerId`` asks here, a sublet does not end meanwhile.
PARTS, ANSWER_PARTS = 3, 4


class Remembered:
    """Fulfils ``Scheme`` on top of another one. The window that ``WorkerId`` asks for is the sublet.

    path: the file; one a process, on a disk of this machine. store_window_s: the window that is asked of the store. An
    outage is outlived for two thirds of it at least, restarts included; price: a process that never comes back keeps
    its worker id for so long. of: which store this is, for schemes that do not say it (``identity``).

    The sublet (``WorkerId(window_s=…)``) is the other price: a start after a crash waits for one. Three seconds cost
    two fsyncs a second. Give ``WorkerId`` a name that stays the same: the default one has the pid in it.
    """

    def __init__(self, scheme: Scheme, path: str | Path, *, store_window_s: float = 600.0, of: str = "",
                 clock: Clock | None = None, events: Events | None = None,
                 boot: Callable[[], str] = boot_id) -> None:
        self.name, self.workers = scheme.name, scheme.workers
        self.identity: str = of or getattr(scheme, "identity", "")
        if not self.identity:
            raise ConfigurationError(f"{type(scheme).__name__} does not say which store it is: give of=, a word that "
                                     "no other store of this machine has")
        self._scheme, self._store_ms = scheme, int(store_window_s * 1000)
        self._clock, self._events, self._boot = clock or SystemClock(), events or Events(), boot
        self._file = MemoryFile(Path(path))
        self._found: Found | None = None
        self._away = False

    # -- Scheme ---------------------------------------------------------------------------------------------------

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """See ``Scheme``. Raises ServerUnreachable, which says why the file does not help; WorkerIdTaken when another
        process uses the file; ServerRefused when it cannot be written."""
        memory, doubt = await self._recall(owner)
        asks = owner if memory is None or doubt else Owner(memory.owner, owner.name, owner.wanted)
        try:
            # guard: the store is asked first
            grant = await _reached(self._scheme.claim(asks, self._lease_ms(lease_ms)))
        except ServerUnreachable as away:
            if memory is None or doubt:
                raise self._of_no_help(away, doubt) from away
            self._away = True
            return await self._gone_on(memory, lease_ms, away)
        self._away = False
        return await self._begun(memory, asks, grant, lease_ms)

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """See ``Scheme``. Asks the store when a third of its window is gone; sublets what is left while it is away."""
        memory, trouble = self._remembered(grant.worker), None
        now_ms = memory.now_ms(self._clock.now())
        if memory.window.last_ms - now_ms < self._lease_ms(lease_ms) * (PARTS - 1) / PARTS:
            try:
                memory = await self._extended(memory, lease_ms)
            except LeaseLost:
                await self._forgotten(memory)
                raise
            except ServerError as error:
                trouble = error
            self._away = trouble is not None
        if trouble is not None:
            self._tell(memory, now_ms, trouble)
        return await self._sublet(memory, grant.window.first_ms, lease_ms)

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """See ``Scheme``. One that could not be given back is remembered: while the store is away it is not asked, so
        that nobody has to wonder what became of the question."""
        memory = self._remembered(grant.worker)
        memory = replace(memory, used={**memory.used, grant.worker: last_ms})
        if self._away:
            await self._write(memory)
            raise ServerUnreachable(f"the store did not answer lately; {self._file.path} remembers the worker id")
        await self._write(replace(memory, owner=""))  # guard: forgotten before anybody else can have it
        try:
            await _reached(self._scheme.release(self._owner(memory), self._grant(memory), last_ms))
        except ServerUnreachable as away:
            if not away.maybe_done:
                await self._write(memory)
            raise

    async def holders(self) -> list[Holding]:
        """See ``Scheme``."""
        return await _reached(self._scheme.holders())

    async def close(self) -> None:
        """See ``Scheme``. Lets go of the file, too."""
        try:
            await self._scheme.close()
        finally:
            self._found = None
            self._file.close()

    # -- steps ----------------------------------------------------------------------------------------------------

    async def _recall(self, owner: Owner) -> tuple[Memory | None, str]:
        """What is remembered, and why ``owner`` may not go on by it."""
        await asyncio.to_thread(self._file.lock)
        if self._found is None:
            self._found = await asyncio.to_thread(self._file.read)
        memory, doubt = self._found.memory, self._found.doubt
        if memory is None:
            return None, doubt
        return memory, doubt or stranger(memory, self.identity, owner, self._boot())

    async def _begun(self, before: Memory | None, asks: Owner, grant: Grant, lease_ms: int) -> Grant:
        """The store gave ``grant``; what was used before is left out of it."""
        at_s = self._clock.now()
        used = before.used if before is not None and before.of == self.identity else {}
        used_ms = used.get(grant.worker, 0)
        again = before is not None and (before.owner, before.window.first_ms) == (asks.id, grant.window.first_ms)
        if not again and grant.window.first_ms <= used_ms:
            self._tell_rewound(grant, used_ms)
        sublet_ms = max(before.sublet_ms, lease_ms) if again and before is not None else lease_ms
        memory = Memory(of=self.identity, owner=asks.id, name=asks.name, wanted=asks.wanted, worker=grant.worker,
                        window=grant.window, store_ms=grant.now_ms, at_s=at_s, boot=self._boot(), sublet_ms=sublet_ms,
                        used=used)
        first_ms = max(grant.window.first_ms, used_ms + 1)  # guard: behind what was used, whatever the store remembers
        if again:
            first_ms = max(first_ms, memory.first_ms(at_s, lease_ms))
        try:
            return await self._sublet(memory, first_ms, lease_ms)
        except ServerError:
            if not again:
                await self._given_back(asks, grant)
            raise

    async def _given_back(self, owner: Owner, grant: Grant) -> None:
        """It is not remembered, so it is not used: a full disk must not eat up a pool, try by try."""
        found = await asyncio.to_thread(self._file.read)
        if found.memory is not None and found.memory.owner == owner.id:
            return  # it is, all the same: only its folder could not be synced
        with contextlib.suppress(ServerError):
            await _reached(self._scheme.release(owner, grant, grant.window.first_ms - 1))

    async def _gone_on(self, memory: Memory, lease_ms: int, away: ServerUnreachable) -> Grant:
        left = window_left(memory, self._clock.now(), lease_ms)
        if isinstance(left, str):
            raise self._of_no_help(away, left) from away
        grant = await self._sublet(replace(memory, sublet_ms=max(memory.sublet_ms, lease_ms)), left.first_ms, lease_ms)
        left_s = (left.last_ms - grant.now_ms) / 1000
        log.warning("%s; worker id %s is gone on with by %s, for %.0f s at most", away, memory.worker, self._file.path,
                    left_s)
        self._events.emit(WorkerIdRemembered(scheme=self.name, worker=memory.worker, left_s=left_s))
        return grant

    async def _sublet(self, memory: Memory, first_ms: int, lease_ms: int) -> Grant:
        """Hands out moments up to ``lease_ms`` from now. None are left: an empty window, or no longer one."""
        until_ms = min(memory.window.last_ms, int(memory.now_ms(self._clock.now())) + lease_ms)
        used_ms = max(memory.used_ms, until_ms)
        memory = replace(memory, used={**memory.used, memory.worker: used_ms})
        await self._write(memory)  # guard: on disk before it is handed out
        return Grant(memory.worker, Window(first_ms, used_ms), memory.now_ms(self._clock.now()))

    async def _extended(self, memory: Memory, lease_ms: int) -> Memory:
        asked = self._scheme.renew(self._owner(memory), self._grant(memory), self._lease_ms(lease_ms))
        grant = await _reached(asked, lease_ms / 1000 / ANSWER_PARTS)
        return replace(memory, window=grant.window, store_ms=grant.now_ms, at_s=self._clock.now())

    async def _forgotten(self, memory: Memory) -> None:
        lost = replace(memory, owner="")
        self._found = Found(lost, "")
        try:
            await self._write(lost)
        except ServerError as error:
            log.warning("%s", error)

    async def _write(self, memory: Memory) -> None:
        await asyncio.to_thread(self._file.write, memory)
        self._found = Found(memory, "")

    # -- small things ---------------------------------------------------------------------------------------------

    def _remembered(self, worker: int) -> Memory:
        memory = None if self._found is None else self._found.memory
        if memory is None or memory.worker != worker or not memory.owner:
            raise IdError(f"worker id {worker} was not claimed here")
        return memory

    def _lease_ms(self, lease_ms: int) -> int:
        return max(self._store_ms, lease_ms)

    def _owner(self, memory: Memory) -> Owner:
        """As the store knows it: of the process that claimed it, which may have been another one."""
        return Owner(memory.owner, memory.name, memory.wanted)

    def _grant(self, memory: Memory) -> Grant:
        return Grant(memory.worker, memory.window, memory.now_ms(self._clock.now()))

    def _of_no_help(self, away: ServerUnreachable, doubt: str) -> ServerUnreachable:
        return ServerUnreachable(f"{away}; and {self._file.path} does not help: {doubt}", maybe_done=away.maybe_done)

    def _tell(self, memory: Memory, now_ms: float, trouble: ServerError) -> None:
        """The store did not extend its window; raises that when nothing of it is left to hand out."""
        left_ms = memory.window.last_ms - now_ms
        if memory.window.last_ms <= memory.used_ms:
            raise trouble
        self._events.emit(WorkerIdUnrenewed(scheme=self.name, worker=memory.worker, error=type(trouble).__name__,
                                            left_s=max(left_ms, 0) / 1000))

    def _tell_rewound(self, grant: Grant, used_ms: int) -> None:
        back_s = (used_ms + 1 - grant.window.first_ms) / 1000
        log.error("the store of %s has gone back: it gave worker id %s from %.1f s before what was used here. What was "
                  "used is left out; other machines' may be given twice unless they remember theirs", self.identity,
                  grant.worker, back_s)
        self._events.emit(WorkerIdRewound(scheme=self.name, worker=grant.worker, back_s=back_s))


async def _reached(answer: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
    """Its answer; ServerUnreachable when it does not come in time, by the scheme's own patience or ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except TimeoutError as error:
        raise ServerUnreachable("the store of worker ids did not answer in time", maybe_done=True) from error
