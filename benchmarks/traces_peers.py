# SPDX-License-Identifier: Apache-2.0
"""One contestant and one file of spans, in a process of its own: count, errors, p50 and p99 of each operation.

Each is configured as its documentation advises for a file whose shape is known: columns named with their types, no
guessing. DuckDB has ``records=true`` and the threads it is given; Polars streams with a schema; pandas takes lines in
chunks. Loops are what people write. Where a file has bad lines, each is told to go on where it can be told so.

``python -m benchmarks.traces_peers NAME SHAPE PATH`` prints one line of JSON: answer, spans, bad (null: it cannot say).
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .traces_data import digest, linear

Rows = list[list[Any]]
Found = tuple[Rows, int | None]
THREADS = 2
_PERCENTILES = "quantile_cont(us, [0.5, 0.99])"
_COLUMNS = ("{trace_id:'VARCHAR',service:'VARCHAR',operation:'VARCHAR',start_ns:'BIGINT',end_ns:'BIGINT',"
            "error:'BOOLEAN'}")
_OTLP_COLUMNS = ("{resourceSpans:'STRUCT(resource STRUCT(attributes STRUCT(\"key\" VARCHAR, \"value\" STRUCT("
                 "stringValue VARCHAR))[]), scopeSpans STRUCT(spans STRUCT(traceId VARCHAR, name VARCHAR, "
                 "startTimeUnixNano BIGINT, endTimeUnixNano BIGINT, status STRUCT(code INTEGER))[])[])[]'}")


def holdfast(path: str, shape: str) -> Found:
    """Every bad line is counted and kept with its place."""
    from holdfast.traces import operations

    found = operations([path], format=shape, threads=THREADS)
    return [[one.service, one.operation, one.count, one.errors, one.p50_us, one.p99_us]
            for one in sorted(found.operations, key=lambda one: (one.service, one.operation))], found.rejected


def duckdb(path: str, shape: str) -> Found:
    """Tuned: columns, records=true, ignore_errors=true. A bad line is a row of NULLs."""
    import duckdb as library

    connection = library.connect(config={"threads": THREADS})
    how = "format='newline_delimited', records=true, ignore_errors=true, maximum_object_size=67108864"
    if shape == "spans":
        source = (f"SELECT service, operation, (end_ns - start_ns) // 1000 AS us, error FROM read_json('{path}', "
                  f"{how}, columns={_COLUMNS}) WHERE trace_id IS NOT NULL")
    else:
        source = (f"SELECT service, s.name AS operation, (s.endTimeUnixNano - s.startTimeUnixNano) // 1000 AS us, "
                  f"coalesce(s.status.code, 0) = 2 AS error FROM (SELECT list_filter(r.resource.attributes, lambda a: "
                  f"a.key = 'service.name')[1].value.stringValue AS service, unnest(flatten(list_transform("
                  f"r.scopeSpans, lambda c: c.spans))) AS s FROM (SELECT unnest(resourceSpans) AS r FROM "
                  f"read_json('{path}', {how}, columns={_OTLP_COLUMNS})))")
    rows = connection.execute(f"SELECT service, operation, count(*), count(*) FILTER (error), {_PERCENTILES} FROM "
                              f"({source}) GROUP BY ALL ORDER BY ALL").fetchall()
    return [[*row[:4], *(int(one + 0.0005) for one in row[4])] for row in rows], None


def polars(path: str, shape: str) -> Found:
    """A schema, streaming, ignore_errors=True: it raises at a line that is cut, and then there is no answer."""
    import polars as pl

    text, number = pl.String, pl.Int64
    if shape == "spans":
        lazy = pl.scan_ndjson(path, ignore_errors=True, schema={
            "service": text, "operation": text, "start_ns": number, "end_ns": number, "error": pl.Boolean})
        lazy = lazy.with_columns(us=(pl.col("end_ns") - pl.col("start_ns")) // 1000)
    else:
        attribute = pl.Struct({"key": text, "value": pl.Struct({"stringValue": text})})
        span = pl.Struct({"name": text, "startTimeUnixNano": text, "endTimeUnixNano": text,
                          "status": pl.Struct({"code": number})})
        lazy = pl.scan_ndjson(path, ignore_errors=True, schema={"resourceSpans": pl.List(pl.Struct({
            "resource": pl.Struct({"attributes": pl.List(attribute)}),
            "scopeSpans": pl.List(pl.Struct({"spans": pl.List(span)}))}))})
        lazy = lazy.explode("resourceSpans").unnest("resourceSpans").with_columns(
            service=pl.col("resource").struct.field("attributes").list.first().struct.field("value").struct.field(
                "stringValue")).explode("scopeSpans").unnest("scopeSpans").explode("spans").unnest("spans")
        lazy = lazy.with_columns(
            us=(pl.col("endTimeUnixNano").cast(number) - pl.col("startTimeUnixNano").cast(number)) // 1000,
            operation=pl.col("name"), error=pl.col("status").struct.field("code").fill_null(0) == 2)
    found = lazy.group_by("service", "operation").agg(
        pl.len(), pl.col("error").sum(), p50=pl.col("us").quantile(0.5, "linear"),
        p99=pl.col("us").quantile(0.99, "linear")).sort("service", "operation").collect(engine="streaming")
    return [[*row[:4], int(row[4] + 0.0005), int(row[5] + 0.0005)] for row in found.rows()], None


def pandas(path: str, _: str) -> Found:
    """``read_json(lines=True)`` in chunks. It raises at a bad line."""
    import pandas as pd

    parts = []
    for chunk in pd.read_json(path, lines=True, chunksize=50_000, dtype=False):
        part = chunk[["service", "operation", "error"]]
        parts.append(part.assign(us=(chunk["end_ns"] - chunk["start_ns"]) // 1000))
    groups = pd.concat(parts).groupby(["service", "operation"], sort=True)
    found = groups.agg(n=("us", "size"), errors=("error", "sum"), p50=("us", lambda us: us.quantile(0.5)),
                       p99=("us", lambda us: us.quantile(0.99)))
    return [[*name, int(row.n), int(row.errors), int(row.p50 + 0.0005), int(row.p99 + 0.0005)]
            for name, row in zip(found.index, found.itertuples(), strict=True)], None


def loop_json(path: str, shape: str) -> Found:
    """``json.loads`` line by line. It counts what it cannot read."""
    bad = 0

    def spans() -> Iterator[tuple[str, str, int, bool]]:
        nonlocal bad
        with open(path, "rb") as file:  # noqa: PTH123 - as people write it
            for line in file:
                try:
                    found = json.loads(line)
                except ValueError:
                    bad += 1
                    continue
                yield from _flat(found) if shape == "spans" else _nested(found)

    return _added_up(spans()), bad


def loop_msgspec(path: str, shape: str) -> Found:
    """The fastest loop there is in Python: typed records, of the fields that are asked for alone."""
    import msgspec

    types = _types(msgspec)
    decoder, bad = msgspec.json.Decoder(types[shape], strict=False), 0

    def spans() -> Iterator[tuple[str, str, int, bool]]:
        nonlocal bad
        with open(path, "rb") as file:  # noqa: PTH123 - as people write it
            for line in file:
                try:
                    found = decoder.decode(line)
                except msgspec.DecodeError:
                    bad += 1
                    continue
                if shape == "spans":
                    yield found.service, found.operation, (found.end_ns - found.start_ns) // 1000, found.error
                    continue
                for resource in found.resourceSpans:
                    service = resource.resource.attributes[0].value.stringValue
                    for scope in resource.scopeSpans:
                        for span in scope.spans:
                            yield (service, span.name, (span.endTimeUnixNano - span.startTimeUnixNano) // 1000,
                                   span.status.code == 2)

    return _added_up(spans()), bad


def _types(msgspec: Any) -> dict[str, Any]:
    made = msgspec.defstruct
    value = made("Value", [("stringValue", str, "")])
    attribute = made("Attribute", [("key", str), ("value", value)])
    resource = made("Resource", [("attributes", list[attribute])])
    status = made("Status", [("code", int, 0)])
    span = made("Span", [("name", str), ("startTimeUnixNano", int), ("endTimeUnixNano", int), ("status", status)])
    scope = made("Scope", [("spans", list[span])])
    of_resource = made("OfResource", [("resource", resource), ("scopeSpans", list[scope])])
    return {"otlp": made("Batch", [("resourceSpans", list[of_resource])]), "spans": made(
        "Flat", [("service", str), ("operation", str), ("start_ns", int), ("end_ns", int), ("error", bool)])}


def loop_re(path: str, _: str) -> Found:
    """One regular expression a line, as a script has it that knows its writer."""
    pattern = re.compile(rb'"service":"([^"]*)","operation":"([^"]*)","start_ns":(\d+),"end_ns":(\d+),"kind":"[^"]*",'
                         rb'"error":(true|false).*\}$')
    bad = 0

    def spans() -> Iterator[tuple[str, str, int, bool]]:
        nonlocal bad
        with open(path, "rb") as file:  # noqa: PTH123 - as people write it
            for line in file:
                found = pattern.search(line)
                if found is None:
                    bad += 1
                    continue
                service, operation, start, end, error = found.groups()
                yield service.decode(), operation.decode(), (int(end) - int(start)) // 1000, error == b"true"

    return _added_up(spans()), bad


def _flat(found: dict[str, Any]) -> Iterator[tuple[str, str, int, bool]]:
    yield found["service"], found["operation"], (found["end_ns"] - found["start_ns"]) // 1000, found["error"]


def _nested(found: dict[str, Any]) -> Iterator[tuple[str, str, int, bool]]:
    for resource in found["resourceSpans"]:
        service = resource["resource"]["attributes"][0]["value"]["stringValue"]
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield (service, span["name"], (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) // 1000,
                       span["status"].get("code") == 2)


def _added_up(spans: Iterable[tuple[str, str, int, bool]]) -> Rows:
    durations: dict[tuple[str, str], list[int]] = defaultdict(list)
    errors: dict[tuple[str, str], int] = defaultdict(int)
    for service, operation, us, error in spans:
        durations[service, operation].append(us)
        if error:
            errors[service, operation] += 1
    return [[*name, len(found), errors[name], linear(found, 500), linear(found, 990)]
            for name in sorted(durations) for found in [sorted(durations[name])]]


#: Contestant → how it is called, and what shapes it takes part in.
PEERS: dict[str, tuple[Callable[[str, str], Found], tuple[str, ...]]] = {
    "holdfast": (holdfast, ("spans", "otlp")), "duckdb": (duckdb, ("spans", "otlp")),
    "polars": (polars, ("spans", "otlp")), "pandas": (pandas, ("spans",)), "msgspec": (loop_msgspec, ("spans", "otlp")),
    "json": (loop_json, ("spans", "otlp")), "re": (loop_re, ("spans",)),
}


def main(name: str, shape: str, path: str) -> int:
    """Exit code 0: there is an answer, right or not. 1: it raised, which is told as its answer."""
    os.environ.setdefault("POLARS_MAX_THREADS", str(THREADS))
    try:
        rows, bad = PEERS[name][0](path, shape)
    except Exception as error:  # noqa: BLE001 - whatever a contestant says to a bad line is its answer
        print(json.dumps({"error": f"{type(error).__name__}: {str(error)[:200]}"}))
        return 1
    print(json.dumps({"answer": digest(rows), "spans": sum(row[2] for row in rows), "bad": bad}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
