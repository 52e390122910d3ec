# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces convert``: the same spans in another format."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import say, show
from .traces_files import Asked, file_options, files_argument, table_of

if TYPE_CHECKING:
    from ..traces.output.writers import Written
    from ..traces.span import Span
    from ..traces.table import SpanTable

FORMS = ("csv", "jaeger", "otlp", "parquet", "spans", "zipkin")


@click.command("convert")
@files_argument
@click.option("--to", "form", type=click.Choice(FORMS), required=True, help="the format that is written")
@click.option("-o", "--out", type=click.Path(path_type=Path, allow_dash=True), default="-", show_default=True,
              help="where to; - is stdout; a folder that is not there yet for parquet")
@click.option("--clickhouse", is_flag=True,
              help="with --to parquet: print the statements that take the files into ClickHouse's otel_traces")
@file_options
def convert(*, files: tuple[str, ...], form: str, out: Path, clickhouse: bool, **asked: Any) -> None:
    """Write spans in another format, whole traces one behind the other.

    Spans that came twice are written once, spans in conflict all. What the format cannot hold is counted and said.
    Parquet lies in folders by hour and by the hash of the trace.
    """
    if clickhouse and form != "parquet":
        raise click.UsageError("--clickhouse goes with --to parquet")
    if form == "parquet":
        _to_parquet(files, out, Asked(**asked), clickhouse=clickhouse)
        return
    with table_of(files, Asked(**asked)) as table:
        write_spans(form, _spans(table), out, "--out")


def _to_parquet(files: tuple[str, ...], folder: Path, asked: Asked, *, clickhouse: bool) -> None:
    from ..traces.output.parquet import refuse_full, write

    if str(folder) == "-":
        raise click.UsageError("Parquet goes into a folder: name it with -o")
    refuse_full(folder)
    with table_of(files, asked) as table:
        say(f"wrote {write(table, folder)} spans to {folder}")
    if clickhouse:
        from ..traces.output.clickhouse import TABLE, insert

        show(f"{TABLE};\n\n{insert(folder)};")


def _spans(table: SpanTable) -> Iterator[tuple[str, list[Span]]]:
    twice = 0
    for trace in table.traces():
        twice += trace.duplicates
        yield trace.trace_id, [*trace.spans, *trace.conflicts]  # guard: conflicting spans are written as well
    if twice:
        say(f"{twice} spans had come twice and were written once")


def write_spans(form: str, traces: Iterable[tuple[str, list[Span]]], out: Path, flag: str) -> None:
    """Writes traces in one of ``writers.FORMS``; a file in one step. Raises ConfigurationError."""
    from ..errors import ConfigurationError
    from ..traces.output.writers import FORMS as WRITERS
    from ..traces.output.writers import write

    if str(out) == "-":
        _said(write(WRITERS[form], traces, sys.stdout.buffer), form, "stdout")
        sys.stdout.buffer.flush()
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            done = write(WRITERS[form], traces, file)
        beside.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{flag}: {out} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    _said(done, form, str(out))


def _said(done: Written, form: str, where: str) -> None:
    say(f"wrote {done.spans} spans of {done.traces} traces to {where}")
    for what, count in sorted(done.lost.items()):
        say(f"{form} does not hold {what}: {count} spans lost it")


COMMANDS: dict[str, click.Command] = {"convert": convert}
