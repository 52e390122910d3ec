# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs run``: a pipeline at work, from its file.

The first SIGTERM or Ctrl-C ends it in good order: nothing more is read, what was read becomes durable, the checkpoint
is written. A second Ctrl-C ends it at once; what was not durable is read again at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from .context import secrets_option, server_options
from .listening import Measured, address_of, logged, measured
from .logs_build import config_argument, dead_of, sink_of, stages_of
from .output import json_option, print_json, say
from .params import ADDRESS

if TYPE_CHECKING:
    from ..logs.config import Config
    from ..logs.inspect import PipelineInfo
    from ..logs.pipeline import Pipeline

    Address = tuple[str, int]

INTERRUPTED = 130


@click.command("run")
@config_argument
@click.option("--once", is_flag=True, help="end when all that is there now is durable")
@click.option("--health", type=ADDRESS, metavar="HOST:PORT", help="serve /live, /ready and /metrics here")
@click.option("--metrics", type=ADDRESS, metavar="HOST:PORT", help="serve /metrics here")
@json_option
@secrets_option
@server_options()
def run(*, config: Config, once: bool, health: Address | None, metrics: Address | None, as_json: bool) -> int:
    """Follow the files of CONFIG, a TOML or YAML file, until SIGTERM or Ctrl-C.

    Good lines go to the sink, bad ones to the dead lines, and the checkpoint moves only behind what is durable. While
    the sink is down records are spooled; when the spool is full, nothing more is read. --json prints at the end how
    things stand.
    """
    from .work import loop_factory

    with asyncio.Runner(loop_factory=loop_factory(None)) as runner:
        code, info = runner.run(_ran(config, once, health, metrics))
    counts = [source.counts for source in info.sources]
    told = {name: sum(getattr(one, name) for one in counts) for name in ("lines", "ok", "rejected", "blank", "bytes")}
    if as_json:
        print_json({**told, "state": info})
    say(f"{config.name}: {told['lines']} lines, {told['ok']} ok, {told['rejected']} rejected, {told['blank']} blank, "
        "since its checkpoint began")
    return code


async def _ran(config: Config, once: bool, health: Address | None, metrics: Address | None
               ) -> tuple[int, PipelineInfo]:
    from .._base.events import Events
    from ..logs.pipeline import Pipeline

    events = Events()
    logged(events)
    scraped = measured(events) if health or metrics else None
    pipeline = Pipeline(config.name, config.files, stages_of(config), sink_of(config, events), dead_of(config),
                        checkpoint=config.checkpoint, multiline=config.multiline, settings=config.settings,
                        events=events)
    life = Life(pipeline)
    async with _probes(life, health, metrics, scraped):
        say(f"{config.name}: {len(config.files)} paths into {config.sink.kind}; Ctrl-C ends it")
        await life.run(follow=not once)
    return life.code, pipeline.inspect()


class Life:
    """The process: it works, and ends when it is told to. ``code``: its exit code."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._running = False
        self.code = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)

    async def run(self, *, follow: bool) -> None:
        """Works until a signal, or until all is done."""
        self._running = True
        try:
            await self._pipeline.run(follow=follow)
        finally:
            self._running = False

    def readiness(self) -> Any:
        """Does it go on?"""
        from .health import Readiness

        why = list(self._pipeline.inspect().stalled) if self._running else ["not running"]
        return Readiness(ready=not why, why=why)

    def _signalled(self, number: int) -> None:
        if self.code == INTERRUPTED and number == signal.SIGINT:
            say("interrupted: what was not durable is read again at the next start")
            sys.stderr.flush()
            os._exit(INTERRUPTED)  # guard: a second Ctrl-C waits for nothing
        self.code = INTERRUPTED if number == signal.SIGINT else self.code
        say("stopping: what was read becomes durable; Ctrl-C again ends at once")
        self._pipeline.stop()


@asynccontextmanager
async def _probes(life: Life, health: Address | None, metrics: Address | None,
                  scraped: Measured | None) -> AsyncIterator[None]:
    from .health import Page, live, ready, serve

    def page() -> Page:
        assert scraped is not None  # noqa: S101 - nobody serves it otherwise
        return Page(200, *scraped())

    async with contextlib.AsyncExitStack() as servers:
        for flag, address, pages in (
            ("--health", health, {"/live": live, "/ready": lambda: ready(life.readiness()), "/metrics": page}),
            ("--metrics", metrics, {"/metrics": page}),
        ):
            if address is not None:
                server = await serve(flag, address, pages)
                servers.callback(server.close)
                say(f"{flag.removeprefix('--')} at {address_of(server)}")
        yield


COMMANDS: dict[str, click.Command] = {"run": run}
