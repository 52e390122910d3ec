# SPDX-License-Identifier: Apache-2.0
"""The pool's own Lease object: a promise that no window ends later, kept before each window is written."""

from __future__ import annotations

import asyncio

from ..._base.chance import Chance
from ..._base.clock import Clock
from ..._coord.kubernetes import Leases
from ..._coord.kubernetes_words import changed, made
from ...errors import ServerRefused
from .kubernetes_records import POOL, Seen, pool_lease, pool_of, seen

#: So often somebody else may be faster, with a pause between 0 and these seconds: 10 s or so in all.
TRIES, PAUSE_S, PAUSE_S_MAX = 40, 0.01, 0.5


class PoolLease:
    """A pool's objects are listed here, and its own is written."""

    def __init__(self, leases: Leases, pool: str, clock: Clock, chance: Chance) -> None:
        self._leases, self._clock, self._chance = leases, clock, chance
        self._name, self._selector = pool_lease(pool), f"{POOL}={pool}"
        self.pool, self.labels = pool, {POOL: pool, "app.kubernetes.io/managed-by": "holdfast"}
        self._ceiling_ms = 0

    async def look(self) -> Seen:
        """All objects of the pool, as they are at one moment."""
        found = seen(await self._leases.list(self._selector), self.pool)
        if found.pool is not None:
            self._ceiling_ms = found.pool.ceiling_ms
        return found

    async def begin(self, found: Seen, now_ms: int, lease_ms: int) -> None:
        """Makes the pool's object, or makes it readable again. Whoever is faster has done it."""
        said = found.new_pool(now_ms, lease_ms).annotations()
        if found.whole is not None:
            await self._leases.update(changed(found.whole, said))
        else:
            await self._leases.create(made(self._name, self.labels, said))

    async def promise(self, found: Seen, last_ms: int, lease_ms: int, worker: int | None = None) -> bool:
        """Raises the ceiling over ``last_ms``, and notes that ``worker`` has an object.

        False when somebody was faster.
        """
        if found.pool is None or found.whole is None:
            return False
        raised = found.pool.promising(last_ms, lease_ms, worker)
        if raised != found.pool and not await self._leases.update(changed(found.whole, raised.annotations())):
            return False
        self._ceiling_ms = raised.ceiling_ms
        return True

    async def cover(self, last_ms: int, lease_ms: int) -> None:
        """The same for a window that grows. One that stays below the ceiling as it was last seen asks nobody."""
        for attempt in range(TRIES):
            if last_ms <= self._ceiling_ms:
                return
            whole = await self._leases.get(self._name)
            pool = pool_of(whole)
            if pool is None:
                await self.begin(await self.look(), self._clock.wall_ms(), lease_ms)
            elif await self.promise(Seen(whole, pool, {}), last_ms, lease_ms):
                return
            await self.pause(attempt)
        raise self.never(f"changing the Lease {self._name}")

    async def pause(self, attempt: int) -> None:
        """After somebody was faster: not all come back at once."""
        await asyncio.sleep(self._chance.random() * min(PAUSE_S * 2 ** min(attempt, 10), PAUSE_S_MAX))

    def never(self, doing: str) -> ServerRefused:
        """What is said when somebody else was faster each time."""
        return ServerRefused(f"{doing}: {TRIES} times somebody else was faster. Ask again later, and see who writes to "
                             f"the Leases labelled {self._selector}, or to one of their names without that label",
                             code="Conflict")
