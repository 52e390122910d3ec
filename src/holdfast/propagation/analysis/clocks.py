# SPDX-License-Identifier: Apache-2.0
"""Clocks that differ: what came before it was sent gives them away, and the quickest ways say by how much.

Over a link from a to b, what b notes less what a notes is the true delay and the difference of their clocks. The least
of these, both ways, are two delays that hardly differ, so half of the difference of the two is how far the clocks are
apart (NTP's reasoning, over many transactions in the place of many packets). Nodes are set right along the links whose
two least delays together are shortest. Where things went one way only, a clock is moved just so far that nothing
arrives before it was sent.

Clocks among which nothing came too early are left alone: guesses would only make good times worse. A constant
difference is what is undone, and no drift.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Seconds that may be noted too early without meaning anything.
TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Skew:
    """early: things that came before they were sent. ahead_s: what each node's clock is ahead of the others, to be
    taken off; empty: nothing was off. bounded: nodes of which only the least correction is known. left: things that
    came too early after all."""

    early: int
    ahead_s: Mapping[int, float] = field(default_factory=dict)
    bounded: frozenset[int] = frozenset()
    left: int = 0


def skew(passes: Iterable[tuple[int, int, float]]) -> Skew:
    """passes: (sender, receiver, seconds from when the sender had it to when the receiver had it, each by its own
    clock)."""
    known = list(passes)
    early = sum(took < -TOLERANCE_S for _, _, took in known)
    if not early:  # guard: good clocks stay
        return Skew(0)
    least: dict[tuple[int, int], float] = {}
    for sender, receiver, took in known:
        least[sender, receiver] = min(took, least.get((sender, receiver), took))
    ahead, bounded = _ahead(least)
    left = sum(took - ahead[b] + ahead[a] < -TOLERANCE_S for a, b, took in known)
    return Skew(early, ahead, frozenset(bounded), left)


def _ahead(least: Mapping[tuple[int, int], float]) -> tuple[dict[int, float], set[int]]:
    """Each node's clock over that of the node with most links, from the surest link to the least sure."""
    neighbours: dict[int, set[int]] = {}
    for a, b in least:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    ahead: dict[int, float] = {}
    bounded: set[int] = set()
    for start in sorted(neighbours, key=lambda node: (-len(neighbours[node]), node)):
        if start in ahead:
            continue
        ahead[start] = 0.0
        waiting: list[tuple[bool, float, int, int]] = []
        _offer(waiting, start, neighbours[start], least)
        while waiting:
            one_way, _, here, there = heapq.heappop(waiting)
            if there in ahead:
                continue
            ahead[there] = ahead[here] + _differ(here, there, least)
            if one_way or here in bounded:
                bounded.add(there)
            _offer(waiting, there, neighbours[there], least)
    return ahead, bounded


def _offer(waiting: list[tuple[bool, float, int, int]], here: int, others: Iterable[int],
           least: Mapping[tuple[int, int], float]) -> None:
    for there in others:
        forth, back = least.get((here, there)), least.get((there, here))
        one_way = forth is None or back is None
        heapq.heappush(waiting, (one_way, 0.0 if forth is None or back is None else forth + back, here, there))


def _differ(here: int, there: int, least: Mapping[tuple[int, int], float]) -> float:
    """How far ahead of ``here`` the clock of ``there`` is."""
    forth, back = least.get((here, there)), least.get((there, here))
    if forth is not None and back is not None:
        return (forth - back) / 2
    return min(forth, 0.0) if forth is not None else -min(back or 0.0, 0.0)
