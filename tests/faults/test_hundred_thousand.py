# SPDX-License-Identifier: Apache-2.0
"""A hundred thousand messages through three workers that are killed at random: none is lost, and what came more than
once is counted. Without ``once``: this is what delivery alone promises."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.testing import Worker, wait_until
from tests.faults.crew import QUICK
from tests.faults.storm import Shop, written
from tests.faults.workers.consumer import Work

MESSAGES, PART = 100_000, 5_000
TEAM = 3
#: Seconds between two deaths by the clock, at least and at most.
REST_S = 0.2, 0.8
#: One for each part but the first: the next part waits for it.
KILLS_MIN = MESSAGES // PART - 1


def tallied(folder: Path) -> Counter[int]:
    """How often each message came to a handler, in any of the processes."""
    return Counter(int(n) for path in folder.glob("tally-*") for n in path.read_text().split())


@dataclass
class Team:
    """Three workers, of whom one dies now and then: by the clock, or between handling and settling."""

    crew: Shop
    rng: random.Random
    workers: list[Worker] = field(default_factory=list)
    armed: list[Worker] = field(default_factory=list)
    kills: int = 0
    next_kill: float = 0.0

    def look(self) -> None:
        """Kills whose time has come, and replaces the dead."""
        now = time.monotonic()
        by_the_clock = [worker for worker in self.workers if worker not in self.armed]
        if now >= self.next_kill and len(self.workers) == TEAM and by_the_clock:
            self.rng.choice(by_the_clock).kill9()
            self.next_kill = now + self.rng.uniform(*REST_S)
        for worker in [worker for worker in self.workers if not worker.alive]:
            assert worker.wait() == -signal.SIGKILL, worker.stderr
            self.workers.remove(worker)
            self.kills += 1
        while len(self.workers) < TEAM:
            # One of them dies between handling and settling, and of nothing else before: left to chance, on a slow
            # machine none comes so far.
            is_armed = not any(worker in self.armed for worker in self.workers)
            self.workers.append(self.crew.start(f"settle.before:kill:{self.rng.randint(5, 200)}" if is_armed else ""))
            self.armed += self.workers[-1:] if is_armed else []


@pytest.mark.timeout(1800)
def test_streams_bring_a_hundred_thousand_messages_through_and_lose_none(backend, stream, tmp_path: Path, rng):
    parts = [[Work(n=n) for n in range(first, first + PART)] for first in range(0, MESSAGES, PART)]
    with Shop(backend, stream, tmp_path, handler="tally", how={"concurrency": 16}, settings=dict(QUICK)) as crew:
        team = Team(crew, rng)
        while parts or crew.backlog():
            team.look()
            if parts and crew.backlog() < PART and team.kills + len(parts) > KILLS_MIN:
                crew.publish(parts.pop())
            time.sleep(0.02)
        wait_until(crew.drained, 30, "everything is settled")
        came = tallied(tmp_path)
        assert came.keys() == set(range(MESSAGES)), "none is lost"
        assert not crew.letters()
        again = sum(times > 1 for times in came.values())
        report = {"messages": MESSAGES, "kills": team.kills, "again": again, "at most": max(came.values())}
        print(report)
        written(Path("build") / "hundred-thousand.json", report)
        assert team.kills >= KILLS_MIN
        assert came.total() > MESSAGES, "the work of who dies between handling and settling comes again"
