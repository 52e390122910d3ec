# SPDX-License-Identifier: Apache-2.0
"""From runs to figures. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def percentile(ordered: Sequence[float], p: float) -> float:
    """The value below which p % of an ordered sequence lie (nearest rank)."""
    if not ordered:
        raise ValueError("no values: nothing was measured")
    return ordered[max(0, math.ceil(p * len(ordered) / 100) - 1)]


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, lowest, highest."""
    found = sorted(values)
    return {"median": statistics.median(found), "lowest": found[0], "highest": found[-1]}


def medians(runs: Mapping[str, Sequence[Mapping[str, Any]]], what: str) -> dict[str, float]:
    """Contestant → median of one figure."""
    return {name: statistics.median(run[what] for run in found) for name, found in runs.items() if found}


def ratios(of: Mapping[str, float], ours: Sequence[str]) -> dict[str, dict[str, float]]:
    """Ours over each of the others: ``{"holdfast": {"bare": 0.7, …}}``."""
    return {mine: {other: of[mine] / value for other, value in of.items() if other not in ours and value}
            for mine in ours if mine in of}
