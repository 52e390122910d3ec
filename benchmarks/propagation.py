# SPDX-License-Identifier: Apache-2.0
"""Propagation: what the simulators cost, beside SimPy and NetworkX that answer the same question.

``events``  from event to event: a flood, and announcements by timers; one graph, delays and timers drawn beforehand
``paths``   one transaction by trickle as a shortest path, 110,000 nodes; the same lengths for NetworkX's Dijkstra
``whole``   presets as the command runs them, graph and figures included, beside what they are to take

Each run is a fresh process; contestants alternate, and come in the other order every second time. Who gives another
answer than the others (when each node had it, to a nanosecond; copies; messages) spoils the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .contestants import PROPAGATION
from .rig import child

Tell = Callable[[str], None]
#: (preset, nodes): seconds of a processor that one transaction is to take at most.
AIMS: Mapping[tuple[str, int], float] = {
    ("bitcoin-trickle", 10_000): 1.0, ("flood", 10_000): 1.0, ("bitcoin-trickle", 100_000): 5.0,
    ("bitcoin-trickle", 110_000): 3.0}


@dataclass(frozen=True)
class Effort:
    """sizes: of networks, from event to event. paths: of one, as a shortest path. runs: of everything."""

    sizes: tuple[int, ...] = (1_000, 10_000)
    paths: int = 110_000
    runs: int = 5
    whole: tuple[tuple[str, int], ...] = tuple(AIMS)


QUICK = Effort(sizes=(200,), paths=2_000, runs=1, whole=(("bitcoin-trickle", 10_000), ("flood", 200)))


def measure(names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """Figures by question; of each contestant a list of runs."""
    figures: dict[str, Any] = {"events": {}, "paths": {}, "whole": {}}
    for how in ("flood", "trickle"):
        for size in effort.sizes:
            figures["events"][f"{how}, {size}"] = _turns(_who(names, "events"), how, size, effort.runs)
            tell(f"{how}, {size:,} nodes: measured")
    figures["paths"][str(effort.paths)] = _turns(_who(names, "paths"), "paths", effort.paths, effort.runs)
    tell(f"a shortest path through {effort.paths:,} nodes: measured")
    for preset, nodes in effort.whole:
        figures["whole"][f"{preset}, {nodes}"] = [_run("whole", preset, nodes, seed) for seed in range(effort.runs)]
        tell(f"{preset}, {nodes:,} nodes: measured")
    return figures


def wrong(figures: Mapping[str, Any]) -> list[str]:
    """Answers that differ, and nodes that were not reached, in words."""
    found = []
    for part in ("events", "paths"):
        for what, runs in figures[part].items():
            for turn, answers in enumerate(zip(*([one["answer"] for one in runs[who]] for who in runs), strict=True)):
                if len(set(answers)) > 1:
                    found.append(f"{part} {what}, run {turn + 1}: {dict(zip(runs, answers, strict=True))}")
    for what, runs in figures["whole"].items():
        nodes = int(what.rpartition(" ")[2])
        found += [f"{what}: {one['reached']} reached" for one in runs if one["reached"] != nodes]
    return found


def late(figures: Mapping[str, Any]) -> list[str]:
    """Presets that took longer than they are to; of a busy machine that is said, and spoils nothing."""
    found = []
    for (preset, nodes), most in AIMS.items():
        runs = figures["whole"].get(f"{preset}, {nodes}", ())
        if runs and (took := median(one["seconds"] for one in runs)) > most:
            found.append(f"{preset}, {nodes:,} nodes: {took:.2f} s, {most:g} s were aimed at")
    return found


def spoiled(figures: Mapping[str, Any]) -> int:
    """How many answers were wrong."""
    return len(wrong(figures))


def _who(names: Sequence[str], part: str) -> list[str]:
    """As the child calls them."""
    return [PROPAGATION[name].call for name in names if part in PROPAGATION[name].group]


def _turns(who: Sequence[str], what: str, nodes: int, runs: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {one: [] for one in who}
    for turn in range(runs):
        for one in who if turn % 2 == 0 else reversed(who):
            found[one].append(_run(what, one, nodes, turn + 1))
    return found


def _run(what: str, who: str, nodes: int, seed: int) -> Any:
    return child("benchmarks.propagation_runs", what, who, nodes, seed)
