# SPDX-License-Identifier: Apache-2.0
"""A storm over locks: processes take locks of all kinds while a nemesis cuts, silences, freezes and kills, by a seed.

Each process reaches the server through a proxy of its own, so that what one sees the others need not see. What all of
them said, killed ones too, is one history a kind.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from holdfast.testing import Operation, Proxy, Worker
from tests.faults.locking import judge, now, operations
from tests.faults.workers.locker import Task
from tests.support.backend import Backend
from tests.support.nursery import Born

ROOT = Path(__file__).parents[2]
TTL_S = 0.6
POLL_S = 0.2
#: Kinds of lock, by the model that judges them.
KINDS = ("mutex", "fair", "rw", "permits")
FENCED = ("mutex", "fair")
#: What the nemesis does, and how often.
NEMESES = {"cut": 5, "silence": 4, "slow": 2, "half open": 2, "eaten": 5, "scripts": 2, "unsubscribed": 3, "frozen": 3,
           "killed": 2}


@dataclass
class Member:
    """One process and its way to the server."""

    name: str
    proxy: Proxy
    worker: Worker
    killed_at: float | None = None


@dataclass
class Storm:
    """``run``, and then ``judge``. A ``with`` block ends the processes."""

    backend: Backend
    rng: random.Random
    name: str
    kinds: Sequence[str] = KINDS
    team: int = 3
    nemeses: dict[str, int] = field(default_factory=lambda: dict(NEMESES))
    done: Counter[str] = field(default_factory=Counter)
    gone: list[Member] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Self:
        for _ in range(self.team):
            self._enlist(Proxy(self.backend.server.address).start())
        for member in self.members:
            member.worker.wait_line(lambda line: line["ready"])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for member in self.members:
            member.worker.close()
            member.proxy.close()

    def _enlist(self, proxy: Proxy) -> None:
        name = f"{len(self.gone) + len(self.members)}"
        task = Task(proxy.through(self.backend.url), "storm", self.name, ttl_s=TTL_S, poll_s=POLL_S,
                    seed=f"{self.rng.random()}", kinds=tuple(self.kinds))
        told = msgspec.json.encode(task).decode()
        self.members.append(Member(name, proxy, Born.module("tests.faults.workers.locker", told, cwd=ROOT)))

    def run(self, seconds: float) -> None:
        """Hurts for so long, then lets them end in peace."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.rng.uniform(0.05, 0.3))
            what = self.rng.choices(list(self.nemeses), list(self.nemeses.values()))[0]
            self._hurt(what, self.rng.choice(self.members))
            self.done[what] += 1
        for member in self.members:
            member.proxy.heal()
        for member in self.members:
            member.worker.wait_line(lambda line: line["ready"])
        time.sleep(TTL_S)  # a quiet end: locks are had again
        for member in self.members:
            member.killed_at = now()
            member.worker.popen.terminate()
        for member in self.members:
            assert member.worker.wait(20) == 0, member.worker.stderr
            assert "Traceback" not in member.worker.stderr, member.worker.stderr
            assert {"wrong": []} in member.worker.lines

    def _hurt(self, what: str, member: Member) -> None:
        admin, proxy, worker = self.backend.admin, member.proxy, member.worker
        match what:
            case "cut":
                proxy.cut()
            case "silence":
                proxy.stall()
                time.sleep(TTL_S * self.rng.choice((0.3, 0.9, 1.3)))
                proxy.resume()
            case "slow":
                proxy.delay(0.01)
                time.sleep(TTL_S / 2)
                proxy.delay(0)
            case "half open":
                proxy.half_open()
            case "eaten":
                proxy.heal()
                proxy.eat_reply(to=b"EVALSHA", count=self.rng.randint(1, 3))
            case "scripts":
                admin.script_flush()
            case "unsubscribed":
                admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            case "frozen":
                worker.stop()
                time.sleep(TTL_S * self.rng.choice((0.5, 1.3)))
                worker.cont()
            case "killed":
                member.killed_at = now()
                worker.kill9()
                worker.close()
                self.members.remove(member)
                self.gone.append(member)
                self._enlist(proxy)

    def history(self, kind: str) -> list[Operation]:
        """Of all processes, those that were killed too."""
        return [operation for member in (*self.gone, *self.members) for operation in operations(
            self._said(member, kind), member.name, killed_at=member.killed_at, fenced=kind in FENCED)]

    @staticmethod
    def _said(member: Member, kind: str) -> Iterator[dict[str, Any]]:
        return (line for line in member.worker.lines if isinstance(line, dict) and line.get("kind") == kind)

    def judge(self) -> dict[str, Counter[str]]:
        """What each kind of lock did; fails if no such lock could have."""
        counts = {}
        for kind in self.kinds:
            history = self.history(kind)
            counts[kind] = Counter(
                ("unknown" if op.returned_at is None else "granted" if op.result is not False else "refused")
                if op.call.endswith("acquire") else "ended without its holder" if op.call == "expire" else "given back"
                for op in history)
            judge(history, kind)
        return counts

    def report(self, counts: dict[str, Counter[str]]) -> str:
        """For a person."""
        hurt = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        return "\n".join([hurt, *(f"{kind}: " + ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
                                  for kind, found in counts.items())])
