# SPDX-License-Identifier: Apache-2.0
"""A door to locks that go with a session: one session a process, which all its locks share and one renewal keeps.

The session is opened with the first lock that is asked for. When it is lost, all that is held is lost with it, and the
next one that asks opens another; so does whoever waits. A lock on these back ends therefore says that the process makes
progress: a loop that hangs for a whole ttl loses all its locks (``on_blocked`` of the Redis locks has no counterpart).

A process that was forked off uses a door of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._base.reopening import Reopening
from .._base.thinned import Thinned
from .._coord.session import SessionState
from ..errors import ConfigurationError
from .hold import Ledger, Lock, Who
from .in_line import InLine
from .line import MUTEX, READ, WRITE, Line
from .redis import ReadWrite
from .standing import Standing, standing

if TYPE_CHECKING:
    from .._coord.tenure import Tenure
    from .held import Acquisition


class SessionLocks:
    """Base of ``ZooKeeperLocks`` and ``EtcdLocks``, which say how a line is opened.

    ttl_s: of the session. Shorter hands over a dead holder's locks sooner, and loses all of ours to a pause as long.
    who: said to people who ask who holds a lock, beside host and process id.
    """

    def __init__(self, ttl_s: float, *, who: str = "", clock: Clock | None = None, chance: Chance | None = None,
                 events: ev.Events | None = None) -> None:
        if ttl_s <= 0:
            raise ConfigurationError(f"ttl_s={ttl_s}: a session lives for seconds above 0")
        self.ttl_s = ttl_s
        self.clock, self.events = clock or SystemClock(), events or ev.Events()
        self.ledger, self.trouble = Ledger(self.clock, self.events), Thinned(self.clock)
        self._chance = chance or system_chance()
        self._who = Who(who)
        self._lines: Reopening[Line] = Reopening(self._opened, lambda line: line.session.over)
        self._beside: set[asyncio.Task[Any]] = set()
        self._bound: WeakSet[Acquisition] = WeakSet()
        self._mutex, self._read, self._write = (InLine(self, share) for share in (MUTEX, READ, WRITE))

    async def _open(self) -> Line:
        """A session, and what it does with lines. Raises ServerUnreachable."""
        raise NotImplementedError

    def lock(self, name: str) -> Lock:
        """The lock called ``name``: one holder at a time, in the order of arrival. Nothing is asked yet."""
        return Lock(name, self._mutex, self.ledger)

    def read_write(self, name: str) -> ReadWrite:
        """``.read``: many at a time; ``.write``: one, and nobody reads. In the order of arrival: nobody starves."""
        return ReadWrite(Lock(name, self._read, self.ledger), Lock(name, self._write, self.ledger))

    def folder(self, name: str, line: str = "mutex") -> str:
        """Where the places of a lock lie. line: mutex or read-write."""
        raise NotImplementedError

    async def standing(self, name: str) -> list[Standing]:
        """Who holds the locks called ``name`` and who waits for them, in the order of their lines."""
        line = await self.line()
        return [each for kind in (MUTEX.line, READ.line)
                for each in standing(name, kind, await line.standing(self.folder(name, kind)))]

    async def force_unlock(self, name: str, token: int) -> bool:
        """Takes the place with this token from whoever holds it or waits there; False when there is none.

        The next one has the lock at once. The holder is told by ZooKeeper at once, by etcd within a third of a ttl, and
        may go on until then: that is what fences are for.
        """
        line = await self.line()
        for kind in (MUTEX.line, READ.line):
            for place, _ in await line.standing(self.folder(name, kind)):
                if place.token == token:
                    return await line.leave(place)
        return False

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return self.ledger.held

    async def close(self) -> None:
        """Gives back what is held, and ends the session: whatever is left of it goes at once."""
        if not self._lines.ours:
            return  # guard: a child ends nothing of its parent's
        await self.ledger.close()
        await self._lines.close()
        for task in tuple(self._beside):
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    # -- for who stands in line -----------------------------------------------------------------------------------

    async def line(self) -> Line:
        """Of the session that is alive; another one is opened when that is lost."""
        return await self._lines.alive()

    async def _opened(self) -> Line:
        line = await self._open()
        line.session.on_change(lambda state: self._changed(line.session, state))
        return line

    def bound(self, session: Tenure, held: Acquisition) -> None:
        """``held`` is lost when ``session`` is."""
        self._bound.add(held)
        if session.over:
            self._changed(session, SessionState.LOST)

    def _changed(self, session: Tenure, state: SessionState) -> None:
        if state is SessionState.LOST:
            for held in tuple(self._bound):
                if getattr(held, "session", None) is session:
                    held.lose(session.cause or "unreachable")

    def on_the_side(self, work: Coroutine[Any, Any, object]) -> None:
        """Does ``work`` in a task that ``close`` ends."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def about(self, acquisition: str) -> bytes:
        """What people read who ask who holds a lock."""
        return self._who.about(acquisition=acquisition)

    def new_id(self) -> str:
        """An id that no other acquisition has."""
        return new_id(self._chance)
