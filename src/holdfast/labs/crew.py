# SPDX-License-Identifier: Apache-2.0
"""Worker processes of a lab: hired, killed while they hold something, replaced, dismissed. Each by its own pid."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from signal import SIGTERM

from ..errors import HoldfastError
from ..testing.processes import Worker
from ..testing.waiting import NotReached

#: Seconds a worker may take to come up, and to end after SIGTERM.
PATIENCE_S = 30.0
_LOOK_S = 0.02


class Crew:
    """Workers of one module: ``python -m MODULE ASSIGNMENT``. Each says ``{"event": "ready"}`` when it is at work."""

    def __init__(self, module: str, assignment: Path) -> None:
        self._module, self._assignment = module, assignment
        self.members: list[Worker] = []

    def hire(self) -> Worker:
        """Starts one more."""
        member = Worker.module(self._module, str(self._assignment))
        self.members.append(member)
        return member

    async def ready(self, count: int) -> list[Worker]:
        """Those at work, when there are ``count`` of them. Raises HoldfastError when it takes too long."""
        until = time.monotonic() + PATIENCE_S
        while len(found := [m for m in self.members if {"event": "ready"} in m.lines]) < count:
            self.check()
            if time.monotonic() > until:
                raise HoldfastError(f"{len(found)} of {count} workers came up within {PATIENCE_S:g} s; their words: "
                                    + "; ".join(map(_end, self.members)))
            await asyncio.sleep(_LOOK_S)
        return found

    def check(self) -> None:
        """Raises HoldfastError when one has ended that nobody has killed."""
        for member in self.members:
            if not member.alive:
                raise HoldfastError(f"worker {member.pid} ended by itself: {_end(member)}")

    def kill(self, member: Worker) -> None:
        """SIGKILL: nothing is flushed, handed back or closed."""
        self.members.remove(member)
        member.close()

    async def dismiss(self) -> None:
        """SIGTERM for all, and waits for their orderly end."""
        for member in self.members:
            member.signal(SIGTERM)
        for member in list(self.members):
            try:
                await asyncio.to_thread(member.wait, PATIENCE_S)
            except NotReached as error:
                raise HoldfastError(f"worker {member.pid} did not end: {error}") from error
            self.kill(member)

    def kill_all(self) -> None:
        """Leaves nobody behind."""
        while self.members:
            self.kill(self.members[-1])


def pid_of(consumer: str) -> int:
    """The pid in a consumer's name, ``host-pid-random``; 0 in names that are not ours."""
    parts = consumer.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


def _end(member: Worker) -> str:
    lines = [line.strip() for line in member.stderr.splitlines() if line.strip(" ^~")]
    return " | ".join(lines[-4:]) or "it left no word"
