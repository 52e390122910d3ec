# SPDX-License-Identifier: Apache-2.0
"""A storm over ids: processes make them while a nemesis stops, kills, cuts off and silences them, by a seed.

There are fewer worker ids than there are members, so each is had by one after another; what was lost comes to others.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.testing import Proxy, Single, Worker
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_history import Span
from tests.faults.ids_stores import Store

WINDOW_S = 0.6
PROCESSES, MEMBERS, WORKER_IDS = 3, 2, 5
#: Worker ids are had so often in a round: more often than there are of them.
HOLDS_MIN = 8
#: What the nemesis does, and how often.
NEMESES = {"stopped": 5, "killed": 3, "cut": 3, "silenced": 4, "eaten": 3, "scripts": 1, "clock": 2}


@dataclass
class IdsStorm:
    """One round, on a server whose clock can be stepped. ``run`` it, then ``judge`` it."""

    server: Single
    pool: str
    folder: Path
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    ways: dict[int, Proxy] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.crew = IdsCrew(Store("redis", self.server.url, self.pool, workers=WORKER_IDS), self.folder, {
            "window_s": WINDOW_S, "members": MEMBERS, "threads": 2, "chunk": 10_000, "rest_s": 0.05, "life_s": 3.0})
        for _ in range(PROCESSES):
            self._enlist(Proxy(self.server.address).start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.crew.__exit__(kind, error, at)
        for way in self.ways.values():
            way.close()

    def _enlist(self, way: Proxy) -> None:
        worker = self.crew.start(url=way.through(self.server.url))
        self.ways[worker.pid] = way
        worker.wait_line(lambda line: line["started"])

    def run(self, ids: int, seconds_max: float) -> None:
        """Hurts until so many ids are made, and at least eight times, and until there were ``HOLDS_MIN`` holds: who is
        hurt, and so whether its worker id changes hands, is chance."""
        end = time.monotonic() + seconds_max
        while time.monotonic() < end and (
                self.crew.size() < ids or self.done.total() < 8 or self.crew.holds() < HOLDS_MIN):
            time.sleep(self.rng.uniform(0.05, 0.3))
            what = self.rng.choices(list(NEMESES), list(NEMESES.values()))[0]
            self._hurt(what, self.rng.choice(self.crew.living))
            self.done[what] += 1
        for way in self.ways.values():
            way.heal()
        self.crew.end(*self.crew.living)

    def _hurt(self, what: str, worker: Worker) -> None:
        way, some_s = self.ways[worker.pid], WINDOW_S * self.rng.choice((0.5, 1.5))
        match what:
            case "stopped":
                worker.stop()
                time.sleep(some_s)
                worker.cont()
            case "killed":
                worker.kill9()
                self._enlist(self.ways.pop(worker.pid))
            case "cut":
                way.cut()
            case "silenced":
                way.stall()
                time.sleep(some_s)
                way.resume()
            case "eaten":
                way.heal()
                way.eat_reply(to=b"EVALSHA", count=self.rng.randint(1, 2))
            case "scripts":
                self.server.admin.script_flush()
            case "clock":
                self.server.step_clock(self.rng.choice((-0.3, 0.0, 0.3)))

    def judge(self) -> tuple[list[Span], int]:
        """See ``IdsCrew.judge``."""
        return self.crew.judge()
