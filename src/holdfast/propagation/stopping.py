# SPDX-License-Identifier: Apache-2.0
"""Local rules for when to stop telling, beside each other: who was left out, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Final

from ..errors import ConfigurationError
from .analyse import part_s, residue
from .relay import Rumour, Stop
from .sim.network import Conditions, Latency
from .sim.world import World
from .topology import near_regular, numpy

#: Each rule, with numbers that make them cost about the same; the last ones have the tail pulled.
RULES: Final[Mapping[str, Stop]] = MappingProxyType({
    "hops 12": Stop("hops", limit=12, fanout=3),
    "seen 3": Stop("seen", limit=3),
    "interest 1": Stop("interest", limit=1),
    "interest 2": Stop("interest", limit=2),
    "interest 1, pulled": Stop("interest", limit=1, pull_s=1.0),
})
#: Neighbours of each node: so many that whom it tells is nearly anybody.
DEGREE: Final = 50
_UNTIL_S: Final = 30.0


@dataclass(frozen=True)
class Stopped:
    """What a rule did, on average over its runs. residue: the part of the nodes that never heard. sends: bodies that
    were sent, per node. t90_s: when nine tenths had heard; infinite in a run: None."""

    rule: str
    residue: float
    sends: float
    t90_s: float | None


def stopped(rule: str, *, nodes: int = 1000, seed: int = 1, runs: int = 5) -> Stopped:
    """Runs a rule of ``RULES``, from seeds ``seed`` and on. Raises ConfigurationError for an unknown rule."""
    if rule not in RULES:
        raise ConfigurationError(f"there is no rule {rule!r}: name one of {', '.join(RULES)}")
    left, sends, late = [], [], []
    for run in range(runs):
        rng = numpy().random.default_rng([seed + run, 0])
        links = near_regular(nodes, rng, degree=DEGREE)
        world = World(links, lambda peers: Rumour(peers, RULES[rule]), seed + run, Conditions(Latency(0.01, 0.0)))
        world.make(0, 300, int(rng.integers(nodes)))
        world.run(_UNTIL_S)
        spread = world.spreads()[0]
        left.append(residue(spread))
        sends.append(world.messages["body"] / nodes)
        late.append(part_s(spread.arrived_s, 0.9))
    t90_s = fmean(late)
    return Stopped(rule, round(fmean(left), 5), round(fmean(sends), 3), round(t90_s, 3) if t90_s < _UNTIL_S else None)
