# SPDX-License-Identifier: Apache-2.0
"""The file that a machine's memory is kept in: locked by one process, replaced as a whole, and knowing itself.

A copy of it is not it. The file says which inode it is and when that was made, by the file system's own clock; one that
was copied, or put back from a backup, is another inode or was changed later. What a copy says is not gone on by.
Snapshots of a whole file system are not noticed here; ``memory`` says what covers them.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .._base.durable import replace
from .._base.typed import from_json
from ..errors import ConfigurationError, ServerRefused, WorkerIdTaken
from .memory import Memory
from .process_lock import ProcessLock

#: A file is changed for the last time by the rename that puts it in its place, so soon after it was made.
PLACED_WITHIN_NS = 10_000_000_000


class _Sealed(msgspec.Struct, frozen=True):
    """The first line of the file; the second is its SHA-256."""

    memory: Memory
    device: int
    inode: int
    born_ns: int


@dataclass(frozen=True)
class Found:
    """memory: what the file says, if it can be read. doubt: why it is not to be gone on by; empty when it is."""

    memory: Memory | None
    doubt: str


class MemoryFile:
    """``path``, and beside it ``.NAME.lock``, which is never deleted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = ProcessLock(path.with_name(f".{path.name}.lock"))
        self._held = False

    def lock(self) -> None:
        """Has it for this process. WorkerIdTaken when another one has; ConfigurationError where no file can be."""
        if self._held:
            return
        try:
            self._held = self._lock.try_alone()
        except OSError as error:
            raise ConfigurationError(f"{self._lock.path} cannot be opened ({error.strerror}): a worker id is "
                                     "remembered in a folder that this process may write to") from error
        if not self._held:  # guard: one process a file
            raise WorkerIdTaken(f"{self.path} is used by another process: give each a file of its own")

    def read(self) -> Found:
        """What it says, and whether it is itself."""
        try:
            with self.path.open("rb") as file:
                stat, text = os.fstat(file.fileno()), file.read()
        except FileNotFoundError:
            return Found(None, "there is none yet")
        except OSError as error:
            return Found(None, f"it cannot be read: {error.strerror}")
        try:
            sealed = _opened(text)
        except (ValueError, msgspec.DecodeError):
            return Found(None, "it is torn, or not ours")
        return Found(sealed.memory, "" if _is_itself(sealed, stat) else
                     "it is a copy, or was put back from one: it may have been gone on by since")

    def write(self, memory: Memory) -> None:
        """Puts it on disk. ServerRefused when it cannot be; then nothing is to be handed out by it."""
        try:
            if not self._lock.intact():
                raise ServerRefused(f"{self._lock.path} was deleted: another process can have {self.path} by now, and "
                                    "nothing is handed out by it", code="ENOENT")
            replace(self.path, lambda stat: _text(_Sealed(memory, stat.st_dev, stat.st_ino, stat.st_ctime_ns)))
        except OSError as error:
            raise ServerRefused(f"{self.path} cannot be written ({error.strerror}), and what is not written down there "
                                "is not handed out", code=errno.errorcode.get(error.errno or 0, "EIO")) from error

    def close(self) -> None:
        """Lets go of it."""
        self._held = False
        self._lock.release()


def _text(sealed: _Sealed) -> bytes:
    line = msgspec.json.encode(sealed)
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def _opened(text: bytes) -> _Sealed:
    line, digest, end = text.split(b"\n")
    if end or digest.decode("ascii") != hashlib.sha256(line).hexdigest():
        raise ValueError("another digest")
    return from_json(line, _Sealed)


def _is_itself(sealed: _Sealed, stat: os.stat_result) -> bool:
    same = (sealed.device, sealed.inode) == (stat.st_dev, stat.st_ino)
    return same and 0 <= stat.st_ctime_ns - sealed.born_ns <= PLACED_WITHIN_NS  # guard: a copy is not it
