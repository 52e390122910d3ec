# SPDX-License-Identifier: Apache-2.0
"""A consumer's place at a server of records: the lease that its marks are worth, where it reads no stream.

On Redis the source has the lease, and sweepers see to those of the dead. A consumer of another broker takes its seat
here itself: the same beat of the process keeps it alive (``_redis.heart``), and each one that sits looks after the set.
A seat that was lost is never taken again: the next one has another name, and what was begun under the former one is
in doubt, as after a death.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._base.thinned import Thinned
from .._redis.heart import Heart, Pulse
from .._redis.keys import GroupKeys
from .._redis.scripts import load_script
from ..errors import EffectBusy, ServerError
from .silence import Silence

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

_SEAT = load_script("holdfast.once", "seat")


class Seat:
    """One consumer's lease in the group's set. lease_ms: see ``StreamSettings``; a death is seen after a lease and two
    thirds of it. name: gives a name that no other seat has, here or elsewhere."""

    def __init__(self, server: Server, heart: Heart, keys: GroupKeys, *, lease_ms: int, clock: Clock,
                 name: Callable[[], str]) -> None:
        self._server, self._heart, self._keys = server, heart, keys
        self._lease_ms, self._clock, self._name = lease_ms, clock, name
        self._silence = Silence(lease_ms / 1000)
        self._trouble = Thinned(clock)
        self._pulse: Pulse | None = None
        self._sitting: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    @property
    def incarnation(self) -> str:
        """Its name. Raises EffectBusy while it certainly has none: what would be begun now could pass for a dead
        one's."""
        pulse = self._pulse
        if pulse is None or pulse.lost or pulse.deadline <= self._clock.now():  # guard: a mark is worth its lease
            raise EffectBusy(f"the lease of {self._keys.group} at the server of records was lost, and is not back yet")
        return pulse.member

    async def open(self) -> None:
        """Takes the seat, and keeps it until ``close``."""
        await self._take()
        self._sitting = asyncio.create_task(self._sit(), name=f"seat of {self._keys.group}")

    async def close(self) -> None:
        """Gives it back, so that nobody has to wait until it runs out."""
        if self._sitting is not None:
            self._sitting.cancel()
            await asyncio.gather(self._sitting, return_exceptions=True)
            self._sitting = None
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            self._heart.remove(pulse)
            with contextlib.suppress(ServerError):
                await self._server.shared(self._keys.leases).call("ZREM", self._keys.leases, pulse.member)

    async def _take(self) -> None:
        name = self._name()
        sent_at = self._clock.now()
        link = self._server.shared(self._keys.leases)
        self._lost.clear()
        await link.run(_SEAT, (self._keys.leases, self._keys.door), (name, self._lease_ms))
        pulse = self._heart.add(self._keys.leases, self._keys.door, name, self._lease_ms, lambda _: self._lost.set())
        pulse.joined(sent_at, link.run_id)
        self._pulse = pulse

    async def _sit(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), self._lease_ms / 3000)
            try:
                if self._pulse is not None and self._pulse.lost:
                    self._heart.remove(self._pulse)
                    await self._take()
                await self._look()
            except ServerError as error:
                self._silence.failed()
                self._trouble.warn(f"the leases of {self._keys.group} at the server of records", error)
                await asyncio.sleep(self._lease_ms / 3000)

    async def _look(self) -> None:
        """Takes away what the dead have left: as long as it is there, they pass for alive."""
        link = self._server.shared(self._keys.leases)
        flat = await link.call("ZRANGE", self._keys.leases, 0, -1, "WITHSCORES")
        dead = self._silence.looked(dict(zip(flat[::2], flat[1::2], strict=True)), self._clock.now())
        if dead:
            await link.run(_SEAT, (self._keys.leases, self._keys.door),
                           ("", 0, *(part for pair in dead for part in pair)))


__all__ = ["Seat"]
