# SPDX-License-Identifier: Apache-2.0
"""One content that is being followed, and what a tailer tells of it, in order."""

from __future__ import annotations

import msgspec

from ..line import Line, Source
from ..mark import Mark
from .identity import KNOWN, Print, Trail
from .opened import Opened
from .splitter import Splitter

__all__ = ["Began", "Chunk", "Ended", "Forgot", "Item", "Moved", "Track", "Trouble"]


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """Reading of a source begins, or goes on after a restart (``mark.at`` > 0). ``first``: its first line's bytes, as
    far as a head goes. ``how``: new, missed (rotated before anybody read it), resumed; or resumed in another file,
    copied or packed."""

    mark: Mark
    trail: Trail
    first: bytes
    how: str


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a source, in order. ``seen``: what its content looks like further on, as long as little was read."""

    source: Source
    family: str
    lines: list[Line]
    seen: Print = Print()


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A source stands elsewhere. ``how``: renamed, removed, truncated (or written anew), copied, packed, back.
    ``seen``: what its content looks like, read or not."""

    source: Source
    family: str
    how: str
    seen: Print = Print()


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A source was read to its end and does not grow any more. Should it do so all the same, it is taken up again."""

    source: Source


class Forgot(msgspec.Struct, frozen=True, kw_only=True):
    """A source that ended long ago is in no file any more."""

    source: Source


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A file cannot be read, for now or (``damaged``) from here on."""

    path: str
    error: str
    damaged: bool = False


Item = Began | Chunk | Moved | Ended | Forgot | Trouble


class Track:
    """What the tailer knows of one content. ``trail`` is how far it was read, held back bytes included."""

    def __init__(self, mark: Mark, trail: Trail, *, line_bytes_max: int) -> None:
        self.source, self.family = mark.source, mark.family
        self.trail = trail
        self.splitter = Splitter(mark.source, offset=mark.at, number=mark.number, piece=mark.piece,
                                 line_bytes_max=line_bytes_max)
        #: Where it was when we began; until its file is found there is no trail.
        self.mark = mark
        #: What its content looks like further on than it was read.
        self.seen = mark.seen
        self.done = mark.done
        self.main = True
        self.opened: Opened | None = None
        #: Its trail is known. And: its beginning has been told.
        self.begun = self.told = False
        self.how, self.first = "resumed", b""
        #: The file as it was when there was nothing more to read in it: (dev, inode, size, mtime).
        self.checked: tuple[int, int, int, int] | None = None
        self.looked = (-1, -1)  # size and mtime at which a read found nothing
        self.left_s = 0.0  # when it stopped being the family's path
        self.grew_s = 0.0
        #: Its file was truncated, and where its content went has not been looked for yet.
        self.seeking = False
        self.gone_s = 0.0

    @property
    def at(self) -> int:
        """How far it was read."""
        return self.print.at

    @property
    def print(self) -> Print:
        """What its content is known by."""
        if not self.begun:
            return self.mark.known_by
        return self.seen if self.seen.at > self.trail.at else self.trail.print()

    def look_ahead(self) -> None:
        """Too little was read to tell it from others: what stands in its file is what it is known by from here on."""
        if self.opened is None or max(self.trail.at, self.seen.at) >= KNOWN or not self.opened.fits(self.print):
            return
        there = Trail()
        there.extend(self.opened.window(0, KNOWN))
        if there.at > self.trail.at:
            self.seen = there.print()

    @property
    def rewritten(self) -> bool:
        """Does its file hold another content than the one that was seen in it?"""
        return (self.opened is not None and not self.opened.packed and self.seen.at > self.trail.at
                and not self.opened.fits(self.seen))

    def tell(self) -> list[Item]:
        """That it begins, unless that was told."""
        if self.told:
            return []
        self.told = True
        mark = msgspec.structs.replace(self.mark, source=self.source, family=self.family, seen=self.seen)
        return [Began(mark=mark, trail=self.trail.copy(), first=self.first, how=self.how)]

    def close(self) -> None:
        """Lets go of the file."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def moved_to(self, path: str, dev: int, inode: int) -> None:
        """It stands elsewhere: lines from now on say so."""
        self.source = msgspec.structs.replace(self.source, path=path, dev=dev, inode=inode)
        self.splitter.source = self.source
