# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces serve``: files of spans followed until SIGTERM, with metrics of its own.

::

    look ─ a few times a second ─▶ turn ─ each interval: report, thresholds, hook ─▶ SIGTERM ─ read the rest, close, 0

A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from .health import Page, Readiness, live, ready, serve
from .listening import address_of, logged, measured
from .output import json_option, print_json_line, printable, say, show
from .params import ADDRESS, DURATION
from .traces_files import FORMATS, MODES, columns_of, files_argument, refuse_topics, write_text
from .work import INTERRUPTED

if TYPE_CHECKING:
    from ..traces.answers.report import Report
    from ..traces.answers.window import Closed
    from ..traces.formats import Bad
    from ..traces.output.thresholds import Breach
    from ..traces.service import Service
    from .plan import Address

#: Seconds between two looks at files in which nothing was new.
_LOOK_S = 0.25


@click.command("serve")
@files_argument
@click.option("--format", type=click.Choice(FORMATS), help="of the files  [default: the first line of each tells it]")
@click.option("--columns", callback=columns_of, metavar="FIELD=HEADER,…", help="where a CSV has its fields")
@click.option("--mode", type=click.Choice(MODES), default="sweep", show_default=True, help="of critical paths")
@click.option("--idle", "idle_s", type=DURATION, default="30s", show_default=True,
              help="a trace is closed when no span of it came for so long")
@click.option("--age", "age_s", type=DURATION, default="15m", show_default=True,
              help="and so long after its first span, however lively it is")
@click.option("--spans-max", type=click.IntRange(1), default=1_000_000, show_default=True,
              help="spans in memory, half a kilobyte each; with more, traces are closed early")
@click.option("--every", "every_s", type=DURATION, default="60s", show_default=True,
              help="how long an interval is: its report is printed, and judged by --fail-on")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="the report of all intervals as JSON, replaced after each")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="append what could not be read to FILE: JSON lines with place, reason and bytes in base64")
@click.option("--fail-on", "limits", multiple=True, metavar="NAME>NUMBER",
              help="tell somebody when an interval crosses this; see `holdfast traces report`")
@click.option("--hook", metavar="URL|COMMAND", help="told then: JSON by POST, or on stdin")
@click.option("--health", type=ADDRESS, metavar="HOST:PORT", help="serve /live, /ready, /metrics and /report here")
@click.option("--metrics", type=ADDRESS, metavar="HOST:PORT", help="serve /metrics here")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="serve /metrics on this port of 127.0.0.1")
@json_option
def serve_traces(*, files: tuple[str, ...], every_s: float, out: Path | None, rejects: Path | None,
                 limits: tuple[str, ...], hook: str | None, health: Address | None, metrics: Address | None,
                 metrics_port: int | None, as_json: bool, **wanted: Any) -> int:
    """Follow files of spans while they grow, through renames and truncations, until SIGTERM or Ctrl-C.

    Only files of one record a line can be followed. With --json each closed trace is a line on stdout, again with the
    next revision when spans came late; without it, each interval is. Percentiles are those of sketches, off by 1 % at
    most. It keeps no checkpoint: started again, it reads the files from their beginning.
    """
    from ..traces.output.thresholds import threshold_of

    if "-" in files:
        raise click.UsageError("standard input cannot be followed: name files")
    refuse_topics(files)
    if hook and not limits:
        raise click.UsageError("--hook is told of thresholds: name some with --fail-on")
    if metrics_port is not None:
        metrics = ("127.0.0.1", metrics_port)
    tell = None if hook is None else _teller(hook, files)
    telling = Telling(as_json, out, tell)
    with _appending(rejects) as reject:
        life = Life(_service(files, [threshold_of(text) for text in limits], telling, reject, wanted), telling, every_s)
        with asyncio.Runner() as runner:
            return runner.run(_served(life, health, metrics))


def _service(files: tuple[str, ...], thresholds: list[Any], telling: Telling, reject: Callable[[Bad], object],
             wanted: dict[str, Any]) -> Service:
    from .._base.events import Events
    from ..traces.answers.window import Window
    from ..traces.reading.follow import Follow
    from ..traces.service import Service

    window = Window(wanted["idle_s"], wanted["age_s"], spans_max=wanted["spans_max"])
    following = [Follow(file, wanted["format"], wanted["columns"]) for file in files]
    return Service(following, window, Events(), wanted["mode"], thresholds, telling.closed, reject)


@dataclass(slots=True)
class Telling:
    """Who hears of what: stdout, the file of --out, the hook."""

    as_json: bool
    out: Path | None
    tell: Callable[[Report, list[Breach]], object] | None

    def closed(self, one: Closed) -> None:
        """A trace, as a line, with --json."""
        if self.as_json:
            print_json_line(closed_record(one))
            sys.stdout.flush()

    async def interval(self, report: Report, breaches: list[Breach], total: Callable[[], Report]) -> None:
        """The end of one."""
        if not self.as_json and report.spans:
            show(interval_line(report))
            sys.stdout.flush()
        for breach in breaches:
            say(printable(breach.text))
        if self.out is not None:
            text = msgspec.json.format(msgspec.json.encode(total()), indent=2).decode() + "\n"
            await asyncio.to_thread(write_text, self.out, text, "--out", quiet=True)
        if breaches and self.tell is not None:
            await asyncio.to_thread(self.tell, report, breaches)


def closed_record(one: Closed) -> dict[str, Any]:
    """A closed trace, as --json writes it."""
    trace = one.trace
    root = trace.spans[trace.root]
    return {"trace_id": trace.trace_id, "revision": one.revision, "reason": one.reason, "late": one.late,
            "spans": len(trace.spans), "errors": sum(span.error for span in trace.spans), "is_whole": trace.is_whole,
            "service": root.service, "operation": root.operation, "start_us": root.start_us,
            "root_us": max(0, root.duration_us)}


def interval_line(report: Report) -> str:
    """An interval, for a person."""
    from ..traces.output.words import many, time_of

    root = report.root_us
    return (f"{many(report.traces, 'trace')}, {many(report.spans, 'span')}, median {time_of(root.median)}, p99 "
            f"{time_of(root.p99)}, {many(report.errors, 'failed span')}, {many(report.rejected, 'rejected record')}")


def _teller(hook: str, files: tuple[str, ...]) -> Callable[[Report, list[Breach]], None]:
    """Tells the hook; one that cannot be told is said, and does not end the service."""
    from ..errors import HoldfastError
    from ..traces.output.hook import parts_of, tell
    from ..traces.output.record import Input, Story

    if not hook.startswith(("http://", "https://")):
        parts_of(hook)

    def told(report: Report, breaches: list[Breach]) -> None:
        try:
            tell(hook, Story(report, Input(list(files), 0, 0, report.rejected, 0, 0), (), breaches, len(breaches)))
        except HoldfastError as error:
            say(printable(str(error)))

    return told


@contextlib.contextmanager
def _appending(file: Path | None) -> Iterator[Callable[[Bad], object]]:
    """Where rejected records go; without a file the first one of each reason is said."""
    from ..errors import ConfigurationError
    from ..traces.output.record import reject_line

    if file is None:
        said: set[str] = set()

        def say_first(bad: Bad) -> None:
            if bad.reason not in said and len(said) < 100:
                said.add(bad.reason)
                say(printable(f"{bad.source}:{bad.line}, byte {bad.offset}: {bad.reason}; others like it are counted"))

        yield say_first
        return
    try:
        out: BinaryIO = file.open("ab", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"--rejects: {file} cannot be written: {error.strerror or error}") from error
    with out:
        yield lambda bad: out.write(reject_line(bad))


@dataclass(slots=True)
class Life:
    """One service from its start to its orderly end."""

    service: Service
    telling: Telling
    every_s: float
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _caught_up: bool = False

    async def run(self) -> int:
        """Looks until a signal, then reads what is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        turns = time.monotonic() + self.every_s
        while not self._stop.is_set():
            found = await asyncio.to_thread(self.service.look, time.monotonic())
            self._caught_up = self._caught_up or not self.service.lag_bytes
            if time.monotonic() >= turns:
                turns += self.every_s
                await self._turn()
            if not found:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _LOOK_S)
        await asyncio.to_thread(self.service.end, time.monotonic())
        await self._turn()
        return 0

    def readiness(self) -> Readiness:
        """Ready once it has caught up, and while every file can be read."""
        state = self.service.inspect()
        why = [f"{file}: {error}" for file, error in state.troubles.items()]
        if not self._caught_up:
            why.append(f"{state.lag_bytes} bytes are not read yet")
        return Readiness(ready=not why, why=why)

    def report(self) -> Page:
        """What was counted until the last interval ended, as JSON."""
        return Page(200, "application/json", msgspec.json.encode(self.service.total()).decode() + "\n")

    async def _turn(self) -> None:
        report, breaches = self.service.turn()
        await self.telling.interval(report, breaches, self.service.total)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set():
            say("ended at once")
            raise SystemExit(INTERRUPTED)
        self._stop.set()


async def _served(life: Life, health: Address | None, metrics: Address | None) -> int:
    logged(life.service.events)
    scraped = measured(life.service.events) if health or metrics else None
    page = None if scraped is None else lambda: Page(200, *scraped())
    async with _probes(life, health, metrics, page):
        return await life.run()


@contextlib.asynccontextmanager
async def _probes(life: Life, health: Address | None, metrics: Address | None,
                  page: Callable[[], Page] | None) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for flag, address, pages in (
            ("--health", health, {"/live": live, "/ready": lambda: ready(life.readiness()), "/report": life.report,
                                  "/metrics": page}),
            ("--metrics", metrics, {"/metrics": page}),
        ):
            if address is None:
                continue
            server = await serve(flag, address, {path: made for path, made in pages.items() if made is not None})
            stack.callback(server.close)
            say(f"{flag} at {address_of(server)}")
        yield


COMMANDS: dict[str, click.Command] = {"serve": serve_traces}
