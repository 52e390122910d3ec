# SPDX-License-Identifier: Apache-2.0
"""A job at work: it holds the job, sends batch after batch, and looks what becomes of them.

::

    hold ─▶ look up what a killed run left ─▶ ┌ what next? (ramp) ─▶ take ─▶ send ─▶ tell ┐
                                              └────────── look at outcomes ◀──────────────┘

A runner may be killed at any place. ``take`` says at the desk what is about to be sent, the script moves each letter
once, ``tell`` says what was done; the next runner finds letters ``working`` and looks whether they are on their shelf.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.chance import new_id, system_chance
from ..._base.clock import Clock, SystemClock
from ...errors import CaseMoved
from ..applied import Applied
from ..branch.origin import broker_of, stream_of
from ..desk import Actor, Desk
from ..replay import Elsewhere, Order
from ..rules import ReplayRules
from ..shelf import Shelf
from . import ramp, store, taking
from .batch import BatchReplayer
from .job import Item, ItemState, Job, JobRefused, JobState
from .outcome import Watch
from .pace import SLICE_S, Pace

#: Looks at outcomes come at least so far apart, in seconds, and take at most a quarter of the time.
LOOK_S: Final = 0.2
#: Letters that a killed run left, or sent, in one page.
_PAGE: Final = 1_000_000


class Runner:
    """Runs one job to where it ends, stops, or is told to pause.

    desk, shelf: open already. by: who runs it; the name goes into letters (``replayed-by``) and records. applied: asks
    whoever else knows which effects are there, beside the records of the stream. told: called with the job after each
    batch and each look. elsewhere: writes at the broker that a job redirects to.
    """

    def __init__(self, desk: Desk, shelf: Shelf, by: Actor, *, applied: Applied | None = None,
                 events: ev.Events | None = None, clock: Clock | None = None,
                 told: Callable[[Job], None] | None = None, elsewhere: Elsewhere | None = None) -> None:
        self.desk, self.shelf, self.by = desk, shelf, by
        self.applied, self.events, self.clock = applied, events or ev.Events(), clock or SystemClock()
        self.told = told or (lambda _: None)
        self.holder = f"{by.name}/{new_id(system_chance())[:8]}"
        self.elsewhere = elsewhere
        self.stopping = asyncio.Event()
        self.leaving = False

    def stop(self) -> None:
        """Pauses the job after the batch that is under way."""
        self.stopping.set()

    def leave(self) -> None:
        """Lets go of the job after the batch that is under way. It is running still, and anybody may take it up."""
        self.leaving = True
        self.stopping.set()

    async def run(self, job_id: str) -> Job:
        """The job as it stands afterwards: done, stopped, paused, or cancelled by somebody meanwhile.

        Raises JobRefused when it cannot run: it waits for approval, has ended, or another runner has it.
        """
        await store.prepare(self.desk)
        broker = broker_of((await store.get(self.desk, job_id)).plan.redirect_to)
        if bool(broker) is not (self.elsewhere is not None):  # guard: nothing goes to a stream of the same name here
            raise JobRefused(f"job {job_id} redirects to {broker or 'this server'}: resume it "
                             f"{'with --redirect-url ' + broker if broker else 'without --redirect-url'}")
        job = await self.desk.step(lambda connection: taking.hold(connection, job_id, self.holder))
        try:
            return await _Run(self, job).go()
        except JobRefused:
            return await store.get(self.desk, job_id)  # paused, cancelled or taken over: whoever did it has said why
        finally:
            await self.desk.step(lambda connection: taking.release(connection, job_id, self.holder))


class _Run:
    """One run of one job."""

    def __init__(self, runner: Runner, job: Job) -> None:
        self._r, self._job, self._plan = runner, job, job.plan
        self._desk, self._clock = runner.desk, runner.clock
        self._replayer = BatchReplayer(
            runner.shelf, applied=runner.applied, events=runner.events, clock=runner.clock,
            rules=ReplayRules(kept_days=job.plan.kept_days, replays_max=job.plan.replays_max))
        self._order = Order(by=runner.by.name, job=job.id, redirect_to=stream_of(job.plan.redirect_to),
                            elsewhere=runner.elsewhere, force=job.plan.force)
        self._moved = self._clock.now()
        self._pace = Pace.begun(job.plan.rate_per_s, self._moved, resumed=job.counts.replayed > 0)
        self._looked, self._cost = -1e9, 0.0

    async def go(self) -> Job:
        self._watch = Watch(self._r.shelf, self._desk, await store.items(
            self._desk, self._job.id, states=["sent"], limit=_PAGE), within_s=self._plan.within_s)
        await self._recover()
        while not self._r.stopping.is_set():
            await self._look()
            now = self._clock.now()
            match ramp.following(self._plan, self._job.counts, failed=self._job.failed, pace=self._pace, now=now,
                                 quiet_s=now - self._moved):
                case ramp.Go(count):
                    await self._go(count)
                case ramp.Wait(for_s):
                    await self._wait(for_s)
                case ramp.Stop(why):
                    return await self._end("stopped", why)
                case ramp.Done():
                    return await self._end("done", "")
        if self._r.leaving:
            return await store.get(self._desk, self._job.id)
        return await self._end("paused", "its runner was told to stop")

    async def _recover(self) -> None:
        """Letters that a killed run was about to send: those that are on their shelf wait again, the others went."""
        left = await store.items(self._desk, self._job.id, states=["working"], limit=_PAGE)
        there = await self._replayer.there(left)  # guard: look at the outside first
        told = [msgspec.structs.replace(item, state="waiting") if is_there else msgspec.structs.replace(
            item, state="sent", why="a killed run had taken it up, and it left its shelf")
            for item, is_there in zip(left, there, strict=True)]
        points.reached("job.recovered.before")
        await self._tell(told)

    async def _go(self, count: int) -> None:
        if self._plan.rushes and count == ramp.BATCH:
            await self._rush()
            return
        taken = await self._take(count)
        if not taken.items:  # keys that wait for one another
            self._job = await store.get(self._desk, self._job.id)
            await self._wait(SLICE_S)
            return
        await self._went(await self._send(taken))

    async def _rush(self) -> None:
        """Batch after batch, where nothing depends on what becomes of them: while one is sent, the desk is told of the
        one before it and gives the one after it."""
        taken, sent = await self._take(ramp.BATCH), list[Item]()
        while taken.items:
            sending = asyncio.create_task(self._send(taken))
            try:
                if sent:
                    await self._went(sent)
                taken = await self._take(0 if self._r.stopping.is_set() else ramp.BATCH)
            except BaseException:  # somebody paused it, or the desk is away
                await self._went(await sending)  # guard: what went is told
                raise
            sent = await sending
        if sent:
            await self._went(sent)

    async def _take(self, count: int) -> taking.Taken:
        job_id, holder = self._job.id, self._r.holder
        points.reached("job.take.before")
        taken = await self._desk.step(lambda connection: taking.take(connection, job_id, holder, count))
        points.reached("job.take.after")
        self._take_off(taken)
        return taken

    async def _send(self, taken: taking.Taken) -> list[Item]:
        bodies, began = await self._bodies(taken), self._clock.now()
        sent = await self._replayer.batch(taken.items, self._order, bodies)
        self._pace = self._pace.after(began, self._clock.now(), sum(item.state == "sent" for item in sent))
        return sent

    async def _went(self, sent: list[Item]) -> None:
        points.reached("job.tell.before")
        await self._tell(sent)
        points.reached("job.tell.after")

    def _take_off(self, taken: taking.Taken) -> None:
        """What the job's counts are now: counting a hundred thousand for each batch would be most of its cost."""
        counts = self._job.counts.moved("waiting", "working", len(taken.items))
        counts = counts.moved("waiting", "refused", taken.refused).moved("waiting", "held", taken.held)
        self._job = msgspec.structs.replace(self._job, counts=counts)
        self._count({"refused": taken.refused, "held": taken.held})

    async def _bodies(self, taken: taking.Taken) -> dict[str, bytes]:
        wanted = dict(taken.edited)
        if self._plan.edited:
            wanted = {item.letter_id: self._plan.edited for item in taken.items}
        found = {sha256: await self._desk.body(sha256) for sha256 in set(wanted.values())}
        if lost := [letter for letter, sha256 in wanted.items() if found[sha256] is None]:
            raise JobRefused(f"the edited body of letter {lost[0]} is not kept any more: edit it again")
        return {letter: body for letter, sha256 in wanted.items() if (body := found[sha256]) is not None}

    async def _tell(self, items: list[Item], failed: int = 0) -> None:
        job_id, holder = self._job.id, self._r.holder
        counts = self._job.counts
        self._job = await self._desk.step(
            lambda connection: taking.tell(connection, job_id, holder, items, failed=failed, counts=counts))
        self._count({**Counter(item.state for item in items), "held": self._job.counts.held - counts.held})
        if self._plan.looks:
            self._watch.add(item for item in items if item.state == "sent")
        if items:
            self._moved = self._clock.now()
        self._r.told(self._job)

    def _count(self, outcomes: Mapping[ItemState, int]) -> None:
        for outcome, count in outcomes.items():
            if count > 0 and outcome != "waiting":
                self._r.events.emit(ev.JobLetters(stream=self._job.logical, group=self._job.group, job=self._job.id,
                                                  outcome=outcome, count=count))

    async def _look(self) -> None:
        began = self._clock.now()
        if began - self._looked < max(LOOK_S, 4 * self._cost) or not len(self._watch):
            return
        ended, failed = await self._watch.look()
        self._looked = self._clock.now()
        self._cost = self._looked - began
        points.reached("job.looked.before")
        await self._tell(ended, failed)

    async def _wait(self, for_s: float) -> None:
        try:
            await asyncio.wait_for(self._r.stopping.wait(), for_s)
        except TimeoutError:
            job_id, holder = self._job.id, self._r.holder
            self._job = await self._desk.step(lambda connection: taking.hold(connection, job_id, holder))

    async def _end(self, after: JobState, why: str) -> Job:
        what = {"done": "done", "stopped": "stopped", "paused": "paused"}[after]
        try:
            return await store.move(self._desk, self._job, after, self._r.by, what=what, why=why)
        except CaseMoved:  # somebody paused or cancelled it at this moment
            return await store.get(self._desk, self._job.id)
