# SPDX-License-Identifier: Apache-2.0
"""A median over runs, and how far it can be trusted: intervals by order statistics.

Of n runs, the k-th smallest and the k-th largest enclose the true median with a chance that follows from a coin alone,
whatever the distribution is, and a run that never got there is simply the largest. So nothing is assumed and nothing
is drawn. Rejected: the bootstrap, which says 95 % of five runs where nobody can know that; and means with their
standard error, which one run that never ended makes infinite.

Source: H. A. David, H. N. Nagaraja, "Order Statistics" (2003), 7.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ..analyse import Summary

#: What is aimed at.
CONFIDENCE: Final = 0.95
#: What a summary has of which a median over runs says something.
MEASURES: Final = ("reached", "t50_s", "t90_s", "t99_s", "t100_s", "duplicates_per_node", "bytes_per_node",
                   "hops_mean")


@dataclass(frozen=True)
class Interval:
    """The median of some runs. low, high: they enclose the true one with that confidence, which is less than 95 % where
    there are fewer than six runs, and 0 for one. None: never reached."""

    median: float | None
    low: float | None
    high: float | None
    confidence: float
    runs: int


def interval(values: Sequence[float | None]) -> Interval:
    """Of one value a run; None: never."""
    ordered = sorted(math.inf if value is None else float(value) for value in values)
    if not ordered:
        raise ValueError("an interval is of one run or more")
    count = len(ordered)
    inner = 1
    while inner < (count + 1) // 2 and _sure(count, inner + 1) >= CONFIDENCE:  # guard: confidence
        inner += 1
    return Interval(_told(median(ordered)), _told(ordered[inner - 1]), _told(ordered[count - inner]),
                    round(_sure(count, inner), 4), count)


def across(runs: Sequence[Summary]) -> Mapping[str, Interval]:
    """Of each measure, over runs of the same network with different seeds."""
    return {name: interval([getattr(run, name) for run in runs]) for name in MEASURES}


def _sure(count: int, inner: int) -> float:
    """With which chance the median lies between the inner-th smallest and the inner-th largest of so many."""
    below: float = sum(math.comb(count, k) for k in range(inner)) / (1 << count)
    return max(0.0, 1 - 2 * below)


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None
