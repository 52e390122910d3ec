# SPDX-License-Identifier: Apache-2.0
"""``holdfast id hold``: a worker id in a file, for programs in any language and for the other containers of a pod."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import run
from .id_scheme import kept, scheme_of, scheme_options
from .output import say
from .params import ADDRESS, DURATION

if TYPE_CHECKING:
    from .._base.events import Event
    from ..ids.hold_file import Hold, HoldFile
    from ..ids.scheme import Scheme
    from ..ids.term import Held
    from ..ids.worker import WorkerId
    from .health import Readiness
    from .plan import Address

_PATH = click.Path(dir_okay=False, path_type=Path)


@click.command("hold")
@click.option("--file", "path", required=True, type=_PATH, help="kept current, as JSON; gone when nothing is held")
@click.option("--window", "window_s", default=30.0, show_default=True, type=click.FloatRange(0.2),
              help="seconds for which each renewal counts: how long a reader outlives this process or the store")
@click.option("--once", is_flag=True, help="claim one window, write it and end, without giving it back")
@click.option("--name", default="", help="who holds it; whoever had a worker id under it has it again where it can  "
              "[default: host and file]")
@click.option("--worker", "wanted", type=click.IntRange(0), help="the one that must be had, as of a StatefulSet's pod")
@click.option("--workers", default=1024, show_default=True, type=click.IntRange(1), help="how many the pool has")
@click.option("--wait", "wait_s", type=DURATION, default="60s", show_default=True,
              help="how long to wait for the window of who had it before to end")
@click.option("--remember", type=_PATH, help="go on by this file when the store does not answer at a start")
@click.option("--health", type=ADDRESS, help="serve /live and /ready here")
@scheme_options
def hold(*, once: bool, remember: Path | None, health: Address | None, **options: Any) -> int:
    """Hold a worker id, and keep FILE current with it and its window, until SIGTERM or Ctrl-C.

    One reader makes ids by FILE: under that worker id, with times inside of the window. Ends with 1 when the worker id
    that must be had is somebody else's, or all are held; FILE is removed then, and when this process ends well. What is
    given back then ends with the window that FILE had said: its reader may go on until there.
    """
    if once and (remember is not None or health is not None):
        raise click.UsageError("--once ends at once: it has nothing to --remember and no --health")
    options["name"] = options["name"] or f"{socket.gethostname()}:{options['path'].absolute()}"
    run(_claim_once(**options) if once else _keep(remember=remember, health=health, **options))
    return 0


async def _claim_once(*, path: Path, window_s: float, name: str, wanted: int | None, workers: int, wait_s: float,
                      pool: str, scheme: str) -> None:
    from .._base.chance import new_id, system_chance
    from .._base.clock import SystemClock
    from ..ids.hold_file import HoldFile
    from ..ids.scheme import Owner

    owner, lease_ms = Owner(new_id(system_chance()), name, wanted), int(window_s * 1000)
    async with kept(scheme):
        file, store, clock = HoldFile(path), scheme_of(scheme, pool, workers), SystemClock()
        file.lock()
        try:
            grant = await store.claim(owner, lease_ms)  # a reader waits for the beginning of its window
            if grant.window.last_ms - grant.window.first_ms < lease_ms:  # nobody extends it once this has ended
                begins_in_s = (grant.window.first_ms - grant.now_ms) / 1000
                if begins_in_s > wait_s:
                    raise TimeoutError(f"worker id {grant.worker}: its window begins in {begins_in_s:.1f} s, and "
                                       f"{wait_s:g} s were to be waited")
                await asyncio.sleep(begins_in_s)
                grant = await store.renew(owner, grant, lease_ms)
            _write(file, _said(grant.worker, grant.window, grant.now_ms, clock.now() * 1000, workers))
        finally:
            await store.close()
            file.close()
    say(f"worker id {grant.worker} of pool {pool!r} is in {path}, for {window_s:g} s")


async def _keep(*, path: Path, remember: Path | None, health: Address | None, pool: str, scheme: str, workers: int,
                wait_s: float, **how: Any) -> None:
    from .._base.aside import aside
    from .._base.events import Events
    from ..ids.hold_file import HoldFile
    from ..ids.worker import WorkerId

    _log()
    events, file = Events(), HoldFile(path)
    file.lock()
    async with kept(scheme, patient=remember is not None):
        store = _remembered(scheme_of(scheme, pool, workers), remember, events)
        keeper = Keeper(WorkerId(store, events=events, **how), file, workers)
        events.subscribe(keeper.hear)
        async with _served(health, keeper):
            opening = asyncio.create_task(aside(lambda: keeper.worker.open(wait_s=wait_s)))
            try:
                await asyncio.wait([opening, asyncio.create_task(keeper.stopping.wait())],
                                   return_when=asyncio.FIRST_COMPLETED)
                if not keeper.stopping.is_set():
                    await opening
                    await keeper.keep()
            finally:
                opening.cancel()
                with contextlib.suppress(OSError):
                    file.remove()
                await aside(keeper.worker.close)
                file.close()


class Keeper:
    """Writes what a worker id is and may do, each time that changes. Fulfils ``Maker``: what was written is made."""

    def __init__(self, worker: WorkerId, file: HoldFile, workers: int) -> None:
        from .._base.clock import SystemClock

        self.worker, self.made = worker, 0
        self.stopping, self._changed = asyncio.Event(), asyncio.Event()
        self._file, self._workers, self._clock = file, workers, SystemClock()
        self._loop = asyncio.get_running_loop()
        self._told: Hold | None = None
        self._written: Held | None = None
        self._trouble = ""
        worker.made_by(self)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)

    def hear(self, _: Event) -> None:
        """Something happened to the worker id, in its own thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._changed.set)

    def last_ms(self) -> int:
        """See ``Maker``: the end of the window that readers were told."""
        return 0 if self._told is None else self._told.window_end_ms

    def drop(self) -> None:
        """See ``Maker``. What was told cannot be taken back: its window ends by itself."""

    async def keep(self) -> None:
        """Until it is told to stop."""
        first = True
        while not self.stopping.is_set():
            self._changed.clear()
            self._look()
            if first and self._written is not None:
                first = False
                say(f"holding worker id {self._written.worker} in {self._file.path}; Ctrl-C ends it")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1 if self._trouble else None):
                    await self._changed.wait()

    def _stop(self) -> None:
        self.stopping.set()
        self._changed.set()

    def _look(self) -> None:
        held, self._trouble = self.worker.held, ""
        try:
            if self.worker.cause or held.worker < 0:
                self._file.remove()
                self._trouble = self.worker.cause or "no worker id is held"
                self._written = None
            elif self._written != held:
                store_ms, at_ms = self.worker.now_ms(), self._clock.now() * 1000
                # guard: noted before a reader can see it. What is given back ends there
                self._told = _said(held.worker, held.window, store_ms, at_ms, self._workers)
                self._file.write(self._told)
                self._written = held
        except OSError as error:
            self._trouble = f"{self._file.path} cannot be written: {error.strerror}"
            say(self._trouble)

    def readiness(self) -> Readiness:
        """Is one held, written down, and its window open?"""
        from .health import Readiness

        why = self._trouble or ("" if self.worker.held.worker >= 0 else "no worker id is held yet")
        if not why and not (self.worker.ready and self._written is not None):
            why = f"the window of worker id {self.worker.held.worker} is not open"
        return Readiness(ready=not why, why=[why] if why else [])


def _said(worker: int, window: Any, store_ms: float, at_ms: float, workers: int) -> Hold:
    from .._base.boot import boot_id
    from ..ids.hold_file import Hold

    return Hold(worker=worker, window_start_ms=window.first_ms, window_end_ms=window.last_ms, store_ms=store_ms,
                at_boottime_ms=at_ms, boot_id=boot_id(), workers=workers)


def _write(file: HoldFile, said: Hold) -> None:
    from ..errors import ConfigurationError

    try:
        file.write(said)
    except OSError as error:
        raise ConfigurationError(f"{file.path} cannot be written: {error.strerror}") from error


def _remembered(store: Scheme, path: Path | None, events: Any) -> Scheme:
    if path is None:
        return store
    from ..ids.remembered import Remembered

    return Remembered(store, path, events=events)


@contextlib.asynccontextmanager
async def _served(address: Address | None, keeper: Keeper) -> AsyncIterator[None]:
    if address is None:
        yield
        return
    from .health import live, ready, serve

    server = await serve("--health", address, {"/live": live, "/ready": lambda: ready(keeper.readiness())})
    try:
        yield
    finally:
        server.close()


def _log() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
