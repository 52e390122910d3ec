# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a script beside what it writes
"""Writes the Grafana dashboard ``holdfast-streams.json`` from the description below. Run it after a change.

A panel is a title, a unit and queries; everything else is the same for all of them. Gauges are asked with ``max by``,
because every process of a group reports the same numbers; counters are summed. To add a panel, add a line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("holdfast-streams.json")
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


DEAD_AGE = "holdfast_dead_letters_oldest_seconds"
SHARE = (f"{gauge('holdfast_group_pending_largest')} / "
         f"({gauge('holdfast_group_pending')} - {gauge('holdfast_group_parked')})")

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Unread", f"sum({gauge('holdfast_group_lag')})", yellow="1000", red="100000"),
        total("Pending", f"sum({gauge('holdfast_group_pending')})", yellow="10000"),
        total("Longest idle", f"max({gauge('holdfast_group_pending_oldest_seconds')})", "s", yellow="60", red="300"),
        total("Dead letters", f"sum({gauge('holdfast_dead_letters')})", yellow="1", red="1000"),
        total("Fewest consumers", f"min({gauge('holdfast_group_consumers')})", green="1"),
        total("Messages missing", f"sum({count('holdfast_entries_missing_total')})", red="1"),
    ),
    "Flow": (
        Panel("Published", {"{{stream}}": rate("holdfast_published_total", "by (stream)", OF_STREAM)}, "ops"),
        Panel("Published, bytes", {"{{stream}}":
              rate("holdfast_published_bytes_total", "by (stream)", OF_STREAM)}, "Bps"),
        Panel("Failed publishes", {"{{stream}}, in doubt: {{in_doubt}}":
              rate("holdfast_publish_failed_total", "by (stream, in_doubt)", OF_STREAM)}, "ops"),
        Panel("Acknowledged", {GROUP: rate("holdfast_acked_total")}, "ops"),
        Panel("Other outcomes", {
            "retried": rate("holdfast_retries_total", ""), "buried": rate("holdfast_buried_total", ""),
            "duplicate": rate("holdfast_duplicates_total", ""), "dropped": rate("holdfast_dropped_total", ""),
            "handed back": rate("holdfast_handed_back_total", ""),
            "refused": rate("holdfast_settle_refused_total", ""),
        }, "ops"),
        Panel("In flight", {GROUP: f"sum {BY} (holdfast_in_flight{{{OF}}})"}),
        Panel("Handling", quantiles("holdfast_handle_seconds"), "s"),
        Panel("One settle call", quantiles("holdfast_settle_seconds"), "s"),
        Panel("One publish call", quantiles("holdfast_publish_seconds", OF_STREAM), "s"),
    ),
    "Backlog": (
        Panel("Stream length", {"{{stream}}": gauge("holdfast_stream_length", OF_STREAM, "by (stream)")}),
        Panel("Unread by group", {GROUP: gauge("holdfast_group_lag")}, about="Gaps: the server does not know."),
        Panel("Pending", {f"pending {GROUP}": gauge("holdfast_group_pending"),
                          f"parked {GROUP}": gauge("holdfast_group_parked"),
                          f"due {GROUP}": gauge("holdfast_group_due")}),
        Panel("Longest idle", {GROUP: gauge("holdfast_group_pending_oldest_seconds")}, "s",
              steps={300: "red"}, about="Must exceed your slowest handler."),
        Panel("Largest share of one consumer", {GROUP: SHARE}, "percentunit", steps={0.8: "red"}),
        Panel("Consumers", {GROUP: gauge("holdfast_group_consumers")}),
        Panel("Since the last sweep", {GROUP: f"time() - {gauge('holdfast_group_sweep_timestamp_seconds')}"}, "s",
              steps={120: "red"}),
        Panel("Reported unseen", {GROUP: rate("holdfast_group_unseen_total")}, "ops"),
        Panel("Letters expired", {GROUP: rate("holdfast_letters_expired_total")}, "ops"),
        Panel("Trimmed", {"{{stream}}": rate("holdfast_trimmed_total", "by (stream)", OF_STREAM)}, "ops"),
    ),
    "Failures and dead letters": (
        Panel("Failed attempts", {"{{stage}} {{error_type}}":
              rate("holdfast_attempts_failed_total", "by (stage, error_type)")}, "ops"),
        Panel("Attempts until settled", {"p50": quantile(0.5, "holdfast_attempts"),
                                         "p99": quantile(0.99, "holdfast_attempts")}),
        Panel("Number of the failed attempt", {"p50": quantile(0.5, "holdfast_failed_attempt"),
                                               "p99": quantile(0.99, "holdfast_failed_attempt")}),
        Panel("Buried, by reason", {"{{reason}}": rate("holdfast_buried_total", "by (reason)")}, "ops"),
        Panel("Dead letters", {GROUP: gauge("holdfast_dead_letters")}),
        Panel("Oldest dead letter", {GROUP: gauge(DEAD_AGE)}, "s", steps={86400: "red"}),
        Panel("Dead-letter writes refused", {GROUP: rate("holdfast_bury_failed_total")}, "ops"),
        Panel("Replayed", {GROUP: rate("holdfast_replayed_total")}, "ops"),
        Panel("Letters checked", {"{{verdict}}": rate("holdfast_letters_checked_total", "by (verdict)")}, "ops"),
        Panel("Of unknown type or version", {GROUP: rate("holdfast_parked_unknown_total")}, "ops"),
        Panel("Overdue handlers", {GROUP: rate("holdfast_handler_overdue_total")}, "ops"),
        Panel("Breakers: 0 closed, 1 half open, 2 open", {"{{breaker}}": "max by (breaker) (holdfast_breaker_state)"},
              steps={1: "yellow", 2: "red"}),
    ),
    "Recovery": (
        Panel("Taken over", {GROUP: rate("holdfast_taken_over_total"),
                             f"lost race {GROUP}": rate("holdfast_take_over_lost_total")}, "ops"),
        Panel("Lost replies recovered", {GROUP: rate("holdfast_lost_replies_recovered_total")}, "ops"),
        Panel("Crashes charged", {GROUP: rate("holdfast_crashes_charged_total")}, "ops"),
        Panel("Payloads missing", {f"while pending {GROUP}": rate("holdfast_payload_missing_total"),
                                   f"before reading {GROUP}": rate("holdfast_entries_missing_total")}, "ops"),
        Panel("Parking repaired", {"{{kind}}": rate("holdfast_parking_repaired_total", "by (kind)")}, "ops"),
        Panel("Groups healed", {GROUP: rate("holdfast_groups_healed_total")}, "ops"),
        Panel("Effects kept and in doubt", {f"kept {GROUP}": gauge("holdfast_effect_records"),
                                            f"in doubt {GROUP}": gauge("holdfast_effects_in_doubt")}),
        Panel("Oldest effect in doubt", {GROUP: gauge("holdfast_effects_in_doubt_oldest_seconds")}, "s",
              steps={3600: "red"}),
    ),
    "Liveness": (
        Panel("Consumers started, stopped, reaped", {
            "started": rate("holdfast_consumers_started_total", ""),
            "stopped": rate("holdfast_consumers_stopped_total", ""),
            "reaped": rate("holdfast_consumers_reaped_total", ""),
        }, "ops"),
        Panel("Incarnations lost, by cause", {
            "{{cause}}": rate("holdfast_incarnations_lost_total", "by (cause)"),
            "deliveries revoked": rate("holdfast_deliveries_revoked_total", ""),
        }, "ops"),
        Panel("Event loop blocked", {"{{instance}}":
              rate("holdfast_loop_blocked_seconds_count", "by (instance)", "")}, "ops"),
        Panel("Server clock steps", {"new server: {{new_server}}":
              rate("holdfast_clock_steps_total", "by (new_server)")}, "ops"),
        Panel("Partition moves", {"{{move}}": rate("holdfast_partition_moves_total", "by (move)")}, "ops"),
        Panel("Updates left out of the metrics", {"{{instance}}":
              rate("holdfast_series_refused_total", "by (instance)", "")}, "ops"),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it (schema 39: Grafana 10 and later)."""
    return {
        "uid": "holdfast-streams", "title": "Holdfast streams", "tags": ["holdfast"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "",
        "description": "Streams, groups and dead letters. What to do when something is red: docs/how-to/runbooks.md.",
        "templating": {"list": [
            {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
            variable("stream", "label_values(holdfast_group_pending, stream)"),
            variable("group", 'label_values(holdfast_group_pending{stream=~"$stream"}, group)'),
        ]},
        "annotations": {"list": []},
        "panels": panels(),
    }


def variable(name: str, query: str) -> dict[str, Any]:
    """A choice at the top of the dashboard, of several values or all."""
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
            "query": {"query": query, "refId": name}, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def panels() -> list[dict[str, Any]]:
    """All panels with ids and places, row by row, 24 units wide."""
    found: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
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


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
