# SPDX-License-Identifier: Apache-2.0
"""Which content stands in which file, and what is to be done about it. Pure: what is known and what is seen go in.

::

    app.log ──rename──▶ app.log.1 ──gzip──▶ app.log.1.gz     one content: drained to its end wherever it stands
       │
       └─ created anew ▶ app.log                             another one: read behind it

    app.log ──copy────▶ app.log.1                            the content goes on in the copy, where reading stopped
       └─ truncated ──▶ app.log                              another content under the same inode

A *family* is a path that was asked for, and the files beside it that its content is rotated to. A file that is held
open is itself whatever its name; a file that is not has to show by its bytes which content it holds (``holds``). What
nobody knows is new: at the path itself, or beside it, rotated while nobody looked. No time of a file is asked for that,
but only what is known durably: contents that were read (the marks), and files that lay there before the first look (the
strangers). So whatever is put off, by a look or by a death in the middle of one, is new the next time as well.

What is not new though nobody knows it: a copy. A file all of whose content is what another one begins with is left
alone for as long as that is so; of two that are equal one is read.

What can be lost, for nobody can find it: what was written and deleted, or truncated without a copy that stays, between
two looks (``scan_s``, half a second; all the time that the pipeline is down). A path that only a wildcard names is not
known before it is there: what of it was rotated away before the first look that finds it is taken for what lay there
before. And of equal lines without times in two files one may pass for a copy of the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Follow", "Gone", "Known", "Resume", "Seen", "Step", "in_order", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A content that is known: read ``at`` bytes, last in the file (``dev``, ``inode``). ``held``: that file is open
    here, so it cannot be another one."""

    source: str
    family: str
    dev: int
    inode: int
    at: int
    held: bool = False

    @property
    def file(self) -> tuple[int, int]:
        """The file it was in."""
        return self.dev, self.inode


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file that is there. ``main``: it is the family's path itself. ``holds``: known contents that it begins with, up
    to where they were read. ``stranger``: it is not to be read, unless a content goes on in no other file."""

    path: str
    family: str
    main: bool
    dev: int
    inode: int
    size: int
    mtime_ns: int
    holds: frozenset[str] = frozenset()
    stranger: bool = False

    @property
    def file(self) -> tuple[int, int]:
        """Which file it is."""
        return self.dev, self.inode


@dataclass(frozen=True, slots=True)
class Follow:
    """A content whose file is open stands at ``seen.path`` now."""

    source: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Resume:
    """A content was found: open ``seen`` and read on where reading stopped."""

    source: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Gone:
    """A content is in no file that is seen. If its file is open it can be read to its end all the same."""

    source: str


Step = Follow | Resume | Gone


def settle(known: Sequence[Known], seen: Iterable[Seen]) -> tuple[list[Step], list[Seen]]:
    """Where each known content stands, in the order in which they were known (``known`` is in that order); and the
    files that are left over, in which none does."""
    free: dict[tuple[int, int], Seen] = {}
    for file in sorted(seen, key=lambda file: not file.main):
        free.setdefault(file.file, file)
    found: dict[str, Step] = {}
    for content in known:
        if content.held:
            here = free.pop(content.file, None)
            found[content.source] = Gone(content.source) if here is None else Follow(content.source, here)
    for content in _in_its_own_file_first(known, free):
        place = _file_of(content, free)
        if place is None:
            found[content.source] = Gone(content.source)
        else:
            del free[place.file]
            found[content.source] = Resume(content.source, place)
    return [found[content.source] for content in known], list(free.values())


def _in_its_own_file_first(known: Sequence[Known], free: dict[tuple[int, int], Seen]) -> list[Known]:
    """Those that stand where they stood, the latest of a file's contents first; then those that went furthest: of two
    that begin alike a copy of the longer one holds both. Last those of which nothing was read: they have an inode only,
    which may be another one's by now."""
    waiting = [content for content in reversed(known) if not content.held]

    def rank(content: Known) -> tuple[bool, bool, int]:
        own = free.get(content.file)
        return content.at == 0, own is None or content.source not in own.holds, -content.at

    return sorted(waiting, key=rank)


def _file_of(content: Known, free: dict[tuple[int, int], Seen]) -> Seen | None:
    own = free.get(content.file)
    if own is not None and content.source in own.holds:
        return own  # guard: an inode is believed only with the bytes it had
    if not content.at:
        return None  # nothing was read: every file begins like it
    others = [file for file in free.values() if content.source in file.holds and file.family == content.family]
    return min(others, key=lambda file: (file.stranger, file.main, file.path), default=None)


def in_order(files: Iterable[Seen]) -> list[Seen]:
    """New contents, oldest first, the paths themselves last. Where times are the same, and clocks of file systems count
    in steps of some milliseconds, the numbers of rotation tell: ``app.log.2`` is older than ``app.log.1``."""
    return sorted(files, key=lambda file: (file.main, file.mtime_ns, -_turn(file.path), file.path))


def _turn(path: str) -> int:
    found = re.search(r"\.(\d{1,4})(?:\.gz)?$", path)
    return int(found[1]) if found else 0
