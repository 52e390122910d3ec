# SPDX-License-Identifier: Apache-2.0
"""A stream under siege: workers killed at named points and at random times, and replaced, until a plan is done.

::

    plan: [settle.before, bury.after, timer, …] shuffled by a seed
      each of the team's places ── starts a worker armed with the next target ──▶ it dies there ──▶ counted, next target
                                └─ does not get there in time ──▶ killed from outside (a timer kill), target again later

All the while messages of every kind are published, letters are replayed, and nobody waits for anything to settle. What
is judged is the end: after the last kill the work is drained by workers that nobody hurts, and the history is checked.
"""

from __future__ import annotations

import math
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.testing import Record, Verdict, Worker, check
from tests.faults.crew import GROUP, Crew, events
from tests.faults.workers.consumer import Work
from tests.support.nursery import Born

TIMER = "timer"
#: Points that are reached while a worker ends: it is sent SIGTERM to get there.
ENDING = {"release.before", "release.after", "leave.before", "leave.after", "rabbit.release.before"}
#: Points of whoever sends letters back.
REPLAYING = {"replay.before", "replay.after"}
#: Reached once or seldom in a life: to wait for a second time would be to wait for long.
SELDOM = {"join.before", "join.after", "partition.taken.after", "partition.given.after", "low.after", "reconcile.after",
          "read.replayed.after", "later.before", "later.after", "rabbit.join.before", "rabbit.join.after",
          "kafka.write.before", "kafka.write.after",
          "rabbit.alone.before", "rabbit.alone.published", *ENDING, *REPLAYING}
REPLAYER = Path(__file__).parent / "workers" / "replayer.py"
#: A partition is given up when somebody joins while its owner has too many: the siege sees to both.
GIVEN = "partition.given.after"
#: Seconds that a worker has to start, on however busy a machine, and then to reach its target; after that it is killed
#: wherever it is.
START_S, PATIENCE_S = 20.0, 6.0
#: Some steps come only when others do their part: a partition is given up when somebody else joins at the right time.
TRIES_MAX = 25
#: Unread messages that are kept in front of the workers; and when so many are not done yet, only a few: those who are
#: killed read much faster than they work, and all of it has to be worked off in the end.
SUPPLY, BACKLOG_MAX, FEW = 60, 300, 6

#: What messages meet, and how often. ``mend`` is refused the first time and fine when replayed.
KINDS = {"ok": 60, "flaky": 14, "wait": 10, "slow": 6, "bad": 4, "mend": 6}


@dataclass(slots=True)
class Place:
    """A worker of the team and what it is to die of."""

    target: str
    worker: Worker
    kill_at: float
    started: bool = False
    termed: bool = False
    #: Who joined so that this one has a partition to give up.
    rival: Worker | None = None


@dataclass
class Siege:
    """One run against one stream."""

    crew: Crew
    rng: random.Random
    team: int = 3
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    published: dict[int, str] = field(default_factory=dict)

    def run(self, plan: Sequence[str]) -> None:
        """Hurts until every entry of the plan has been met by a death."""
        todo = list(plan)
        self.rng.shuffle(todo)
        places: list[Place] = []
        while todo or places:
            self._supply()
            while todo and len(places) < self.team:
                places.append(self._enlist(todo.pop()))
            time.sleep(0.02)
            for place in list(places):
                if self._over(place, todo):
                    places.remove(place)

    # -- one worker

    def _enlist(self, target: str) -> Place:
        now = time.monotonic()
        if target == TIMER:
            return Place(target, self.crew.start(), now + self.rng.uniform(0.3, 2.5))
        nth = 1 if target in SELDOM or self.missed[target] else self.rng.randint(1, 4)
        arm = f"{target}:kill:{nth}"
        if target in REPLAYING:
            where = self.crew.backend.url, self.crew.stream, GROUP
            worker = Born.script(REPLAYER, *where, env={"HOLDFAST_POINTS": arm})
            self.crew.workers.append(worker)
            return Place(target, worker, now + START_S)
        return Place(target, self.crew.start(arm), now + START_S)

    def _over(self, place: Place, todo: list[str]) -> bool:
        """Has it died, of whatever? Then it is accounted for."""
        worker, now = place.worker, time.monotonic()
        if not self._still(place, worker, now, todo):
            if place.rival is not None:
                place.rival.kill9()
            return True
        return False

    def _still(self, place: Place, worker: Worker, now: float, todo: list[str]) -> bool:
        """Does it live on? If not, what it died of is counted."""
        if worker.alive:
            if not place.started and place.target != TIMER and events(worker, "consumer_started"):
                place.started, place.kill_at = True, now + PATIENCE_S
            if now > place.kill_at:
                worker.kill9()
                self.kills[TIMER] += 1
                if place.target != TIMER:
                    self._again(place.target, todo)
                return False
            if place.target == GIVEN and place.rival is None and len(events(worker, "partition_acquired")) > 1:
                place.rival = self.crew.start()
            if place.target in ENDING and not place.termed and len(events(worker, "began")) >= 20:
                worker.signal(signal.SIGTERM)
                place.termed = True
            return True
        code = worker.wait(10)
        if code == -signal.SIGKILL:
            self.kills[place.target] += 1
        elif code == 0 and place.target in ENDING | REPLAYING:
            self._again(place.target, todo)  # it had nothing to hand back, or to replay
        else:
            raise AssertionError(f"a worker for {place.target} ended with {code}:\n{worker.stderr[-4000:]}")
        return False

    def _again(self, target: str, todo: list[str]) -> None:
        self.missed[target] += 1
        assert self.missed[target] <= TRIES_MAX, f"{target} was not reached in {TRIES_MAX} lives"
        todo.insert(self.rng.randint(0, len(todo)), target)

    # -- messages

    def _supply(self) -> None:
        supply = SUPPLY if self.crew.backlog() < BACKLOG_MAX else FEW
        if self.crew.unread() >= supply:
            return
        count = len(self.published)
        kinds = self.rng.choices(list(KINDS), list(KINDS.values()), k=supply)
        works = [Work(n=count + i, kind=kind, seconds=0.1 if kind == "slow" else 0.0) for i, kind in enumerate(kinds)]
        now, later = works[3:], works[:3]
        for part, how in ((now, {}), (later, {"delay_s": 0.3})):
            ids = self.crew.publish(part, **how)
            self.published |= {work.n: message_id for work, message_id in zip(part, ids, strict=True)}

    def finish(self, stall_s: float = 30.0, workers: int = 2) -> None:
        """Nobody is hurt any more: what is left is worked off, at the machine's pace. stall_s: who gets nothing done
        for so long is stuck."""
        for _ in range(workers):
            self.crew.start()
        least, ends = math.inf, 0.0
        while not self.crew.drained():
            now, left = time.monotonic(), self.crew.backlog()
            if left < least:
                least, ends = left, now + stall_s
            assert now < ends, f"{left} entries are left, and for {stall_s:g} s there are no fewer"
            time.sleep(0.05)

    # -- judging

    def history(self) -> list[Record]:
        """What was published, what took effect, and where each message is now."""
        crew, names = self.crew, self.published
        effects = crew.applied() if crew.handler == "ledger" else crew.noted()
        dead = [letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()]
        left = crew.left()
        records = [Record("published", message_id) for message_id in names.values()]
        records += [Record("effect", names[n]) for n, times in effects.items() for _ in range(times)]
        records += [Record("pending", message_id) for message_id in left]
        records += [Record("buried", message_id) for message_id in dead]
        gone = set(names.values()) - set(left) - set(dead)
        return records + [Record("settled", message_id) for message_id in gone]

    def verdict(self) -> Verdict:
        return check(self.history(), order=False)

    def report(self) -> str:
        """Kills by step, for a person."""
        lines = [f"{count:4} {name}" for name, count in sorted(self.kills.items(), key=lambda kv: (-kv[1], kv[0]))]
        return "\n".join([f"{sum(self.kills.values())} kills, {len(self.published)} messages", *lines])

