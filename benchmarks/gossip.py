# SPDX-License-Identifier: Apache-2.0
"""Gossip: does a simulated cluster of ten thousand do what the protocol's arithmetic says, and what do packets cost?

``spread``    news by gossip alone: when half, 90 %, 99 % know it, beside a Monte Carlo computed apart from our core
``detect``    a crash: suspected, declared, known everywhere; packets and bytes a member sends meanwhile
``load``      what a member sends while nothing happens
``ablation``  slow members, and live ones taken for dead: SWIM, each part of Lifeguard, all of them, and ours
``wire``      datagrams and exchanges, encoded, decoded, encrypted; ``signing``: signatures, by algorithm and size
``clusters``  real members on loopback, a hundred of ours and twenty, beside twenty Serf agents: what each costs

No server. Every question runs in a fresh process. What comes from the simulated clock is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from holdfast.gossip.sim.ablation import fewer

from .gossip_clusters import impossible
from .gossip_clusters_serf import missing, version
from .rig import child

Tell = Callable[[str], None]
#: (members, part lost): 50 %, 90 %, 99 % (s), datagrams a member. A Monte Carlo run of the gossip turns alone; from one
#: run to the next, and so from it to ours, a fifth is nothing.
COMPUTED: Mapping[tuple[int, float], tuple[float, float, float, int]] = {
    (100, 0.0): (0.34, 0.49, 0.62, 12), (100, 0.25): (0.46, 0.65, 0.83, 12),
    (1_000, 0.0): (0.52, 0.67, 0.82, 16), (1_000, 0.25): (0.69, 0.88, 1.09, 16),
    (10_000, 0.0): (0.64, 0.79, 0.95, 20), (10_000, 0.25): (0.83, 1.03, 1.24, 20),
}
SPREAD = 0.2
#: How many times fewer live members are to be taken for dead.
FEWER = 20


@dataclass(frozen=True)
class Effort:
    """sizes: of clusters. runs: of each, of the largest half as many. rounds, box_s: of everything on the wire.
    clusters: whose, members, processes; each has two windows of window_s, and then so many members are killed."""

    sizes: tuple[int, ...] = (100, 1_000, 10_000)
    runs: int = 9
    ablations: int = 6
    rounds: int = 9
    box_s: float = 0.2
    clusters: tuple[tuple[str, int, int], ...] = (("ours", 100, 10), ("ours", 20, 20), ("serf", 20, 20))
    window_s: float = 60.0
    kills: int = 3


QUICK = Effort(sizes=(100, 1_000), runs=3, ablations=2, rounds=3, box_s=0.02, window_s=10.0, kills=1)


def measure(effort: Effort, tell: Tell) -> dict[str, Any]:
    """Figures by question."""
    figures: dict[str, Any] = {"spread": {}, "detect": {}, "load": {}}
    for size in effort.sizes:
        runs = (effort.runs + 1) // 2 if size == max(effort.sizes) else effort.runs
        for lost in (0.0, 0.25):
            found = figures["spread"][f"{size}, {lost}"] = _sim("spread", size, lost, runs)
            tell(f"{size:,} members, {lost:.0%} lost: half knew after {median(found['t50_s']):.2f} s")
        found = figures["detect"][str(size)] = _sim("detect", size, runs)
        tell(f"{size:,} members: a death was known to half after {median(found['t50_s']):.1f} s")
        figures["load"][str(size)] = _sim("load", size)
    figures["ablation"] = _sim("ablation", effort.ablations)
    figures["wire"] = child("benchmarks.gossip_wire", effort.rounds, effort.box_s)
    tell("what packets cost was measured")
    figures["signing"] = child("benchmarks.gossip_signing", effort.rounds, effort.box_s)
    tell("what signatures cost was measured")
    figures["clusters"] = [_cluster(*one, effort, tell) for one in effort.clusters]
    return figures


def off(figures: Mapping[str, Any]) -> list[str]:
    """What is not as the arithmetic says, in words."""
    found = []
    for (size, lost), computed in COMPUTED.items():
        one = figures["spread"].get(f"{size}, {lost}")
        if one is None:
            continue
        for part, wanted in zip(("t50_s", "t90_s", "t99_s"), computed, strict=False):
            took = median(one[part])
            if not math.isclose(took, wanted, rel_tol=SPREAD):
                found.append(f"{size:,} members, {lost:.0%} lost: {part} {took:.2f}, computed {wanted:.2f}")
        if set(one["sends"]) != {computed[3]}:
            found.append(f"{size:,} members: {one['sends']} datagrams a member, computed {computed[3]}")
    found += [f"{size} members: a death was not known to all" for size, one in figures["detect"].items()
              if min(one["coverage"]) < 1]
    stages = figures["ablation"]["stages"]
    swim, ours = (stages[name]["declared"] for name in ("SWIM", "Lifeguard + lag + last word"))
    if fewer(swim, ours) < FEWER:
        found.append(f"live members taken for dead: {swim} by SWIM, {ours} by ours")
    return found


def spoiled(figures: Mapping[str, Any]) -> int:
    """What is not as computed, packets that do not come back as they went in, signatures that do not hold, events that
    were not heard and deaths that nobody saw."""
    return (len(off(figures)) + len(figures["wire"]["wrong"]) + len(figures["signing"]["wrong"])
            + sum(len(one.get("wrong", ())) for one in figures["clusters"]))


def _cluster(who: str, members: int, processes: int, effort: Effort, tell: Tell) -> dict[str, Any]:
    if why := impossible() or (missing() if who == "serf" else ""):
        return {"who": who, "members": members, "missing": why}
    found = child("benchmarks.gossip_clusters", who, members, processes, effort.window_s, effort.kills)
    if who == "serf":
        found["version"] = version()
    tell(f"{members} members, {who}: {found['idle']['cpu_ms']:.2f} ms of CPU a second each, while nothing happens")
    return found


def _sim(*arguments: object) -> Any:
    return child("benchmarks.gossip_sim", *arguments)
