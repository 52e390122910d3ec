# SPDX-License-Identifier: Apache-2.0
"""A place in a source up to which everything is durable, and what the bytes before it were: the ledger."""

from __future__ import annotations

import msgspec

from .line import Source
from .tail.identity import Print

__all__ = ["Counts", "Mark", "State", "Stranger"]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Lines and their bytes by what became of them. ``blank``: lines that hold no record, such as empty ones and a
    CSV file's header. Events of several lines count each of their lines."""

    ok: int = 0
    rejected: int = 0
    blank: int = 0
    ok_bytes: int = 0
    rejected_bytes: int = 0
    blank_bytes: int = 0

    @property
    def lines(self) -> int:
        """All of them."""
        return self.ok + self.rejected + self.blank

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.ok_bytes + self.rejected_bytes + self.blank_bytes

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(ok=self.ok + other.ok, rejected=self.rejected + other.rejected, blank=self.blank + other.blank,
                      ok_bytes=self.ok_bytes + other.ok_bytes, blank_bytes=self.blank_bytes + other.blank_bytes,
                      rejected_bytes=self.rejected_bytes + other.rejected_bytes)

    def refused(self, lines: int, length: int) -> Counts:
        """So many of the lines that were taken for good ones are rejected after all."""
        return msgspec.structs.replace(self, ok=self.ok - lines, ok_bytes=self.ok_bytes - length,
                                       rejected=self.rejected + lines, rejected_bytes=self.rejected_bytes + length)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source was read. Everything before ``print.at`` is in the sink (or its spool), among the dead letters,
    or blank.

    ``family``: the path that was asked for; ``source``: its id, and the file it was in last; ``began``: offset at which
    reading began; ``number``: of the line that comes next; ``piece``: pieces of it that were read already;
    ``done``: it was rotated and read to its end.
    ``seen``: what the content looks like a little further on. Written before the first lines of a source are handed
    on, so that its content is known again, with its id, though nothing of it is durable yet.
    """

    family: str
    source: Source
    print: Print = Print()
    seen: Print = Print()
    began: int = 0
    number: int = 1
    piece: int = 0
    done: bool = False
    counts: Counts = Counts()

    @property
    def at(self) -> int:
        """The offset up to which everything is durable."""
        return self.print.at

    @property
    def known_by(self) -> Print:
        """What its content is known again by."""
        return self.seen if self.seen.at > self.print.at else self.print  # guard: known before anything is handed on

    @property
    def tiles(self) -> bool:
        """Do the ranges add up to every byte that was read?"""
        return self.began + self.counts.bytes == self.at


class Stranger(msgspec.Struct, frozen=True, kw_only=True):
    """A file beside a path that is not to be read. ``print``: what it held when that was found out; of a compressed one
    the head. Empty if it could not be read."""

    dev: int
    inode: int
    size: int
    mtime_ns: int
    print: Print = Print()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says. ``epoch`` and ``next`` make the ids of sources; ``marks`` are in the order in which
    contents were found; ``strangers``: by path, from the first look at it on, files beside it that are not to be
    read."""

    epoch: str
    next: int = 1
    marks: tuple[Mark, ...] = ()
    strangers: dict[str, tuple[Stranger, ...]] = {}
