# SPDX-License-Identifier: Apache-2.0
"""The supervisor of ``holdfast run --processes N``: starts workers, replaces those that die, ends all of them.

::

    supervisor ──plan, lifeline──▶ worker      end of the lifeline: the supervisor is gone, stop in good order
               ◀──────status────── worker      ready or not, a line a second

Workers are new interpreters, never forks: a fork would share the parent's connections, locks and random state. A worker
that dies is replaced after a pause that doubles; one that dies within seconds of its start, again and again, has a
cause that no restart mends, and the run ends with 1 (or with 2 at once, when the worker says that it was called
wrongly). Their messages are safe either way: what a dead worker held is taken over by the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .._base.typed import from_json
from .child import GRACE_S, TELL_S
from .health import Page, Readiness, live, ready, serve
from .output import say
from .plan import Plan, source_of
from .watch import Watch
from .work import INTERRUPTED

#: A worker that dies within so many seconds of its start died of its start.
FAST_S = 5.0
#: So many such deaths of one worker in a row end the run.
FAST_MAX = 5
PAUSE_S = 0.2
PAUSE_MAX_S = 5.0
LOOK_S = 0.5
MISUSE = 2


def supervise(plan: Plan) -> int:
    """Runs the plan's processes until a signal; answers the exit code."""
    with tempfile.TemporaryDirectory(prefix="holdfast-run-") as folder:
        if plan.measured:
            from ..sinks.processes import prepare

            os.environ.update(prepare(Path(folder)))
            plan = msgspec.structs.replace(plan, metrics_dir=folder)
        return asyncio.run(Supervisor(plan).run())


@dataclass(slots=True)
class Worker:
    """One place for a worker, and whoever fills it now. ``replacing``: it was asked to end, to be started anew."""

    number: int
    process: asyncio.subprocess.Process | None = None
    state: Readiness = field(default_factory=lambda: Readiness(ready=False, why=["starting"]))
    told_at: float = 0.0
    fast_deaths: int = 0
    replacing: bool = False

    def end(self) -> None:
        """Asks it to end in good order."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


class Supervisor:
    """Keeps the workers of one plan alive."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workers = [Worker(n) for n in range(1, plan.processes + 1)]
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        self._interrupts = 0
        self._code = 0

    async def run(self) -> int:
        """Works until a signal, or until the workers cannot be kept alive."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        async with self._serving(), asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch()) if self._plan.reload else None
            ending = group.create_task(self._end())
            await asyncio.gather(*[group.create_task(self._keep(worker)) for worker in self._workers])
            self._stop.set()
            if watching is not None:
                watching.cancel()
            await ending
        return INTERRUPTED if self._interrupts > 1 else self._code

    def _signalled(self, number: int) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        if self._interrupts > 1:
            for worker in self._workers:
                worker.kill()
        elif not self._stop.is_set():
            say(f"stopping {self._plan.processes} worker{'s' if self._plan.processes > 1 else ''}")
        self._stop.set()

    async def _end(self) -> None:
        """Once asked: all workers end in good order, and those that do not are killed."""
        await self._stop.wait()
        for worker in self._workers:
            worker.end()
        running = [w for w in self._workers if w.process is not None and w.process.returncode is None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._plan.drain_s + GRACE_S):
                await asyncio.gather(*(w.process.wait() for w in running if w.process is not None))
        for worker in running:
            if worker.process is not None and worker.process.returncode is None:
                say(f"worker {worker.number} (pid {worker.process.pid}) did not end in time and is killed")
                worker.kill()

    # -- one worker

    async def _keep(self, worker: Worker) -> None:
        pause_s = PAUSE_S
        while not self._stop.is_set():
            began, changed = time.monotonic(), self._changed  # a change from here on counts, even while it dies
            code = await self._life(worker)
            if self._stop.is_set():
                return
            if worker.replacing:
                worker.replacing = False
                continue
            lived_s = time.monotonic() - began
            worker.fast_deaths = worker.fast_deaths + 1 if lived_s < FAST_S else 0
            pause_s = min(pause_s * 2, PAUSE_MAX_S) if worker.fast_deaths else PAUSE_S
            say(f"worker {worker.number} {_ended(code)} after {lived_s:.1f} s")
            if self._plan.reload:
                await self._until(changed)
            elif code == MISUSE or worker.fast_deaths >= FAST_MAX:
                self._give_up(worker, code)
            else:
                await _within(self._stop, pause_s)

    async def _life(self, worker: Worker) -> int:
        """One worker process from start to end; answers its exit code."""
        mine, theirs = os.pipe()
        try:
            worker.process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "holdfast.cli.child", str(theirs), str(worker.number),
                stdin=asyncio.subprocess.PIPE, pass_fds=(theirs,), start_new_session=True)
        finally:
            os.close(theirs)
        worker.state, worker.told_at = Readiness(ready=False, why=["starting"]), time.monotonic()
        listening = asyncio.create_task(self._listen(worker, mine))
        if self._stop.is_set():
            worker.end()
        if process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(msgspec.json.encode(self._plan) + b"\n")
                await process.stdin.drain()
        code = await process.wait()
        listening.cancel()
        worker.state = Readiness(ready=False, why=["not running"])
        self._buried(process.pid)
        return code

    async def _listen(self, worker: Worker, mine: int) -> None:
        """Takes in how the worker says it is doing."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(mine, "rb"))
        try:
            while line := await reader.readline():
                worker.state, worker.told_at = from_json(line, Readiness), time.monotonic()
        finally:
            transport.close()

    def _give_up(self, worker: Worker, code: int) -> None:
        if code == MISUSE:
            self._code = MISUSE
        else:
            self._code = 1
            say(f"error: worker {worker.number} died {worker.fast_deaths} times in a row within {FAST_S:g} s of its "
                "start: giving up")
        self._stop.set()

    def _buried(self, pid: int) -> None:
        if self._plan.metrics_dir is not None:
            from ..sinks.processes import worker_died

            worker_died(Path(self._plan.metrics_dir), pid)

    # -- changes of the source

    async def _watch(self) -> None:
        folder, deep = source_of(self._plan.app)
        watch = Watch(folder, deep=deep)
        while True:
            await asyncio.sleep(LOOK_S)
            if names := await asyncio.to_thread(watch.changed):
                say(f"changed: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}; starting again")
                self._changed.set()
                self._changed = asyncio.Event()
                for worker in self._workers:
                    if worker.process is not None and worker.process.returncode is None:
                        worker.replacing = True
                        worker.end()

    async def _until(self, changed: asyncio.Event) -> None:
        say("waiting for a change of the source")
        waits = [asyncio.create_task(changed.wait()), asyncio.create_task(self._stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    # -- how they are doing

    def _readiness(self) -> Readiness:
        why = [f"worker {w.number}: {line}" for w in self._workers for line in _why(w)]
        return Readiness(ready=not why, why=why)

    def _metrics(self) -> Page:
        from ..sinks.processes import merged_text
        from ..sinks.prometheus import PrometheusSink

        return Page(200, PrometheusSink.content_type(), merged_text(Path(self._plan.metrics_dir or "")))

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        servers = []
        plan = self._plan
        if plan.health is not None:
            servers.append(await serve("--health", plan.health, {
                "/live": live, "/ready": lambda: ready(self._readiness()), "/metrics": self._metrics}))
        if plan.metrics is not None:
            servers.append(await serve("--metrics", plan.metrics, {"/metrics": self._metrics}))
        try:
            yield
        finally:
            for server in servers:
                server.close()


def _why(worker: Worker) -> list[str]:
    """What keeps a worker from being ready; one that has not spoken for long has a loop that does not turn."""
    if worker.state.ready and time.monotonic() - worker.told_at > 5 * TELL_S:
        return ["its event loop is blocked"]
    return worker.state.why


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


async def _within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
