# SPDX-License-Identifier: Apache-2.0
"""``failover-stalled``: a master dies whose replica has not heard of its last grants, and the replica takes over.

On loopback a plain ``kill -9`` loses nothing: the replica has the write before the client has the answer. So the link
is stalled first. All schemes are asked on the same pair and lose the same master; the quorum has two more servers. A
lock is granted twice when it is granted after the failover to a second holder, while the first one may rely on it.

``holdfast+min-replicas`` is the lock as it comes, on a master with ``min-replicas-to-write 1``. Such a master looks at
when its replica was last heard of: until that is ``min-replicas-max-lag`` ago it grants as ever. So every other round
asks at once, and the others after the lag.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from .._base.lock import HoldState
from ..errors import HoldfastError
from ..locks import Acquisition
from ..testing.replicated import Replicated
from ..testing.waiting import wait_until
from .cells import Cell
from .locks_schemes import SCHEMES, Addresses, Door, Scheme, token_of
from .locks_town import Town, caught_up

SCENARIO = "failover-stalled"
MIN_REPLICAS = "holdfast+min-replicas"
#: A round is over before that. A quorum does not count a server that was started later than that ago.
LEASE_S = 8.0
#: Grants before the failover of which the replica knows: tokens have begun to count.
BEFORE = 3
LAG_S = 2
_NAME = "nightly"


class Failovers:
    """Counts what failovers do to each scheme."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.rounds: Counter[str] = Counter()
        self.doubles: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.went_back: Counter[str] = Counter()
        self.tokens: defaultdict[str, bool] = defaultdict(bool)

    async def strike(self, schemes: Sequence[Scheme]) -> None:
        """One failover for all of them."""
        async with _pair() as pair:
            await self._strike(pair, {scheme.name: scheme for scheme in schemes}, late=False)

    async def strike_min_replicas(self, number: int) -> None:
        """One failover of a master that wants its replica."""
        async with _pair() as pair:
            await asyncio.to_thread(wants_a_replica, pair)
            await self._strike(pair, {MIN_REPLICAS: SCHEMES["holdfast-no-wait"]}, late=bool(number % 2))

    async def _strike(self, pair: Replicated, schemes: dict[str, Scheme], *, late: bool) -> None:
        async with AsyncExitStack() as stack:
            doors = await _doors(stack, schemes, self._town.addresses(pair.url))
            await asyncio.gather(*(_warm(name, door) for name, door in doors.items()))
            await asyncio.to_thread(caught_up, pair)
            pair.links[0].stall()
            if late:
                await asyncio.to_thread(_good, pair, 0)
            first = await _each(doors, _asked)
            await asyncio.to_thread(pair.master.kill)
            await asyncio.to_thread(pair.promote, 0)
            after = await _doors(stack, schemes, self._town.addresses(pair.url))
            second = await _each(after, _asked)
            rely = {name: held is not None and held.state is not HoldState.LOST for name, held in first.items()}
            for door in (*doors.values(), *after.values()):
                for held in door.held:
                    held.lose("server")  # its server is dead, or will be: there is nobody to give it back to
        for name in schemes:
            self._count(name, first[name], second[name] if rely[name] else None)

    def _count(self, name: str, first: Acquisition | None, second: Acquisition | None) -> None:
        self.rounds[name] += 1
        self.refused[name] += first is None
        if first is not None and second is not None:
            self.doubles[name] += 1
            self.tokens[name] |= bool(token_of(second))
            self.went_back[name] += bool(token_of(second)) and token_of(second) <= token_of(first)

    def cells(self) -> list[Cell]:
        """What was counted. Tokens are compared where both holders had one."""
        found = []
        for name in self.rounds:
            rows: list[tuple[str, int, str]] = [
                ("double_grants", self.doubles[name], "of rounds"), ("refused", self.refused[name], "of rounds"),
                ("rounds", self.rounds[name], "failovers")]
            if self.tokens[name]:
                rows.append(("tokens_went_back", self.went_back[name], "of double grants"))
            found += [Cell(scheme=name, scenario=SCENARIO, metric=metric, value=value, unit=unit)
                      for metric, value, unit in rows]
        return found


@contextlib.asynccontextmanager
async def _pair() -> AsyncIterator[Replicated]:
    pair = Replicated(replicas=1, proxied=True)
    await asyncio.to_thread(pair.start)
    try:
        yield pair
    finally:
        await asyncio.to_thread(pair.close)


async def _doors(stack: AsyncExitStack, schemes: dict[str, Scheme], at: Addresses) -> dict[str, Door]:
    return {name: await stack.enter_async_context(scheme.open(at, LEASE_S)) for name, scheme in schemes.items()}


def _lock_name(name: str) -> str:
    """A lock of its own for each scheme: the schemes share servers, and some share keys."""
    return f"{_NAME}-{name}"


async def _warm(name: str, door: Door) -> None:
    for _ in range(BEFORE):
        async with door.lock(_lock_name(name)).hold():
            pass


async def _asked(name: str, door: Door) -> Acquisition | None:
    """The grant; None when it was refused, whatever the reason."""
    try:
        return await door.lock(_lock_name(name)).acquire(wait_s=0)
    except (HoldfastError, TimeoutError):
        return None


async def _each(doors: dict[str, Door], do: Callable[[str, Door], Any]) -> dict[str, Any]:
    return dict(zip(doors, await asyncio.gather(*(do(name, door) for name, door in doors.items())), strict=True))


def wants_a_replica(pair: Replicated) -> None:
    """The master takes writes only while its replica has been heard of within the lag."""
    pair.master.admin.config_set("min-replicas-max-lag", LAG_S)
    pair.master.admin.config_set("min-replicas-to-write", 1)
    _good(pair, 1)


def _good(pair: Replicated, count: int) -> None:
    def counted() -> bool:
        info: Any = pair.master.admin.info("replication")
        return bool(info["min_slaves_good_slaves"] == count)

    wait_until(counted, 15.0, f"the master counts {count} good replicas")
