# SPDX-License-Identifier: Apache-2.0
"""A dead-letter service as it is run: instances of ``holdfast dlq serve`` on one desk, a consumer, people's channels.

All but the channels are processes of their own. What is asserted is read from outside: what the consumer has written
down, the desk with its handling log, the shelf in Redis, and what the channels were told.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from holdfast import Holdfast
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.desk import Case, Desk, Filter, State, Step
from holdfast.deadletters.desk.log import Chosen, steps
from holdfast.deadletters.notify import Incident, store
from holdfast.errors import ServerUnreachable
from holdfast.streams.entry import Outgoing
from holdfast.testing import Worker
from holdfast.testing.waiting import wait_until
from holdfast.testing.watchdog import watchdog
from tests.faults.workers import letter_service
from tests.faults.workers.letter_bank import GROUP

T = TypeVar("T")

WORKERS = Path(__file__).parent / "workers"
#: What an instance is told, so that nothing takes long.
NUMBERS = ("--poll", "100ms", "--check", "100ms", "--deed", "1500ms", "--lease", "1s", "--look", "500ms", "--undo",
           "300ms")
ENDS: tuple[State, ...] = ("resolved", "archived", "manual")
UNDER_WAY: tuple[State, ...] = ("new", "classified", "scheduled", "working", "replayed", "discarded")
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([letter_service.__name__])


class Instance:
    """One process of ``holdfast dlq serve``."""

    def __init__(self, stderr: Path, args: Sequence[str], arm: str) -> None:
        self._stderr = stderr
        self._process = _FORKS.Process(target=letter_service.instance, args=(str(stderr), arm, args), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        watchdog.guard(self.pid)

    @property
    def alive(self) -> bool:
        """Not ended yet."""
        return self._process.is_alive()

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self._stderr.read_text(errors="replace") if self._stderr.exists() else ""

    @property
    def works(self) -> bool:
        """Has it found its server and its desk?"""
        return "dealing with dead letters as" in self.stderr

    def signal(self, number: int) -> None:
        """Sends one."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, deadline_s: float = 30.0) -> int | None:
        """Its exit code, minus a signal's number; None when it did not end in time."""
        self._process.join(deadline_s)
        return self._process.exitcode

    def close(self) -> None:
        """Kills and reaps it."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.wait(10)
        watchdog.release(self.pid)
        self._process.close()


class Office:
    """Instances on one desk, a consumer, and what is known of them from outside. rules: as a rules file has them."""

    def __init__(self, backend: Any, stream: str, folder: Path, desk_url: str, rules: dict[str, Any]) -> None:
        self.backend, self.stream, self.folder, self.desk_url = backend, stream, folder, desk_url
        self.keys = GroupKeys("hf", stream, GROUP)
        self.rules = folder / "rules.yaml"
        self.say(rules)
        self.instances: list[Instance] = []
        self.bank = Worker.script(WORKERS / "letter_bank.py", backend.url, stream, str(folder / "handled"))
        self.bank.wait_line(lambda line: line["event"] == "up", 60)

    def say(self, rules: dict[str, Any]) -> None:
        """Other rules; YAML holds JSON."""
        draft = self.rules.with_suffix(".draft")
        draft.write_text(json.dumps(rules))
        draft.replace(self.rules)

    def publish(self, *bodies: dict[str, Any]) -> None:
        """Messages for the consumer, each known by its body's id."""
        async def send() -> None:
            async with Holdfast(self.backend.url) as hf:
                await hf.publish_many(self.stream, [Outgoing(value=body, id=body["id"]) for body in bodies])

        asyncio.run(send())

    def start(self, arm: str = "", *more: str) -> Instance:
        """Another instance. arm: steps at which something happens to it."""
        args = ("dlq", "serve", self.stream, "--group", GROUP, "--desk", self.desk_url, "--rules", str(self.rules),
                "--url", self.backend.url, *NUMBERS, *more)
        made = Instance(self.folder / f"instance-{len(self.instances)}", args, arm)
        self.instances.append(made)
        return made

    def working(self, *more: str) -> Instance:
        """Another instance, once it works."""
        made = self.start("", *more)
        wait_until(lambda: made.works or not made.alive, 60, "an instance works")
        assert made.alive, made.stderr
        return made

    # -- from outside

    def bodies(self) -> list[dict[str, Any]]:
        """What the consumer has handled."""
        path = self.folder / "handled"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def handled(self) -> Counter[str]:
        """How often, by id."""
        return Counter(body["id"] for body in self.bodies())

    def shelf(self) -> list[str]:
        """Letters on the shelf, by a client of its own."""
        return [fields[b"x-dlq-letter-id"].decode() for _, fields in self.backend.admin.xrange(self.keys.dead)]

    def at_desk(self, work: Callable[[Desk], Awaitable[T]]) -> T:
        """Asks the desk, once it is there, and again while those at work keep others out of it."""
        async def look() -> tuple[T]:
            desk = Desk(self.desk_url)
            try:
                return (await work(await desk.open()),)
            finally:
                await desk.close()

        return wait_until(lambda: asyncio.run(look()), 60, "the desk answers", errors=(ServerUnreachable,))[0]

    def cases(self, **wanted: Any) -> list[Case]:
        """Those at the desk."""
        return self.at_desk(lambda desk: desk.find(Filter(**wanted), limit=100_000))

    def log(self) -> list[Step]:
        """The whole handling log."""
        return self.at_desk(lambda desk: steps(desk, Chosen(), limit=1_000_000))

    def incidents(self) -> list[Incident]:
        """Those that are not over."""
        return self.at_desk(store.live)

    def idle(self) -> bool:
        """Is nothing under way, from the stream to the desk?"""
        waits = any(self.backend.admin.execute_command("XLEN", key) for key in (self.keys.replay, self.stream))
        return not waits and not self.at_desk(lambda desk: desk.count(Filter(states=UNDER_WAY)))

    def unsettled(self, published: int) -> list[str]:
        """What is not where it ends yet, and of whom nobody was told."""
        cases, incidents = self.at_desk(_cases_and_incidents)
        found = [f"{case.letter_id} is {case.state} by {case.rule}" for case in cases if case.state not in ENDS]
        found += [f"{key!r} has entries" for key in (self.keys.replay, self.stream)
                  if self.backend.admin.execute_command("XLEN", key)]
        waiting, counted = sum(case.state == "manual" for case in cases), sum(one.count for one in incidents)
        if waiting != counted:
            found.append(f"{waiting} wait for a person, and people are told of {counted}")
        missing = published - len({case.message_id for case in cases})
        return [*found, f"{missing} messages were never taken in"] if missing else found

    def close(self) -> None:
        """Leaves nothing at work."""
        for one in self.instances:
            one.close()
        self.bank.close()


async def _cases_and_incidents(desk: Desk) -> tuple[list[Case], list[Incident]]:
    return await desk.find(Filter(), limit=100_000), await store.live(desk)
