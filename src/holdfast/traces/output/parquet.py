# SPDX-License-Identifier: Apache-2.0
"""Spans as Parquet, in folders by hour and by trace: ``hour=2023-01-29T10/part=7/data_0.parquet``.

Any engine that knows Hive's folders reads them: DuckDB, Spark, Trino, ClickHouse. ``hour`` is the UTC hour in which a
span begins, so a question about an evening opens one folder an hour. ``part`` is the first hex digit of the MD5 of the
trace's id, in every engine the same: a trace lies in one of sixteen, so that tasks can assemble traces without
exchanging spans, but for traces that cross an hour. Compressed with zstd, sorted by trace.

The folder is written under another name and moved to its place: who reads finds all of it or nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ...errors import ConfigurationError
from ..table import SpanTable

#: Attributes as a map of texts. They are an object, or OTLP's list of keys and values; of equal keys the first one
#: stands. What is neither is kept whole under one name.
ATTRIBUTES = """CASE
    WHEN attributes = '' THEN MAP {}
    WHEN starts_with(attributes, '[') THEN coalesce(
        list_reduce(list_prepend(MAP {}::MAP(VARCHAR, VARCHAR), list_transform(
            TRY_CAST(TRY_CAST(attributes AS JSON) AS STRUCT("key" VARCHAR, "value" JSON)[]),
            lambda one: MAP {one.key: coalesce(one.value->>'$.stringValue', one.value->>'$.intValue',
                one.value->>'$.boolValue', one.value->>'$.doubleValue', CAST(one.value AS VARCHAR), '')})),
            lambda known, more: map_concat(more, known)), MAP {'attributes': attributes})
    ELSE coalesce(TRY_CAST(TRY_CAST(attributes AS JSON) AS MAP(VARCHAR, VARCHAR)), MAP {'attributes': attributes})
END"""
#: The columns of the files, as SQL over the table ``span``.
COLUMNS = {
    "trace_id": "trace_id", "span_id": "span_id", "parent_id": "parent_id", "service": "service",
    "operation": "operation", "kind": "kind", "start_ns": "start_ns", "duration_ns": "end_ns - start_ns",
    "error": "error", "host": "host", "follows": "follows", "attributes": ATTRIBUTES,
}
FOLDERS = {"hour": "strftime(make_timestamp(start_ns // 1000), '%Y-%m-%dT%H')", "part": "substr(md5(trace_id), 1, 1)"}


def selection() -> str:
    """The query whose rows are the files' rows, folders included."""
    columns = ", ".join(f"{sql} AS {name}" for name, sql in (COLUMNS | FOLDERS).items())
    return f"SELECT {columns} FROM span"  # noqa: S608 - no text of anybody else's


def write(table: SpanTable, folder: Path) -> int:
    """Writes all spans; how many. folder: one that is not there yet, or is empty. Raises ConfigurationError."""
    refuse_full(folder)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        target = str(beside / "all").replace("'", "''")
        table.query(f"COPY ({selection()} ORDER BY hour, part, trace_id, start_ns) TO '{target}' "
                    "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (hour, part))")
        (beside / "all").mkdir(exist_ok=True)  # no spans, no folder
        (beside / "all").replace(folder)  # guard: in one step
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return int(table.query("SELECT count(*) FROM span")[0][0])


def refuse_full(folder: Path) -> None:
    """Raises ConfigurationError where something lies already: nobody's files are mixed with ours."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} holds something already: name a folder that is not there yet")
