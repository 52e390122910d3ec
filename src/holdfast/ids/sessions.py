# SPDX-License-Identifier: Apache-2.0
"""Worker ids that go with a session: what etcd and ZooKeeper have in common.

Of each worker id there is a record, which stays, and which only its holder's claim, renewals and end change, each by
comparing and setting. Beside it lies a mark of the hold, which goes with the session. A record whose hold has no mark
is free; its window has to pass all the same.

A claim reads, chooses, puts its mark, and writes the record if that is as it was read. Whoever comes too late looks
again. So an answer that was lost costs nothing: the one that asks again finds its own record.

One session a process: all that is held is lost with it, at once and by the local clock, and the next claim opens
another. It is renewed in the loop that asks, so a process that hangs for a whole ttl loses it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .._base.chance import Chance, system_chance
from .._base.clock import Clock, SystemClock
from .._base.reopening import Reopening
from .._coord.session import SessionState
from ..errors import ConfigurationError, IdError, LeaseLost, ServerUnreachable
from .clockless import Asked, HoldTime, Pool, claimed, given_back, renewed
from .scheme import Grant, Holding, Owner
from .windows import Record

if TYPE_CHECKING:
    from .._coord.tenure import Tenure

#: After so many lost races a claim takes any of the free ids and waits up to so many seconds before it looks again.
LOTS_MAX, PAUSE_S_MAX = 10, 0.5


class Stored(NamedTuple):
    """A record as it lies there. version: of its last write."""

    record: Record
    version: int


class Seen(NamedTuple):
    """A pool. alive: the holds that have a mark, looked for after the records were read."""

    stored: dict[int, Stored]
    alive: frozenset[str]


class Store(Protocol):
    """What a scheme does to its store, in one session. tag: of the session, in the names of its holds.

    Each call raises ServerUnreachable, LeaseLost when the session is over, NotAuthorized.
    """

    session: Tenure
    tag: str

    async def look(self) -> Seen:
        """All of the pool."""
        ...

    async def read(self, worker: int) -> Stored | None:
        """One record, as it is now."""
        ...

    async def write(self, record: Record, before: Stored | None, hold: str) -> Stored | None:
        """Writes it if it is as in ``before``; None when it is not. ServerUnreachable may mean that it was written."""
        ...

    async def put_mark(self, hold: str) -> None:
        """That goes with the session."""
        ...

    async def remove_mark(self, hold: str) -> None:
        """Or leaves it to the end of the session, when there is no answer."""
        ...

    async def close(self) -> None:
        """Ends the session."""
        ...


@dataclass
class Hold:
    """One owner's. id: of the mark and in the record; another one in each session."""

    id: str
    store: Store
    time: HoldTime
    stored: Stored | None = None
    marked: bool = False

    def grant(self, stored: Stored) -> Grant:
        """As it was written."""
        self.stored = stored
        return Grant(stored.record.worker, stored.record.window, self.time.now_ms())


class SessionWorkers:
    """Base of ``EtcdWorkers`` and ``ZooKeeperWorkers``, which say how a store is opened. Fulfils ``Scheme``.

    pool: whoever shares it shares ``workers`` ids. ttl_s: of the session. Shorter frees a dead holder's id sooner,
    which is of use as soon as its window has passed, too; price: a pause or an outage of that length loses the id, even
    where the window would have outlived it. Longer than the window is of no use. behind_s: a claim by a clock that is
    farther than this behind those of others is refused (IdsRefused). Less: who has a badly set clock does not start.
    More: ids may be so much older than they say, and whoever takes an id over may wait for so long.
    """

    name: str

    def __init__(self, *, pool: str, workers: int, ttl_s: float, behind_s: float, clock: Clock | None = None,
                 chance: Chance | None = None) -> None:
        if ttl_s <= 0:
            raise ConfigurationError(f"ttl_s={ttl_s}: a session lives for seconds above 0")
        self.workers, self.pool, self.ttl_s = workers, pool, ttl_s
        self.clock, self._chance = clock or SystemClock(), chance or system_chance()
        self._rules = Pool(pool, workers, int(behind_s * 1000))
        self._stores: Reopening[Store] = Reopening(self._opened, lambda store: store.session.over)
        self._holds: dict[str, Hold] = {}
        self._claiming = asyncio.Lock()
        self._told: list[Callable[[str], None]] = []

    async def _open(self) -> Store:
        """A session, and what it does. Raises ServerUnreachable."""
        raise NotImplementedError

    def lost(self, tell: Callable[[str], None]) -> None:
        """``tell(cause)`` is called, in the loop that claimed, when the session ends by itself and something is held in
        it: all of that is lost, before a renewal could say so. Not when it is closed, and not for what a renewal has
        found lost."""
        self._told.append(tell)

    # -- the scheme -----------------------------------------------------------------------------------------------

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """See ``Scheme``. LeaseLost when the session ends meanwhile: ask again. IdsRefused by a clock far behind."""
        async with self._claiming:
            await self._end_overdue()
            hold = self._hold(owner, await self._stores.alive())
            try:
                for late in itertools.count():
                    if (stored := await self._tried(hold, owner, lease_ms, late)) is not None:
                        self._holds[owner.id] = hold
                        return hold.grant(stored)
                    await asyncio.sleep(self._chance.random() * min(0.005 * 2**late, PAUSE_S_MAX))
            except IdError:
                if hold.marked:
                    await hold.store.remove_mark(hold.id)
                raise
        raise AssertionError  # count() does not end

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """See ``Scheme``. LeaseLost at once when the session has ended."""
        hold = self._holds.get(owner.id)
        if hold is None or hold.stored is None or hold.stored.record.worker != grant.worker:
            raise self._not_ours(grant.worker, "it was not claimed here, or its window ended")
        try:
            hold.store.session.check()  # guard: a session that has ended keeps nothing
            now_ms = int(hold.time.now_ms())
            return hold.grant(await self._changed(hold, lambda record: renewed(record, now_ms, lease_ms)))
        except LeaseLost as lost:
            self._holds.pop(owner.id, None)
            raise self._not_ours(grant.worker, str(lost)) from lost

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """See ``Scheme``. Of a session that has ended nothing is left to give back but the window, which passes."""
        hold = self._holds.get(owner.id)
        if hold is None or hold.stored is None or hold.stored.record.worker != grant.worker:
            return
        with suppress(LeaseLost):
            hold.store.session.check()
            now_ms = int(hold.time.now_ms())
            await self._changed(hold, lambda record: given_back(record, now_ms, last_ms))
            await hold.store.remove_mark(hold.id)
        self._holds.pop(owner.id, None)

    async def holders(self) -> list[Holding]:
        """See ``Scheme``. Live is what a session holds."""
        seen = await (await self._stores.alive()).look()
        records = sorted((stored.record for stored in seen.stored.values()), key=lambda record: record.worker)
        return [Holding(r.worker, r.name, r.window.first_ms, r.window.last_ms, live=r.owner in seen.alive)
                for r in records]

    async def close(self) -> None:
        """Ends the session: what is held is free as soon as its window has passed."""
        self._holds.clear()
        await self._stores.close()

    # -- steps ----------------------------------------------------------------------------------------------------

    async def _opened(self) -> Store:
        store = await self._open()
        store.session.on_change(lambda state: self._changed_to(store.session, state))
        return store

    def _changed_to(self, session: Tenure, state: SessionState) -> None:
        held = any(hold.store.session is session for hold in self._holds.values())
        if state is SessionState.LOST and session.cause != "closed" and held:  # guard: nothing is lost twice
            for tell in tuple(self._told):
                tell(f"the session on {session.name} was lost ({session.cause})")

    def _hold(self, owner: Owner, store: Store) -> Hold:
        """The one that this owner has in this session, or a new one: a mark of an earlier session is about to go."""
        hold = self._holds.get(owner.id)
        if hold is not None and hold.store is store:
            return hold
        return Hold(f"{owner.id}-{store.tag}", store, HoldTime(self.clock))

    async def _tried(self, hold: Hold, owner: Owner, lease_ms: int, late: int) -> Stored | None:
        """What is claimed now; None when somebody else was faster. late: how often that was so."""
        seen = await hold.store.look()
        lot = int(self._chance.random() * 2 ** min(late, LOTS_MAX)) if late else 0  # guard: not all take the next one
        asked = Asked(replace(owner, id=hold.id), int(hold.time.now_ms()), lease_ms, lot)
        record = claimed([stored.record for stored in seen.stored.values()], seen.alive, self._rules, asked)
        before = seen.stored.get(record.worker)
        if before is not None and before.record is record:
            return before
        await hold.store.put_mark(hold.id)  # guard: before the record names it
        hold.marked = True
        return await self._written(hold, record, before)

    async def _changed(self, hold: Hold, change: Callable[[Record], Record]) -> Stored:
        """Changes the record of a hold, which nobody else does as long as it is ours. Raises LeaseLost."""
        known = hold.stored
        while known is not None:
            written = await self._written(hold, change(known.record), known)
            if written is not None:
                return written
            found = await hold.store.read(known.record.worker)
            if found is None or found.record.owner != hold.id:  # guard: owner
                break
            if found.version == known.version:
                raise LeaseLost("the mark of this hold was removed")
            known = found
        raise LeaseLost("somebody else has it by now")

    async def _written(self, hold: Hold, record: Record, before: Stored | None) -> Stored | None:
        try:
            return await hold.store.write(record, before, hold.id)
        except ServerUnreachable as error:
            found = await hold.store.read(record.worker) if error.maybe_done else None
            if found is not None and found.record == record:  # guard: its answer was lost, and it is ours
                return found
            raise

    async def _end_overdue(self) -> None:
        """Of those that were claimed here: whoever does not extend its window while the session lives, has left."""
        for owner, hold in list(self._holds.items()):
            if hold.stored is not None and hold.time.now_ms() > hold.stored.record.window.last_ms:
                del self._holds[owner]
                await hold.store.remove_mark(hold.id)

    def _not_ours(self, worker: int, why: str) -> LeaseLost:
        return LeaseLost(f"worker id {worker} of pool {self.pool!r} is not ours any more: {why}")
