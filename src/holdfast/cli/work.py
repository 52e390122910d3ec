# SPDX-License-Identifier: Apache-2.0
"""One worker process: a Holdfast from its start to its orderly end.

The first SIGTERM or Ctrl-C ends it in good order: no new work, hand back, finish within the drain, settle. A second
Ctrl-C ends it at once; what was running stays pending and is taken over by others.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from ..errors import MissingExtra
from ..streams.sweeper import CLOSELY_EVERY
from .health import Page, Readiness, live, ready, serve
from .output import say
from .plan import Plan, find

if TYPE_CHECKING:
    from ..app import Holdfast

#: A source is not ready when its gauges are so many times older than they should be: its settles do not go through.
LATE = 3
INTERRUPTED = 130
#: Seconds that closing in good order may take after a second Ctrl-C.
AT_ONCE_S = 2.0


def run_alone(plan: Plan) -> int:
    """The whole run in this process."""
    hf = find(plan)
    life = Life(hf, plan)
    return with_loop(plan, life.run_serving)


def with_loop(plan: Plan, work: Callable[[], Any]) -> int:
    """Runs ``work()`` on the event loop that was asked for."""
    with asyncio.Runner(loop_factory=loop_factory(plan.uvloop)) as runner:
        code: int = runner.run(work())
        return code


def loop_factory(wanted: bool | None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes the event loop that was asked for; None: uvloop's where it is installed."""
    if wanted is False:
        return None
    try:
        import uvloop
    except ImportError as error:
        if wanted:
            raise MissingExtra("fast", "--uvloop") from error
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class Life:
    """A Holdfast at work in this process. ``worker``: its number under a supervisor, which talks instead; 0 without."""

    def __init__(self, hf: Holdfast, plan: Plan, *, worker: int = 0) -> None:
        self._worker = worker
        self.hf = hf
        self.plan = plan
        self._task: asyncio.Task[None] | None = None
        self._interrupts = 0
        self._stopping = False
        self._late_s = LATE * CLOSELY_EVERY * hf.settings.sweep_ms / 1000
        self._swept: dict[tuple[str, str], float] = {}
        self._prometheus: Any = None
        hf.events.subscribe(self._hear)
        _log_events(hf)
        if plan.measured:
            from ..sinks.prometheus import PrometheusSink

            self._prometheus = PrometheusSink()
            hf.events.subscribe(self._prometheus)

    async def run_serving(self) -> int:
        """Works, and serves health and metrics meanwhile."""
        async with self.serving():
            return await self.run()

    async def run(self) -> int:
        """Works until a signal or ``stop``; answers the exit code. Raises what ended it otherwise."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        self._task = asyncio.create_task(self._open_and_run())
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            await self.hf.close()
        if self._interrupts > 1:
            say("interrupted: what was running stays pending, others take it over")
            return INTERRUPTED
        return 0

    async def _open_and_run(self) -> None:
        if self.hf.url is None and self._worker < 2:
            server = await self.hf.open()
            if server.kind == "embedded":
                say(f"no URL: using the embedded server of this folder ({server.url})")
        if self._worker < 2:
            for sentence in self.hf.cannot():
                say(sentence)
        # What was made by now stays: the collector need not look at it again. A seventh of a no-op drain is spent so.
        gc.freeze()
        await self.hf.run(drain_s=self.plan.drain_s)

    def stop(self) -> None:
        """Begins the orderly end. Safe to call again."""
        self._stopping = True
        if self.hf.worker is not None:
            self.hf.stop()
        elif self._task is not None:
            self._task.cancel()  # still connecting: there is nothing to hand back

    def _signalled(self, number: int) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        if self._interrupts > 1 and self._task is not None:
            self._task.cancel()
            _leave_after(AT_ONCE_S)
        elif not self._stopping:
            if not self._worker:
                say(f"stopping: running handlers may take {self.plan.drain_s:g} s; Ctrl-C again ends at once")
            self.stop()

    # -- how it is doing

    def _hear(self, event: ev.Event) -> None:
        if isinstance(event, ev.Sweep):
            self._swept[event.stream, event.group] = time.monotonic()

    def readiness(self) -> Readiness:
        """Has every source a lease, and has it swept lately?"""
        worker = self.hf.worker
        if worker is None or not worker.started.is_set():
            return Readiness(ready=False, why=["starting"])
        sources = worker.sources
        why = [line for source in sources for state in _states(source.inspect()) if (line := self._missing(state))]
        return Readiness(ready=not why, why=why)

    def _missing(self, state: Any) -> str:
        if not state.consumer:
            return f"{state.stream}/{state.group}: not joined yet"
        if state.lost or state.lease_left_s <= 0:
            return f"{state.stream}/{state.group}: its lease was lost"
        since = time.monotonic() - self._swept.get((state.stream, state.group), float("-inf"))
        if since > self._late_s:
            return f"{state.stream}/{state.group}: no sweep went through for more than {self._late_s:g} s"
        return ""

    def metrics(self) -> Page:
        """This process's metrics."""
        return Page(200, self._prometheus.content_type(), self._prometheus.text())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Health and metrics, where they were asked for."""
        async with contextlib.AsyncExitStack() as servers:
            for flag, address, pages in (
                ("--health", self.plan.health, {"/live": live, "/ready": lambda: ready(self.readiness()),
                                                "/metrics": self.metrics}),
                ("--metrics", self.plan.metrics, {"/metrics": self.metrics}),
            ):
                if address is not None:
                    servers.push_async_callback(_closed, await serve(flag, address, pages))
            yield


def _leave_after(seconds: float) -> None:
    """Ends the process if it is still there by then. A plain handler's thread cannot be cancelled, and a server that
    hangs answers nobody: "at once" must wait for neither. The lease runs out by itself.
    """
    def leave() -> None:
        say("interrupted: what was running stays pending, others take it over")
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


async def _closed(server: asyncio.Server) -> None:
    server.close()


def _states(found: Any) -> list[Any]:
    """One state, or one a partition owned here."""
    return found if isinstance(found, list) else [found]


def _log_events(hf: Holdfast) -> None:
    """Events go to stderr as a service's log, unless the module has set up logging itself."""
    from ..sinks.logs import LogSink

    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    hf.events.subscribe(LogSink())
