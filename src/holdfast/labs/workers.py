# SPDX-License-Identifier: Apache-2.0
"""Ways to a worker id, side by side, and hurt: pods that come and go, die, are stopped; stores that die.

::

    schemes      see ``workers_schemes``: a variable that nobody compares, which cheats; a variable and an ordinal that
                 are wanted of Redis; Redis, SQL, etcd, ZooKeeper, Lease objects of Kubernetes
    scenarios    start            see ``workers_start``     claim_p50_ms claim_p99_ms renewal_p50_ms first_id_ms
                 churn            see ``workers_hurt``      without_id longest_wait_s
                 restart, crash   its pods, again           same_id first_id_s
                 pause            the same                  late_ids
                 outage, amnesia  see ``workers_outage``    ids_for_s back_s away_s

``duplicates`` is counted over all ids that all pods of a scheme have made; those of ``restart`` and ``crash`` are among
those of ``churn``. The lab starts and ends all servers
that it hurts. On a Redis that you name worker ids are claimed for ``start``; pods are hurt on a database that you name,
and the database is not.
"""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from .cells import Cell, Cells, Report
from .silence import silenced
from .steps import Steps
from .workers_advice import Needs, Setting, advice, broken
from .workers_hurt import Hurts
from .workers_outage import Outages
from .workers_schemes import SCHEMES, Scheme, present
from .workers_start import Starts
from .workers_town import Town, town

if TYPE_CHECKING:
    from .place import Place


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    few, many, times: pods, and how often they become many. window_s: of worker ids: shorter is over sooner. claims: of
    each scheme's start. away_s: how long the stores are away.
    """

    few: int = 3
    many: int = 50
    times: int = 2
    window_s: float = 4.0
    claims: int = 200
    away_s: float = 8.0


FULL = Plan()
#: For a first look.
QUICK = Plan(many=7, times=2, window_s=1.5, claims=20, away_s=2.5)


async def compare(plan: Plan = FULL, *, place: Place | None = None, sql: str = "", needs: Needs | None = None,
                  seed: int = 1, say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. place: a Redis on which claims are timed; None: the lab's own. sql: a database, PostgreSQL or MariaDB.
    seed: of who dies. needs: the advice answers these.

    ``done`` is told how many of how many steps are through. Everything it started has ended when it returns, and what
    it wrote elsewhere is gone. Raises ServerMissing without a server that the lab could start, ServerUnreachable for
    one that was named and does not answer, and HoldfastError when a node ends by itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
    try:
        async with town(folder, place.token if place is not None else token_hex(4), sql) as found:
            with silenced(logging.CRITICAL):  # worker ids warn of stores that do not answer: that is the lab's doing
                lab = _Lab(town=found, plan=plan, place=place, folder=folder, needs=needs, rng=random.Random(seed),
                           say=say, done=done)
                return await lab.run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(kw_only=True)
class _Lab:
    """One run."""

    town: Town
    plan: Plan
    place: Place | None
    folder: Path
    needs: Needs | None
    rng: random.Random
    say: Callable[[str], None]
    done: Callable[[int, int], None]

    async def run(self) -> Report:
        """Times first, while nobody else is at work."""
        plan, schemes = self.plan, present(self.town.addresses)
        self._steps = Steps(len(schemes) + 3, self.done)
        starts = await self._starts(schemes)
        with ExitStack() as stack:
            hurts = Hurts(self.folder, self.town.addresses, schemes, plan.window_s, rng=self.rng,
                          rest=self._steps.rest)
            outages = Outages(self.folder, self.town, schemes, plan.window_s, self._steps.rest)
            stack.callback(outages.close)
            stack.callback(hurts.close)
            await self._steps.do(partial(hurts.churn, plan.few, plan.many, plan.times), hurts.close)
            self.say(f"churn: {plan.few} pods, then {plan.many}, {plan.times} times")
            await self._steps.do(hurts.pause, hurts.close)
            self.say("pause: one pod was stopped, and another one had its worker id")
            await self._steps.do(partial(outages.run, plan.away_s), outages.close)
            self.say(f"outage, amnesia: all stores were away for {plan.away_s:g} s, and Redis came back with nothing")
        return self._report(starts, [*starts.cells, *hurts.cells, *outages.cells], outages.errors)

    def _report(self, starts: Starts, cells: Sequence[Cell], errors: dict[str, str]) -> Report:
        order, names = list(_SCENARIOS), list(SCHEMES)
        found = Cells(sorted(cells, key=lambda cell: (order.index(cell.scenario), names.index(cell.scheme))))
        setting = Setting(missing={**self.town.missing, **starts.failed}, errors=errors, window_s=self.plan.window_s,
                          many=self.plan.many, own_redis=self.place is None, quick=self.plan == QUICK)
        return Report(cells=found.all, advice=advice(found, list(SCHEMES.values()), setting, self.needs))

    async def _starts(self, schemes: Sequence[Scheme]) -> Starts:
        at, place = self.town.addresses, self.place
        if place is not None and place.url:
            at = msgspec.structs.replace(at, redis=place.url, prefix=place.own)
        starts = Starts(at, schemes)
        try:
            for scheme in schemes:
                await self._steps.do(partial(starts.measure, scheme, self.plan.claims))
        finally:
            if place is not None:
                async with place.holdfast() as hf:
                    await place.tidy_up(await hf.open())  # guard: nothing of ours stays on somebody else's server
        return starts


_SCENARIOS = ("start", "churn", "restart", "crash", "pause", "outage", "amnesia")


def failed(report: Report) -> bool:
    """Was an id made twice under a store, or the scheme that cheats not caught?"""
    return bool(broken(Cells(report.cells), SCHEMES.values()))
