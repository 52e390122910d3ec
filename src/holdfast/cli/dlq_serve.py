# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve``: the dead-letter service, from its start to its orderly end.

The first SIGTERM or Ctrl-C ends it in good order: no new letters, deeds under way are finished, the rest is handed
back. A second Ctrl-C ends it at once; what was under way is found by another instance, which looks what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, letter_option, secrets_option, server_options, settings, sql_option_for
from .desk import desk_url
from .listening import Measured, address_of, logged, measured_if_installed
from .output import one_line, say
from .params import ADDRESS, DURATION

if TYPE_CHECKING:
    from .._base.events import Events
    from ..deadletters.applied import Applied
    from ..deadletters.branch import Origin
    from ..deadletters.desk import Desk
    from ..deadletters.handling import Mender, Rules, Teller
    from ..deadletters.service import Service, ServiceSettings
    from .plan import Address

INTERRUPTED = 130
#: Seconds between two tries to reach a database or a server that is away at the start.
PATIENCE_S = 1.0


@click.command("serve")
@click.argument("streams", metavar="[STREAM]...", nargs=-1)
@click.option("--group", "groups", multiple=True, help="letters of this group of each STREAM; several times if need be "
                                                       " [default: of all its groups]")
@click.option("--all", "every", is_flag=True, help="letters of all streams and groups of the server")
@click.option("--also", "also", type=(str, str, str), multiple=True, envvar="HOLDFAST_ALSO",
              metavar="URL STREAM GROUP",
              help="letters of this group at another broker, too: amqp://…, kafka://…, or secret://name for the URL; "
                   "several times if need be  [HOLDFAST_ALSO]")
@click.option("--rules", "rules_file", type=click.Path(dir_okay=False, path_type=Path),
              help="YAML or TOML; changes are taken over while it runs, if they are valid  [default: built-in rules]")
@click.option("--bind", type=ADDRESS, metavar="HOST:PORT", help="serve /healthz, /readyz and /metrics here")
@click.option("--undo", "undo_s", type=DURATION, default="1d", show_default=True,
              help="for how long a discarded letter can be had back")
@click.option("--keep-days", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              help="how long cases that ended are kept, with their log and their letters")
@click.option("--replays-max", type=click.IntRange(min=0), default=20, show_default=True,
              help="replays of one message, by whomever; beyond that a person decides")
@click.option("--kept-days", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="how long consumers keep records of effects; an older letter is a person's to send back")
@click.option("--at-once", type=click.IntRange(min=1), default=50, show_default=True,
              help="letters dealt with at a time")
@click.option("--look", "look_s", type=DURATION, default="10s", show_default=True,
              help="how often new streams and groups are looked for")
@click.option("--poll", "poll_s", type=DURATION, default="500ms", show_default=True,
              help="how often the desk is asked for what is due")
@click.option("--check", "check_s", type=DURATION, default="1s", show_default=True,
              help="how soon after a replay it is first looked what became of it")
@click.option("--land", "land_s", type=DURATION, default="2s", show_default=True,
              help="how often the brokers of --also are looked at for letters")
@click.option("--watch", "watch_s", type=DURATION, default="30s", show_default=True,
              help="what was carried back to a broker of --also, and did not die again for so long, counts as handled")
@click.option("--deed", "deed_s", type=DURATION, default="30s", show_default=True,
              help="after so long another instance looks what became of a letter in this one's hand")
@click.option("--lease", "lease_s", type=DURATION, default="10s", show_default=True,
              help="after so long without a sign of life another instance takes over what was handed to this one")
@click.option("--drain", "drain_s", type=DURATION, default="10s", show_default=True,
              help="when stopping, how long deeds under way may take")
@click.option("--name", default="", help="who this is, in the handling log  [default: desk@host-pid-…]")
@sql_option_for('the database behind once="sql", to ask what took effect')
@secrets_option
@desk_option
@letter_option
@server_options()
def serve(*, streams: tuple[str, ...], groups: tuple[str, ...], every: bool, rules_file: Path | None,
          also: tuple[tuple[str, str, str], ...], bind: Address | None, name: str, **numbers: Any) -> int:
    """Deal with dead letters by rules, until SIGTERM or Ctrl-C.

    It takes the letters of these groups in at the desk, judges them, sends back what may be sent back, and says what
    needs a person. With --also it does so for RabbitMQ and Kafka, too: their letters land at the server of --url, in
    streams called like orders@amqp://host:5672/, and what is sent back goes to the group they died in, there.

    Run as many as you like on one desk: each takes over what another leaves. SQLite serves instances of one machine,
    PostgreSQL those of many. A server or a database that is away is waited for.
    """
    if bool(streams) is every and (every or not also):
        raise click.UsageError("name streams, or say --all")
    from ..deadletters.service import Wanted
    from .work import loop_factory

    settings_ = _settings(numbers)
    wanted = Wanted(streams, groups, only_also=not streams and not every)
    work = _serving(wanted, origins_of(also), rules_file, bind, name=name, numbers=settings_)
    with asyncio.Runner(loop_factory=loop_factory(None)) as runner:
        return runner.run(work)


def _settings(numbers: dict[str, Any]) -> ServiceSettings:
    from .._base.letter import DEFAULT_PREFIX
    from ..deadletters.service import ServiceSettings

    lease_ms = round(numbers.pop("lease_s") * 1000)
    return ServiceSettings(letter_prefix=settings().letter_prefix or DEFAULT_PREFIX, lease_ms=lease_ms,
                           sweep_ms=max(100, lease_ms // 5), block_ms=max(100, min(3_000, lease_ms // 3)), **numbers)


def origins_of(also: Sequence[tuple[str, str, str]]) -> list[Origin]:
    """Whose letters at other brokers. Raises ConfigurationError, SecretUnavailable."""
    from .._base.secret import resolve
    from ..deadletters.branch import Origin
    from .context import resolver

    found = [(resolve(url, resolver()), stream, group) for url, stream, group in also]
    return [Origin(url.reveal() if url else "", stream, group) for url, stream, group in found]


async def _serving(wanted: Any, also: Sequence[Origin], rules_file: Path | None, bind: Address | None, *, name: str,
                   numbers: ServiceSettings) -> int:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from .._base.events import Events
    from ..deadletters.desk import Desk
    from ..deadletters.handling import Rules
    from ..deadletters.notify import plan_of
    from ..deadletters.service import Service

    events = Events()
    logged(events)
    metrics = measured_if_installed(events)
    mends = mender()
    rules = Rules(rules_file, events, check=mends.check, notify=plan_of)
    life = Life(events)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_probes(life, bind, metrics))
        desk = Desk(desk_url())
        stack.push_async_callback(desk.close)
        if not await life.waited(desk.open, "desk") or (server := await life.waited(_server, "server")) is None:
            return 0
        stack.push_async_callback(server.close)
        effects = Effects(server)
        stack.push_async_callback(effects.close)
        tells = await stack.enter_async_context(telling(desk, rules, events, name))
        service = Service(server, desk, wanted, rules, settings=numbers, applied_of=effects.of, events=events,
                          mender=mends, teller=tells, name=name, also=also)
        await life.run(service, drain_s=numbers.drain_s)
    return 0


def mender() -> Mender:
    """Whoever mends letters for ``serve``."""
    from ..deadletters.repairs import Repairs

    if (here := str(Path.cwd())) not in sys.path:  # for repairs of yours, as `holdfast run` has it for handlers
        sys.path.insert(0, here)
    return Repairs()


@contextlib.asynccontextmanager
async def telling(desk: Desk, rules: Rules, events: Events, name: str) -> AsyncIterator[Teller]:
    """Whoever tells people for ``serve``, at work until the end. Without a section ``notify`` it tells by events."""
    from ..deadletters.notify import Notifier, Post
    from ..deadletters.notify.post import check_library
    from .context import resolver

    check_library(rules.current.notify.channels.values() if rules.current.notify else ())
    notifier = Notifier(desk, lambda: rules.current.notify, post=Post(resolver()), events=events,
                        name=name or f"notifier@{os.getpid()}")
    stop = asyncio.Event()
    rounds = asyncio.create_task(notifier.run(stop))
    try:
        yield notifier
    finally:
        stop.set()
        await rounds


async def _server() -> Any:
    from .._redis.open import open_server

    said = settings()
    server = await open_server(said.url, prefix=said.own_prefix, data_dir=said.data_dir)
    if server.kind == "embedded":
        say(f"no --url: using the embedded server of this folder ({server.url})")
    return server


class Life:
    """The process: it waits for what it needs, works, and ends when it is told to."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._stop = asyncio.Event()
        self._why = "starting"
        self._service: Service | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)

    async def waited(self, what: Callable[[], Any], need: str) -> Any:
        """What ``what`` answers, as soon as it does; None when the process was told to end meanwhile."""
        from ..errors import ServerUnreachable

        while not self._stop.is_set():
            try:
                return await self._unless_stopped(what)
            except (ServerUnreachable, TimeoutError) as error:
                self._waits(need, error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self._stop.wait()
        return None

    async def _unless_stopped(self, what: Callable[[], Any]) -> Any:
        """A server that takes the connection and answers nothing keeps nobody from ending."""
        asking, stopping = asyncio.ensure_future(what()), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)  # guard: it can be ended
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)

    def _waits(self, need: str, error: Exception) -> None:
        from .._base.events import DeskReady, NeedAnswered

        if not self._why.startswith(f"the {need}"):
            self._events.emit(NeedAnswered(what=need, answered=False))  # guard: seen from the start
            self._events.emit(DeskReady(ready=False, why=f"the {need} does not answer"))
            say(one_line(f"waiting for the {need}: {error}"))
        self._why = f"the {need} does not answer: {error}"

    async def run(self, service: Service, *, drain_s: float) -> None:
        """Works until a signal."""
        self._service = service
        working, stopping = asyncio.create_task(service.run()), asyncio.create_task(self._stop.wait())
        inspected = service.inspect()
        say(f"dealing with dead letters as {inspected['name']}, by {inspected['rules']}; Ctrl-C ends it")
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                say(f"stopping: what is under way may take {drain_s:g} s; Ctrl-C again ends at once")
        finally:
            stopping.cancel()
            service.stop()
            await working

    def readiness(self) -> Any:
        """Of the service, or what it waits for."""
        from .health import Readiness

        if self._service is None:
            return Readiness(ready=False, why=[self._why])
        found = self._service.readiness()
        return Readiness(ready=found.ready, why=found.why)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            say("interrupted: what was under way is found by another instance, or at the next start")
            sys.stderr.flush()
            os._exit(INTERRUPTED)  # guard: a second Ctrl-C waits for nothing
        self._stop.set()


class Effects:
    """Who knows which effects are there: the records beside each stream, and the database of ``--sql``."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._asked: dict[tuple[str, str], Applied] = {}
        self._stack = contextlib.AsyncExitStack()

    def of(self, stream: str, group: str) -> Applied:
        """For the letters of a group."""
        from ..deadletters.applied import any_of, beside_stream

        beside, url = beside_stream(self._server), settings().sql
        if not url:
            return beside
        inbox = self._inbox(url, stream, group)
        return any_of(beside, inbox)

    def _inbox(self, url: str, stream: str, group: str) -> Applied:
        from ..deadletters.applied import sql_inbox

        async def applied(letter: Any) -> int | bool:
            if (stream, group) not in self._asked:
                self._asked[stream, group] = await self._stack.enter_async_context(sql_inbox(url, stream, group))
            return await self._asked[stream, group](letter)

        return applied

    async def close(self) -> None:
        """Lets go of the database."""
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def _probes(life: Life, bind: Address | None, metrics: Measured | None) -> AsyncIterator[None]:
    """``/healthz``, ``/readyz`` and ``/metrics``, from before anything else is there."""
    if bind is None:
        yield
        return
    from .health import Page, live, ready, serve

    def measured() -> Page:
        if metrics is None:
            return Page(404, "text/plain; charset=utf-8", "the service has no metrics: install holdfast[metrics]\n")
        return Page(200, *metrics())

    server = await serve("--bind", bind, {"/healthz": live, "/readyz": lambda: ready(life.readiness()),
                                          "/metrics": measured})
    say(f"probes and metrics at {address_of(server)}")
    try:
        yield
    finally:
        server.close()


COMMANDS: dict[str, click.Command] = {"serve": serve}
