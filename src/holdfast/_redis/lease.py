# SPDX-License-Identifier: Apache-2.0
"""A named lease: one holder at a time, kept alive by the heart, told when it is lost. Leadership is holding one.

::

    async with lease.held() as term:   # waits until it is ours
        ...                            # we lead; ``term.lost`` is set the moment that is no longer certain

The lease lies in a sorted set of one member, so that the same beat keeps it alive as keeps consumers alive. Each grant
has an epoch that only grows: who writes elsewhere sends it along, and is refused there once a later one was seen. A
holder ends at its own deadline, which counts from before the last confirmed beat was sent, whether or
not anybody tells it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import log
from ..errors import LeaseLost, ServerError, ServerUnreachable
from .heart import Heart, Pulse, nobody
from .keys import LeaseKeys
from .scripts import load_script
from .steps import ClockWatch

if TYPE_CHECKING:
    from .server import Server

_CLAIM = load_script("holdfast._redis", "claim_lease")
_RELEASE = load_script("holdfast._redis", "release_lease")


@dataclass(slots=True)
class Term:
    """One grant of a lease. ``lost`` is set when it can no longer be relied on; ``cause`` then says why."""

    epoch: int
    pulse: Pulse
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    cause: str = ""

    def left_s(self, clock: Clock) -> float:
        """Seconds for which it certainly holds; 0 or less: it may be somebody else's."""
        return self.pulse.deadline - clock.now()

    def lose(self, cause: str) -> None:
        """It can no longer be relied on; the first cause is the one that is kept."""
        self.cause = self.cause or cause
        self.lost.set()

    def check(self, clock: Clock) -> None:
        """Raises LeaseLost when it no longer certainly holds. Cheap: no server is asked."""
        if self.lost.is_set() or self.left_s(clock) <= 0:
            raise LeaseLost(f"the lease was lost ({self.cause or 'its deadline has passed'})")


class Family:
    """Leases that are many and come and go. They lie in one slot and share one epoch, which follows the server's clock;
    what one of them has seen of that clock, the others know. An object that claims once would be a newcomer each time,
    and leave alone for ever what a dead holder left.
    """

    def __init__(self, name: str, lease_ms: int, clock: Clock) -> None:
        self.name, self.lease_ms = name, lease_ms
        self.watch = ClockWatch(lease_ms // 4 + 500)
        #: Since when the server's clock is known to run evenly.
        self.even_since = clock.now()


class Lease:
    """Claims and holds the lease ``name``. One object a process and name, or one a claim in a family.

    lease_ms: how long a holder may be silent; shorter hands over sooner, and loses it to a pause as long. on_beat: as
    of ``Heart.add``.
    """

    def __init__(self, server: Server, heart: Heart, name: str, member: str, *, lease_ms: int = 10_000,
                 clock: Clock, chance: Chance, family: Family | None = None,
                 on_beat: Callable[[str], object] = nobody) -> None:
        self.name, self.member, self.lease_ms = name, member, lease_ms
        self._on_beat = on_beat
        self._heart, self._clock, self._chance = heart, clock, chance
        self._keys = LeaseKeys(server.prefix, name, family.name if family is not None else "")
        self._link = server.shared(self._keys.lease)
        self._of_many = family is not None
        self._family = family or Family(name, lease_ms, clock)

    async def claim(self) -> Term | None:
        """Asks once; None when somebody else holds it. Raises ServerUnreachable."""
        keys, watch = self._keys, self._family.watch
        sent_at = self._clock.now()
        newcomer = watch.seen_ms is None or sent_at - self._family.even_since < self.lease_ms / 2000
        granted, epoch, _, server_ms, jumped = await self._link.run(
            _CLAIM, (keys.lease, keys.lease_epoch, keys.door),
            (self.member, self.lease_ms, "" if watch.seen_ms is None else watch.seen_ms, watch.elapsed_ms(sent_at),
             watch.slack_ms, int(watch.other_server(self._link.run_id)), int(newcomer), int(self._of_many)))
        watch.looked(int(server_ms), int(jumped), sent_at, self._clock.now(), self._link.run_id)
        if int(jumped):  # guard: whoever else holds one of these is given the time to say that he lives
            self._family.even_since = sent_at
        if not granted:
            return None
        told: list[Term] = []
        pulse = self._heart.add(keys.lease, keys.door, self.member, self.lease_ms,
                                lambda cause: told[0].lose(cause),  # noqa: PLW0108 - made below
                                expires=self._of_many, on_beat=self._on_beat)
        pulse.joined(sent_at)
        told.append(Term(int(epoch), pulse))
        return told[0]

    async def release(self, term: Term) -> None:
        """Gives it back, so that the next holder need not wait. Harmless when it was lost."""
        self._heart.remove(term.pulse)  # guard: no beat after it. One that is under way finds nothing to extend
        term.lose("released")
        await self.give_up()

    async def give_up(self) -> None:
        """Gives back what a claim may have been granted whose answer did not come. Takes from nobody else."""
        with contextlib.suppress(ServerUnreachable):
            await self._link.run(_RELEASE, (self._keys.lease,), (self.member,))

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[Term]:
        """Waits until it is ours, holds it for the length of the block, gives it back.

        The block is not cancelled when the lease is lost: look at ``term.lost``, or call ``term.check()`` before
        what matters.
        """
        while (term := await self._asked()) is None:  # noqa: ASYNC110 - the server tells nobody when it is free
            await asyncio.sleep(self.lease_ms / 3000 * (0.8 + 0.4 * self._chance.random()))
        deadline = asyncio.create_task(self._deadline(term))
        try:
            yield term
        finally:
            deadline.cancel()
            await self.release(term)

    async def _asked(self) -> Term | None:
        try:
            return await self.claim()
        except ServerError as error:
            if not error.retry_may_help:
                raise
            log.warning("claiming lease %s: %s", self.name, error)
            return None

    async def _deadline(self, term: Term) -> None:
        """Ends the term when it may have ended, not when somebody says so."""
        while (left_s := term.left_s(self._clock)) > 0:  # noqa: ASYNC110 - moves with every beat, in another thread
            await asyncio.sleep(left_s)
        term.lose("unreachable")
