# SPDX-License-Identifier: Apache-2.0
"""How a content is known again: by its head, and by the bytes before the place where reading stopped.

A name says nothing (it is what rotation changes), and neither does an inode: one is given to the next file as soon as
the first is gone, and a truncated file keeps it. The head alone mistakes files that begin alike, as all do whose first
lines are a banner or a schema; it was what made others stall or skip. So all must fit: device and inode where the file
is the same, and in any case the hash of the head and that of the last bytes before the offset.

What this cannot see: a file that was truncated and written anew with the very bytes it had, up to the offset at least.
Lines of logs carry times, so in practice that takes a file of equal lines. Reading then goes on behind them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

__all__ = ["HEAD", "KNOWN", "TAIL", "Print", "Trail", "digest"]

#: Bytes of the head, and before the offset, that have to be the known ones.
HEAD, TAIL = 4096, 1024
#: Until so many bytes were read, a content is known by as many as stand in its file: the first ones may be a banner.
KNOWN = 16_384


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """What a content looked like where reading stopped: ``at`` bytes in."""

    at: int = 0
    head: str = ""
    tail: str = ""

    @property
    def head_bytes(self) -> int:
        """So many bytes of the head are known."""
        return min(HEAD, self.at)

    @property
    def tail_from(self) -> int:
        """Where the bytes before the offset begin."""
        return max(0, self.at - TAIL)

    def fits(self, head: bytes, tail: bytes) -> bool:
        """Is it this content? ``head``: the file's first ``head_bytes``; ``tail``: those from ``tail_from`` to
        ``at``."""
        if len(head) != self.head_bytes or len(tail) != self.at - self.tail_from:
            return False
        return self.at == 0 or (digest(head) == self.head and digest(tail) == self.tail)  # guard: both ends are known


class Trail:
    """The head and the last bytes of what was read so far, kept while reading goes on. ``at``: how far that is."""

    __slots__ = ("at", "head", "tail")

    def __init__(self, at: int = 0, head: bytes = b"", tail: bytes = b"") -> None:
        self.at, self.head, self.tail = at, head, tail

    def extend(self, content: bytes) -> None:
        """More was read."""
        if len(self.head) < HEAD and len(self.head) == self.at:
            self.head += content[:HEAD - self.at]
        self.tail = content[-TAIL:] if len(content) >= TAIL else (self.tail + content)[-TAIL:]
        self.at += len(content)

    def extend_all(self, parts: Iterable[bytes]) -> None:
        """More was read, in pieces."""
        self.extend(b"".join(parts))

    def print(self) -> Print:
        """What it looks like here."""
        if not self.at:
            return Print()
        return Print(at=self.at, head=digest(self.head[:HEAD]), tail=digest(self.tail))

    def copy(self) -> Trail:
        """Another one, as it is now."""
        return Trail(self.at, self.head, self.tail)
