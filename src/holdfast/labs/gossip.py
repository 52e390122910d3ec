# SPDX-License-Identifier: Apache-2.0
"""Attacks on gossip, with each defence off and on; and what each part of Lifeguard is worth.

::

    schemes      what is on: none, encryption, encryption + signatures, …; of ``slow members``: SWIM, its parts, ours
    scenarios    an attack each, see ``gossip.sim.attacks.cases``; ``nobody`` attacks, and shows what defences cost;
                 ``slow members``: live ones that are taken for dead
    metrics      coverage t50 t99 false_accepted false_deaths read share refused unaware noticed banned
                 false_reports traffic

Everything is simulated, in this process: the core that ships, and the decisions that ship; clock, network and attacker
are the simulator's, so a seed gives the same numbers on every machine. No server, no network, no files.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ..gossip.sim.ablation import SLOW, STAGES, Slowness, ablated
from ..gossip.sim.attacks.cases import ATTACKS, Attack
from ..gossip.sim.attacks.defences import Defences
from .cells import Cell, Cells, Report
from .gossip_advice import advice, attack_cells, broken, slow_cells
from .steps import Steps

__all__ = ["ATTACKS", "FULL", "QUICK", "Plan", "compare", "failed"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it. members: of each cluster, before a swarm comes. runs: of each row, from seeds that follow one
    another. slowness, slow_runs: of the part about slow members."""

    members: int = 60
    runs: int = 3
    slowness: Slowness = SLOW
    slow_runs: int = 4


FULL = Plan()
#: For a first look.
QUICK = Plan(members=24, runs=1, slow_runs=1)


async def compare(plan: Plan = FULL, *, attacks: Mapping[str, Attack] = ATTACKS, slow: bool = True, seed: int = 1,
                  say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. attacks: these alone. slow: and slow members. ``done`` is told how many of how many steps are through.

    Raises MissingExtra without the extra ``gossip``, whose ciphers and signatures are the real ones.
    """
    found: list[Cell] = []
    stages = list(STAGES) if slow else []
    steps = Steps(sum(len(attack.rows) for attack in attacks.values()) + len(stages), done)
    for attack in attacks.values():
        say(f"{attack.name}: {attack.does}")
        for defences in attack.rows:
            await steps.do(partial(_attack, found, attack, defences, plan, seed))
    if slow:
        say(f"slow members: {plan.slowness.slow} of {plan.slowness.count} get to run for a moment every few seconds")
    for stage in stages:
        await steps.do(partial(_slow, found, stage, plan, seed))
    return Report(cells=found, advice=advice(Cells(found), attacks))


def _attack(found: list[Cell], attack: Attack, defences: Defences, plan: Plan, seed: int) -> None:
    outcome = attack.played(defences, plan.members, _chances(seed, plan.runs))
    found += attack_cells(attack.name, defences.words, outcome)


def _slow(found: list[Cell], stage: str, plan: Plan, seed: int) -> None:
    mistakes = ablated(lambda: _chances(seed, plan.slow_runs), slowness=plan.slowness, stages={stage: STAGES[stage]})
    found += slow_cells(stage, mistakes[stage])


def _chances(seed: int, runs: int) -> list[random.Random]:
    return [random.Random(seed + number) for number in range(runs)]


def failed(report: Report, attacks: Mapping[str, Attack] = ATTACKS) -> bool:
    """Did a defence not do what it is for, or an attack no harm?"""
    return bool(broken(Cells(report.cells), attacks))
