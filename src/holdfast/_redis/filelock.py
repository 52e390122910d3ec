# SPDX-License-Identifier: Apache-2.0
"""Advisory file locks (``flock``), the kind the kernel lets go of when the last process that holds them ends.

A lock belongs to the open file, not to the process: a child that inherits the descriptor holds it as well. The embedded
server is given one in this way, so whether it runs is a question to the kernel and not to a pid that may be another's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, ServerUnreachable

if TYPE_CHECKING or sys.platform != "win32":
    import fcntl


class FileLock:
    """A lock on ``path``, which is created when missing and never deleted (a deleted lock file is two lock files)."""

    def __init__(self, path: Path) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("the embedded server needs Linux or macOS; give the URL of a server")
        self.path = path
        self._fd: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file, to hand to a child. Only while held."""
        if self._fd is None:
            raise ValueError(f"{self.path} is not locked")
        return self._fd

    def try_shared(self) -> bool:
        """Takes the lock together with others, unless somebody has it alone."""
        return self._try(fcntl.LOCK_SH)

    def try_alone(self) -> bool:
        """Takes the lock alone, or turns a shared hold into it; on False nothing is held any more."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        """Lets go of this hold; a child that inherited it keeps its own."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    async def shared(self, timeout_s: float) -> None:
        """Waits for ``try_shared``."""
        await self._wait(fcntl.LOCK_SH, timeout_s)

    async def alone(self, timeout_s: float) -> None:
        """Waits for ``try_alone``."""
        await self._wait(fcntl.LOCK_EX, timeout_s)

    def _try(self, how: int) -> bool:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    async def _wait(self, how: int, timeout_s: float) -> None:
        ends = time.monotonic() + timeout_s
        while not self._try(how):
            if time.monotonic() > ends:
                raise ServerUnreachable(f"{self.path} stayed locked for {timeout_s:.3g} s; see who has it open")
            await asyncio.sleep(0.02)
