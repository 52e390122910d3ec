# SPDX-License-Identifier: Apache-2.0
"""The demo's worker processes: hired, hurt, replaced and dismissed, each by its own pid."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

from ..errors import HoldfastError
from ..testing.process import Hurtable

#: Seconds a worker may take to end after SIGTERM: its drain, and a slow machine.
END_S = 30.0


class Member(Hurtable):
    """A worker. Its stderr is kept in a file, for when it ends and should not have."""

    def __init__(self, assignment: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as stderr:
            super().__init__([sys.executable, "-m", "holdfast.demo.worker", str(assignment)],
                             stdout=subprocess.DEVNULL, stderr=stderr)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to stderr, on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip(" ^~")]
        return " | ".join(lines[-4:]) or "it left no word"


class Crew:
    """All workers. Should this process be killed, a watchdog ends them, frozen ones too: see ``testing.watchdog``."""

    def __init__(self, assignment: Path) -> None:
        self._assignment = assignment
        self._hired = 0
        self.members: list[Member] = []

    def hire(self) -> Member:
        """Starts one more."""
        self._hired += 1
        member = Member(self._assignment, self._assignment.with_name(f"worker-{self._hired}.log"))
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """SIGKILL: nothing is flushed, handed back or closed."""
        self.members.remove(member)
        member.kill()

    def check(self) -> None:
        """Raises HoldfastError when one has ended that nobody has killed."""
        for member in self.members:
            if not member.alive:
                raise HoldfastError(f"worker {member.pid} ended with exit code {member.popen.returncode}: "
                                    f"{member.last_words}")

    async def dismiss(self) -> list[str]:
        """SIGTERM for all; returns what was wrong with how they ended."""
        for member in self.members:
            member.signal(SIGTERM)
        wrong = []
        for member in self.members:
            try:
                code = await asyncio.to_thread(member.reap, END_S)
            except subprocess.TimeoutExpired:
                wrong.append(f"worker {member.pid} did not end within {END_S:g} s of SIGTERM: {member.last_words}")
                continue
            if code != 0:
                wrong.append(f"worker {member.pid} ended with exit code {code} after SIGTERM: {member.last_words}")
        self.members = [m for m in self.members if m.alive]
        return wrong

    def kill_all(self) -> None:
        """Leaves nobody behind."""
        while self.members:
            self.kill(self.members[-1])
