# SPDX-License-Identifier: Apache-2.0
"""The report as metrics in Prometheus' text format, under the names that Tempo's metrics generator gives them, so that
dashboards made for those show a file of spans as well.

``traces_spanmetrics_…`` are of operations, ``traces_service_graph_…`` of calls between services, ``traces_report_…`` of
the file. Histograms are classic; their buckets are Tempo's. Duplicates and conflicts are left out, as in the report. A
file has an end, so these are not counters of a process: push them, or let the node exporter's collector of text files
read them, once a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..answers.nodes import Table, dropped, nodes
from ..answers.report import Report

#: Bounds in seconds.
BUCKETS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.02, 2.05, 4.1, 8.2, 15.0)
#: Characters of a label that are kept.
LABEL_MAX = 300
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_COUNTED = ", ".join(f"count(*) FILTER (us <= {round(bound * 1e6)})" for bound in BUCKETS)

_OPERATIONS = f"""
SELECT service, operation, count(*), count(*) FILTER (error), sum(us)::BIGINT, {_COUNTED}
FROM node GROUP BY service, operation ORDER BY service, operation
"""  # noqa: S608 - no text of anybody else's

_CALLS = f"""
SELECT p.service, n.service, count(*), count(*) FILTER (n.error), sum(n.us)::BIGINT,
       {_COUNTED.replace("us", "n.us")}
FROM node n JOIN node p ON n.parent = p.id WHERE n.service <> p.service
GROUP BY p.service, n.service ORDER BY p.service, n.service
"""  # noqa: S608

#: service, operation (or caller, callee), count, errors, µs, and the count below each bound.
Row = Sequence[Any]


def exposition(table: Table, report: Report) -> str:
    """The page. table: of which the report is."""
    with dropped(table):
        nodes(table)
        operations, calls = table.query(_OPERATIONS), table.query(_CALLS)
    return "".join(line + "\n" for part in (_operations(operations), _calls(calls), _file(report)) for line in part)


def _operations(rows: Sequence[Row]) -> Iterator[str]:
    yield from _head("traces_spanmetrics_calls_total", "counter", "Spans of an operation, by how they ended.")
    for service, operation, count, errors, *_ in rows:
        whose = {"service": service, "span_name": operation}
        for status, number in (("STATUS_CODE_UNSET", count - errors), ("STATUS_CODE_ERROR", errors)):
            yield _sample("traces_spanmetrics_calls_total", {**whose, "status_code": status}, number)
    yield from _head("traces_spanmetrics_latency", "histogram", "Time of an operation's spans, in seconds.")
    for row in rows:
        yield from _histogram("traces_spanmetrics_latency", {"service": row[0], "span_name": row[1]}, row)


def _calls(rows: Sequence[Row]) -> Iterator[str]:
    stem = "traces_service_graph_request"
    whose = [{"client": row[0], "server": row[1], "connection_type": ""} for row in rows]
    yield from _head(f"{stem}_total", "counter", "Calls of one service to another.")
    for labels, row in zip(whose, rows, strict=True):
        yield _sample(f"{stem}_total", labels, row[2])
    yield from _head(f"{stem}_failed_total", "counter", "Calls whose callee's span says error.")
    for labels, row in zip(whose, rows, strict=True):
        yield _sample(f"{stem}_failed_total", labels, row[3])
    yield from _head(f"{stem}_server_seconds", "histogram", "Time of the callee's span, in seconds.")
    for labels, row in zip(whose, rows, strict=True):
        yield from _histogram(f"{stem}_server_seconds", labels, row)


def _file(report: Report) -> Iterator[str]:
    for name, text, value in (
            ("traces", "Traces of the file.", report.traces),
            ("spans", "Spans of the file, without duplicates and conflicts.", report.spans),
            ("rejected_records", "Records that could not be read.", report.rejected),
            ("incomplete_traces", "Traces with several roots, a missing caller or a circle.", report.incomplete),
            ("duplicate_spans", "Spans that came again, the same.", report.duplicates),
            ("conflicting_spans", "Spans that came again with other content.", report.conflicts)):
        yield from _head(f"traces_report_{name}", "gauge", text)
        yield _sample(f"traces_report_{name}", {}, value)
    yield from _head("traces_report_root_seconds", "gauge", "How long traces last, by quantile.")
    root = report.root_us
    for quantile, us in (("0", root.min), ("0.5", root.median), ("0.9", root.p90), ("0.99", root.p99), ("1", root.max)):
        yield _sample("traces_report_root_seconds", {"quantile": quantile}, us / 1e6)


def _histogram(name: str, labels: Mapping[str, str], row: Row) -> Iterator[str]:
    _, _, count, _, us, *below = row
    for bound, number in zip(BUCKETS, below, strict=True):
        yield _sample(f"{name}_bucket", {**labels, "le": f"{bound:g}"}, number)
    yield _sample(f"{name}_bucket", {**labels, "le": "+Inf"}, count)
    yield _sample(f"{name}_sum", labels, us / 1e6)
    yield _sample(f"{name}_count", labels, count)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{key}="{label(text)}"' for key, text in labels.items())
    return f"{name}{{{said}}} {value!r}" if said else f"{name} {value!r}"


def label(text: str) -> str:
    """A label's value, escaped; long ones end in ``…``."""
    short = text if len(text) <= LABEL_MAX else text[:LABEL_MAX - 1] + "…"
    return short.translate(_ESCAPED)  # guard: a name cannot end its label
