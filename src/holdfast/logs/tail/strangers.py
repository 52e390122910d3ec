# SPDX-License-Identifier: Apache-2.0
"""Files beside a path that are not to be read: they lay there when it was first looked at, or are copies of what was
read. Known by what is in them, for an inode is given to the next file as soon as one is gone.

A family is in here from the first look at its path, though nothing lay beside it, or nothing was there at all: whatever
comes later is to be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..mark import Stranger
from .likeness import Likeness, Whole
from .scan import Place

__all__ = ["Strangers"]


class Strangers:
    """What is known of them. ``version`` tells whether it changed."""

    def __init__(self, told: Mapping[str, tuple[Stranger, ...]], likeness: Likeness) -> None:
        self._told, self._likeness = dict(told), likeness
        self._gone_s: dict[tuple[str, Stranger], float] = {}
        self.version = 0

    @property
    def told(self) -> dict[str, tuple[Stranger, ...]]:
        """All of them, by family."""
        return dict(self._told)

    def __contains__(self, family: str) -> bool:
        return family in self._told

    def beside(self, family: str) -> bool:
        """Is there one beside this path?"""
        return bool(self._told.get(family))

    def begin(self, family: str) -> None:
        """The first look at a path."""
        self._told.setdefault(family, ())
        self.version += 1

    def add(self, place: Place) -> None:
        """This file is one of them, as it is now; what it was known as before it grew is not kept. An empty one is not:
        what comes into it is new."""
        print_ = self._likeness.brief(place)
        if print_ is None:
            return
        others = [one for one in self._told.get(place.family, ())
                  if (one.dev, one.inode) != place.file or not self._likeness.fits(place, one.print)]
        self._told[place.family] = (*others, Stranger(dev=place.dev, inode=place.inode, size=place.size,
                                                      mtime_ns=place.mtime_ns, print=print_))
        self.version += 1

    def know(self, place: Place) -> bool:
        """Is it one of them, as it was, where it was or moved? One that grew is not: a copy may have been made of
        something that is new by now."""
        for one in self._told.get(place.family, ()):
            same = (one.dev, one.inode) == place.file or (one.mtime_ns == place.mtime_ns and one.print.at > 0)
            if not same or one.size != place.size:  # guard: what grew may be something new by now
                continue
            if self._likeness.fits(place, one.print):  # guard: an inode does not make a file a stranger
                return True
        return False

    def know_copy(self, family: str, whole: Whole) -> bool:
        """Is this all that one of them held?"""
        return any(stranger.print == whole.print for stranger in self._told.get(family, ()))

    def forget(self, there: set[tuple[int, int]], now_s: float, forget_s: float) -> None:
        """Those that are gone for so long."""
        for family, strangers in list(self._told.items()):
            for stranger in strangers:
                key = (family, stranger)
                if (stranger.dev, stranger.inode) in there:
                    self._gone_s.pop(key, None)
                elif now_s - self._gone_s.setdefault(key, now_s) >= forget_s:
                    del self._gone_s[key]
                    self._told[family] = tuple(one for one in self._told[family] if one is not stranger)
                    self.version += 1
