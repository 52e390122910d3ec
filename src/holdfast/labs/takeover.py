# SPDX-License-Identifier: Apache-2.0
"""How the work of a dead worker comes back: leases, partitions by lease, idle time, and the rebalance of a group.

::

    schemes      lease                  consumers of one group on one stream: a lease, and a sweep for who has none
                 partitions             partitions, shared out by lease
                 idle-claim             XREADGROUP and XAUTOCLAIM by hand, with a minimum idle time as long as the lease
                 rebalance              a Kafka consumer group, eager (range), on librdkafka's mock cluster
                 rebalance-cooperative  the same, incremental (cooperative-sticky)
    scenarios    kill   three workers, messages at an even rate, one SIGKILL      recovery_s stop_s handled_twice lost
                 slow   a handler that is alive and takes three leases            handled_twice lost

A worker process works for all schemes, so that the same death hits all of them at the same moment. What happened is
read from the notes that handlers write (``takeover_count``), and from nothing that a consumer says.

The slow handler has Kafka's ``max.poll.interval.ms`` at its default of five minutes: shorter, and the group would take
its message; at five minutes, a member that hangs is noticed after five minutes.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..errors import HoldfastError, MissingExtra
from ..streams.entry import Outgoing
from .cells import Cell, Cells, Report
from .crew import Crew
from .once_schemes import GROUP, order
from .takeover_advice import KILL, OURS, SLOW, advice, broken
from .takeover_count import ENDED, Death, Note, handled_twice, in_hand, lost, orphans, read, recovery_s, stop_s
from .takeover_kafka import ASSIGNORS, PARTITIONS, MockCluster, mock_wait_s
from .takeover_worker import SLOW as SLOW_ID
from .takeover_worker import Assignment

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..app import Holdfast
    from ..testing.processes import Worker
    from .place import Place

WORKERS = 3
#: The slow handler's time, in leases.
SLOW_LEASES = 3.0
#: Seconds a session lasts at least: the mock cluster lets the first members wait 3 s for others, and removes those
#: whose session is over by then.
SESSION_S_MIN = 4.0
#: Seconds for which messages come before a kill, at least. Then a victim is looked for that has a message of every
#: scheme in its hands; after each so many seconds, one scheme fewer will do.
WARM_S, AIM_S = 1.0, 1.5
#: Seconds after which what is not handled is given up.
PATIENCE_S = 30.0
_LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    kills: workers killed, one after the other; the worst one's times count. every_s: between two messages. work_s: of a
    handler: longer, and deaths meet more of them; too long for two workers, and what piled up is never worked off.
    lease_ms, sweep_ms: of Holdfast; the loop by hand claims what was idle for as long, as often.
    assignors: schemes of Kafka's.
    """

    kills: int = 3
    every_s: float = 0.12
    work_s: float = 0.16
    lease_ms: int = int(1000 * SESSION_S_MIN)
    sweep_ms: int = 800
    assignors: tuple[str, ...] = tuple(ASSIGNORS)


FULL = Plan()
#: For a first look.
QUICK = Plan(kills=1, every_s=0.14, work_s=0.15, lease_ms=1_000, sweep_ms=300, assignors=("rebalance",))


async def compare(place: Place, plan: Plan = FULL, *, seed: int = 1, say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. ``done`` is told how many of how many steps are through. Removes what it wrote, whatever ends it.

    Without the extra ``kafka`` the rebalance has no cells, and the advice says so. Raises ServerUnreachable, and
    HoldfastError when a worker ends that nobody has killed, or does not get to work.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
    try:
        async with place.holdfast() as hf:
            server = await hf.open()
            cluster, why = await asyncio.to_thread(_cluster, plan.assignors)
            lab = _Lab(place=place, plan=plan, hf=hf, server=server, cluster=cluster, no_kafka=why, folder=folder,
                       say=say, done=done, rng=random.Random(seed))
            try:
                return await lab.run()
            finally:
                await place.tidy_up(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cluster(topics: Iterable[str]) -> tuple[MockCluster | None, str]:
    try:
        return MockCluster(topics), ""
    except MissingExtra as error:
        return None, str(error)


@dataclass(kw_only=True)
class _Lab:
    """One run. published: message → when it was, for all schemes alike."""

    place: Place
    plan: Plan
    hf: Holdfast
    server: Server
    cluster: MockCluster | None
    no_kafka: str
    folder: Path
    say: Callable[[str], None]
    done: Callable[[int, int], None]
    rng: random.Random
    published: dict[str, float] = field(default_factory=dict)
    deaths: list[Death] = field(default_factory=list)
    _through: int = 0

    async def run(self) -> Report:
        await self._make_streams()
        self.crew = Crew("holdfast.labs.takeover_worker", self._assignment())
        try:
            await self._all_at_work(WORKERS)
            await self._slow()
            for number in range(self.plan.kills):
                if number:
                    await self._all_at_work(1)
                await self._kill(number)
            await self._ended(set(self.published))
        finally:
            self.crew.kill_all()  # what is measured is over: nobody needs to leave in good order
        found = Cells([cell for scheme in self.schemes for cell in self._cells(scheme)])
        return Report(cells=found.all, advice=advice(found, self.plan.every_s, self.no_kafka))

    # -- setting the scene ------------------------------------------------------------------------------------------

    @property
    def schemes(self) -> list[str]:
        return [*OURS, "idle-claim", *(self.plan.assignors if self.cluster else ())]

    @property
    def _notes_file(self) -> Path:
        return self.folder / "notes"

    def _notes(self) -> dict[str, list[Note]]:
        found: dict[str, list[Note]] = {scheme: [] for scheme in self.schemes}
        for note in read(self._notes_file.read_text()):
            found[note.scheme].append(note)
        return found

    async def _make_streams(self) -> None:
        self._notes_file.touch(0o600)
        self.hf.stream(self.place.stream("partitions"), partitions=PARTITIONS)
        by_hand = self.place.stream("idle-claim")
        await self.server.shared(by_hand.encode()).call("XGROUP", "CREATE", by_hand, GROUP, "0", "MKSTREAM")

    def _assignment(self) -> Path:
        place, plan = self.place, self.plan
        path = self.folder / "assignment.json"  # the folder is ours alone: a URL may hold a password
        path.write_bytes(msgspec.json.encode(Assignment(
            url=place.url, data_dir=None if place.data_dir is None else str(place.data_dir.absolute()),
            prefix=place.prefix, token=place.token, notes=str(self._notes_file),
            kafka=self.cluster.address if self.cluster else "", assignors=list(plan.assignors),
            lease_ms=plan.lease_ms, sweep_ms=plan.sweep_ms, session_ms=int(1000 * self._timeout_s("rebalance")),
            work_s=plan.work_s, slow_s=self._slow_s)))
        return path

    def _timeout_s(self, scheme: str) -> float:
        """After how long without a sign a worker counts as dead."""
        lease_s = self.plan.lease_ms / 1000
        return max(lease_s, SESSION_S_MIN) if scheme in ASSIGNORS else lease_s

    @property
    def _slow_s(self) -> float:
        return SLOW_LEASES * self.plan.lease_ms / 1000

    async def _publish(self, message_id: str) -> None:
        """To all schemes, at one time. Partitions take turns: a run of messages for those of the dead alone would look
        as if the living stood still."""
        self.published[message_id] = time.monotonic()
        by_hand = self.place.stream("idle-claim")
        jobs = [self.server.shared(by_hand.encode()).call("XADD", by_hand, "*", "id", message_id)]
        jobs += [self.hf.publish_many(self.place.stream(scheme), [Outgoing(value=order(message_id), id=message_id)])
                 for scheme in OURS]
        if self.cluster:
            number = len(self.published)
            jobs += [asyncio.to_thread(self.cluster.publish, topic, message_id, number)
                     for topic in self.plan.assignors]
        await asyncio.gather(*jobs)

    async def _trickle(self, name: str) -> None:
        """Messages at an even rate, until cancelled between two of them."""
        next_at = time.monotonic()
        while True:
            await asyncio.shield(self._publish(f"{name}-{len(self.published)}"))
            next_at = max(next_at + self.plan.every_s, time.monotonic())
            await asyncio.sleep(next_at - time.monotonic())

    async def _all_at_work(self, hired: int) -> None:
        """Hires, and returns when every worker handles messages of every scheme: groups have settled by then."""
        for _ in range(hired):
            self.crew.hire()
        await self.crew.ready(WORKERS)
        began, until = time.monotonic(), time.monotonic() + PATIENCE_S
        pids = {member.pid for member in self.crew.members}
        trickle = asyncio.create_task(self._trickle("warm"))
        try:
            while late := [s for s, notes in self._notes().items() if pids - {n.pid for n in notes if n.at > began}]:
                self._look_after(trickle)
                if time.monotonic() > until:
                    raise HoldfastError(f"after {PATIENCE_S:g} s some workers still get no messages of "
                                        + " and ".join(late))
                await asyncio.sleep(_LOOK_S)
        finally:
            await _stopped(trickle)
        await self._ended(set(self.published))
        self._step()

    def _look_after(self, trickle: asyncio.Task[None]) -> None:
        self.crew.check()
        if trickle.done():
            trickle.result()

    def _step(self) -> None:
        self._through += 1
        self.done(self._through, 2 * self.plan.kills + 1)

    # -- hurting ----------------------------------------------------------------------------------------------------

    async def _slow(self) -> None:
        """One message whose handler takes three leases, while nothing else is there to do."""
        await self._publish(f"{SLOW_ID}0")
        await self._ended({f"{SLOW_ID}0"})
        self._step()

    async def _kill(self, number: int) -> None:
        began = len(self.published)
        trickle = asyncio.create_task(self._trickle("kill"))
        try:
            await asyncio.sleep(WARM_S)
            pid, at = await self._strike()
            until = time.monotonic() + PATIENCE_S
            while self._waiting_for(pid, at) and time.monotonic() < until:
                self._look_after(trickle)
                await asyncio.sleep(_LOOK_S)
        finally:
            await _stopped(trickle)
        self.deaths.append(Death(pid, at, time.monotonic()))
        self.say(f"kill {number + 1}: worker {pid}; {len(self.published) - began} messages came meanwhile")
        self._step()

    async def _strike(self) -> tuple[int, float]:
        """Kills one that has a message in its hands, of as many schemes as can be had. Its pid, and when."""
        began = time.monotonic()
        while True:
            victim: Worker = self.rng.choice(self.crew.members)
            victim.pause()  # it cannot move while it is looked at
            held = sum(1 for notes in self._notes().values() if in_hand(notes, victim.pid))
            if held >= max(1, len(self.schemes) - (time.monotonic() - began) // AIM_S):
                at = time.monotonic()
                self.crew.kill(victim)
                return victim.pid, at
            victim.resume()
            self.crew.check()
            await asyncio.sleep(self.rng.uniform(0.01, 0.05))

    def _waiting_for(self, pid: int, at: float) -> bool:
        """Does anything that the dead one had not come back yet?"""
        for notes in self._notes().values():
            ended = {n.id for n in notes if n.kind == ENDED}
            if orphans(self.published, notes, pid, at) - ended:
                return True
        return False

    async def _ended(self, ids: set[str]) -> None:
        """Returns when all of them were handled and nobody alive handles any, or when that takes too long: then it is
        counted what is missing."""
        until = time.monotonic() + PATIENCE_S
        while not all(self._over(notes, ids) for notes in self._notes().values()):
            self.crew.check()
            if time.monotonic() > until:
                return
            await asyncio.sleep(_LOOK_S)

    def _over(self, notes: list[Note], ids: set[str]) -> bool:
        return not lost(ids, notes) and not any(in_hand(notes, member.pid) for member in self.crew.members)

    # -- counting ---------------------------------------------------------------------------------------------------

    def _cells(self, scheme: str) -> list[Cell]:
        notes = self._notes()[scheme]
        slow = {one: at for one, at in self.published.items() if one.startswith(SLOW_ID)}
        rest = {one: at for one, at in self.published.items() if one not in slow}
        killed = {one: at for one, at in rest.items() if one.startswith(KILL)}  # not what came while groups settled
        found = [Cell(scheme=scheme, scenario=KILL, metric=metric, value=value, unit=unit)
                 for metric, value, unit in (*self._times(scheme, notes, rest), *_counts(notes, killed))]
        if self._slow_s < 2 * self._timeout_s(scheme):  # nothing was asked of it
            return found
        return found + [Cell(scheme=scheme, scenario=SLOW, metric=metric, value=value, unit=unit)
                        for metric, value, unit in _counts(notes, slow)]

    def _times(self, scheme: str, notes: list[Note], published: Mapping[str, float]) -> list[tuple[str, float, str]]:
        back = [recovery_s(published, notes, death) for death in self.deaths]
        known = [one for one in back if one is not None]
        held = sum(in_hand([n for n in notes if n.at <= d.at], d.pid) for d in self.deaths)
        found: list[tuple[str, float, str]] = [("timeout_s", self._timeout_s(scheme), "s"), ("held", held, "messages")]
        if known and not lost(published, notes):
            found.append(("recovery_s", round(max(known), 3), "s"))
        if scheme in ASSIGNORS:
            found.append(("mock_wait_s", mock_wait_s(self._timeout_s(scheme)), "s"))
        return [*found, ("stop_s", round(max(stop_s(published, notes, d) for d in self.deaths), 3), "s")]


async def _stopped(trickle: asyncio.Task[None]) -> None:
    trickle.cancel()
    await asyncio.gather(trickle, return_exceptions=True)


def _counts(notes: list[Note], published: Mapping[str, float]) -> list[tuple[str, float, str]]:
    of_these = [n for n in notes if n.id in published]
    return [("handled_twice", handled_twice(of_these), "messages"), ("lost", lost(published, of_these), "messages")]


def failed(report: Report) -> bool:
    """Did a scheme of ours lose something, or take it from the living? Or was the problem itself not to be seen?"""
    return bool(broken(Cells(report.cells)))
