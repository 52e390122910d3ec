# SPDX-License-Identifier: Apache-2.0
"""A lease as a lock: the lock protocol on what leaders hold, for who needs a lock and has a server and a heart.

The body is cancelled in its own task when the hold may have ended: at its deadline, or when a beat is told so. Its
fencing token is the lease's epoch. Waiting is asking again: fair to nobody, cheap, and enough where a busy lock means
"come back later".

The locks of one ``LeaseLocks`` lie in one slot and share an epoch, so a lock costs the server one key while it is held,
and none after it; what a dead holder leaves goes after 360 leases. On a Cluster they load one node.

Each held lock has a beat of its own, every third of a lease: with 200 of them held in one process a round of beats took
40 to 80 ms on loopback, all in the heart's thread, and a network adds its round trip to each. Some hundreds are well;
who holds thousands at once needs a longer lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock, Instant
from .._base.events import log
from .._base.lock import Held, HoldState
from ..errors import LeaseLost, ServerError
from .heart import Heart, nobody
from .lease import Family, Lease, Term

if TYPE_CHECKING:
    from .server import Server


class _HeldLease:
    """Fulfils ``Held``. A plain handler may ask it from its thread."""

    def __init__(self, term: Term, clock: Clock) -> None:
        self._term, self._clock = term, clock
        self.fencing_token = term.epoch

    @property
    def state(self) -> HoldState:
        """HELD, LOST, or RELEASED once the block has been left."""
        if self._term.cause == "released":
            return HoldState.RELEASED
        certain = not self._term.lost.is_set() and self._term.left_s(self._clock) > 0
        return HoldState.HELD if certain else HoldState.LOST

    @property
    def deadline(self) -> Instant:
        return self._term.pulse.deadline

    def check(self) -> None:
        self._term.check(self._clock)


class LeaseLocks:
    """Gives a lock for each name. family: what these locks are called together, such as the group whose handlers they
    are around. on_beat: told of every renewal, as of ``Heart.add``."""

    def __init__(self, server: Server, heart: Heart, family: str, *, lease_ms: int = 10_000, clock: Clock,
                 chance: Chance, on_beat: Callable[[str], object] = nobody) -> None:
        self._on_beat = on_beat
        self._server, self._heart = server, heart
        self._clock, self._chance = clock, chance
        self._family = Family(family, lease_ms, clock)

    def of(self, name: str) -> LeaseLock:
        """A lock for one acquisition of ``name``."""
        family = self._family
        lease = Lease(self._server, self._heart, f"{family.name}:{name}", f"lock-{self._chance.getrandbits(64):016x}",
                      lease_ms=family.lease_ms, clock=self._clock, chance=self._chance, family=family,
                      on_beat=self._on_beat)
        return LeaseLock(lease, self._clock, self._chance)


class LeaseLock:
    """Fulfils ``_base.lock.Lock``, for one acquisition."""

    def __init__(self, lease: Lease, clock: Clock, chance: Chance) -> None:
        self._lease, self._clock, self._chance = lease, clock, chance
        self._lease_ms = lease.lease_ms

    @asynccontextmanager
    async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Held]:
        """As the protocol says. Raises LeaseLost in the place of the cancellation when the hold was lost."""
        term = await self._claimed(wait_s)
        body = asyncio.current_task()
        watch = asyncio.create_task(self._until_lost(term, body))
        try:
            yield _HeldLease(term, self._clock)
        except asyncio.CancelledError:
            if watch.done() and body is not None and body.uncancel() == 0:  # it was us who cancelled
                raise LeaseLost(f"lock {self._lease.name} was lost ({term.cause})") from None
            raise
        finally:
            watch.cancel()
            await self._released(term)

    async def _claimed(self, wait_s: float | None) -> Term:
        until = None if wait_s is None else self._clock.now() + wait_s
        while (term := await self._claim()) is None:
            pause_s = min(self._lease_ms / 10_000, 0.25) * (0.5 + self._chance.random())
            if until is not None and self._clock.now() + pause_s > until:
                raise TimeoutError(f"lock {self._lease.name} was not free within {wait_s} s")
            await asyncio.sleep(pause_s)
        return term

    async def _claim(self) -> Term | None:
        try:
            return await self._lease.claim()
        except asyncio.CancelledError:  # guard: it may be granted, and nobody would know
            await self._lease.give_up()
            raise

    async def _released(self, term: Term) -> None:
        """The body has come to its end: that it cannot be given back now is no failure of it. It runs out by itself."""
        try:
            await self._lease.release(term)
        except ServerError as error:
            log.warning("giving back lock %s: %s", self._lease.name, error)

    async def _until_lost(self, term: Term, body: asyncio.Task[object] | None) -> None:
        while not term.lost.is_set() and (left_s := term.left_s(self._clock)) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await term.lost.wait()
            except TimeoutError:
                continue  # the deadline moves with every beat
        term.lose("unreachable")
        if body is not None:
            body.cancel()
