# SPDX-License-Identifier: Apache-2.0
"""What blocks were like: how late they came, how many were for nothing, when transactions were sure.

While a block is on its way, whoever does not have it yet may find another one on the same parent. Where blocks are
found at random every T seconds, and a share f(t) of the nodes has the last one t seconds after it was found, a rival
comes with the chance 1 − exp(−∫(1 − f)dt / T); the integral is the mean time that a node waits for a block. This is
said beside what was counted.

Source: C. Decker, R. Wattenhofer, "Information Propagation in the Bitcoin Network" (2013).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..analyse import median_s, part_s
from .run import Block, Run


@dataclass(frozen=True)
class Sure:
    """Transactions with so many blocks behind them. seen: pairs of a transaction and a node. t50_s, t90_s: since the
    transaction was made."""

    depth: int
    seen: int
    t50_s: float
    t90_s: float


@dataclass(frozen=True)
class Forks:
    """blocks: that were found. stale: that are not in the chain that ends highest. rate: stale of all. expected_rate:
    by the formula; None with fewer than two blocks. t50_s, t90_s: median over blocks; None:
    never. delay_s: the mean time that a node waits for a block it gets. interval_s: between blocks, on
    average. reorganised: how often a node gave blocks up; undone_max: the most of them at once."""

    blocks: int
    stale: int
    rate: float
    expected_rate: float | None
    t50_s: float | None
    t90_s: float | None
    delay_s: float
    interval_s: float | None
    reorganised: int
    undone_max: int
    sure: Sequence[Sure]


def forks(run: Run) -> Forks | None:
    """None: there were no blocks."""
    blocks = run.blocks
    if not blocks:
        return None
    kept = main_chain(blocks, Counter(_last_heads(run).values()))
    stale = sum(block.id not in kept for block in blocks)
    ways = [block.spread for block in blocks]
    made = sorted(way.made_s for way in ways)
    interval = (made[-1] - made[0]) / (len(made) - 1) if len(made) > 1 else None
    waits = [[when for when in way.arrived_s if math.isfinite(when)] for way in ways]
    delay = fmean(fmean(one) for one in waits if one) if any(waits) else 0.0
    gave_up = [head.undone for head in run.heads if head.undone]
    return Forks(len(blocks), stale, stale / len(blocks), expected(delay, interval), median_s(ways, 0.5),
                 median_s(ways, 0.9), delay, interval, len(gave_up), max(gave_up, default=0), _sure(run))


def expected(delay_s: float, interval_s: float | None) -> float | None:
    """The share of blocks that have a rival, where there is an interval."""
    return 1 - math.exp(-max(delay_s, 0.0) / interval_s) if interval_s else None


def main_chain(blocks: Sequence[Block], heads: Mapping[str, int]) -> set[str]:
    """Ids from the highest block down to the first; of several as high the one at which most nodes ended, then the one
    found first."""
    known = {block.id: block for block in blocks}
    here = max(blocks, key=lambda block: (block.height, heads.get(block.id, 0), -block.spread.made_s))
    chain: set[str] = set()
    step: Block | None = here
    while step is not None and step.id not in chain:
        chain.add(step.id)
        step = known.get(step.parent)
    return chain


def _last_heads(run: Run) -> dict[int, str]:
    last: dict[int, str] = {}
    for head in sorted(run.heads, key=lambda one: one.at_s):
        last[head.node] = head.block
    return last


def _sure(run: Run) -> list[Sure]:
    by_depth: dict[int, list[float]] = {}
    for one in run.confirmations:
        by_depth.setdefault(one.depth, []).append(one.after_s)
    return [Sure(depth, len(times), part_s(times, 0.5), part_s(times, 0.9))
            for depth, times in sorted(by_depth.items())]
