# SPDX-License-Identifier: Apache-2.0
"""An open file, plain or compressed by gzip, read only behind bytes that are the known ones.

Each read of a plain file begins ``TAIL`` bytes before the place where the last one stopped. What comes first has to be
what was there: so a file that is truncated and written anew between two looks, however long it is by then, is noticed
by the very read that would mistake it, not by a check before it.

A compressed file does not change. It is read through from its start once it is opened; offsets are those of what it
holds.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from typing import BinaryIO

from .identity import HEAD, TAIL, Print, Trail, digest

__all__ = ["CutShort", "Opened", "Rewritten", "open_file"]

#: Errors of a compressed file that is damaged, or ends too early.
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


class Rewritten(Exception):
    """The file does not hold what was read from it: it was truncated, or written anew."""


class CutShort(Exception):
    """A compressed file is damaged or ends too early: nothing can be read behind this place."""


class Opened:
    """A file at a place. ``packed``: it is compressed; ``path``: by which it was opened."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._file: gzip.GzipFile | None = None
        self._raw: BinaryIO | None = None
        self._read = 0
        if os.pread(descriptor, 2, 0) == b"\x1f\x8b":
            self._raw = os.fdopen(os.dup(descriptor), "rb")
            self._file = gzip.GzipFile(fileobj=self._raw)
        self.packed = self._file is not None

    def stat(self) -> os.stat_result:
        """What it is now."""
        return os.fstat(self._descriptor)

    def fits(self, print_: Print) -> bool:
        """Does it begin with the content that looks like this? Leaves a compressed file behind that place."""
        if print_.at == 0:
            return True
        try:
            trail = self.trail(print_)
        except (CutShort, Rewritten):
            return False
        return trail is not None

    def trail(self, print_: Print) -> Trail | None:
        """Head and last bytes of the content that looks like this, or None if another one stands here."""
        head = self._at(0, print_.head_bytes)
        if digest(head) != print_.head and print_.at:
            return None  # before a compressed file is read through for its tail
        tail = self._tail(print_, head)
        return Trail(print_.at, head, tail) if print_.fits(head, tail) else None

    def head(self, limit: int) -> bytes:
        """The first bytes."""
        return self._at(0, limit)

    def window(self, offset: int, limit: int) -> bytes:
        """Bytes from ``offset`` on."""
        return self._at(offset, limit)

    def trail_at(self, at: int) -> Trail:
        """The trail of what stands here before ``at``, whatever it is."""
        begin = max(0, at - TAIL)
        return Trail(at, self._at(0, min(HEAD, at)), self._at(begin, at - begin))

    def whole(self) -> tuple[Print, bool]:
        """What all of it looks like, as far as it can be read; and whether it ends too early."""
        if self._file is None:
            return self.trail_at(self.stat().st_size).print(), False
        trail = Trail()
        try:
            while content := self._at(trail.at, 1 << 20):
                trail.extend(content)
        except CutShort:
            return trail.print(), True
        return trail.print(), False

    def read(self, trail: Trail, limit: int) -> bytes:
        """What stands behind ``trail``, at most ``limit`` bytes. Rewritten when what is before it is not what was."""
        if self._file is not None:
            return self._at(trail.at, limit)
        size = self.stat().st_size
        if size < trail.at:
            raise Rewritten
        before = len(trail.tail)
        content = os.pread(self._descriptor, before + limit, trail.at - before)
        if content[:before] != trail.tail:  # guard: what was read stands before what is read
            raise Rewritten
        return content[before:]

    def _tail(self, print_: Print, head: bytes) -> bytes:
        if self._file is None or print_.tail_from >= len(head):
            return self._at(print_.tail_from, print_.at - print_.tail_from)
        behind = self._at(len(head), print_.at - len(head))
        return (head + behind)[print_.tail_from:]

    def _at(self, offset: int, limit: int) -> bytes:
        if self._file is None:
            return os.pread(self._descriptor, limit, offset)
        if offset < self._read:
            self._file.seek(0)
            self._read = 0
        while self._read < offset:
            if not self._unpack(min(1 << 20, offset - self._read)):
                return b""
        return self._unpack(limit)

    def _unpack(self, limit: int) -> bytes:
        """The next bytes, at most ``limit``, fewer only at the end. What can be read before a damage is."""
        file, content = self._file, b""
        if file is None:
            return content
        try:
            while len(content) < limit and (part := file.read1(limit - len(content))):
                content += part
        except _DAMAGED as error:
            if not content:
                raise CutShort(f"{self.path}: {error}") from error
        self._read += len(content)
        return content

    def close(self) -> None:
        """Lets go of it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_file(path: str) -> Opened:
    """Opens a regular file. OSError when it cannot be, or is none: a pipe would have us wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        return Opened(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
