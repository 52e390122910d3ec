# SPDX-License-Identifier: Apache-2.0
"""The file of last resort: dead lines, as JSON, for as long as they cannot be written where they belong.

On disk before anybody is told. A line that was written in part when a process died is cut off at the next start: its
line of the log was not told to be here, and is read again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .._base.durable import sync_folder
from .._base.points import reached
from .._base.typed import from_json
from .dead_lines import DeadLine

__all__ = ["Emergency"]


class Emergency:
    """The file at ``path``; more than ``bytes_max`` is not taken."""

    def __init__(self, path: str | Path, *, bytes_max: int = 256 << 20) -> None:
        self.path, self._bytes_max = Path(path), bytes_max
        self.bytes = 0

    def open(self) -> None:
        """Cuts off what was written in part. OSError."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            whole = 0
            for line in file:
                if line.endswith(b"\n"):
                    whole += len(line)
            file.truncate(whole)
        self.bytes = whole

    def put(self, lines: Sequence[DeadLine]) -> bool:
        """Appends them: on disk when it returns True. False: there is no room. OSError."""
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        if self.bytes + len(text) > self._bytes_max:
            return False
        fresh = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._write(descriptor, text)
        finally:
            os.close(descriptor)
        if fresh:
            sync_folder(self.path)
        reached("logs.emergency.after")
        self.bytes += len(text)
        return True

    def _write(self, descriptor: int, text: bytes) -> None:
        try:
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(descriptor, rest):]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self.bytes)
            raise

    def lines(self) -> list[DeadLine]:
        """What is in it. OSError."""
        if not self.bytes:
            return []
        with self.path.open("rb") as file:
            return [from_json(line, DeadLine) for line in file]

    def clear(self) -> None:
        """It all lies where it belongs."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path)
        self.bytes = 0
