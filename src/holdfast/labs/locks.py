# SPDX-License-Identifier: Apache-2.0
"""Locks, hurt: a failover that forgets, a holder that is stopped, one that is killed, one that never gives back.

::

    schemes      holdfast+wait           Holdfast on Redis, a replica confirms every grant (replicas=1)
                 holdfast-no-wait        the same as it comes: the master's word is enough
                 fair                    the same in the order of arrival
                 minimal                 SET NX PX, and a delete that compares
                 quorum                  three masters that know nothing of one another
                 zookeeper, etcd         where those servers are installed
                 postgres                where a database is named
                 holdfast+min-replicas   a failover only: a master that wants its replica; not with --quick
    scenarios    uncontended, handover   what it costs            p50_us p99_us commands; p50_ms max_ms
                 failover-stalled        see ``locks_failover``   double_grants refused tokens_went_back rounds
                 pause, crash            see ``locks_hurt``       double_grants late_writes writes_refused; recovery_s
                 ab-ba, forgotten-unlock, dead-holder
                                         see ``locks_deadlock``   timeouts tries took_s; stuck freed_s waited_s

The lab starts and ends all servers it hurts itself. When you name a Redis, ``uncontended`` and ``handover`` run there,
which costs it a few keys; a PostgreSQL that you name has holders that are hurt, and is not hurt itself. What stays
there is the sequence of fencing tokens.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from .cells import Cell, Cells, Report
from .locks_advice import Setting, advice, broken
from .locks_cost import Costs
from .locks_deadlock import DEAD, Deadlocks
from .locks_failover import Failovers
from .locks_hurt import CRASH, Hurts
from .locks_schemes import Scheme, present
from .locks_town import Town, town
from .locks_worker import UNRENEWED_LEASES
from .silence import silenced

if TYPE_CHECKING:
    from .place import Place


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    rounds: of failovers, of pauses and of deaths. ttl_s: lease where holders are hurt: shorter is over sooner.
    cost_rounds, pairs, hands: of what costs. circles: tries of ab-ba. min_replicas: failovers of a master that wants
    its replica, every other one after its lag.
    """

    rounds: int = 3
    ttl_s: float = 2.0
    cost_rounds: int = 3
    pairs: int = 300
    hands: int = 30
    circles: int = 5
    min_replicas: int = 4

    @property
    def steps(self) -> int:
        """What progress is counted in."""
        return self.cost_rounds + 2 + 3 * self.rounds + self.min_replicas


FULL = Plan()
#: For a first look.
QUICK = Plan(rounds=1, ttl_s=1.0, cost_rounds=1, pairs=100, hands=8, circles=2, min_replicas=0)


async def compare(plan: Plan = FULL, *, place: Place | None = None, sql: str = "", seed: int = 1,
                  say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. place: the server on which costs are measured; None: the lab's own. sql: the URL of a
    PostgreSQL; another database is left alone.

    ``done`` is told how many of how many steps are through. Everything it started has ended when it returns, whatever
    ends it.

    Raises ServerMissing when no server is installed that the lab could start, ServerUnreachable for a place that does
    not answer, and HoldfastError when a worker ends that nobody has killed, or does not get to work.
    """
    async with town(sql if sql.startswith("postgresql") else "") as found:
        with silenced(logging.ERROR):  # locks warn of servers that do not answer: that is the lab's doing
            lab = _Lab(town=found, plan=plan, place=place, rng=random.Random(seed), say=say, done=done)
            return await lab.run()


@dataclass(kw_only=True)
class _Lab:
    """One run."""

    town: Town
    plan: Plan
    place: Place | None
    rng: random.Random
    say: Callable[[str], None]
    done: Callable[[int, int], None]
    _through: int = 0

    def __post_init__(self) -> None:
        self._schemes: Sequence[Scheme] = present(self.town.addresses())

    async def run(self) -> Report:
        """In an order in which nobody's load falls into anybody's times; failovers last, when all servers have been
        up for a lease."""
        cells, costs = await self._costs()
        cells += await self._deadlocks_and_hurts()
        cells += await self._failovers()
        cells.sort(key=lambda cell: _ORDER.index(cell.scenario))
        found = Cells(cells)
        setting = Setting(missing=self.town.missing, failed=costs.failed, ttl_s=self.plan.ttl_s,
                          own_servers=self.place is None, rounds=self.plan.cost_rounds,
                          unrenewed_leases=UNRENEWED_LEASES)
        return Report(cells=found.all, advice=advice(found, setting))

    async def _costs(self) -> tuple[list[Cell], Costs]:
        at = self.town.addresses()
        if self.place is not None and self.place.url:
            at = msgspec.structs.replace(at, main=self.place.url, prefix=self.place.own, others=[])
        costs = Costs(at, present(at), self.rng)
        try:
            await costs.free(self.plan.cost_rounds, self.plan.pairs, self._step)
            await costs.handed(self.plan.hands)
        finally:
            await self._tidy_up()
        self._step()
        return costs.cells(), costs

    async def _tidy_up(self) -> None:
        if self.place is not None:
            async with self.place.holdfast() as hf:
                await self.place.tidy_up(await hf.open())

    async def _deadlocks_and_hurts(self) -> list[Cell]:
        deadlocks = Deadlocks(self.town.addresses(), self.plan.ttl_s)
        hurts = Hurts(self.town, self._schemes, self.plan.ttl_s, self.rng, self.say)
        try:
            await asyncio.gather(deadlocks.ab_ba(self.plan.circles), deadlocks.forgotten())
            self._step()
            for _ in range(self.plan.rounds):
                await hurts.pause()
                self._step()
                await hurts.crash()
                self._step()
        finally:
            hurts.close()
        found = hurts.cells()
        back = Cells(found).value("holdfast-no-wait", CRASH, "recovery_s")
        deadlocks.stuck("lease", DEAD, back, hurts.waited_s)
        deadlocks.stuck("no-expiry", DEAD, None if hurts.no_expiry_left else hurts.waited_s, hurts.waited_s)
        return deadlocks.cells() + found

    async def _failovers(self) -> list[Cell]:
        failovers = Failovers(self.town)
        for _ in range(self.plan.rounds):
            await failovers.strike([scheme for scheme in self._schemes if scheme.fails_over])
            self.say("failover: the master was killed while its replica had not heard of the last grants")
            self._step()
        for number in range(self.plan.min_replicas):
            await failovers.strike_min_replicas(number)
            self._step()
        return failovers.cells()

    def _step(self) -> None:
        self._through += 1
        self.done(self._through, self.plan.steps)


_ORDER = ("uncontended", "handover", "failover-stalled", "pause", "crash", "ab-ba", "forgotten-unlock", "dead-holder")


def failed(report: Report) -> bool:
    """Was a lock of ours granted twice that promises not to be? Or was the problem itself not to be seen?"""
    return bool(broken(Cells(report.cells)))
