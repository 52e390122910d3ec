# SPDX-License-Identifier: Apache-2.0
"""What a spread was like, in numbers, from when each node had it: of a simulation or of anything else that knows.

A node that never had it is infinitely late, so a percentile that was not reached is infinite (``null`` in JSON) and
never a time at which the others were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median


@dataclass(frozen=True)
class Spread:
    """One transaction's way through one network.

    arrived_s: when each node had it, since it was made; infinite: never. hops: over how many links, for those that had
    it, and -1 for the others. duplicates: bodies that came to each node though it had one. sent_bytes: what each node
    sent, of everything; by_kind, messages: bytes and numbers by kinds of message, of all nodes. first_peer: who brought
    it to each node, -1: nobody. made_s: when it was made.
    """

    arrived_s: Sequence[float]
    hops: Sequence[int]
    duplicates: Sequence[int]
    sent_bytes: Sequence[float]
    by_kind: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    first_peer: Sequence[int] = ()
    made_s: float = 0.0


@dataclass(frozen=True)
class Summary:
    """The answer of ``holdfast propagation simulate``: these names, in this order, are its JSON.

    reached: nodes that had it, the first one included. t…_s: when half, 90 %, 99 %, all of the nodes had it; None: that
    part never did. duplicates_per_node: bodies that came for nothing. bytes_per_node: sent, of everything. hops_mean:
    of those it reached.
    """

    nodes: int
    seed: int
    reached: int
    t50_s: float | None
    t90_s: float | None
    t99_s: float | None
    t100_s: float | None
    duplicates_per_node: float
    bytes_per_node: float
    hops_mean: float


def part_s(arrived_s: Sequence[float], part: float) -> float:
    """When so great a part of all nodes had it; infinite: never."""
    if not arrived_s:
        return math.inf
    return sorted(arrived_s)[max(math.ceil(part * len(arrived_s)), 1) - 1]


def median_s(spreads: Sequence[Spread], part: float) -> float | None:
    """When so great a part of the nodes had one, the median over all; None: never."""
    found = median(part_s(one.arrived_s, part) for one in spreads)
    return found if math.isfinite(found) else None


def summarise(spreads: Sequence[Spread], seed: int) -> Summary:
    """All of it, of one transaction or of several: times are medians over them, counts are means."""
    def when(part: float) -> float | None:
        found = median_s(spreads, part)
        return None if found is None else round(found, 6)

    nodes = len(spreads[0].arrived_s)
    hops = [hop for one in spreads for hop in one.hops if hop >= 0]
    return Summary(
        nodes, seed, round(median(sum(map(math.isfinite, one.arrived_s)) for one in spreads)),
        when(0.5), when(0.9), when(0.99), when(1.0),
        round(fmean(sum(one.duplicates) / nodes for one in spreads), 4),
        round(fmean(sum(one.sent_bytes) / nodes for one in spreads), 2),
        round(fmean(hops), 4) if hops else 0.0)


def residue(spread: Spread) -> float:
    """The part of the nodes that it never reached."""
    return sum(map(math.isinf, spread.arrived_s)) / len(spread.arrived_s)


def gini(values: Sequence[float]) -> float:
    """How unevenly a load lies: 0 for evenly, towards 1 for all of it on one."""
    total, count = sum(values), len(values)
    if not total:
        return 0.0
    weighted = sum(place * value for place, value in enumerate(sorted(values), 1))
    return 2 * weighted / (count * total) - (count + 1) / count


def accused(spread: Spread, spies: Sequence[int]) -> int | None:
    """Whom those take for the origin who listen at these nodes: whoever told the first of them. None: they heard
    nothing."""
    heard = [spy for spy in spies if math.isfinite(spread.arrived_s[spy]) and spread.first_peer[spy] >= 0]
    return spread.first_peer[min(heard, key=lambda spy: (spread.arrived_s[spy], spy))] if heard else None


def first_spy(spread: Spread, origin: int, spies: Sequence[int]) -> bool:
    """Do they name the origin?"""
    return accused(spread, spies) == origin
