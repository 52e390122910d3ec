# SPDX-License-Identifier: Apache-2.0
"""What all commands on spans take: files, their format, a period, a place for what could not be read."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .output import progress, say
from .params import SINCE

if TYPE_CHECKING:
    from ..traces.formats import Bad
    from ..traces.table import SpanTable

F = TypeVar("F", bound=Callable[..., Any])

#: As in ``traces.formats``, which is opened late; a test holds them together.
FORMATS = ("csv", "jaeger", "otlp", "spans", "text", "zipkin")
MODES = ("sweep", "crisp", "jaeger")
OUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
#: Seconds between two looks at whether a bar is to be shown.
_LOOK_S = 0.5
_MEMORY_MB = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """Which spans are wanted."""

    format: str | None = None
    columns: dict[str, str] | None = None
    rejects: Path | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    memory_mb: int = _MEMORY_MB


class Topic(str):
    """A topic that stands for a file, as people may see it. config: librdkafka's settings, passwords among them."""

    __slots__ = ("config", "topic")
    config: Mapping[str, Any]
    topic: str


def named(_: click.Context, __: click.Parameter, value: Any) -> Any:
    """Call-back of arguments that are files of spans: ``kafka://host:9092/TOPIC``, with what such a URL may say else,
    is a Topic; a path is as it is."""
    return tuple(map(_named, value)) if isinstance(value, tuple) else _named(value)


def _named(file: str) -> str:
    if not file.startswith("kafka://"):
        return file
    from .._kafka.urls import parse_url
    from ..errors import ConfigurationError

    place, mark, query = file.removeprefix("kafka://").partition("?")
    cluster, _, topic = place.rpartition("/")
    if not cluster or not topic:
        raise click.BadParameter("spans in a topic of Kafka are named kafka://host:9092/TOPIC")
    try:
        found = parse_url(f"kafka://{cluster}{mark}{query}")
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from error
    made = Topic(f"{found.shown}/{topic}")  # guard: no password in what names its source
    made.config, made.topic = found.config, topic
    return made


def files_argument(command: F) -> F:
    """``FILE...``."""
    return click.argument("files", metavar="FILE...", nargs=-1, required=True, callback=named)(command)


def file_options(command: F) -> F:
    """The options; the command gets them as ``asked``."""
    for option in (
        click.option("--memory", "memory_mb", type=click.IntRange(64), default=_MEMORY_MB, show_default=True,
                     help="MB of memory for the table of spans; beyond it goes to a temporary file"),
        click.option("--until", "until_ms", type=SINCE, help="only traces that begin before this"),
        click.option("--since", "since_ms", type=SINCE,
                     help="only traces that begin at this time or later: 90s, 15m, 2h, 3d ago or an ISO-8601 time"),
        click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                     help="write what could not be read to FILE: JSON lines with place, reason and bytes in base64"),
        click.option("--columns", callback=columns_of, metavar="FIELD=HEADER,…",
                     help="where a CSV has its fields, if its header's names do not tell: service=PodName,unit=us"),
        click.option("--format", type=click.Choice(FORMATS), help="of the files  [default: each one's head tells it]"),
    ):
        command = option(command)
    return command


def columns_of(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, str] | None:
    """``FIELD=HEADER,…`` as a dictionary."""
    if value is None:
        return None
    found = {}
    for pair in value.split(","):
        field, equals, header = pair.partition("=")
        if not equals or not field.strip() or not header.strip():
            raise click.BadParameter(f"{pair!r}: write FIELD=HEADER, with commas between several")
        found[field.strip()] = header.strip()
    return found


@contextmanager
def table_of(files: Sequence[str], asked: Asked, *, quiet: bool = False) -> Iterator[SpanTable]:
    """The spans of these files in a table, while it lasts. What was rejected is said on stderr, and written to the file
    of ``--rejects``. Raises ConfigurationError, MissingExtra."""
    from ..traces.table import SpanTable

    if files.count("-") > 1:
        raise click.UsageError("- is standard input, which can be read once")
    with _engine_errors(), ExitStack() as stack:
        with watched("reading"):
            here = [stack.enter_context(_local(one)) for one in files]
            table = SpanTable.read(here, asked.format, columns=asked.columns, memory_mb=asked.memory_mb)
        with table:
            _write_rejects(table, asked.rejects)
            _of_period(table, asked)
            if table.counts.bad and not quiet:
                say(rejected(table, asked.rejects))
            yield table


def refuse_topics(files: Sequence[str]) -> None:
    """Where files are to be read on from where they ended."""
    if any(isinstance(one, Topic) for one in files):
        raise click.UsageError("a topic of Kafka is read as it stands now, and not followed: name files")


@contextmanager
def _local(one: str) -> Iterator[str]:
    """A path: for a topic that of a file with the values of all records that it has now, a line each. Raises
    ConfigurationError, ServerError, MissingExtra."""
    if not isinstance(one, Topic):
        yield one
        return
    from .._kafka.look import records_of
    from ..errors import ConfigurationError

    with tempfile.TemporaryDirectory(prefix="holdfast-topic-") as folder:
        file = Path(folder) / one.topic
        count = 0
        with file.open("wb") as out:
            for record in records_of(one.config, one.topic):
                # JSON has line ends between its tokens only, where a blank will do.
                out.write(b"%b\n" % (record.value or b"").replace(b"\n", b" "))
                count += 1
        if not count:
            raise ConfigurationError(f"{one} is empty, or there is no such topic")
        yield str(file)


@contextmanager
def _engine_errors() -> Iterator[None]:
    """DuckDB's errors about the machine as ours: memory, disk, and Ctrl-C while a query runs."""
    from ..errors import ConfigurationError
    from ..traces.table import require_duckdb

    duckdb = require_duckdb()
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise ConfigurationError("the table of spans does not fit into its memory: give more with --memory") from error
    except duckdb.IOException as error:
        raise ConfigurationError(f"the table of spans cannot be kept on disk: {error}") from error


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Shows that something goes on, if it takes long and somebody watches."""
    ended = threading.Event()
    with progress(what, None) as done:
        def look() -> None:
            while not ended.wait(_LOOK_S):
                done(0)

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def rejected(table: SpanTable, file: Path | None) -> str:
    """What to say of records that could not be read."""
    from ..traces.output.record import reasons

    first: Bad = table.bad[0]
    why = ", ".join(f"{reason} {count}" for reason, count in list(reasons(table.bad).items())[:3])
    where = f"all of them are in {file}" if file else "--rejects FILE keeps them"
    return (f"{table.counts.bad} of {table.counts.lines} records could not be read ({why}); the first one at "
            f"{first.source}:{first.line}, byte {first.offset}; {where}")


def _write_rejects(table: SpanTable, file: Path | None) -> None:
    from ..errors import ConfigurationError
    from ..traces.output.record import reject_line

    if file is None:
        return
    try:
        with file.open("wb") as out:
            out.writelines(reject_line(one) for one in table.all_bad())
    except OSError as error:
        raise ConfigurationError(f"--rejects: {file} cannot be written: {error.strerror or error}") from error


def _of_period(table: SpanTable, asked: Asked) -> None:
    """Leaves the traces whose first span lies in the period; all of each."""
    if asked.since_ms is None and asked.until_ms is None:
        return
    low = -(2**63) if asked.since_ms is None else asked.since_ms * 1_000_000
    high = 2**63 - 1 if asked.until_ms is None else asked.until_ms * 1_000_000
    table.query("DELETE FROM span WHERE trace_id IN (SELECT trace_id FROM span GROUP BY trace_id "
                "HAVING min(start_ns) < ? OR min(start_ns) >= ?)", [low, high])


def write_text(out: Path, text: str, flag: str, *, quiet: bool = False) -> None:
    """Puts ``text`` at ``out`` in one step; ``-`` is stdout. Raises ConfigurationError."""
    import os

    from ..errors import ConfigurationError
    from .output import show

    if str(out) == "-":
        show(text.rstrip("\n"))
        return
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")
        beside.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{flag}: {out} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    if not quiet:
        say(f"wrote {out}")
