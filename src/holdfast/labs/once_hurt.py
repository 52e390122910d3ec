# SPDX-License-Identifier: Apache-2.0
"""Two scenarios that repeat messages: a storm of duplicates, and workers that are killed. Both against real processes.

**duplicate-storm**: every message is published several times under its id, in another order for each scheme, and worked
off by processes that run many at once.

**kill**: messages trickle in; a worker is stopped, looked at while it cannot move, and killed with SIGKILL if it holds
entries of as many schemes as possible; else it is let go for another try. A handler goes on for a moment after its
effect, so that there is something to be hit.

What took effect is counted where the effects lie, not by what anybody says.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import HoldfastError
from ..streams.entry import Outgoing
from .cells import Cell
from .crew import Crew, pid_of
from .once_schemes import GROUP, Scheme, applied_in_redis, asked_of_callee, order

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..app import Holdfast
    from ..testing.processes import Worker
    from .once_books import Books
    from .place import Place

COPIES = 5
#: Workers that share the work while one is killed, and those hired at first: the next victim is up by then.
AT_WORK, HIRED = 2, 3
#: Messages of each scheme that trickle in at once, and seconds between two such lots.
LOT, LOT_S = 4, 0.1
#: Seconds for which messages trickle at least before a worker is killed.
WARM_S = 0.3
#: Seconds in which a worker is looked for that holds entries of every scheme; a worker that holds any serves then.
AIM_S = 1.5
#: Seconds after which what is not worked off is given up.
PATIENCE_S = 60.0
_LOOK_S = 0.03
_CHUNK = 500


@dataclass(kw_only=True)
class Hurt:
    """Both scenarios, on one crew."""

    hf: Holdfast
    server: Server
    place: Place
    books: Books | None
    schemes: Sequence[Scheme]
    crew: Crew
    rng: random.Random
    say: Callable[[str], None]

    async def storm(self, n: int) -> list[Cell]:
        """``n`` messages, each ``COPIES`` times."""
        ids = [f"storm-{i}" for i in range(n)]
        await self._take_orders(ids)
        await asyncio.gather(*(self._publish(scheme, self._shuffled(ids * COPIES)) for scheme in self.schemes))
        await self._worked_off()
        found = await self._counted("duplicate-storm", ids, "storm-")
        return found + [_cell(s, "duplicate-storm", "published", n * COPIES, "messages") for s in self.schemes]

    async def kill(self, kills: int) -> list[Cell]:
        """Kills so many workers, one after the other, while messages trickle in."""
        ids: list[str] = []
        held: Counter[str] = Counter()
        for number in range(kills):
            able = await self.crew.ready(AT_WORK)
            held += await self._while_it_trickles(ids, self._strike(able))
            if number + 1 < kills:
                self.crew.hire()  # it comes up while the next one is aimed at
        await self._worked_off()
        found = await self._counted("kill", ids, "kill-")
        found += [_cell(s, "kill", "kills", kills, "processes") for s in self.schemes]
        return found + [_cell(s, "kill", "held", held[s.name], "entries of the dead") for s in self.schemes]

    # -- publishing -------------------------------------------------------------------------------------------------

    def _shuffled(self, ids: list[str]) -> list[str]:
        self.rng.shuffle(ids)
        return ids

    async def _take_orders(self, ids: list[str]) -> None:
        if self.books is not None and any(s.name == "state-machine" for s in self.schemes):
            await self.books.take_orders(ids)

    async def _publish(self, scheme: Scheme, ids: list[str]) -> None:
        for at in range(0, len(ids), _CHUNK):
            outs = [Outgoing(value=order(one), id=one) for one in ids[at:at + _CHUNK]]
            await self.hf.publish_many(self.place.stream(scheme.name), outs)

    async def _while_it_trickles(self, ids: list[str], strike: Coroutine[Any, Any, Counter[str]]) -> Counter[str]:
        """Not longer: what came while a crew is one short would only wait, and a later death would meet a backlog."""
        enough = asyncio.Event()
        trickle = asyncio.create_task(self._trickle(ids, enough))
        try:
            return await strike
        finally:
            enough.set()
            await trickle  # to the end of its lot: a message that only some schemes have would compare nothing

    async def _trickle(self, ids: list[str], enough: asyncio.Event) -> None:
        while not enough.is_set():
            lot = [f"kill-{len(ids) + i}" for i in range(LOT)]
            await self._take_orders(lot)
            for scheme in self.schemes:
                await self._publish(scheme, lot)
            ids += lot
            await asyncio.sleep(LOT_S)

    # -- killing ----------------------------------------------------------------------------------------------------

    async def _strike(self, able: Sequence[Worker]) -> Counter[str]:
        """Kills one of them that holds something; what it held, by scheme."""
        await asyncio.sleep(self.rng.uniform(WARM_S, 2 * WARM_S))
        began = time.monotonic()
        while True:
            patience = max(0.0, 1 - (time.monotonic() - began) / AIM_S)
            victim: Worker = self.rng.choice(able)
            victim.pause()
            try:
                held = await self._held(victim.pid)
            except BaseException:
                victim.resume()
                raise
            if len(held) >= max(1, math.ceil(patience * len(self.schemes))):
                self.crew.kill(victim)
                self.say(f"killed worker {victim.pid} (SIGKILL), which held {sum(held.values())} entries of "
                         f"{len(held)} schemes")
                return held
            victim.resume()
            self.crew.check()
            await asyncio.sleep(self.rng.uniform(0.005, 0.03))

    async def _held(self, pid: int) -> Counter[str]:
        found = await asyncio.gather(*(self._pending(scheme, pid) for scheme in self.schemes))
        return Counter({s.name: count for s, count in zip(self.schemes, found, strict=True) if count})

    async def _pending(self, scheme: Scheme, pid: int) -> int:
        stream = self.place.stream(scheme.name)
        flat = await self.server.shared(stream.encode()).call("XINFO", "CONSUMERS", stream, GROUP)
        facts = [dict(zip(one[::2], one[1::2], strict=True)) for one in flat]
        return sum(f[b"pending"] for f in facts if pid_of(f[b"name"].decode()) == pid)

    # -- counting ---------------------------------------------------------------------------------------------------

    async def _worked_off(self) -> None:
        """Returns when no stream holds anything: what is acknowledged is deleted."""
        until = time.monotonic() + PATIENCE_S
        while left := {s.name: n for s in self.schemes if (n := await self._length(s))}:
            self.crew.check()
            if time.monotonic() > until:
                raise HoldfastError(f"after {PATIENCE_S:g} s there is still work: " + ", ".join(
                    f"{count} messages of {name}" for name, count in left.items()))
            await asyncio.sleep(_LOOK_S)

    async def _length(self, scheme: Scheme) -> int:
        stream = self.place.stream(scheme.name).encode()
        return int(await self.server.shared(stream).call("XLEN", stream))

    async def _counted(self, scenario: str, ids: Sequence[str], like: str) -> list[Cell]:
        cells = []
        for scheme in self.schemes:
            stream = self.place.stream(scheme.name)
            if scheme.where == "sql" and self.books is not None:
                applied = await self.books.applied(scheme.name, like)
            else:
                applied = await applied_in_redis(self.server, self.place, scheme, stream, like)
            cells += [_cell(scheme, scenario, "applied_twice", surplus(applied), "effects"),
                      _cell(scheme, scenario, "missing", missing(applied, ids), "effects")]
            if scheme.where == "outside":
                asked = await asked_of_callee(self.server, self.place, stream, like)
                cells.append(_cell(scheme, scenario, "asked_again", asked - len(applied), "calls"))
        return cells


def surplus(applied: Counter[str]) -> int:
    """Effects beyond the first of each message."""
    return sum(count - 1 for count in applied.values() if count > 1)


def missing(applied: Counter[str], ids: Sequence[str]) -> int:
    """Messages without an effect."""
    return sum(1 for one in ids if not applied[one])


def _cell(scheme: Scheme, scenario: str, metric: str, value: float, unit: str) -> Cell:
    return Cell(scheme=scheme.name, scenario=scenario, metric=metric, value=value, unit=unit)
