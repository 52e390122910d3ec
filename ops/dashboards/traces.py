# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-traces.json``. To add a panel, add a line.

Spans in files belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, quantile, quantiles, rate, total

BY = "by (job)"

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Thresholds crossed", f"sum({count('holdfast_traces_thresholds_crossed_total', BY, '')})", yellow="1"),
        total("Records rejected", f"sum({count('holdfast_traces_rejected_total', BY, '')})", yellow="1"),
        total("Not read yet", "sum(holdfast_traces_lag_bytes)", "bytes", yellow="10000000", red="100000000"),
        total("Traces closed", "sum(rate(holdfast_traces_closed_total[$__rate_interval]))", "ops"),
        total("Spans read", f"sum({rate('holdfast_traces_spans_total', BY, '')})", "ops"),
        total("p99 of a trace", quantile(0.99, "holdfast_traces_root_seconds", ""), "s"),
    ),
    "Reading": (
        Panel("Records", {"{{job}}": rate("holdfast_traces_lines_total", BY, "")}, "ops"),
        Panel("Bytes", {"{{job}}": rate("holdfast_traces_read_bytes_total", BY, "")}, "Bps"),
        Panel("Spans", {"{{job}}": rate("holdfast_traces_spans_total", BY, "")}, "ops"),
        Panel("Rejected", {"{{job}}": rate("holdfast_traces_rejected_total", BY, "")}, "ops"),
        Panel("Not read yet", {"{{job}} {{instance}}": "sum by (job, instance) (holdfast_traces_lag_bytes)"}, "bytes"),
        Panel("Files that could not be read", {"{{job}}": count("holdfast_traces_file_errors_total", BY, "")},
              steps={1: "red"}),
    ),
    "Traces": (
        Panel("How long they last", quantiles("holdfast_traces_root_seconds", ""), "s"),
        Panel("Closed, by why", {"{{why}}": rate("holdfast_traces_closed_total", "by (why)", "")}, "ops"),
        Panel("Failed", {"{{job}}": rate("holdfast_traces_failed_total", BY, "")}, "ops"),
        Panel("Incomplete", {"{{job}}": rate("holdfast_traces_incomplete_total", BY, "")}, "ops"),
        Panel("Spans that came late", {"{{job}}": rate("holdfast_traces_late_spans_total", BY, "")}, "ops"),
        Panel("Given out again", {"{{job}}": rate("holdfast_traces_revised_total", BY, "")}, "ops"),
        Panel("Open traces", {"{{job}} {{instance}}": "sum by (job, instance) (holdfast_traces_open)"}),
        Panel("Spans of open traces", {"{{job}} {{instance}}": "sum by (job, instance) (holdfast_traces_open_spans)"}),
        Panel("Thresholds crossed", {"{{job}}": count("holdfast_traces_thresholds_crossed_total", BY, "")},
              steps={1: "yellow"}),
    ),
}
