# SPDX-License-Identifier: Apache-2.0
"""One child process that a test hurts on purpose: killed, frozen, continued, and always reaped by its pid."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .watchdog import watchdog


class Hurtable:
    """A running process. ``kill`` is SIGKILL, ``pause`` and ``resume`` are SIGSTOP and SIGCONT.

    It leads a session of its own, so that Ctrl-C in a terminal reaches the tests alone, and it dies with this process
    (see ``watchdog``).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.popen = self._begun(argv, env=env, cwd=cwd, stdout=stdout, stderr=stderr)
        self.paused = False
        watchdog.guard(self.pid, folder)

    def _begun(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None,
        cwd: Path | None,
        stdout: IO[bytes] | int | None,
        stderr: IO[bytes] | int | None,
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Not ended yet; a paused process is alive."""
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        self.popen.send_signal(number)

    def pause(self) -> None:
        """Freezes the process, and returns once the kernel has stopped it."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.paused = self.alive

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.paused = False

    def kill(self) -> None:
        """SIGKILL, and reaps. Does nothing to a process that has ended."""
        self.signal(signal.SIGKILL)
        self.reap(10)

    def reap(self, deadline_s: float) -> int:
        """Waits for the end and returns the exit code: minus the signal's number when a signal ended it."""
        code = self.popen.wait(deadline_s)
        self.paused = False
        watchdog.release(self.pid)
        return code
