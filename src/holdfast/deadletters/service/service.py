# SPDX-License-Identifier: Apache-2.0
"""The service: feeds, rounds, telling, gauges, clean-up and rules, from start to orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._base import points
from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.events import DeskReady, Events
from ..._base.incarnation import new_incarnation
from ..._base.thinned import Thinned
from ..._redis.heart import Heart
from ...errors import HoldfastError, ServerUnreachable
from ..applied import Applied, beside_stream
from ..branch.branch import Branch, branches
from ..branch.origin import Origin
from ..desk import Actor, Desk, clean_up
from ..handling.doors import EventTeller, Mender, NoMender, Teller
from ..handling.file import Rules
from ..jobs import clean_up as clean_up_jobs
from .engine import Engine
from .feed import Feed
from .groups import Wanted, Whose, there
from .hand import AppliedOf, Hand
from .outside import Outside
from .settings import ServiceSettings
from .standing import stand
from .telling import Telling

if TYPE_CHECKING:
    from ..._redis.server import Server

DAY_MS = 86_400_000
#: Seconds between two looks at the rules file, at the gauges, at what can be cleaned up.
RULES_S, GAUGES_S, CLEAN_S = 1.0, 10.0, 60.0
#: Without a round that went through for so long it is not ready, in seconds.
LATE_S = 10.0


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it works. why: what is missing, a line each."""

    ready: bool
    why: list[str] = []


class Service:
    """One instance. Any number of them share a desk and take each other's work over.

    server, desk: open already; closed by whoever opened them. wanted: whose letters. rules: those in force. mender,
    teller: see ``handling.doors``. applied_of: who knows which effects are there; default: the records beside the
    stream. also: letters of other brokers, which are taken in besides.
    """

    def __init__(self, server: Server, desk: Desk, wanted: Wanted, rules: Rules, *,
                 settings: ServiceSettings | None = None, mender: Mender | None = None, teller: Teller | None = None,
                 applied_of: AppliedOf | None = None, events: Events | None = None, clock: Clock | None = None,
                 chance: Chance | None = None, name: str = "", also: Sequence[Origin] = ()) -> None:
        self.settings = settings or ServiceSettings()
        self._wanted = dataclasses.replace(wanted, also=tuple((one.name, one.group) for one in also))
        self._events, clock, chance = events or Events(), clock or SystemClock(), chance or system_chance()
        self._server, self._clock = server, clock
        beside: Applied = beside_stream(server)

        def everybody(_: str, __: str) -> Applied:
            return beside

        outside = Outside(server, self.settings.group, self.settings.letter_prefix)
        self.hand = Hand(desk, outside, rules, self.settings, Actor(name or f"desk@{new_incarnation(chance)}"),
                         self._events, clock, chance, mender or NoMender(),
                         applied_of or everybody)
        self._engine = Engine(self.hand)
        self._telling = Telling(self.hand, teller or EventTeller(self._events))
        self._heart = Heart(server, clock, self._events)
        self._feeds: dict[Whose, Feed] = {}
        self._branches = branches(self.hand, self._heart, also)
        self._trouble = Thinned(clock)
        self._stop, self._wake = asyncio.Event(), asyncio.Event()
        self._looked = False
        self._went_at: float | None = None
        self._why_not = ""
        self._was_ready: bool | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begins the end: no new letters, no new deeds. Safe to call again."""
        self._engine.stopping = True
        self._stop.set()
        self._wake.set()

    async def run(self) -> None:
        """Works until ``stop``; then deeds under way are finished, for at most ``drain_s``, and the rest handed
        back."""
        self._heart.start()
        for branch in self._branches:
            branch.start()
        loops = [asyncio.create_task(work) for work in (
            self._every(self.settings.poll_s, self._round, self._wake), self._every(self.settings.look_s, self._look),
            self._every(self.settings.poll_s, self._tell), self._every(RULES_S, self._read_rules),
            self._every(GAUGES_S, self._measure), self._every(CLEAN_S, self._clean))]
        try:
            await self._stop.wait()
            await asyncio.wait(loops, timeout=self.settings.drain_s)
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await asyncio.gather(*(one.close() for one in self._ways()))
            await self._heart.stop()

    def _ways(self) -> list[Feed | Branch]:
        """By which letters come."""
        return [*self._branches, *self._feeds.values()]

    async def _every(self, seconds: float, work: Callable[[], Awaitable[int]], wake: asyncio.Event | None = None
                     ) -> None:
        """``work`` again and again: at once while it has something to do, else after so long, or when woken."""
        event = wake or self._stop
        while not self._stop.is_set():
            done = 0
            try:
                done = await work()
            except ServerUnreachable as error:
                self._why_not = str(error)
                self._trouble.warn("waiting for what the service needs", error)
            except HoldfastError as error:
                self._why_not = str(error)
                self._trouble.warn("the service cannot go on", error)
            if not done and not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds * (0.8 + 0.4 * self.hand.chance.random())):
                        await event.wait()
                if wake is not None:
                    wake.clear()

    # -- its parts ------------------------------------------------------------------------------------------------

    async def _round(self) -> int:
        done = await self._engine.round()
        self._went_at, self._why_not = self._clock.now(), ""
        return done

    async def _look(self) -> int:
        found = await there(self._server, self._wanted, self.settings.group)
        new = [whose for whose in found if whose not in self._feeds]
        for whose in new:
            self._feeds[whose] = Feed(self.hand, self._heart, whose, self._wake.set)
        self._looked = True
        if new:  # their gauges and counters are there from now on, and not in ten seconds
            await self._measure()
        return 0

    async def _tell(self) -> int:
        return await self._telling.round()

    async def _read_rules(self) -> int:
        self.hand.rules.poll()
        self.readiness()
        return 0

    async def _measure(self) -> int:
        await stand(self.hand, self._feeds, self._branches)
        return 0

    async def _clean(self) -> int:
        keep_ms = int(self.settings.keep_days * DAY_MS)
        cleaned = await clean_up(self.hand.desk, keep_ms) + await clean_up_jobs(self.hand.desk, keep_ms)
        points.reached("dlq.cleaned.after")
        return cleaned

    # -- how it is doing ------------------------------------------------------------------------------------------

    def readiness(self) -> Readiness:
        """What a rollout wants to know."""
        why = ["it is stopping"] if self._stop.is_set() else []  # guard: who stops takes no more work
        if self._went_at is None or self._clock.now() - self._went_at > LATE_S or self._why_not:  # guard: not ready
            why.append(self._why_not or "no round went through yet")
        elif not self._looked:
            why.append("it has not looked for dead letters yet")
        why += [said for one in self._ways() if (said := one.why_not())]
        if (not why) != self._was_ready:
            self._was_ready = not why
            self._events.emit(DeskReady(ready=not why, why="; ".join(why)))
        return Readiness(ready=not why, why=why)

    def inspect(self) -> dict[str, object]:
        """What this instance works on."""
        return {"name": self.hand.actor.name, "rules": self.hand.rules.current.origin,
                "takes_in": sorted(f"{whose.stream}/{whose.group}" for whose in self._feeds),
                "other_brokers": sorted(f"{one.origin.name}/{one.origin.group}" for one in self._branches)}
