# SPDX-License-Identifier: Apache-2.0
"""Cells as tables and bars of text. Pure.

A scenario is a table: a row a scheme, a column a metric. What was not measured stays empty: a nought would be a claim.
"""

from __future__ import annotations

from .cells import Cells

#: Cells of a bar, and its steps within one.
WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


#: How a unit is written at the end of a metric's name, where that differs.
_IN_NAMES = {"µs": "us", "1/s": "per_s"}


def _head(metric: str, unit: str) -> str:
    """A metric and its unit, which stands there once."""
    if metric == unit:
        return metric
    return f"{metric.removesuffix('_' + _IN_NAMES.get(unit, unit)).replace('_', ' ')}, {unit}"


def table(cells: Cells, scenario: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of one scenario, as words."""
    metrics = cells.metrics(scenario)
    head = [scenario, *(_head(metric, unit) for metric, unit in metrics.items())]
    rows = [[scheme, *(shown(cells.value(scheme, scenario, metric)) for metric in metrics)] for scheme in cells.schemes]
    return head, [row for row in rows if any(row[1:])]


def shown(value: float | None) -> str:
    """A number with as many digits as it is worth; the empty text for none."""
    if value is None:
        return ""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def bars(cells: Cells, scenario: str, metric: str) -> list[str]:
    """One line a scheme, longest first: its name, a bar, its number."""
    found = [(scheme, value) for scheme in cells.schemes
             if (value := cells.value(scheme, scenario, metric)) is not None]
    found.sort(key=lambda pair: -pair[1])
    name_width = max((len(scheme) for scheme, _ in found), default=0)
    longest = max((value for _, value in found), default=0)
    return [f"{scheme.ljust(name_width)}  {bar(value, longest)}  {shown(value)}" for scheme, value in found]


def bar(value: float, longest: float, width: int = WIDTH) -> str:
    """A bar of ``width`` cells at most, padded to it."""
    eighths = round(8 * width * value / longest) if longest > 0 else 0
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)
