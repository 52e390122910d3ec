# SPDX-License-Identifier: Apache-2.0
"""Lines at the end of a file, on disk before anybody is told.

::

    write ─▶ fsync ─▶ answer

What a crash, or a full disk, leaves behind the last newline was never answered for: it is the **torn tail**, and is cut
off when the file is opened or written to next. A tail that is a whole JSON value is kept and gets its newline: then an
editor left it out, or the crash came exactly there.

The name is looked at before each write. When somebody has moved the file away (log rotation does), a new one is begun.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ..._base.durable import sync_folder

#: Bytes that are read at a time while the last newline is looked for.
_BLOCK: Final = 65_536
#: Seconds for which another one may have the file.
TURN_S: Final = 10.0
_LOOK_S: Final = 0.002


class AppendFile:
    """One file that only grows. Several processes may write to it: they take turns by ``flock``.

    mode: of a new file. Methods raise OSError; what was not written whole is not in the file then, or is cut off at the
    next write.
    """

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        self.path = path
        self._mode = mode
        self._descriptor = -1
        self._doubtful = True

    def open(self) -> int:
        """Opens the file, or begins it. Answers how many bytes of a torn tail were cut off."""
        self.close()
        is_new = not self.path.exists()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, self._mode)
        if is_new:
            sync_folder(self.path)
        with self._turn():
            return self._mend()

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._descriptor).st_size

    def append(self, lines: Sequence[bytes]) -> int:
        """Writes each line and its newline; on disk when this returns. Answers where the first one begins."""
        if self._descriptor < 0 or self._is_elsewhere():
            self.open()
        with self._turn():
            return self._append(lines)

    def _append(self, lines: Sequence[bytes]) -> int:
        if self._doubtful or not self._ends_well():
            self._mend()
        begin = self.size
        try:
            _write(self._descriptor, b"".join(line + b"\n" for line in lines))
            os.fsync(self._descriptor)  # guard: on disk before it is answered
        except BaseException:
            self._doubtful = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, begin)  # not half of a batch either, where that can be had
            raise
        return begin

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """A tail that looks torn may be one that another process is writing."""
        with turn(self._descriptor):  # guard: one at a time
            yield

    def close(self) -> None:
        """Closes the file. Harmless when it is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _is_elsewhere(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _ends_well(self) -> bool:
        size = self.size
        return size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n"

    def _mend(self) -> int:
        """Cuts off a torn tail; gives a whole one its newline."""
        size = self.size
        start = _after_last_newline(self._descriptor, size)
        tail = os.pread(self._descriptor, size - start, start)
        if tail and _is_whole(tail):
            _write(self._descriptor, b"\n")
            tail = b""
        elif tail:
            os.ftruncate(self._descriptor, start)  # guard: half a line is never joined to the next one
        os.fsync(self._descriptor)
        self._doubtful = False
        return len(tail)


@contextlib.contextmanager
def turn(descriptor: int, wait_s: float = TURN_S) -> Iterator[None]:
    """Holds the file alone. OSError when another one has had it for ``wait_s``: a tool that was stopped in the middle
    must not take all of our threads with it."""
    until = time.monotonic() + wait_s
    while not _taken(descriptor):
        if time.monotonic() >= until:
            raise OSError(errno.EWOULDBLOCK, f"another process has had it for {wait_s:g} s")
        time.sleep(_LOOK_S)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _after_last_newline(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _BLOCK)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_whole(tail: bytes) -> bool:
    """Is it a JSON object, or an array? A number that was cut is a number too."""
    try:
        return isinstance(msgspec.json.decode(tail), dict | list)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
