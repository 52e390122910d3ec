# SPDX-License-Identifier: Apache-2.0
"""What the cells say about attacks on gossip and about slow members, in sentences. Pure: worked out from the cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from ..gossip.sim.ablation import STAGES, fewer
from ..gossip.sim.attacks.cases import Attack
from ..gossip.sim.attacks.outcome import Outcome
from ..gossip.sim.runs import Mistakes
from .cells import Cell, Cells
from .table import shown

SLOW: Final = "slow members"
SWIM, LIFEGUARD, OURS = "SWIM", "Lifeguard", "Lifeguard + lag + last word"
#: How many times fewer live members are to be taken for dead, where SWIM takes enough for a ratio to say something.
FEWER, ENOUGH = 20, 40
#: Field of an outcome → metric, unit.
METRICS: Final = {
    "coverage": ("coverage", "part"), "t50_s": ("t50_s", "s"), "t99_s": ("t99_s", "s"),
    "false_accepted": ("false_accepted", "beliefs"), "false_deaths": ("false_deaths", "views"),
    "read": ("read", "part"), "share": ("share", "part"), "refused": ("refused", "messages"),
    "unaware": ("unaware", "part"), "noticed": ("noticed", "part"), "banned": ("banned", "part"),
    "false_reports": ("false_reports", "reports"), "bytes_s": ("traffic", "bytes/s"),
}


#: Metric of an aim → is it a part of a whole, and what of.
_WORDS: Final = {
    "coverage": (True, "reached"), "read": (True, "of the secrets read"),
    "share": (True, "of the peers the attacker's"),
    "false_accepted": (False, "false beliefs"), "false_deaths": (False, "false deaths"),
    "refused": (False, "bad letters looked at"),
    "unaware": (True, "of the members deceived and unaware of it"), "banned": (True, "of the members ban it"),
    "noticed": (True, "of the members report the split with all names"),
    "false_reports": (False, "false reports of a split"),
}


def attack_cells(attack: str, scheme: str, outcome: Outcome) -> list[Cell]:
    """Of one row. A time that most letters did not reach has no cell."""
    found = []
    for name, (metric, unit) in METRICS.items():
        value = getattr(outcome, name)
        if value is not None and math.isfinite(value):
            found.append(Cell(scheme=scheme, scenario=attack, metric=metric, value=round(value, 3), unit=unit))
    return found


def slow_cells(stage: str, mistakes: Mistakes) -> list[Cell]:
    """Of one stage."""
    return [Cell(scheme=stage, scenario=SLOW, metric=metric, value=value, unit=unit) for metric, value, unit in (
        ("accused", mistakes.suspected, "members"), ("declared", mistakes.declared, "deaths"),
        ("victims", mistakes.victims, "members"))]


def broken(cells: Cells, attacks: Mapping[str, Attack]) -> list[str]:
    """What must not be: a defence that does not do what it is for, an attack that does no harm without it."""
    found = []
    for attack in attacks.values():
        rows = outcomes(cells, attack)
        for aim in attack.aims:  # guard: aims. A defence has to reach its own
            missed = aim.missed(rows)
            found += [f"BROKEN: {attack.name}: {missed}"] if missed else []
    swim, ours = (cells.value(stage, SLOW, "declared") for stage in (SWIM, OURS))
    # guard: slow members. Ours may not kill them, where SWIM does
    if swim is not None and ours is not None and swim >= ENOUGH and fewer(int(swim), int(ours)) < FEWER:
        found.append(f"BROKEN: {SLOW}: {shown(ours)} live members were taken for dead, and {shown(swim)} by SWIM")
    return found


def outcomes(cells: Cells, attack: Attack) -> dict[str, Outcome]:
    """What was measured of an attack, by row."""
    rows = {}
    for defences in attack.rows:
        values = {name: cells.value(defences.words, attack.name, metric) for name, (metric, _) in METRICS.items()}
        if any(value is not None for value in values.values()):
            rows[defences.words] = Outcome(**values)
    return rows


def advice(cells: Cells, attacks: Mapping[str, Attack]) -> list[str]:
    """All of it."""
    return [*broken(cells, attacks), *(line for attack in attacks.values() for line in _of(cells, attack)),
            *_ends(cells), *_price(cells), *_slow(cells)]


def _of(cells: Cells, attack: Attack) -> Iterator[str]:
    for aim in attack.aims:
        metric = METRICS[aim.metric][0]
        before, after = (cells.value(row, attack.name, metric) for row in (aim.without, aim.with_))
        if before is not None and after is not None:
            yield (f"{attack.name}: {_said(metric, before)} with {_only(aim.without)}, {_said(metric, after)} with "
                   f"{aim.with_}: {aim.does}")


def _ends(cells: Cells) -> Iterator[str]:
    """Where defences end."""
    key, signed = "encryption", "encryption + signatures"
    deaths = cells.value(f"{signed} + certificates", "league of liars", "false_deaths")
    if deaths:
        yield (f"league of liars: as many members in league as a certificate takes still kill ({shown(deaths)} views): "
               f"raise the quorum's accusers, and admit nobody whom you would not trust with it")
    replayed = cells.value("windows", "replayer", "false_accepted")
    if replayed:
        yield (f"replayer: a process that has just started knows no window of anybody, so native packets alone let "
               f"{shown(replayed)} old letters in; signatures refuse what was said before the start")
    halved = cells.value(f"{signed} + comparing", "careful divider", "coverage")
    if halved and halved < 0.9:
        yield (f"careful divider: who signs for each half the view that this half has is not seen, and letters reached "
               f"{100 * halved:.0f} % of the members: let nobody enter by way of one member alone")
    share = cells.value(f"{key} + networks", "Sybil swarm, many networks", "share")
    if share and share > 0.5:
        yield (f"Sybil swarm, many networks: caps cost an attacker addresses, and no more: with enough of them "
               f"{100 * share:.0f} % of the members were its own; only admission by certificate stops that")


def _price(cells: Cells) -> Iterator[str]:
    base = cells.value("none", "nobody", "traffic")
    costs = {scheme: value / base for scheme in cells.schemes
             if base and (value := cells.value(scheme, "nobody", "traffic")) is not None and scheme != "none"}
    if costs:
        yield "nobody attacks: times the traffic of plain gossip: " + ", ".join(
            f"{scheme} {times:.2f}" for scheme, times in costs.items())


def _slow(cells: Cells) -> Iterator[str]:
    declared = {stage: value for stage in STAGES if (value := cells.value(stage, SLOW, "declared")) is not None}
    swim = declared.pop(SWIM, None)
    if not swim or not declared:
        return
    yield (f"{SLOW}: SWIM took live members for dead {shown(swim)} times; fewer, times: " + ", ".join(
        f"{stage} {fewer(int(swim), int(value)):.1f}" for stage, value in declared.items()))
    buddy = declared.get("SWIM + Buddy")
    if buddy is not None and fewer(int(swim), int(buddy)) < 1.5:
        yield (f"{SLOW}: to tell the accused first does little by itself here: news is everywhere within a second, and "
               f"who is starved does not answer sooner")


def _said(metric: str, value: float) -> str:
    part, words = _WORDS[metric]
    return f"{f'{100 * value:.0f} %' if part else shown(value)} {words}"


def _only(row: str) -> str:
    return "no defence" if row == "none" else f"{row} alone"

