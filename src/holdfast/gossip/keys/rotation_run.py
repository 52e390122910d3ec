# SPDX-License-Identifier: Apache-2.0
"""A rotation at work on a member: its clock, its disk and its queries.

::

    ring = open_keyring(path, KeyFile(unlock), os.urandom, first)
    async with Cluster("one", keyring=ring, join=[...]) as cluster:
        async with RotationRun(cluster, ring, path.with_suffix(".rotation")) as rotation:
            print(await rotation.begin())

Every member may run one; the one with the lowest name leads. The record is written on the event loop, some
milliseconds a phase, because nothing may be asked before it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from ..._base import durable
from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, Instant, SystemClock
from ...errors import ConfigurationError, GossipError
from .key import Key
from .keyring import Keyring
from .rotation import Rotation
from .rotation_queries import Reader
from .rotation_record import (
    Abort,
    Ask,
    Begin,
    Continue,
    Event,
    Keep,
    Ledger,
    Members,
    Said,
    Settings,
    Tick,
    json_to_ledger,
    ledger_to_json,
)

if TYPE_CHECKING:
    from ..agent.cluster import Cluster

log = logging.getLogger("holdfast")

#: Between looks at who is there.
LOOK_S: Final = 1.0
RECORD_MAX: Final = 64 << 10


class RotationView(msgspec.Struct, frozen=True):
    """What is under way. phase: empty when nothing is. stragglers: who holds it up, what for, and since how long.
    unkept: why the record cannot be written; empty: it can."""

    leads: bool
    phase: str = ""
    key: str = ""
    reason: str = ""
    stragglers: tuple[tuple[str, str, float], ...] = ()
    last: str = ""
    unkept: str = ""


class RotationRun:
    """cluster: entered, with this keyring. record: the file that survives a restart. tell: who hears what is said;
    otherwise the log does. Raises ConfigurationError for a record that cannot be read."""

    def __init__(self, cluster: Cluster, keyring: Keyring, record: Path, *, settings: Settings | None = None,
                 tell: Callable[[Said], object] | None = None, clock: Clock | None = None,
                 chance: Chance | None = None) -> None:
        self._cluster, self._record, self._tell = cluster, record, tell or _logged
        self._clock, self._chance = clock or SystemClock(), chance or system_chance()
        self._rotation = Rotation(cluster.name, keyring, os.urandom, settings=settings, ledger=_kept(record))
        self._reader = Reader()
        self._asking: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[Said] | None = None
        self._unkept: tuple[Ledger, OSError] | None = None
        self._last = ""
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="gossip rotation")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        for task in (self._running, self._asking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    # -- for people -------------------------------------------------------------------------------------------------

    async def begin(self, key: Key | None = None) -> Said:
        """Changes the key now; answers once it has begun, or was refused."""
        if self._answer is not None:
            raise ConfigurationError("somebody else asks for that just now")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._look()
            self._give(Begin(key=key))
            return await self._answer
        finally:
            self._answer = None

    def abort(self) -> RotationView:
        """Stops: before `use` the new key is taken back, after it all keys stay."""
        self._give(Abort())
        return self.inspect()

    def go_on(self) -> RotationView:
        """Goes on with what is held."""
        self._give(Continue())
        return self.inspect()

    def inspect(self) -> RotationView:
        """What is going on, as a frozen record."""
        rotation, now = self._rotation, self._clock.now()
        unkept = str(self._unkept[1]) if self._unkept else ""
        run = rotation.run
        if run is None:
            return RotationView(rotation.leads, last=self._last, unkept=unkept)
        stragglers = tuple((one.node, f"{one.lacks}{': ' + one.why if one.why else ''}", now - one.since)
                           for one in rotation.stragglers)
        return RotationView(rotation.leads, run.phase, run.new, run.reason, stragglers, self._last, unkept)

    # -- at work ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._look()
            self._give(Tick(self._clock.wall_ms()))
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):  # wait_for would lose a cancellation now and then
                    await self._woken.wait()

    def _look(self) -> None:
        """Who is here? Before whatever is decided, because a member that is overlooked is cut off."""
        with contextlib.suppress(GossipError):  # this member is about to leave
            views = self._cluster.members()
            self._give(Members(frozenset(one.name for one in views if one.status == "alive"),
                               frozenset(one.name for one in views if one.status == "failed")))

    def _pause_s(self) -> float:
        return max(0.01, min(LOOK_S, self._rotation.next_due - self._clock.now()))

    def _give(self, event: Event) -> None:
        for effect in self._rotation.handle(event, Instant(self._clock.now()), self._chance):
            if isinstance(effect, Keep):
                self._keep(effect.ledger)
            elif isinstance(effect, Ask):
                self._ask(effect)
            else:
                self._say(effect)
        self._woken.set()

    def _say(self, said: Said) -> None:
        self._last = f"{said.what}: {said.text}"
        self._tell(said)
        if self._answer is not None and not self._answer.done() and said.what in ("began", "refused"):
            self._answer.set_result(said)

    def _keep(self, ledger: Ledger) -> None:
        try:
            durable.replace(self._record, lambda _: ledger_to_json(ledger) + b"\n")
        except OSError as error:
            if self._unkept is None:
                log.warning("gossip: the rotation waits, its record %s cannot be written: %s", self._record, error)
            self._unkept = ledger, error
        else:
            self._unkept = None

    def _ask(self, ask: Ask) -> None:
        if self._asking is not None:
            self._asking.cancel()  # what it asked for counts no more
        self._asking = asyncio.create_task(self._asked(ask), name=f"gossip {ask.step}")

    async def _asked(self, ask: Ask) -> None:
        if self._unkept is not None:
            self._keep(self._unkept[0])
        answers: dict[str, bytes] = {}
        if self._unkept is None:  # guard: kept first. A step that a crash would forget is not taken
            with contextlib.suppress(GossipError, ConfigurationError):  # as if nobody had answered
                answers = await self._cluster.key_answers(ask.step, ask.key)
        else:
            await asyncio.sleep(LOOK_S)
        self._asking = None
        self._look()
        self._give(self._reader.ended(ask.step, answers))


def _kept(record: Path) -> Ledger | None:
    try:
        with record.open("rb") as file:
            return json_to_ledger(file.read(RECORD_MAX))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"the record of key rotations {record} cannot be read: {error.strerror}") from error


def _logged(said: Said) -> None:
    level = logging.INFO if said.what in ("began", "advanced", "done") else logging.WARNING
    log.log(level, "gossip: key rotation %s: %s", said.what, said.text)
