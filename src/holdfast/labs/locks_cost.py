# SPDX-License-Identifier: Apache-2.0
"""What locks cost where nothing goes wrong: one that nobody else wants, and one that is handed over.

``uncontended``: acquire and release, one after the other, in this process; what the servers carry out meanwhile,
commands inside scripts included. Schemes take turns, and the median of the rounds counts.

``handover``: two doors as two processes would have them, one holds, one waits; from just before the release to the
first line that the next holder runs. Given back at some moment between 20 and 120 ms, so that a poller's sleep is met
anywhere.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from .._redis.abilities import parse_info
from .._redis.open import open_server
from ..errors import HoldfastError, ServerError
from .cells import Cell
from .locks_schemes import Addresses, Door, Scheme

if TYPE_CHECKING:
    import random

    from .._redis.link import Link
    from ..locks import Acquisition

FREE, HANDED = "uncontended", "handover"
TTL_S = 3.0
#: A scheme that is not granted its first lock by then cannot work here.
FIRST_S = 5.0
#: A lock that nobody else wants and that takes longer is not had at all.
PATIENCE_S = 30.0
WARM = 20
HOLD_S = (0.02, 0.12)
_PERCENT = 99


class Costs:
    """Measures schemes at ``at``. failed: why a scheme has no figures."""

    def __init__(self, at: Addresses, schemes: Sequence[Scheme], rng: random.Random) -> None:
        self._at, self._schemes, self._rng = at, list(schemes), rng
        self.failed: dict[str, str] = {}
        self._found: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
        self._units: dict[str, str] = {}

    async def free(self, rounds: int, n: int, done: Callable[[], None]) -> None:
        """Nobody else wants them."""
        for number in range(rounds):
            for scheme in [*self._schemes[number % len(self._schemes):], *self._schemes[:number % len(self._schemes)]]:
                try:
                    async with scheme.open(self._at, TTL_S) as door:
                        await self._free(scheme, door, n)
                except (HoldfastError, TimeoutError) as error:
                    self.failed[scheme.name] = str(error)
            done()

    async def _free(self, scheme: Scheme, door: Door, n: int) -> None:
        name = f"free-{scheme.name}"
        await _first(door, name)
        await _pairs(door, name, WARM)
        async with Counter(self._at if scheme.fails_over else None) as counter:
            took = await _pairs(door, name, n)
            commands = await counter.since()
        took.sort()
        self._note(scheme.name, FREE, "p50_us", "µs", took[len(took) // 2] * 1e6)
        self._note(scheme.name, FREE, "p99_us", "µs", took[math.ceil(len(took) * _PERCENT / 100) - 1] * 1e6)
        if commands is not None:
            self._note(scheme.name, FREE, "commands", "per acquire and release", commands / n)

    async def handed(self, n: int) -> None:
        """One waits while the other holds."""
        for scheme in self._schemes:
            if scheme.name not in self.failed:
                await self._handed(scheme, n)

    async def _handed(self, scheme: Scheme, n: int) -> None:
        async with scheme.open(self._at, TTL_S) as one, scheme.open(self._at, TTL_S) as other:
            holds, waits, took = one, other, []
            held = await holds.lock(f"handed-{scheme.name}").acquire(wait_s=PATIENCE_S)
            for _ in range(n):
                waiting = asyncio.create_task(_acquired(waits, f"handed-{scheme.name}"))
                await asyncio.sleep(self._rng.uniform(*HOLD_S))
                began = time.monotonic()
                await holds.lock(held.name).release(held)
                held, at = await waiting
                took.append(at - began)
                holds, waits = waits, holds
            await holds.lock(held.name).release(held)
        self._note(scheme.name, HANDED, "p50_ms", "ms", statistics.median(took) * 1e3)
        self._note(scheme.name, HANDED, "max_ms", "ms", max(took) * 1e3)

    def _note(self, scheme: str, scenario: str, metric: str, unit: str, value: float) -> None:
        self._found[scheme, scenario, metric].append(value)
        self._units[metric] = unit

    def cells(self) -> list[Cell]:
        """Medians of rounds."""
        return [Cell(scheme=scheme, scenario=scenario, metric=metric, value=round(statistics.median(values), 2),
                     unit=self._units[metric]) for (scheme, scenario, metric), values in self._found.items()]


async def _first(door: Door, name: str) -> None:
    """Raises what makes it impossible: a replica that is not there is told by a look, and not by waiting in vain."""
    lock = door.lock(name)
    try:
        held = await lock.acquire(wait_s=0)
    except (HoldfastError, TimeoutError) as error:  # it may only be early: a quorum does not count a young server
        try:
            held = await lock.acquire(wait_s=FIRST_S)
        except TimeoutError:
            raise error from None
    await lock.release(held)


async def _pairs(door: Door, name: str, n: int) -> list[float]:
    lock, took = door.lock(name), []
    for _ in range(n):
        began = time.monotonic()
        await lock.release(await lock.acquire(wait_s=PATIENCE_S))
        took.append(time.monotonic() - began)
    return took


async def _acquired(door: Door, name: str) -> tuple[Acquisition, float]:
    held = await door.lock(name).acquire(wait_s=PATIENCE_S)
    return held, time.monotonic()


class Counter:
    """Commands that all servers of ``at`` carry out in the block; None: nobody counts."""

    def __init__(self, at: Addresses | None) -> None:
        self._at = at
        self._links: list[Link] = []

    async def __aenter__(self) -> Self:
        self._servers = [await open_server(url) for url in (self._at.every if self._at else ())]
        for server in self._servers:
            self._links += (await server.masters()).values()
        self._before = await self._total()
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self._links:
            await link.close()
        for server in self._servers:
            await server.close()

    async def since(self) -> float | None:
        """So many until now, without our own look; None where a server does not tell."""
        now = await self._total()
        if now is None or self._before is None or not self._links:
            return None
        return now - self._before - len(self._links)

    async def _total(self) -> float | None:
        found = 0.0
        for link in self._links:
            try:
                told = parse_info(await link.call("INFO", "stats"))
                found += float(told["total_commands_processed"])
            except (ServerError, KeyError):
                return None
        return found
