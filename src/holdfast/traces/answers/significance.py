# SPDX-License-Identifier: Apache-2.0
"""Is a difference more than chance? Two tests that assume no distribution, and a correction for many of them. Pure.

Source: Mann and Whitney (1947), normal approximation with ties and continuity, good from 20 values a side; pooled two
proportions; Benjamini and Hochberg (1995).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> float:
    """The two-sided p-value of ``after`` not being larger or smaller than ``before``. 1 where there is nothing to
    compare."""
    n, m = len(before), len(after)
    counts = Counter(before)
    counts.update(after)
    if not n or not m or len(counts) == 1:
        return 1.0
    ranks: dict[float, float] = {}
    below, ties = 0, 0
    for value in sorted(counts):
        many = counts[value]
        ranks[value] = below + (many + 1) / 2
        below += many
        ties += many ** 3 - many
    u = sum(ranks[value] for value in after) - m * (m + 1) / 2
    spread = math.sqrt(n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1))))
    return _two_sided(max(0.0, abs(u - n * m / 2) - 0.5) / spread)


def two_proportions(hits_before: int, before: int, hits_after: int, after: int) -> float:
    """The two-sided p-value of the same share on both sides. 1 where there is nothing to compare."""
    hits, total = hits_before + hits_after, before + after
    if not before or not after or hits in (0, total):
        return 1.0
    share = hits / total
    spread = math.sqrt(share * (1 - share) * (1 / before + 1 / after))
    return _two_sided(abs(hits_before / before - hits_after / after) / spread)


def adjusted(values: Sequence[float]) -> list[float]:
    """p-values such that of all that lie below q, a share of q is chance (Benjamini and Hochberg), in their order."""
    found = [1.0] * len(values)
    least = 1.0
    for rank, place in sorted(enumerate(sorted(range(len(values)), key=lambda n: values[n]), 1), reverse=True):
        least = min(least, values[place] * len(values) / rank)
        found[place] = least
    return found


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))
