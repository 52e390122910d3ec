# SPDX-License-Identifier: Apache-2.0
"""Metrics of log pipelines. A part of the table in ``metrics``.

``source`` is a path that was asked for: there are as many as are followed, and the sink caps them. Names of rotated
files, offsets and ids are no labels.
"""

from __future__ import annotations

from .metric import NOW, ONE, Feed, Metric, count, gauge, seconds

_PIPELINE = ("pipeline",)
_SOURCE = ("pipeline", "source")
_BOOL = ("false", "true")
_HOWS = ("new", "missed", "resumed", "renamed", "removed", "back", "truncated", "copied", "packed")
_STALLS = ("spool_full", "sink_down", "dead_letters", "checkpoint")
_WHAT = {"ok": "ok", "rejected": "rejected", "blank": "blank"}
#: One call of a sink.
_WRITE_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)

LOG_PIPELINES = (
    Metric("holdfast_logs_lines_total", "counter",
           "Lines that are durable, by what became of them: ok (in the sink or its spool), rejected (a dead letter), "
           "blank (no record in it). What the sink refuses later is ok here, and buried besides.",
           (*_SOURCE, "outcome"), tuple(Feed("LogsDone", field, {"outcome": name}) for name, field in _WHAT.items()),
           closed={"outcome": tuple(_WHAT)}),
    count("holdfast_logs_bytes_total", "LogsDone", "bytes", "Bytes of files that are durable.", labels=_SOURCE,
          unit="bytes"),
    Metric("holdfast_logs_done_timestamp_seconds", "gauge", "When lines of the source became durable last.", _SOURCE,
           (Feed("LogsDone", NOW),), "seconds", "max"),
    Metric("holdfast_logs_buried_total", "counter", "Lines that became dead letters, by where and why they failed.",
           (*_SOURCE, "stage", "reason"), (Feed("LogsBuried", "count"),)),
    Metric("holdfast_logs_line_alerts_total", "counter",
           "Dead letters that were told of one by one; the first of a source and reason in each minute.",
           (*_SOURCE, "reason"), (Feed("LogsLineBuried"),)),
    Metric("holdfast_logs_thinned_total", "counter",
           "Dead letters kept without their bytes, since one error flooded and it was asked for.",
           (*_SOURCE, "reason"), (Feed("LogsThinned", "count"),)),
    count("holdfast_logs_bury_failed_total", "LogsBuryFailed", ONE, "Writes of dead letters that failed.",
          labels=_PIPELINE),
    count("holdfast_logs_emergency_total", "LogsEmergency", "count",
          "Dead letters written to the file of last resort, and moved from there to where they belong.",
          labels=_PIPELINE, closed={"what": ("written", "moved")}),
    count("holdfast_logs_delivered_total", "LogsDelivered", "count", "Records that sinks took or refused.",
          labels=(*_PIPELINE, "sink"), closed={"spooled": _BOOL}),
    count("holdfast_logs_refused_total", "LogsDelivered", "refused", "Records that sinks will never take.",
          labels=(*_PIPELINE, "sink")),
    seconds("holdfast_logs_write_seconds", "LogsDelivered", "seconds",
            "Time of one call of a sink, however many records it carries.", labels=(*_PIPELINE, "sink"),
            buckets=_WRITE_SECONDS),
    count("holdfast_logs_sink_failed_total", "LogsSinkFailed", ONE,
          "Calls of a sink in vain, each of which is repeated: it is down, or raised what it should not (fault).",
          labels=(*_PIPELINE, "sink"), closed={"why": ("down", "fault")}),
    count("holdfast_logs_spooled_total", "LogsSpooled", "count", "Records put into the spool.", labels=_PIPELINE),
    gauge("holdfast_logs_spool_bytes", "bytes", "Bytes in the spool.", labels=_PIPELINE, unit="bytes",
          event="LogsSpoolStood", across="sum"),
    gauge("holdfast_logs_spool_records", "records", "Records in the spool.", labels=_PIPELINE,
          event="LogsSpoolStood", across="sum"),
    gauge("holdfast_logs_spool_oldest_seconds", "oldest_s", "Age of the oldest segment of the spool.",
          labels=_PIPELINE, unit="seconds", event="LogsSpoolStood", across="max"),
    count("holdfast_logs_spool_damaged_bytes_total", "LogsSpoolDamaged", "bytes",
          "Bytes of the spool that could not be read any more, and were set aside.", labels=_PIPELINE, unit="bytes"),
    gauge("holdfast_logs_lag_bytes", "bytes", "Bytes of the source that are there and not durable yet.",
          labels=_SOURCE, unit="bytes", event="LogsLag", across="sum"),
    gauge("holdfast_logs_lag_seconds", "seconds", "For how long there have been such bytes without a break.",
          labels=_SOURCE, unit="seconds", event="LogsLag", across="max"),
    count("holdfast_logs_moved_total", "LogsMoved", ONE,
          "Contents that were found, rotated, truncated, or found again in another file.", labels=_SOURCE,
          closed={"how": _HOWS}),
    count("holdfast_logs_unreadable_total", "LogsUnreadable", ONE,
          "Files that could not be read; damaged: not behind some place, for good.", labels=_PIPELINE,
          closed={"damaged": _BOOL}),
    count("holdfast_logs_checkpoint_fell_total", "LogsCheckpointFell", ONE,
          "Damaged checkpoints, by what counted instead: the one before it, or none.", labels=_PIPELINE,
          closed={"to": ("before", "none")}),
    Metric("holdfast_logs_stalled", "gauge", "Whether the pipeline stands still, by why: 1, or 0.",
           (*_PIPELINE, "why"), (Feed("LogsStalled", "stalled"),), across="max", closed={"why": _STALLS}),
    gauge("holdfast_logs_dead_letters", "count", "Dead letters that are kept.", labels=_PIPELINE,
          event="LogsDeadStood", across="max"),
    gauge("holdfast_logs_dead_letter_bytes", "bytes", "Bytes of dead letters that are kept.", labels=_PIPELINE,
          unit="bytes", event="LogsDeadStood", across="max"),
    gauge("holdfast_logs_dead_letters_oldest_seconds", "oldest_s", "Age of the oldest dead letter that is kept.",
          labels=_PIPELINE, unit="seconds", event="LogsDeadStood", across="max"),
)
