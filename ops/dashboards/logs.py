# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-logs.json``. To add a panel, add a line.

Pipelines belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, gauge, quantiles, rate, total

BY = "by (pipeline)"
SOURCE = "by (pipeline, source)"
LINES = "holdfast_logs_lines_total"


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Standing still", "max(holdfast_logs_stalled)", red="1"),
        total("Lag", "max(holdfast_logs_lag_seconds)", "s", yellow="60", red="300"),
        total("Rejected, of all lines",
              f'sum(increase({LINES}{{outcome="rejected"}}[$__range])) / sum(increase({LINES}{{}}[$__range]))',
              "percentunit", yellow="0.01", red="0.05"),
        total("In spools", "sum(holdfast_logs_spool_bytes)", "bytes", yellow="1", red="500000000"),
        total("Dead letters", f"max({gauge('holdfast_logs_dead_letters', '', BY)})", yellow="1"),
        total("Lines", f"sum({rate(LINES, BY, '')})", "ops"),
    ),
    "Lines": (
        Panel("Lines, by what became of them", {"{{pipeline}} {{outcome}}":
              rate(LINES, "by (pipeline, outcome)", "")}, "ops"),
        Panel("Bytes", {"{{source}}": rate("holdfast_logs_bytes_total", SOURCE, "")}, "Bps"),
        Panel("Lag", {"{{source}}": gauge("holdfast_logs_lag_bytes", "", SOURCE)}, "bytes"),
        Panel("For how long", {"{{source}}": gauge("holdfast_logs_lag_seconds", "", SOURCE)}, "s",
              steps={60: "yellow", 300: "red"}),
        Panel("Since lines became durable last", {"{{source}}":
              f"time() - {gauge('holdfast_logs_done_timestamp_seconds', '', SOURCE)}"}, "s"),
        Panel("Files: found, rotated, truncated", {"{{source}} {{how}}":
              count("holdfast_logs_moved_total", "by (source, how)", "")}),
        Panel("Files that cannot be read", {"{{pipeline}} damaged {{damaged}}":
              count("holdfast_logs_unreadable_total", "by (pipeline, damaged)", "")}, steps={1: "yellow"}),
        Panel("Damaged checkpoints", {"{{pipeline}} {{to}}":
              count("holdfast_logs_checkpoint_fell_total", "by (pipeline, to)", "")}, steps={1: "red"}),
    ),
    "The sink": (
        Panel("Records", {"{{pipeline}} {{sink}} spooled {{spooled}}":
              rate("holdfast_logs_delivered_total", "by (pipeline, sink, spooled)", "")}, "ops"),
        Panel("A call", quantiles("holdfast_logs_write_seconds", ""), "s"),
        Panel("Calls in vain", {"{{sink}} {{why}}":
              rate("holdfast_logs_sink_failed_total", "by (sink, why)", "")}, "ops"),
        Panel("Refused", {"{{sink}}": rate("holdfast_logs_refused_total", "by (sink)", "")}, "ops"),
        Panel("Standing still, by why", {"{{pipeline}} {{why}}":
              gauge("holdfast_logs_stalled", "", "by (pipeline, why)")}, steps={1: "red"}),
        Panel("Into the spool", {"{{pipeline}}": rate("holdfast_logs_spooled_total", BY, "")}, "ops"),
        Panel("In the spool", {"{{pipeline}}": "sum by (pipeline) (holdfast_logs_spool_bytes)"}, "bytes"),
        Panel("Records in the spool", {"{{pipeline}}": "sum by (pipeline) (holdfast_logs_spool_records)"}),
        Panel("Age of the spool", {"{{pipeline}}": gauge("holdfast_logs_spool_oldest_seconds", "", BY)}, "s"),
        Panel("Damaged in the spool", {"{{pipeline}}":
              count("holdfast_logs_spool_damaged_bytes_total", BY, "")}, "bytes", steps={1: "red"}),
    ),
    "Dead letters": (
        Panel("Buried, by why", {"{{source}} {{stage}} {{reason}}":
              rate("holdfast_logs_buried_total", "by (source, stage, reason)", "")}, "ops"),
        Panel("Told of one by one", {"{{source}} {{reason}}":
              rate("holdfast_logs_line_alerts_total", "by (source, reason)", "")}, "ops"),
        Panel("Kept without their bytes", {"{{source}} {{reason}}":
              count("holdfast_logs_thinned_total", "by (source, reason)", "")}, steps={1: "yellow"}),
        Panel("Kept", {"{{pipeline}}": gauge("holdfast_logs_dead_letters", "", BY)}),
        Panel("Bytes kept", {"{{pipeline}}": gauge("holdfast_logs_dead_letter_bytes", "", BY)}, "bytes"),
        Panel("The oldest", {"{{pipeline}}": gauge("holdfast_logs_dead_letters_oldest_seconds", "", BY)}, "s"),
        Panel("Writes that failed", {"{{pipeline}}": count("holdfast_logs_bury_failed_total", BY, "")},
              steps={1: "red"}),
        Panel("Last resort", {"{{pipeline}} {{what}}":
              count("holdfast_logs_emergency_total", "by (pipeline, what)", "")}, steps={1: "red"}),
    ),
}
