# SPDX-License-Identifier: Apache-2.0
"""How locks stand still for ever, and what ends that: two in opposite order, one that nobody gives back.

``ab-ba``: two tasks want ``a`` and ``b``, one begins with ``a`` and the other with ``b``; each has its first before
either asks for its second. Taken one by one, both wait until one gives up (``timeouts``). Taken in the order of their
names, or together, there is no circle to wait in.

``forgotten-unlock``: a holder that lives and never gives back. Its lease is renewed for as long as its process turns;
``max_hold_s`` is the end of that. ``freed_s``: until somebody else had it; ``stuck`` 1: nobody had it while the lab
waited, which is ``waited_s``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from .._redis.open import open_server
from ..locks import Locks, LockSettings
from .cells import Cell
from .locks_schemes import Addresses

AB_BA, FORGOTTEN, DEAD = "ab-ba", "forgotten-unlock", "dead-holder"
ONE_BY_ONE, SORTED, TOGETHER = "one-by-one", "sorted", "together"
RENEWED, MAX_HOLD = "renewed", "max-hold"
#: Seconds for the second lock, after which a circle is given up; and how often it is tried.
SECOND_S = 0.4
#: The two meet for so long before each goes on alone.
_MEET_S = 0.1
#: Leases for which the lab waits for a lock that nobody gives back.
WAITED_LEASES = 3

Take = Callable[[Locks, str, str, asyncio.Barrier], Awaitable[None]]


class Deadlocks:
    """On one server."""

    def __init__(self, at: Addresses, ttl_s: float) -> None:
        self._at, self._ttl_s = at, ttl_s
        self._cells: list[Cell] = []

    async def ab_ba(self, rounds: int) -> None:
        """Two locks in opposite order."""
        for scheme, take in ((ONE_BY_ONE, _one_by_one), (SORTED, _sorted), (TOGETHER, _together)):
            timeouts, began = 0, time.monotonic()
            async with _locks(self._at, 10.0) as one, _locks(self._at, 10.0) as other:
                for number in range(rounds):
                    a, b, barrier = f"{scheme}-{number}-a", f"{scheme}-{number}-b", asyncio.Barrier(2)
                    ends = await asyncio.gather(take(one, a, b, barrier), take(other, b, a, barrier),
                                                return_exceptions=True)
                    timeouts += _timeouts(ends)
            self._say(scheme, AB_BA, ("timeouts", timeouts, "of tries"), ("tries", 2 * rounds, "tries"),
                      ("took_s", round(time.monotonic() - began, 3), "s"))

    async def forgotten(self) -> None:
        """A live holder that never gives back."""
        waited_s = WAITED_LEASES * self._ttl_s
        async with _locks(self._at, self._ttl_s) as forgets, _locks(self._at, self._ttl_s) as waits:
            began = time.monotonic()
            await forgets.lock(RENEWED).acquire()
            await forgets.lock(MAX_HOLD).acquire(max_hold_s=self._ttl_s)
            freed = await asyncio.gather(*(_freed_s(waits, name, waited_s, began) for name in (RENEWED, MAX_HOLD)))
        for scheme, freed_s in zip((RENEWED, MAX_HOLD), freed, strict=True):
            self.stuck(scheme, FORGOTTEN, freed_s, waited_s)

    def stuck(self, scheme: str, scenario: str, freed_s: float | None, waited_s: float) -> None:
        """Notes whether, and how soon, somebody else had it."""
        self._say(scheme, scenario, ("stuck", int(freed_s is None), "of 1"), ("waited_s", round(waited_s, 3), "s"))
        if freed_s is not None:
            self._say(scheme, scenario, ("freed_s", round(freed_s, 3), "s"))

    def cells(self) -> list[Cell]:
        """What was found."""
        return self._cells

    def _say(self, scheme: str, scenario: str, *rows: tuple[str, float, str]) -> None:
        self._cells += [Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=unit)
                        for metric, value, unit in rows]


@contextlib.asynccontextmanager
async def _locks(at: Addresses, ttl_s: float) -> AsyncIterator[Locks]:
    server = await open_server(at.main, prefix=at.prefix)
    locks = Locks(server, LockSettings(ttl_s=ttl_s))
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


async def _one_by_one(locks: Locks, first: str, second: str, both: asyncio.Barrier) -> None:
    async with locks.lock(first).hold(wait_s=SECOND_S):
        await _met(both)
        async with locks.lock(second).hold(wait_s=SECOND_S):
            pass


async def _sorted(locks: Locks, first: str, second: str, both: asyncio.Barrier) -> None:
    await _one_by_one(locks, min(first, second), max(first, second), both)


async def _together(locks: Locks, first: str, second: str, both: asyncio.Barrier) -> None:
    async with locks.together(first, second).hold(wait_s=SECOND_S):
        await _met(both)


async def _met(both: asyncio.Barrier) -> None:
    """Goes on when both have their first, or soon: where the order is right, the other one never comes."""
    with contextlib.suppress(TimeoutError, asyncio.BrokenBarrierError):
        async with asyncio.timeout(_MEET_S):
            await both.wait()


def _timeouts(ends: Sequence[BaseException | None]) -> int:
    """How many waited in vain. Raises whatever else went wrong."""
    for end in ends:
        if end is not None and not isinstance(end, TimeoutError):
            raise end
    return sum(end is not None for end in ends)


async def _freed_s(locks: Locks, name: str, waited_s: float, began: float) -> float | None:
    try:
        held = await locks.lock(name).acquire(wait_s=waited_s)
    except TimeoutError:
        return None
    freed_s = time.monotonic() - began
    await locks.lock(name).release(held)
    return freed_s
