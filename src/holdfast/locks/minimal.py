# SPDX-License-Identifier: Apache-2.0
"""The minimal lock: ``SET key id NX PX ttl``, and a script that deletes what is still ours. It is here to be compared.

This is what many a service has, and what a lock costs at least. Do not use it for anything whose double run costs more
than a second run does. What it lacks, each shown by the battery (``tests/contract/test_lock.py``):

* no renewal: work that takes longer than the lease goes on beside the next holder's
* no fencing token (``fencing_token`` is 0): whoever comes late writes, and nothing can refuse it
* an answer that is lost makes it wait for its own key, and call its own release a loss
* no re-entrance: a task that holds it waits for itself
* no order, and no wake-up: it asks again and again, so a release is noticed late, and waiting costs commands
* no ``WAIT``: a failover forgets it
* SUSPECT is never said: there is no renewal that could be late

Two older errors can be switched on, for tests alone, by ``classic``: ``expire-after`` sets the expiry by a second
command, so that a process that dies in between locks everybody out for ever; ``blind-delete`` deletes whatever is
there, so that whoever is late takes the lock from the next holder, and lets a third one in.

Source: https://redis.io/docs/latest/commands/set/#patterns, the pattern that page advises against.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._base.events import log
from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from ..errors import ConfigurationError, ServerUnreachable
from .held import Acquisition
from .hold import Ledger, Lock

if TYPE_CHECKING:
    from .._redis.server import Server

_RELEASE = load_script("holdfast.locks", "release_minimal")
#: First and longest pause between two looks.
PAUSE_S, PAUSE_S_MAX = 0.005, 0.1
ANSWER_S = 2.0
RELEASE_TRIES = 3
Classic = Literal["", "expire-after", "blind-delete"]


class MinimalLocks:
    """Gives minimal locks by name. ttl_s: how long each is held at most. classic: an older error, for tests."""

    def __init__(self, server: Server, *, ttl_s: float = 10.0, classic: Classic = "", clock: Clock | None = None,
                 chance: Chance | None = None, events: ev.Events | None = None) -> None:
        if ttl_s <= 0:
            raise ConfigurationError(f"ttl_s={ttl_s}: a lease is longer than 0 s")
        clock = clock or SystemClock()
        self._ledger = Ledger(clock, events or ev.Events())
        self._keeper = Minimal(server, ttl_s, classic, clock, chance or system_chance())

    def lock(self, name: str) -> Lock:
        """The minimal lock called ``name``: another one than ``Locks`` gives by that name."""
        return Lock(name, self._keeper, self._ledger)

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return self._ledger.held

    async def close(self) -> None:
        """Gives back what is held. The server is its opener's."""
        await self._ledger.close()


class Minimal:
    """Fulfils ``Keeper``."""

    kind = "minimal"
    again: tuple[str, ...] = ()
    never_under: tuple[str, ...] = ()

    def __init__(self, server: Server, ttl_s: float, classic: Classic, clock: Clock, chance: Chance) -> None:
        self._server, self._ttl_s, self._classic = server, ttl_s, classic
        self._clock, self._chance = clock, chance

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet; never renewed."""
        lease_ms = int((self._ttl_s if lease_s is None else lease_s) * 1000)
        return Acquisition(name, new_id(self._chance), lease_ms, self._clock, renewed=False,
                           kind=self.kind)

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Looks, and looks again after a pause that doubles, until it is free."""
        if wait_s == 0:
            if not await self._asked(held):
                raise TimeoutError(f"lock {held.name!r} is held by somebody else")
            return
        trouble: ServerUnreachable | None = None
        try:
            async with asyncio.timeout(wait_s):
                pause_s = PAUSE_S
                while True:
                    try:
                        if await self._asked(held):
                            return
                        trouble = None
                    except ServerUnreachable as error:
                        trouble = error
                    await asyncio.sleep(pause_s * (0.5 + self._chance.random()))
                    pause_s = min(2 * pause_s, PAUSE_S_MAX)
        except TimeoutError:
            if trouble is not None:
                raise trouble from None
            raise TimeoutError(f"lock {held.name!r} was not free within {wait_s:g} s") from None

    async def _asked(self, held: Acquisition) -> bool:
        key, sent_at = self._key(held.name), self._clock.now()
        call, held.in_doubt = self._server.shared(key).call, True
        if self._classic == "expire-after":
            taken = bool(await call("SETNX", key, held.acquisition, timeout_s=ANSWER_S))
            if taken:
                await call("PEXPIRE", key, held.lease_ms, timeout_s=ANSWER_S)
        else:
            taken = await call("SET", key, held.acquisition, "NX", "PX", held.lease_ms, timeout_s=ANSWER_S) is not None
        held.in_doubt = False
        if taken:
            held.granted(0, sent_at)
        return taken

    def keep(self, held: Acquisition) -> None:
        """Nobody renews it."""

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether it was still there as ours; None when the server did not answer."""
        key = self._key(held.name)
        for _ in range(RELEASE_TRIES):
            try:
                link = self._server.shared(key)
                if self._classic == "blind-delete":
                    return bool(await link.call("DEL", key, timeout_s=ANSWER_S))
                return bool(await link.run(_RELEASE, (key,), (held.acquisition,), timeout_s=ANSWER_S))
            except ServerUnreachable as error:
                log.warning("giving back lock %s: %s", held.name, error)
                await asyncio.sleep(PAUSE_S_MAX)
        return None

    def _key(self, name: str) -> bytes:
        return LockKeys(self._server.prefix, name).lock_minimal
