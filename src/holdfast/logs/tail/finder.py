# SPDX-License-Identifier: Apache-2.0
"""A look which files there are: where the known contents stand, and which files hold new ones.

What it cannot decide yet it leaves out, and nothing depends on that: see ``rotation``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...errors import ConfigurationError
from ..mark import Stranger
from .identity import Print
from .likeness import Likeness, Whole
from .rotation import Gone, Known, Seen, Step, in_order, settle
from .scan import Place, expected, places
from .settings import TailSettings
from .strangers import Strangers
from .track import Track

__all__ = ["Finder", "Found"]

_Verdict = Literal["new", "old", "wait"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found. ``fresh``: files with new contents, in order; ``firsts``: families that were looked at for the
    first time; ``there``: all files; ``waits``: something is left for a later look."""

    steps: list[Step]
    fresh: list[Seen]
    firsts: frozenset[str]
    there: set[tuple[int, int]]
    waits: bool


@dataclass(slots=True)
class _Look:
    """One look: what is known, and what is there."""

    tracks: Sequence[Track]
    prints: dict[str, Print]
    by_family: dict[str, list[Track]] = field(default_factory=dict)
    by_file: dict[tuple[int, int], list[Track]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    #: Which content stands in a file.
    here: dict[tuple[int, int], Track] = field(default_factory=dict)
    #: Contents that are in no file, since this look.
    lost: list[Track] = field(default_factory=list)
    #: Files that may hold new contents: their place in the order.
    left: dict[tuple[int, int], int] = field(default_factory=dict)

    def near(self, place: Place) -> Iterable[Track]:
        """Contents that this file may hold."""
        beside = self.by_family.get(place.family, [])
        return [*beside, *(track for track in self.by_file.get(place.file, ()) if track.family != place.family)]


class Finder:
    """Looks for the files that ``patterns`` name, and for those beside them."""

    def __init__(self, patterns: Sequence[str], strangers: Mapping[str, tuple[Stranger, ...]], settings: TailSettings,
                 age_s: Callable[[int], float]) -> None:
        if not patterns:
            raise ConfigurationError("a tailer needs at least one path")
        self._patterns, self._settings, self._age_s = tuple(patterns), settings, age_s
        self._likeness = Likeness(age_s)
        self.strangers = Strangers(strangers, self._likeness)
        self._first_look = True

    def look(self, tracks: Sequence[Track], now_s: float) -> Found:
        """What is there now."""
        found = places(self._patterns)
        look = _Look(tracks, {track.source.id: track.print for track in tracks})
        for track in tracks:
            look.by_family.setdefault(track.family, []).append(track)
            look.by_file.setdefault((track.source.dev, track.source.inode), []).append(track)
        firsts = self._first_looks(found, look)
        for place in found:
            look.places.setdefault(place.family, []).append(place)
        steps, left = settle([self._known(track, look) for track in tracks],
                             [self._seen(place, look) for place in found])
        for step, track in zip(steps, tracks, strict=True):
            if not isinstance(step, Gone):
                look.here[step.seen.file] = track
            elif track.opened is None and not track.done:
                look.lost.append(track)
        fresh, waiting = self._new(left, look)
        put_off = {track.source.id for track in look.lost if track.family in waiting}
        steps = [step for step in steps if step.source not in put_off]
        there = {place.file for place in found}
        self.strangers.forget(there, now_s, self._settings.forget_s)
        self._first_look = False
        return Found(steps, fresh, firsts, there, bool(waiting))

    # -- the first look at a path ---------------------------------------------------------------------------------

    def _first_looks(self, found: Sequence[Place], look: _Look) -> frozenset[str]:
        """Families of which nothing is known yet. What lies beside their paths is not ours, unless a pattern names it
        and reading begins at the start."""
        firsts = {place.family for place in found}
        if self._first_look:
            firsts.update(expected(self._patterns))  # guard: what comes behind the first look was not there before it
        firsts = {family for family in firsts if family not in self.strangers and family not in look.by_family}
        for family in firsts:
            self.strangers.begin(family)
        from_start = self._settings.start == "start" or not self._first_look
        for place in found:
            if place.family in firsts and not place.main and not (place.asked and from_start):
                self.strangers.add(place)
        return frozenset(firsts)

    # -- known contents -------------------------------------------------------------------------------------------

    @staticmethod
    def _known(track: Track, look: _Look) -> Known:
        return Known(source=track.source.id, family=track.family, dev=track.source.dev, inode=track.source.inode,
                     at=look.prints[track.source.id].at, held=track.opened is not None)

    def _seen(self, place: Place, look: _Look) -> Seen:
        holds = self._holds(place, look)
        elsewhere = holds.difference(track.source.id for track in look.by_file.get(place.file, ()))
        return Seen(path=place.path, family=place.family, main=place.main, dev=place.dev, inode=place.inode,
                    size=place.size, mtime_ns=place.mtime_ns, holds=holds,
                    stranger=bool(elsewhere) and not place.main and self._is_stranger(place))

    def _is_stranger(self, place: Place) -> bool:
        if not self.strangers.beside(place.family):
            return False  # and no compressed file is read through for it
        if self.strangers.know(place):
            return True
        whole = self._likeness.whole(place)
        return whole is not None and self.strangers.know_copy(place.family, whole)

    def _holds(self, place: Place, look: _Look) -> frozenset[str]:
        """Which of the known contents the file holds. One that is open here is not looked into."""
        if any(track.opened is not None for track in look.by_file.get(place.file, ())) or self._is_made(place, look):
            return frozenset()
        near = look.near(place)
        for track in near:
            if track.checked == place.key:
                return frozenset((track.source.id,))
        return frozenset(track.source.id for track in near if track.opened is None
                         and self._likeness.holds(place, track, look.prints[track.source.id]))

    # -- new contents ---------------------------------------------------------------------------------------------

    def _new(self, left: list[Seen], look: _Look) -> tuple[list[Seen], set[str]]:
        """Files with new contents; and families that wait, because one of their files may be a copy that is being made,
        of a content that is in no other."""
        order = in_order(file for file in left if file.main or not self.strangers.know(self._place(file, look)))
        look.left = {file.file: number for number, file in enumerate(order)}
        waiting: set[str] = set()
        fresh: list[Seen] = []
        for file in order:
            verdict: _Verdict = "new" if file.main else self._verdict(self._place(file, look), look)
            if verdict == "wait":
                waiting.add(file.family)
            elif verdict == "new":
                fresh.append(file)
        return [file for file in fresh if file.family not in waiting], waiting

    @staticmethod
    def _place(file: Seen, look: _Look) -> Place:
        return next(place for place in look.places[file.family] if place.path == file.path)

    def _verdict(self, place: Place, look: _Look) -> _Verdict:
        """Is what stands in this file new?"""
        if self._is_made(place, look):
            return "old"
        whole = self._likeness.whole(place)
        if whole is None:
            return "new"  # why it cannot be read is told by whoever tries to
        young = self._is_young(place)
        if not whole.print.at and not (whole.cut and not young):
            return "old"  # nothing is in it yet
        if self.strangers.know_copy(place.family, whole) or self._is_copy(place, whole, look):
            return "old"  # guard: a copy of what is read is not read again
        if young and (whole.cut or any(_begins(track, whole, look) for track in look.lost)):
            return "wait"  # guard: a part of a content that is nowhere else is not read as another one
        return "wait" if self._is_cut_off(place, look) else "new"  # guard: a look takes time

    def _is_young(self, place: Place) -> bool:
        return self._age_s(place.mtime_ns) < self._settings.still_s

    def _is_made(self, place: Place, look: _Look) -> bool:
        """Is it being compressed from the file beside it? Reading through it with each look would take too long."""
        return place.path.endswith(".gz") and self._is_young(place) and any(
            other.path == place.path.removesuffix(".gz") for other in look.places[place.family])

    def _is_copy(self, place: Place, whole: Whole, look: _Look) -> bool:
        """Does another file begin with all that is in this one, or is it all that is known of a content?"""
        near = look.by_family.get(place.family, [])
        own = [track for track in near if look.prints[track.source.id] == whole.print]
        for other in look.places[place.family]:
            if other.file != place.file and self._begins_with(other, place, whole, look):
                here = look.here.get(other.file)  # guard: what stood in that file does not count
                own += [here] if here is not None and look.prints[here.source.id].at >= whole.print.at else []
                break
        else:
            if not own:
                return any(track.opened is not None and not track.opened.packed and track.opened.fits(whole.print)
                           for track in near)
        if any(track.done for track in own):
            self.strangers.add(place)  # for good, though the other file will be gone some day
        return True

    def _begins_with(self, other: Place, place: Place, whole: Whole, look: _Look) -> bool:
        """Does ``other`` begin with all that is in ``place``? Of two that are the same and new, the first one does
        not."""
        if not self._likeness.fits(other, whole.print):
            return False
        if other.main or other.file not in look.left or look.left[other.file] < look.left[place.file]:
            return True
        theirs = self._likeness.whole(other)
        return theirs is not None and theirs.print.at > whole.print.at

    def _is_cut_off(self, place: Place, look: _Look) -> bool:
        """Is this the copy of a content whose own file was truncated while we looked? The next look knows."""
        for track in look.by_family.get(place.family, ()):
            print_ = look.prints[track.source.id]
            if (track.opened is not None and not track.opened.packed and print_.at
                    and self._likeness.fits(place, print_) and not track.opened.fits(print_)):
                return True
        return False


def _begins(track: Track, whole: Whole, look: _Look) -> bool:
    """Is this file shorter than that content, and alike as far as can be told?"""
    print_ = look.prints[track.source.id]
    return whole.print.at < print_.at and (whole.print.at < print_.head_bytes or whole.print.head == print_.head)
