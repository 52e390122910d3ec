# SPDX-License-Identifier: Apache-2.0
"""``holdfast outbox``: what waits in the table, and the relay that brings it to its streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from .context import run, server_options, settings, sql_option
from .output import json_option, print_json, print_json_line, print_table, say
from .params import ADDRESS, DURATION

if TYPE_CHECKING:
    from .._base.events import Event
    from ..app import Holdfast
    from ..once.outbox.table import Waiting
    from .plan import Address


@click.group("outbox")
def command() -> None:
    """Messages written in SQL transactions: what waits, and the relay that publishes it."""


@command.command("ls")
@sql_option
@json_option
@server_options()
def ls(as_json: bool) -> None:
    """List what waits in the outbox, a line a stream, the longest-waiting first. Asks the database alone."""
    found = run(_waiting(_url()))
    now_ms = time.time() * 1000
    lines = [{"stream": w.stream, "rows": w.rows, "bytes": w.bytes,
              "oldest_s": round(max(0.0, now_ms - w.oldest_ms) / 1000, 3)} for w in found]
    if as_json:
        return print_json(lines)
    print_table(["stream", "rows", "bytes", "oldest_s"], [list(line.values()) for line in lines])
    return None


async def _waiting(url: str) -> list[Waiting]:
    from ..once.outbox.store import waiting

    return await waiting(url)


@command.command("relay")
@click.argument("app", metavar="[MODULE:NAME]", required=False)
@click.option("--poll", "poll_s", type=DURATION, default="200ms", show_default=True,
              help="how often the table is looked at: what a message waits for at most")
@click.option("--batch", type=click.IntRange(min=1), default=500, show_default=True, help="rows in one round")
@click.option("--lease", "lease_s", type=DURATION, default="10s", show_default=True,
              help="how long the leading relay may be silent before another takes over")
@click.option("--replicas", type=click.IntRange(min=0), default=0, show_default=True,
              help="rows leave the table once so many replicas have confirmed them")
@click.option("--metrics", type=ADDRESS, help="serve /metrics here")
@click.option("--until-empty", is_flag=True, help="end when nothing is left; 1 if something could not be published")
@sql_option
@json_option
@server_options()
def relay(*, app: str | None, as_json: bool, **options: Any) -> int:
    """Publish what is written to the outbox, until SIGTERM or Ctrl-C.

    Run as many as you like: one leads, another takes over when it is gone. Partitions are those that MODULE:NAME, a
    Holdfast, declares, or else those that a stream's consumers have agreed on. With --json each event is a line.
    """
    return run(_relay(_holdfast(app), as_json, options))


async def _relay(hf: Holdfast, as_json: bool, options: dict[str, Any]) -> int:
    until_empty, lease_s = options.pop("until_empty"), options.pop("lease_s")
    _tell(hf, as_json)
    async with hf, _metrics(hf, options.pop("metrics")):
        server = await hf.open()
        say(f"relaying to {server.url}; Ctrl-C ends it")
        found = await hf.relay(lease_ms=round(lease_s * 1000), **options)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, found.stop)
        await found.run(until_empty=until_empty)
        state = found.inspect()
    return 1 if until_empty and state.stalled else 0


@contextlib.asynccontextmanager
async def _metrics(hf: Holdfast, address: Address | None) -> AsyncIterator[None]:
    """Serves what is counted of the events from here on, where an address was given."""
    if address is None:
        yield
        return
    from ..sinks.prometheus import PrometheusSink
    from .health import Page, serve

    sink = PrometheusSink()
    hf.events.subscribe(sink)
    pages = {"/metrics": lambda: Page(200, sink.content_type(), sink.text())}
    server = await serve("--metrics", address, pages)
    try:
        yield
    finally:
        server.close()


def _holdfast(app: str | None) -> Holdfast:
    """The module's Holdfast, or one of the options alone; the database of the options goes over the module's."""
    from ..app import Holdfast
    from .plan import Plan, find

    if app is None:
        said = settings()
        return Holdfast(said.url, prefix=said.own_prefix, data_dir=said.data_dir, sql=_url())
    over, unless = settings().named()
    hf = find(Plan(app=app, over=over, unless=unless))
    if settings().sql:
        hf._sql = settings().sql  # noqa: SLF001 - as the other options of the command line go over the module
    return hf


def _url() -> str:
    url = settings().sql
    if not url:
        raise click.UsageError("name the database: --sql postgresql+psycopg://app@db/app, or HOLDFAST_SQL")
    return url


def _tell(hf: Holdfast, as_json: bool) -> None:
    """Events as lines of JSON on stdout, or as a service's log on stderr."""
    if as_json:
        hf.events.subscribe(_print_event)
        return
    from ..sinks.logs import LogSink

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    hf.events.subscribe(LogSink())


def _print_event(event: Event) -> None:
    print_json_line({"event": event.name, **event.as_dict()})
    sys.stdout.flush()
