# SPDX-License-Identifier: Apache-2.0
"""A lease as a lock: the lock protocol on what leaders hold, for who needs a lock and has a server and a heart.

The body is cancelled in its own task when the hold may have ended: at its deadline, or when a beat is told so. Its
fencing token is the lease's epoch. Waiting is asking again: fair to nobody, cheap, and enough where a busy lock means
"come back later".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock, Instant
from .._base.lock import Held, HoldState
from ..errors import LeaseLost
from .heart import Heart
from .keys import LeaseKeys
from .lease import Lease, Term
from .steps import ClockWatch

if TYPE_CHECKING:
    from .server import Server


#: How long the epoch of a lock outlives its last grant. Longer than any holder may go on unnoticed, and bounded, since
#: there is a lock for each message.
EPOCH_MS = 3_600_000


class _HeldLease:
    """Fulfils ``Held``."""

    def __init__(self, term: Term, clock: Clock) -> None:
        self._term, self._clock = term, clock
        self.fencing_token = term.epoch

    @property
    def state(self) -> HoldState:
        """HELD or LOST; of RELEASED nobody asks who is still in the block."""
        certain = not self._term.lost.is_set() and self._term.left_s(self._clock) > 0
        if self._term.cause == "released":
            return HoldState.RELEASED
        return HoldState.HELD if certain else HoldState.LOST

    @property
    def deadline(self) -> Instant:
        return self._term.pulse.deadline

    def check(self) -> None:
        self._term.check(self._clock)


class LeaseLocks:
    """Gives a lock for each name. What is known of the server's clock is shared: a lock that lives for one message
    would be a newcomer each time, and leave alone for ever what a dead holder left."""

    def __init__(self, server: Server, heart: Heart, *, lease_ms: int = 10_000, clock: Clock, chance: Chance) -> None:
        self._server, self._heart, self._lease_ms = server, heart, lease_ms
        self._clock, self._chance = clock, chance
        self._began_at = clock.now()
        self._watches: dict[str, ClockWatch] = {}

    def of(self, name: str) -> LeaseLock:
        """A lock for one acquisition of ``name``."""
        # One clock a node: without a Cluster, one. The node of a name is known once its link has been used.
        node = self._server.shared(LeaseKeys(self._server.prefix, name).lease).endpoint
        watch = self._watches.setdefault(node, ClockWatch(self._lease_ms // 4 + 500))
        lease = Lease(self._server, self._heart, name, f"lock-{self._chance.getrandbits(64):016x}",
                      lease_ms=self._lease_ms, clock=self._clock, chance=self._chance, epoch_ms=EPOCH_MS, watch=watch,
                      began_at=self._began_at)
        return LeaseLock(lease, self._clock, self._chance)


class LeaseLock:
    """Fulfils ``_base.lock.Lock``, for one acquisition."""

    def __init__(self, lease: Lease, clock: Clock, chance: Chance) -> None:
        self._lease, self._clock, self._chance = lease, clock, chance
        self._lease_ms = lease.lease_ms

    @asynccontextmanager
    async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Held]:
        """As the protocol says."""
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
            await self._lease.release(term)

    async def _claimed(self, wait_s: float | None) -> Term:
        until = None if wait_s is None else self._clock.now() + wait_s
        while (term := await self._lease.claim()) is None:
            pause_s = min(self._lease_ms / 10_000, 0.25) * (0.5 + self._chance.random())
            if until is not None and self._clock.now() + pause_s > until:
                raise TimeoutError(f"lock {self._lease.name} was not free within {wait_s} s")
            await asyncio.sleep(pause_s)
        return term

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
