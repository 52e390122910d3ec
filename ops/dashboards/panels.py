# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""How a panel is described, and how it looks in Grafana's own words.

A panel is a title, a unit and queries; everything else is the same for all of them. Gauges are asked with ``max by``,
because every process of a group reports the same numbers; counters are summed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
#: What the variables at the top of the dashboard choose.
OF = 'stream=~"$stream", group=~"$group"'
OF_STREAM = 'stream=~"$stream"'
BY = "by (stream, group)"
GROUP = "{{stream}} · {{group}}"


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries`` maps a legend to an expression; ``steps`` are thresholds: value → colour."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    steps: dict[float, str] = field(default_factory=dict)
    about: str = ""


def gauge(name: str, of: str = OF, by: str = BY) -> str:
    """A gauge as its group sees it, whichever process told."""
    return f"max {by} ({name}{{{of}}})"


def rate(name: str, by: str = BY, of: str = OF) -> str:
    """A counter's rate per second over all processes."""
    return " ".join(f"sum {by} (rate({name}{{{of}}}[$__rate_interval]))".split())


def count(name: str, by: str = BY, of: str = OF) -> str:
    """A counter's growth in the time that is shown."""
    return f"sum {by} (increase({name}{{{of}}}[$__range]))"


def quantile(q: float, name: str, of: str = OF) -> str:
    """A quantile over all processes, streams and groups that are chosen."""
    return f"histogram_quantile({q}, sum by (le) (rate({name}_bucket{{{of}}}[$__rate_interval])))"


def quantiles(name: str, of: str = OF) -> dict[str, str]:
    """Median, 95th and 99th percentile."""
    return {f"p{q * 100:g}": quantile(q, name, of) for q in (0.5, 0.95, 0.99)}


def total(title: str, expr: str, unit: str = "short", **steps: str) -> Panel:
    """A number at the top. ``steps``: colour="from which value"."""
    return Panel(title, {"": expr}, unit, "stat", 4, {float(value): colour for colour, value in steps.items()})


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice at the top of the dashboard, of several values or all."""
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
            "query": {"query": query, "refId": name}, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def panels(rows: Mapping[str, tuple[Panel, ...]]) -> list[dict[str, Any]]:
    """All panels with ids and places, row by row, 24 units wide."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, row in rows.items():
        found.append({"id": len(found) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                      "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        x = 0
        for panel in row:
            height = 4 if panel.kind == "stat" else 8
            if x + panel.width > 24:
                x, y = 0, y + height
            found.append(drawn(panel, len(found) + 1, {"x": x, "y": y, "w": panel.width, "h": height}))
            x += panel.width
        y += height
    return found


def drawn(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    """One panel in Grafana's own words."""
    base = "red" if "green" in panel.steps.values() else "green"
    steps: list[dict[str, Any]] = [{"color": base, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in sorted(panel.steps.items())]
    custom = {"thresholdsStyle": {"mode": "line" if panel.steps else "off"}} if panel.kind == "timeseries" else {}
    stat = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    lines = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.about, "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom,
                                     "thresholds": {"mode": "absolute", "steps": steps}}, "overrides": []},
        "options": stat if panel.kind == "stat" else lines,
        "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                    for i, (legend, expr) in enumerate(panel.queries.items())],
    }
