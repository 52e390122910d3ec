# SPDX-License-Identifier: Apache-2.0
"""Who is at work on a group whose consumers hold no lease on the server that keeps its records.

Consumers of a stream hold one there, and a mark of an outside effect is worth what it is worth. Those of RabbitMQ and
Kafka hold none, so each process has a presence: an incarnation in the group's leases, kept alive by the process's
heart. One that is over its time goes when it has not moved for a lease by the watch of whoever looks: a server whose
clock steps makes nobody dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock, Instant
from .._base.incarnation import new_incarnation
from .._base.thinned import Thinned
from .._redis.keys import GroupKeys
from ..errors import ServerError

if TYPE_CHECKING:
    from .._redis.heart import Heart, Pulse
    from .._redis.server import Server

__all__ = ["Presence"]

#: Seconds between two tries to come back.
AGAIN_S = 0.25


class Presence:
    """An incarnation of this process. ``name``: a new one whenever the former was lost."""

    def __init__(self, server: Server, heart: Heart, keys: GroupKeys, *, lease_ms: int, clock: Clock, chance: Chance
                 ) -> None:
        self._server, self._heart, self._keys = server, heart, keys
        self._lease_ms = lease_ms
        self._clock, self._chance = clock, chance
        self._trouble = Thinned(clock)
        self._pulse: Pulse | None = None
        self._looking: asyncio.Task[None] | None = None
        self._coming: asyncio.Task[None] | None = None
        #: Who is over its time, when it was to end, and since when that stands so by our watch.
        self._over: dict[bytes, tuple[bytes, Instant]] = {}
        self.name = ""

    async def open(self) -> None:
        """Comes, and begins to look who is dead. Raises ServerError."""
        if self._looking is None:
            await self._come()
            self._looking = asyncio.create_task(self._look(), name=f"who is at work on {self._keys.group}")

    async def _come(self) -> None:
        name = new_incarnation(self._chance)
        link = self._server.shared(self._keys.leases)
        sent_at = self._clock.now()
        await link.call("ZADD", self._keys.leases, await link.time_ms() + self._lease_ms, name)
        self.name = name
        self._pulse = self._heart.add(self._keys.leases, self._keys.door, name, self._lease_ms, self._lost)
        self._pulse.joined(sent_at)

    def _lost(self, cause: str) -> None:
        """What this incarnation has begun is somebody else's to judge; from now on we are another one."""
        if self._pulse is not None:
            self._heart.remove(self._pulse)
        self._coming = asyncio.create_task(self._come_again(cause), name=f"come again to {self._keys.group}")

    async def _come_again(self, cause: str) -> None:
        while True:
            try:
                return await self._come()
            except ServerError as error:
                self._trouble.warn(f"the lease at {self._keys.stream} is lost ({cause}), trying again", error)
                await asyncio.sleep(AGAIN_S)

    async def _look(self) -> None:
        """Takes away who is dead, every half lease."""
        while True:
            await asyncio.sleep(self._lease_ms / 2000)
            try:
                await self.bury()
            except ServerError as error:
                self._trouble.warn(f"looking who is at work on {self._keys.stream}", error)

    async def bury(self) -> None:
        """One look. Raises ServerError."""
        link, leases = self._server.shared(self._keys.leases), self._keys.leases
        flat = await link.call("ZRANGEBYSCORE", leases, "-inf", await link.time_ms(), "WITHSCORES")
        now, stood = self._clock.now(), self._over
        self._over = {}
        for name, till in zip(flat[::2], flat[1::2], strict=True):
            before, since = stood.get(name, (till, now))
            since = since if before == till else now
            if now - since >= self._lease_ms / 1000:  # guard: a clock that steps makes nobody dead
                await link.call("ZREM", leases, name)
            else:
                self._over[name] = till, since

    async def close(self) -> None:
        """Goes: what it has begun and not ended is in doubt at once."""
        tasks = [task for task in (self._looking, self._coming) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._looking = self._coming = None
        if self._pulse is not None:
            self._heart.remove(self._pulse)
            with contextlib.suppress(ServerError):
                await self._server.shared(self._keys.leases).call("ZREM", self._keys.leases, self.name)
