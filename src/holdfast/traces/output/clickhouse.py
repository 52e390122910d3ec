# SPDX-License-Identifier: Apache-2.0
"""The way to more than one machine: our columns, one to one, in ClickHouse's table of OpenTelemetry traces. Pure.

``otel_traces`` is the table that the OpenTelemetry collector's exporter makes and that Grafana and ClickStack read.
``TABLE`` makes it where there is none; ``insert`` fills it from the Parquet files of ``parquet.py``; ``VIEW`` shows a
DuckDB table ``span`` under the same names. So a question is asked once: ``QUERIES`` has pairs that differ in nothing
but the names of functions, and tests hold that both engines answer them with equal rows.

What a span here does not have (trace state, scope, status message, events, links) stays empty there. That a parent does
not wait is the attribute ``holdfast.follows``, since the table has no column for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from .parquet import ATTRIBUTES

#: As the exporter (v0.120 and later) makes it, less how long rows are kept, which is the owner's to say.
TABLE = """CREATE TABLE IF NOT EXISTS otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String))
        CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String))
        CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
) ENGINE = MergeTree() PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``otel_traces``: of the files in ClickHouse's words, and of the table ``span`` in DuckDB's."""

    name: str
    clickhouse: str
    duckdb: str


_KINDS = {"": "Unspecified", "internal": "Internal", "server": "Server", "client": "Client", "producer": "Producer",
          "consumer": "Consumer"}
_KIND = "CASE kind " + " ".join(f"WHEN '{ours}' THEN '{theirs}'" for ours, theirs in _KINDS.items()) + \
    " ELSE 'Unspecified' END"
_STATUS = "CASE WHEN error THEN 'Error' ELSE 'Unset' END"

COLUMNS = (
    Column("Timestamp", "fromUnixTimestamp64Nano(start_ns, 'UTC')", "make_timestamp_ns(start_ns)"),
    Column("TraceId", "trace_id", "trace_id"),
    Column("SpanId", "span_id", "span_id"),
    Column("ParentSpanId", "parent_id", "parent_id"),
    Column("SpanName", "operation", "operation"),
    Column("SpanKind", _KIND, _KIND),
    Column("ServiceName", "service", "service"),
    Column("ResourceAttributes",
           "mapFilter((k, v) -> v != '', map('service.name', service, 'host.name', host))",
           "map_from_entries(list_filter(map_entries(MAP {'service.name': service, 'host.name': host}), "
           "lambda one: one.value <> ''))"),
    Column("SpanAttributes",
           "mapConcat(attributes, if(follows, map('holdfast.follows', 'true'), map()))",
           f"map_concat({ATTRIBUTES}, CASE WHEN follows THEN MAP {{'holdfast.follows': 'true'}} ELSE MAP {{}} END)"),
    Column("Duration", "toUInt64(greatest(duration_ns, 0))", "CAST(greatest(end_ns - start_ns, 0) AS UBIGINT)"),
    Column("StatusCode", _STATUS, _STATUS),
)

_SHOWN = ", ".join(f"{column.duckdb} AS {column.name}" for column in COLUMNS)
VIEW = f"CREATE OR REPLACE VIEW otel_traces AS SELECT {_SHOWN} FROM span"  # noqa: S608 - no text of anybody else's


def insert(folder: PurePath | str) -> str:
    """The statement that reads the files of ``folder`` into ``otel_traces``. The server has to see the folder."""
    files = f"{folder}/**/*.parquet".replace("\\", "\\\\").replace("'", "\\'")
    names, sources = ", ".join(c.name for c in COLUMNS), ", ".join(c.clickhouse for c in COLUMNS)
    return f"INSERT INTO otel_traces ({names}) SELECT {sources} FROM file('{files}', Parquet)"  # noqa: S608 - quoted


@dataclass(frozen=True, slots=True)
class Query:
    """One question in both dialects; both give rows in an order."""

    duckdb: str
    clickhouse: str


def _both(sql: str, **words: tuple[str, str]) -> Query:
    """sql: with ``{name}`` where the dialects differ; words: DuckDB's and ClickHouse's."""
    return Query(sql.format(**{name: pair[0] for name, pair in words.items()}),
                 sql.format(**{name: pair[1] for name, pair in words.items()}))


def _percentile(q: float) -> tuple[str, str]:
    """Linear interpolation, exact, rounded down to whole ns: what reports here mean by a percentile. What is added is
    more than a double errs by."""
    return (f"CAST(floor(quantile_cont(Duration, {q}) + 0.001) AS BIGINT)",
            f"toInt64(floor(quantileExactInclusive({q})(Duration) + 0.001))")


_DURATION = "CAST(Duration AS BIGINT)", "toInt64(Duration)"
QUERIES = {
    "operations": _both(
        "SELECT ServiceName, SpanName, count(*) AS spans, "
        "sum(CASE WHEN StatusCode = 'Error' THEN 1 ELSE 0 END) AS failed, {p50} AS p50, {p99} AS p99, "
        "max(Duration) AS longest FROM otel_traces GROUP BY ServiceName, SpanName "
        "ORDER BY ServiceName, SpanName", p50=_percentile(0.5), p99=_percentile(0.99)),
    "edges": _both(
        "SELECT p.ServiceName AS source, c.ServiceName AS target, count(*) AS calls FROM otel_traces AS c "
        "INNER JOIN otel_traces AS p ON c.TraceId = p.TraceId AND c.ParentSpanId = p.SpanId "
        "WHERE c.ServiceName <> p.ServiceName GROUP BY p.ServiceName, c.ServiceName ORDER BY source, target"),
    "spans": _both(
        "SELECT TraceId, SpanId, ParentSpanId, {ns} AS start_ns, {duration} AS ns, SpanKind, StatusCode, "
        "{host} AS host, {keys} AS keys FROM otel_traces ORDER BY TraceId, SpanId, start_ns, SpanKind",
        ns=("epoch_ns(Timestamp)", "toUnixTimestamp64Nano(Timestamp)"), duration=_DURATION,
        host=("coalesce(ResourceAttributes['host.name'], '')", "ResourceAttributes['host.name']"),
        keys=("array_to_string(list_sort(map_keys(SpanAttributes)), ',')",
              "arrayStringConcat(arraySort(mapKeys(SpanAttributes)), ',')")),
    "slowest": _both(
        "SELECT TraceId, max({duration}) AS longest FROM otel_traces WHERE ParentSpanId = '' GROUP BY TraceId "
        "ORDER BY longest DESC, TraceId LIMIT 10", duration=_DURATION),
}
