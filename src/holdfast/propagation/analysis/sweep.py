# SPDX-License-Identifier: Apache-2.0
"""One knob turned: what more links buy and what they cost, where it stops to be worth it, and who is beaten by nobody.

The knee is where the curve of time over bytes, stretched so that both run from 0 to 1, lies farthest below the straight
line between its ends (Satopää and others, "Kneedle", 2011): before it a link more saves much time, after it little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConfigurationError
from ..analyse import summarise
from ..presets import PRESETS, Preset, ran
from ..topology import Links, numpy, regular, two_tier
from .seeds import Interval, interval

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Point:
    """What one setting gave: how many had it, when 90 % did, bytes and copies a node."""

    name: str
    reached: Interval
    t90_s: Interval
    bytes_per_node: Interval
    duplicates_per_node: Interval

    @property
    def late(self) -> float:
        """Median seconds; infinite: never."""
        return float("inf") if self.t90_s.median is None else self.t90_s.median

    @property
    def dear(self) -> float:
        """Median bytes."""
        return self.bytes_per_node.median or 0.0


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those of which none other is both as quick and as cheap and better in one, the cheapest first. What 90 % never
    had is not among them, however cheap."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.dear, one.late)):
        if point.late == float("inf"):
            continue
        if not front or point.late < front[-1].late:
            front.append(point)
    return front


def knee(points: Sequence[Point]) -> Point | None:
    """Of a sweep, where the next step stops to be worth its bytes. None: fewer than three points that were reached by
    90 %, or no curve to speak of."""
    known = sorted((one for one in points if one.t90_s.median is not None), key=lambda one: one.dear)
    if len(known) < 3:
        return None
    first, last = known[0], known[-1]
    slow, quick = max(one.late for one in known), min(one.late for one in known)
    if last.dear == first.dear or slow == quick:
        return None

    def below(one: Point) -> float:
        x = (one.dear - first.dear) / (last.dear - first.dear)
        y = (one.late - quick) / (slow - quick)
        return 1 - x - y

    best = max(known, key=below)
    return best if below(best) > 0 else None


#: What can be turned: how many links a node has (those that it opens, where the graph is Bitcoin's), and parts of
#: packets that are lost, and of nodes that pass nothing on, are slow, are not there.
KNOBS: Final = ("links", "loss", "droppers", "slow", "gone")


def swept(name: str, values: Sequence[float], knob: str = "links", *, nodes: int = 300,
          seeds: Sequence[int] = (1, 2, 3), done: Callable[[int], None] = lambda _: None) -> list[Point]:
    """A preset with that knob of ``KNOBS`` at each of these values, from event to event. done: is told how many runs
    there were. Raises ConfigurationError."""
    preset = PRESETS.get(name)
    if preset is None or preset.policy is None:
        raise ConfigurationError(f"{name!r} cannot be swept: name one of "
                                 f"{', '.join(one.name for one in PRESETS.values() if one.policy is not None)}")
    points, runs = [], 0
    for value in values:
        turned, found = _turned(preset, knob, value), []
        for seed in seeds:
            links = turned.graph(nodes, numpy().random.default_rng([seed, 0]))
            found.append(summarise(ran(turned, preset.policy, links, seed), seed))
            runs += 1
            done(runs)
        points.append(Point(f"{value:g} {knob}", interval([one.reached for one in found]),
                            interval([one.t90_s for one in found]), interval([one.bytes_per_node for one in found]),
                            interval([one.duplicates_per_node for one in found])))
    return points


def _turned(preset: Preset, knob: str, value: float) -> Preset:
    if knob not in KNOBS:
        raise ConfigurationError(f"there is no knob {knob!r}: name one of {', '.join(KNOBS)}")
    if knob != "links":
        parts: dict[str, Any] = {knob: value}
        return replace(preset, conditions=replace(preset.conditions, **parts))
    if value != int(value) or value < 1:
        raise ConfigurationError(f"a node has a whole number of links, 1 or more, not {value:g}")
    return replace(preset, graph=_graph(preset, int(value)))


def _graph(preset: Preset, degree: int) -> Callable[[int, np.random.Generator], Links]:
    if preset.graph is two_tier:
        return partial(two_tier, outbound=degree)
    return lambda nodes, rng: regular(nodes, degree, rng)
