# SPDX-License-Identifier: Apache-2.0
"""What stands in files that are not open here, remembered for as long as a file stays as it is.

A file of the same size and time is the same only if it was not written to of late: file systems count time in steps,
and two contents of equal length fit into one of them. So what was seen in a file that is ``UNSURE_S`` young is looked
at again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .identity import HEAD, Print, Trail
from .opened import CutShort, Opened, open_file
from .scan import Place
from .track import Track

__all__ = ["UNSURE_S", "Likeness", "Whole"]

#: Longer than a file system's step of time; some count in two seconds.
UNSURE_S = 2.5
_REMEMBERED_MAX = 16_384

_Key = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Whole:
    """All that can be read of a file. ``cut``: it is compressed, and damaged, or not all there yet."""

    print: Print
    cut: bool


class Likeness:
    """Looks into files. ``age_s``: how long ago a file was written that has this time."""

    def __init__(self, age_s: Callable[[int], float]) -> None:
        self._age_s = age_s
        self._fits: dict[tuple[_Key, Print], bool] = {}
        self._wholes: dict[_Key, Whole] = {}

    def holds(self, place: Place, track: Track, print_: Print) -> bool:
        """Does the file begin with this content, as far as it was read?"""
        own = (track.source.dev, track.source.inode) == place.file
        if not print_.at:  # of nothing, any file is a copy
            return place.main and not track.done and own  # guard: an inode may be that of a copy by now
        return self.fits(place, print_)

    def fits(self, place: Place, print_: Print) -> bool:
        """Does the file begin with what looks like this?"""
        key = (place.key, print_)
        if (remembered := self._fits.get(key)) is not None:
            return remembered
        opened = self._open(place)
        if opened is None:
            return False
        try:
            found = opened.fits(print_)
        except OSError:
            return False
        finally:
            opened.close()
        if self._sure(place):
            if len(self._fits) >= _REMEMBERED_MAX:
                self._fits.clear()
            self._fits[key] = found
        return found

    def whole(self, place: Place) -> Whole | None:
        """What stands in it, all of it; None if it cannot be told. A compressed file is read through."""
        if (remembered := self._wholes.get(place.key)) is not None:
            return remembered
        opened = self._open(place)
        if opened is None:
            return None
        try:
            print_, cut = opened.whole()
        except OSError:
            return None
        finally:
            opened.close()
        whole = Whole(print_, cut or (place.path.endswith(".gz") and not opened.packed))
        if self._sure(place):
            if len(self._wholes) >= _REMEMBERED_MAX:
                self._wholes.clear()
            self._wholes[place.key] = whole
        return whole

    def brief(self, place: Place) -> Print | None:
        """What a file is known again by that nobody is going to read: all of it, or the head if it is compressed. None
        if nothing is in it, an empty one if that cannot be told."""
        opened = self._open(place)
        if opened is None:
            return Print()
        try:
            if not opened.packed:
                print_, _ = opened.whole()
                return print_ if print_.at else None
            head = Trail()
            head.extend(opened.head(HEAD))
            return head.print()
        except (OSError, CutShort):
            return Print()
        finally:
            opened.close()

    def _sure(self, place: Place) -> bool:
        return self._age_s(place.mtime_ns) >= UNSURE_S  # guard: what was written of late may be written again

    @staticmethod
    def _open(place: Place) -> Opened | None:
        """The file, if it can be opened and is the one that was seen."""
        try:
            opened = open_file(place.path)
        except OSError:
            return None
        found = opened.stat()
        if (found.st_dev, found.st_ino) != place.file:
            opened.close()
            return None
        return opened
