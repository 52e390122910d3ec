# SPDX-License-Identifier: Apache-2.0
"""Locks on PostgreSQL: advisory locks of one session a process, for services that have a database and nothing else.

::

    locks = PostgresLocks("postgresql://app@db/shop")

    async with locks.lock("nightly-report").hold(wait_s=60) as held:
        async with sessions() as session, session.begin():
            await SqlGuard().check(session, "report", held)     # the fence, in the same database

A lock is 64 bits of a hash of its name: of a million names two share one with a chance of 1 to 40 million, and then
exclude one another, which is safe, or make a task that wants both wait for itself. Whoever else takes advisory locks in
this database by one ``bigint`` shares that space too.

**What PostgreSQL promises** is that a lock goes when its session ends. The session is made a lease (see
``_sql.advisory``): the server ends it after ``ttl_s`` without a word, and we say one every third of that, so our
deadline passes before the server lets go. One window is left, and only the fence covers it: the server ends a session
early (``pg_terminate_backend``, a restart, a crash, a failover to a standby, which knows of no advisory lock), and the
next holder is there before we have read the end of our connection. We read it as soon as it arrives, with psycopg; with
other drivers, or where no packet arrives, at the next word, which is a third of ``ttl_s`` away at most.

**Tokens** are numbers of a sequence, drawn by the statement that takes the lock, so they grow from holder to holder. A
sequence runs ahead of its log by 32: after a crash it skips some. A standby that lacks the last of the log gives some
again: fence with synchronous replication, or let the guard's own table say (it refuses an equal token of another).

A pooler that lends connections by transaction (PgBouncer's ``transaction``) breaks session locks: the heartbeat finds
another process behind the connection and gives all up. Connect past it.

The price: a connection a process, a sequence, one notice a release to every process that has this door open. Waiters
are not queued: whoever asks first when it is free has it. No semaphore, no read-write lock.

Source: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, Instant, SystemClock
from .._base.events import log
from .._coord.session import SessionState
from .._coord.tenure import Tenure, keep
from .._sql.advisory import Advisory, open_advisory
from .._sql.engine import Database
from ..errors import ConfigurationError, LeaseLost, ServerError, ServerUnreachable
from .held import Acquisition
from .hold import Ledger, Lock
from .tied import Tied, tied
from .turns import Turns

if TYPE_CHECKING:
    from .._sql.engine import DatabaseSource

#: Longest wait for one answer, and between two questions to a server that does not answer.
ANSWER_S = 2.0
AGAIN_S = 0.05


def key_of(name: str) -> int:
    """The advisory lock of a name: 64 bits of its SHA-256, as PostgreSQL counts them."""
    digest = hashlib.sha256(b"holdfast lock " + name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], signed=True)


class PostgresSession(Tenure):
    """A connection, as a session that is renewed. Its end ends all locks on it."""

    def __init__(self, link: Advisory, ttl_s: float, clock: Clock, sent_at: Instant) -> None:
        super().__init__(f"PostgreSQL (process {link.pid})", ttl_s, clock, sent_at)
        self.link = link
        link.gone = lambda: self.lose("server")
        link.listen()
        self._keeping = asyncio.create_task(keep(self, self._renew))

    async def _renew(self, timeout_s: float) -> float | None:
        if not await self.link.alive(timeout_s):  # guard: a pooler gave us somebody else's process
            return None
        return self.ttl_s

    async def close(self) -> None:
        """Ends the connection, and all locks on it."""
        self.lose("closed")
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await self.link.close()


class PostgresLocks:
    """Gives locks by name. One a process and database; ``close`` gives back what is still held.

    source: a URL, an engine or a ``Database``; of an engine that is the user's, one connection is taken for good.
    ttl_s: of the session. Shorter hands over a dead holder's locks sooner, and loses all of ours to a pause as long.
    poll_s: longest wait between two looks, should a notice have been missed; a dead holder tells nobody, so its lock is
    found free by then.
    """

    def __init__(self, source: DatabaseSource | Database, *, ttl_s: float = 10.0, poll_s: float = 0.5,
                 clock: Clock | None = None, chance: Chance | None = None, events: ev.Events | None = None) -> None:
        if ttl_s < 0.1 or poll_s <= 0:
            raise ConfigurationError(f"ttl_s={ttl_s}, poll_s={poll_s}: a session lives for 0.1 s at least, and a poll "
                                     "is seconds above 0")
        self.ttl_s, self.poll_s = ttl_s, poll_s
        self.clock, self.events = clock or SystemClock(), events or ev.Events()
        self.ledger = Ledger(self.clock, self.events)
        self.chance = chance or system_chance()
        self._ours = not isinstance(source, Database)
        self._database = source if isinstance(source, Database) else Database(source, timeouts=None, pool_size=2)
        self._pid = os.getpid()
        self._session: PostgresSession | None = None
        self._opening = asyncio.Lock()
        self._beside: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._keeper = AdvisoryMutex(self)

    def lock(self, name: str) -> Lock:
        """The lock called ``name``: one holder at a time; whoever asks first when it is free. Nothing is asked yet."""
        return Lock(name, self._keeper, self.ledger)

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return self.ledger.held

    async def close(self) -> None:
        """Gives back what is held, and ends the connection."""
        if self._closed or os.getpid() != self._pid:
            return  # guard: a child ends nothing of its parent's
        self._closed = True
        await self.ledger.close()
        if self._session is not None:
            await self._session.close()
        if self._beside:
            await asyncio.wait(self._beside)
        if self._ours:
            await self._database.close()

    # -- for the keeper -------------------------------------------------------------------------------------------

    async def session(self) -> PostgresSession:
        """The one that is alive; another one is opened when that is lost."""
        if self._closed or os.getpid() != self._pid:
            raise ConfigurationError("these locks were closed, or made before the process forked: make others")
        async with self._opening:
            if self._session is None or self._session.over:
                sent_at = self.clock.now()
                link = await open_advisory(self._database, self.ttl_s, ANSWER_S)
                session = self._session = PostgresSession(link, self.ttl_s, self.clock, sent_at)
                link.heard = self._keeper.heard
                session.on_change(lambda state: self._changed(session, state))
            return self._session

    def _changed(self, session: PostgresSession, state: SessionState) -> None:
        if state is SessionState.LOST and not self._closed:
            self._keeper.lost(session)
            self.on_the_side(self._ended(session))

    async def _ended(self, session: PostgresSession) -> None:
        session.link.abort()  # guard: what the server still has of ours must not outlive our deadline by much
        await session.close()

    def on_the_side(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Does ``work`` in a task that no cancellation of a caller reaches."""
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task


class AdvisoryMutex:
    """Fulfils ``Keeper``. PostgreSQL grants to the session, so who of this process has what is counted here."""

    kind = "mutex"
    again: tuple[str, ...] = ("mutex",)
    never_under: tuple[str, ...] = ()

    def __init__(self, locks: PostgresLocks) -> None:
        self._locks = locks
        self._turns = Turns()
        #: Who has a lock, or asks for it; nobody else of this process may ask meanwhile.
        self._owners: dict[int, Tied] = {}
        self._free: dict[int, asyncio.Event] = {}
        self._asking: dict[Acquisition, asyncio.Task[Any]] = {}

    def new(self, name: str, lease_s: float | None) -> Tied:
        """An acquisition for which nobody was asked yet."""
        if lease_s is not None and lease_s <= 0:
            raise ConfigurationError(f"lease_s={lease_s}: a lease is seconds above 0")
        ms = int((self._locks.ttl_s if lease_s is None else lease_s) * 1000)
        return Tied(name, new_id(self._locks.chance), ms, self._locks.clock, renewed=lease_s is None,
                    kind=self.kind)

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Asks, and waits for a notice or for ``poll_s`` until it is worth asking again."""
        held, key = tied(held), key_of(held.name)
        if wait_s == 0:
            if not await self._asked(held, key):
                raise TimeoutError(f"lock {held.name!r} is held by somebody else")
            return
        trouble: ServerError | None = None
        try:
            async with asyncio.timeout(wait_s), self._turns.turn(key):
                while True:
                    try:
                        if await self._looked(held, key):
                            return
                        trouble = None
                    except (ServerUnreachable, LeaseLost) as error:
                        trouble = error if isinstance(error, ServerError) else None
                        await asyncio.sleep(AGAIN_S)
        except TimeoutError:
            raise trouble or TimeoutError(f"lock {held.name!r} was not free within {wait_s:g} s") from None

    async def _looked(self, held: Tied, key: int) -> bool:
        """Asks once; when it is refused, returns when it is worth asking again."""
        freed = self._free[key] = asyncio.Event()  # before it asks: what is freed in between is heard
        try:
            if await self._asked(held, key):
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._locks.poll_s * (0.8 + 0.4 * self._locks.chance.random())):
                    await freed.wait()
            return False
        finally:
            del self._free[key]

    async def _asked(self, held: Tied, key: int) -> bool:
        session = await self._locks.session()
        if key in self._owners:  # guard: the session would be granted it once more
            return False
        self._owners[key], held.in_doubt = held, True
        asking = self._asking[held] = self._locks.on_the_side(self._taken(held, key, session))
        granted = bool(await asyncio.shield(asking))  # guard: an answer that nobody waits for any more is waited for
        self._asking.pop(held, None)
        return granted

    async def _taken(self, held: Tied, key: int, session: PostgresSession) -> bool:
        """One question, to its end."""
        try:
            token = await session.link.take(key, session.ttl_s)
            session.check()  # guard: granted to a session that has ended meanwhile is not granted
        except BaseException as error:
            self._refused(held, key)
            if isinstance(error, ServerUnreachable) and not session.over:
                session.lose("unreachable")  # what it did is not known, and ends with the connection
            raise
        if token is None:
            self._refused(held, key)
        elif held.over:  # whoever asked has gone, and gives it back
            held.session = session
        else:
            held.tie(session, token)
        return token is not None

    def _refused(self, held: Tied, key: int) -> None:
        self._owners.pop(key, None)
        self._asking.pop(held, None)
        held.in_doubt = False

    def heard(self, key: int) -> None:
        """Somebody gave it back."""
        if key in self._free:
            self._free[key].set()

    def lost(self, session: PostgresSession) -> None:
        """All that was held by it is lost."""
        for held in tuple(self._owners.values()):
            if held.session is session:
                held.lose(session.cause or "unreachable")

    def keep(self, held: Acquisition) -> None:
        """It is held: minds its ends from now on. The session is renewed in any case."""
        held = tied(held)
        held.on_lost(lambda _: self._locks.ledger.later(self.give_back(held)))
        if held.ends_at is not None:
            held.end_by(held.ends_at, "max_hold")
        if held.session is None or held.session.over:
            held.lose("unreachable" if held.session is None else held.session.cause or "unreachable")
        elif held.renew_while is not None:
            self._locks.on_the_side(held.ask_while(held.session, self._locks.ttl_s / 3))

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether it was ours; None when the server did not say. A question under way is waited for."""
        held, key = tied(held), key_of(held.name)
        if (asking := self._asking.pop(held, None)) is not None:
            await asyncio.wait({asking})
        if self._owners.get(key) is not held or held.session is None:
            return None
        giving = self._locks.on_the_side(self._given(held, key))
        await asyncio.wait({giving}, timeout=ANSWER_S)
        return giving.result() if giving.done() else None

    async def _given(self, held: Tied, key: int) -> bool | None:
        """To its end, and only then may another task of this process ask for it."""
        session = held.session
        try:
            if isinstance(session, PostgresSession) and not session.over:
                return await session.link.give(key, session.ttl_s)
        except ServerError as error:
            log.warning("giving back lock %s: %s; it ends with its session", held.name, error)
            if isinstance(session, PostgresSession) and not session.over:
                session.lose("unreachable")
        finally:
            if self._owners.get(key) is held:  # guard: a second one that gives it back frees nobody else's
                del self._owners[key]
            self.heard(key)
        return None
