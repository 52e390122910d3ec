# SPDX-License-Identifier: Apache-2.0
"""The table of metrics, of traces that are read while their files grow."""

from __future__ import annotations

from .metric import ONE, Feed, Metric, count, gauge, seconds

#: Why a trace was closed.
_REASONS = ("idle", "age", "full", "end")

TRACES = (
    count("holdfast_traces_lines_total", "TracesRead", "lines", "Records of span files that were read.", labels=()),
    count("holdfast_traces_read_bytes_total", "TracesRead", "bytes", "Bytes of span files that were read.", labels=(),
          unit="bytes"),
    count("holdfast_traces_spans_total", "TracesRead", "spans", "Spans read.", labels=()),
    count("holdfast_traces_rejected_total", "TracesRead", "rejected", "Records that could not be read.", labels=()),
    gauge("holdfast_traces_lag_bytes", "lag_bytes", "Bytes of all span files that are not read yet.", labels=(),
          event="TracesRead", unit="bytes", across="sum"),
    gauge("holdfast_traces_open", "open_traces", "Traces to which spans may still come.", labels=(), event="TracesRead",
          across="sum"),
    gauge("holdfast_traces_open_spans", "open_spans", "Spans of traces to which more may still come.", labels=(),
          event="TracesRead", across="sum"),
    Metric("holdfast_traces_closed_total", "counter",
           "Traces that were closed, by why. full: memory ended before they rested.", ("why",),
           tuple(Feed("TracesClosed", why, {"why": why}) for why in _REASONS), closed={"why": _REASONS}),
    count("holdfast_traces_revised_total", "TracesClosed", "revisions",
          "Traces given out again, because spans came after they were closed.", labels=()),
    count("holdfast_traces_late_spans_total", "TracesClosed", "late",
          "Spans that came after their trace was closed.", labels=()),
    count("holdfast_traces_incomplete_total", "TracesClosed", "incomplete",
          "Traces closed with several roots, a missing caller or a circle.", labels=()),
    count("holdfast_traces_failed_total", "TracesClosed", "failed", "Traces closed whose root failed.", labels=()),
    seconds("holdfast_traces_root_seconds", "TracesClosed", "root_s", "How long traces lasted, by their longest root.",
            labels=()),
    count("holdfast_traces_file_errors_total", "TraceFileTrouble", ONE, "Looks at a span file that failed.", labels=()),
    count("holdfast_traces_thresholds_crossed_total", "TraceThresholdCrossed", ONE,
          "Times a threshold was crossed that was not before.", labels=()),
)
