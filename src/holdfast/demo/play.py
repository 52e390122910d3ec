# SPDX-License-Identifier: Apache-2.0
"""The course of a run: workers come up, lines are published, two blows are dealt, all settles, the books are done."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from ..deadletters import Shelf
from ..errors import HoldfastError
from .effects import Effects
from .ledger import open_database, reckon
from .outbox import SLOW_BELOW, STRIKE_FROM, Outbox, pace_of
from .reading import Numbered, pipeline
from .report import Report
from .strikes import Blow, Strikes
from .timing import timing
from .watch import Sight, Watch
from .worker import GROUP, Assignment

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..app import Holdfast
    from .crew import Crew
    from .report import Talk
    from .source import Log
    from .strikes import Mood

WORKERS = 3
LEASE_MS = 2_000
SWEEP_MS = 500
FROZEN_LEASES = 3
#: Parts of the log that are settled when a blow is looked for, and when the search for the worst moment ends.
KILL_FROM, KILL_BY = 0.1, 0.65
FREEZE_FROM, FREEZE_BY = 0.45, 0.8
#: Seconds between two looks at the stream.
LOOK_S = 0.1
#: Seconds the workers have to come up; the whole run has as many, and one more for every so many lines.
PATIENCE_S = 60.0
LINES_A_SECOND_MIN = 100

_NOBODY = "no worker was met with entries in its hands: none is {}"


@dataclass(kw_only=True)
class Plan:
    """What is to be done, and where. own_server: started for this run, and gone with it."""

    folder: Path
    log: Log
    url: str | None
    data_dir: Path
    own_server: bool
    sql: str
    partitions: int
    rng: random.Random
    group: str = GROUP
    stream: str = field(default_factory=lambda: f"demo-{token_hex(4)}")

    @property
    def assignment(self) -> Assignment:
        """What the workers are told."""
        return Assignment(
            url=self.url, data_dir=str(self.data_dir), sql=self.sql, stream=self.stream, partitions=self.partitions,
            lease_ms=LEASE_MS, sweep_ms=SWEEP_MS, format=self.log.layout.format, header=self.log.layout.header)


class Play:
    """One run."""

    def __init__(self, plan: Plan, hf: Holdfast, server: Server, *, crew: Crew, effects: Effects,
                 talk: Talk) -> None:
        self._plan = plan
        self._total = plan.log.total
        self._hf = hf
        self._server = server
        self._crew = crew
        self._effects = effects
        self._talk = talk
        self._watch = Watch(server, plan.stream, GROUP, plan.partitions)
        self._outbox = Outbox()
        self._sight = Sight(unread=0, pending=0, dead=0, held={}, owned={}, certain=False)
        self._settled = 0
        self._looked = asyncio.Event()
        self._began = self._ended = 0.0
        self._killed: Blow | None = None
        self._stops = 0
        self._recovery_s: float | None = None
        self._trouble: list[str] = []

    async def to_end(self) -> Report:
        """Runs it; returns what it came to. Raises HoldfastError when workers do not come up or end by themselves."""
        plan, say = self._plan, self._talk.say
        say(f"demo: {self._total:,} lines, {plan.partitions} partitions, {WORKERS} workers; lease {LEASE_MS / 1000:g} s"
            f" and sweep {SWEEP_MS / 1000:g} s, so that recovery can be watched (defaults: 10 s and 2 s)")
        for _ in range(WORKERS):
            self._crew.hire()
        await self._ready()
        self._hf.stream(plan.stream, partitions=plan.partitions)
        self._began = time.monotonic()
        deadline_s = PATIENCE_S + self._total / LINES_A_SECOND_MIN
        try:
            async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._publish()), group.create_task(self._strike())]
                group.create_task(self._follow(tasks))
        except TimeoutError:
            self._trouble.append(f"after {deadline_s:.0f} s {self._sight.unread} lines were unread and "
                                 f"{self._sight.pending} pending")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        self._ended = self._ended or time.monotonic()
        self._trouble += await self._crew.dismiss()
        return await self._report()

    async def _ready(self) -> None:
        """Returns when every partition has an owner and every worker its share."""
        until = time.monotonic() + PATIENCE_S
        owners = min(WORKERS, self._plan.partitions)
        while len(self._sight.owned) < owners or sum(self._sight.owned.values()) != self._plan.partitions:
            if time.monotonic() > until:
                raise HoldfastError(f"the workers did not come up within {PATIENCE_S:g} s: "
                                    + "; ".join(m.last_words for m in self._crew.members))
            await self._look()

    async def _look(self) -> None:
        await asyncio.sleep(LOOK_S)
        self._crew.check()
        published = self._outbox.published  # before the look, or what is published meanwhile would count as settled
        self._sight = sight = await self._watch.look()
        self._settled = max(0, published - sight.unread - sight.pending)
        self._outbox.unread(sight.unread)
        if published == self._total and sight.settled and not self._ended:
            self._ended = time.monotonic()
        self._talk.progress(self._settled, self._total)
        self._looked.set()
        self._looked = asyncio.Event()

    async def _follow(self, tasks: list[asyncio.Task[None]]) -> None:
        while not (self._ended and all(task.done() for task in tasks)):
            await self._look()

    async def _publish(self) -> None:
        pace = pace_of(self._total)
        if pace.slow:
            self._talk.say(f"fewer than {SLOW_BELOW:,} lines: {pace.burst} are published every {pace.pause_s:.2f} s,"
                           " so that there is work to interrupt; the throughput below is that of the publishing")
        plan = self._plan

        async def put(lines: Sequence[Numbered]) -> None:
            await self._outbox.publish(self._hf, plan.stream, plan.log.layout, lines, pace)

        await pipeline(plan.log, plan.folder / "reading", put).run(follow=False)

    # -- the blows --------------------------------------------------------------------------------------------------

    async def _strike(self) -> None:
        if self._total < STRIKE_FROM:
            self._talk.say(f"fewer than {STRIKE_FROM} lines: nobody is killed or frozen")
            self._outbox.release()
            return
        strikes = Strikes(self._crew, self._watch, self._effects, self._outbox, self._plan.rng)
        await self._until_settled(KILL_FROM)
        await self._kill(strikes)
        # One after the other: with two away at once, the recovery time would be that of both.
        await self._until_settled(FREEZE_FROM)
        self._outbox.release(all_of_it=False)
        await self._freeze(strikes)

    async def _kill(self, strikes: Strikes) -> None:
        hit = await strikes.kill(self._mood(KILL_BY))
        if hit is None:
            self._talk.say(_NOBODY.format("killed"))
            return
        self._killed, at = hit
        self._talk.say(f"killed {self._killed} (SIGKILL), and started another")
        self._recovery_s = await strikes.recovered(self._killed, at)
        self._talk.say(f"all it held has been taken over, {self._recovery_s:.2f} s after its death")

    async def _freeze(self, strikes: Strikes) -> None:
        hit = await strikes.freeze(self._mood(FREEZE_BY))
        self._outbox.release()
        self._outbox.forget()
        if hit is None:
            self._talk.say(_NOBODY.format("frozen"))
            return
        blow, member = hit
        frozen_s = FROZEN_LEASES * LEASE_MS / 1000
        self._stops += 1
        self._talk.say(f"froze {blow} (SIGSTOP), for {frozen_s:g} s")
        await asyncio.sleep(frozen_s)
        member.resume()
        self._talk.say(f"worker {blow.pid} goes on (SIGCONT), believing that nothing has happened")

    async def _until_settled(self, part: float) -> None:
        """Returns when so much of the log is settled, or all of it that is not held back."""
        while self._settled < part * self._total and not (self._outbox.holding and self._idle):
            await self._looked.wait()

    def _mood(self, by: float) -> Callable[[], Mood]:
        """The worst moment, until ``by`` of the log is settled."""
        def mood() -> Mood:
            if self._idle and (self._outbox.holding or self._outbox.published == self._total):
                return "bait" if self._outbox.holding else "none"
            return "worst" if self._settled < by * self._total else "any"

        return mood

    @property
    def _idle(self) -> bool:
        return self._settled >= self._outbox.published

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _report(self) -> Report:
        plan, log, killed = self._plan, self._plan.log, self._killed
        with closing(open_database(plan.sql)) as connection:
            books = reckon(log.path, connection)
        shelf = Shelf(self._server, plan.stream, GROUP)
        causes = Counter([letter.reason async for letter in shelf.letters()])
        if books.published != self._outbox.published:
            self._trouble.append(f"the ledger counts {books.published} lines in the log")
        seconds = self._ended - self._began
        return Report(
            published=self._outbox.published, applied=books.applied, dead=await shelf.count(),
            planted_bad=log.planted_bad, lost=books.lost, applied_twice=books.applied_twice, stray=books.stray,
            kills=int(killed is not None), killed_with=killed.entries if killed else 0,
            killed_committed=killed.committed if killed else 0, stops=self._stops,
            recovery_s=None if self._recovery_s is None else round(self._recovery_s, 3),
            throughput_msg_s=round(self._outbox.published / seconds, 1), seconds=round(seconds, 2),
            lease_s=LEASE_MS / 1000, workers=WORKERS, partitions=plan.partitions, seed=log.seed,
            dead_by_cause=dict(causes.most_common()), slowest=self._effects.slowest(), trouble=self._trouble,
            timing=await asyncio.to_thread(timing, log))
