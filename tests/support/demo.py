# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo`` as somebody else would start it: a process of its own, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.testing.process import Hurtable


class Demo(Hurtable):
    """A running demo. Its temporary folder lies in ``home``, so what it leaves there can be seen."""

    def __init__(self, home: Path, *args: str) -> None:
        self.home = home
        self._out, self._err = (home / "stdout").open("wb"), (home / "stderr").open("wb")
        (home / "tmp").mkdir()
        super().__init__([sys.executable, "-m", "holdfast.cli", "demo", *args], stdout=self._out, stderr=self._err,
                         env={**os.environ, "TMPDIR": str(home / "tmp")})

    def end(self, deadline_s: float = 100.0) -> int:
        """Waits for its end; the exit code."""
        try:
            return self.reap(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the demo did not end within {deadline_s} s: {self.stderr}") from None

    @property
    def stdout(self) -> str:
        return (self.home / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.home / "stderr").read_text()

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    def processes(self) -> dict[int, str]:
        """Workers and servers of this demo, by pid: whoever has its temporary folder on the command line or open."""
        return {pid: line for pid, line in _command_lines() if str(self.home / "tmp") in line or self._is_server(pid)}

    def _is_server(self, pid: int) -> bool:
        try:
            return str(self.home / "tmp") in str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            return False

    def leftovers(self) -> list[str]:
        """What lies in its temporary folder."""
        return sorted(path.name for path in (self.home / "tmp").iterdir())

    def close(self) -> None:
        """Kills it, and whatever it should not have left behind."""
        self.kill()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self._out.close()
        self._err.close()


def _command_lines() -> Sequence[tuple[int, str]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if line:  # a zombie has none
                found.append((int(folder.name), line))
    return found
