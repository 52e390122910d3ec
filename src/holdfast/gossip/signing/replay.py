# SPDX-License-Identifier: Apache-2.0
"""Each message once: a window of sequence numbers for each start (epoch) of each origin.

Epochs are random, so nothing tells which of two is the older; times do. Whatever is dropped to keep this small, a
window or a whole origin, leaves its newest time behind as a **floor**, and a window keeps the floor of its beginning:
what is signed at that time or before is not of it. So nothing that was in a dropped window passes again, not even when
its epoch gets a new one, however small the memory, however the clock was set. ::

    time at or below the floor         refused: nobody can tell
    no window                          new
    number above all of the window     new
    number in reach                    its bit
    number behind                      refused: nobody can tell

The floors: one for each origin (windows of its own it lost), one for all (origins that were dropped). Who floods epochs
raises its own floor only. An origin is dropped when there are too many, that with the oldest news first. The price of
too small a bound is that strangers' messages of the last moments are refused.

A member that starts anew has no windows: give it the time of its start as the floor, and nothing that an earlier life
saw passes again. The price: messages of peers whose clocks are behind are refused for as long as they are.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

#: Numbers that may arrive in another order. Price of more: a bit each for each window.
REACH: Final = 1024
EPOCHS_MAX: Final = 4
ORIGINS_MAX: Final = 16_384


class Seen(Enum):
    """new, again, or nobody can tell."""

    NEW = "new"
    AGAIN = "again"
    BEHIND = "behind"


class _Window:
    __slots__ = ("bits", "floor_ms", "highest", "newest_ms")

    def __init__(self, floor_ms: int) -> None:
        self.floor_ms = floor_ms
        self.bits = self.highest = self.newest_ms = 0

    def look(self, sequence: int) -> Seen:
        behind = self.highest - sequence
        if behind < 0:
            return Seen.NEW
        if behind >= REACH:
            return Seen.BEHIND
        return Seen.AGAIN if self.bits >> behind & 1 else Seen.NEW

    def mark(self, sequence: int, time_ms: int) -> None:
        ahead = sequence - self.highest
        if ahead > 0:
            self.bits = (self.bits << ahead | 1) & ((1 << REACH) - 1) if ahead < REACH else 1
            self.highest = sequence
        else:
            self.bits |= 1 << -ahead
        self.newest_ms = max(self.newest_ms, time_ms)


class _Origin:
    __slots__ = ("floor_ms", "newest_ms", "windows")

    def __init__(self) -> None:
        self.windows: dict[int, _Window] = {}
        self.floor_ms = -1
        self.newest_ms = -1


class Replays:
    """floor_ms: what was signed at this time or before is refused; -1: nothing is."""

    __slots__ = ("_epochs_max", "_origins", "_origins_max", "floor_ms")

    def __init__(self, floor_ms: int = -1, *, origins_max: int = ORIGINS_MAX, epochs_max: int = EPOCHS_MAX) -> None:
        self._origins: dict[bytes, _Origin] = {}
        self._origins_max, self._epochs_max = origins_max, epochs_max
        self.floor_ms = floor_ms

    def look(self, origin: bytes, epoch: int, sequence: int, time_ms: int) -> Seen:
        """Was it seen? Changes nothing, so it may be asked before a signature is verified."""
        found = self._origins.get(origin)
        window = None if found is None else found.windows.get(epoch)
        if time_ms <= (self._floor_ms(found) if window is None else window.floor_ms):
            return Seen.BEHIND  # guard: the floor. What was dropped stays seen
        return Seen.NEW if window is None else window.look(sequence)  # guard: the window

    def mark(self, origin: bytes, epoch: int, sequence: int, time_ms: int) -> None:
        """It is seen from now on. Only what ``look`` called new, and whose signature holds."""
        found = self._origins.get(origin)
        if found is None:
            found = self._entered(origin)
        window = found.windows.get(epoch)
        if window is None:
            if len(found.windows) >= self._epochs_max:
                oldest = min(found.windows, key=lambda one: found.windows[one].newest_ms)
                found.floor_ms = max(found.floor_ms, found.windows.pop(oldest).newest_ms)
            window = found.windows[epoch] = _Window(self._floor_ms(found))  # guard: it keeps its floor
        window.mark(sequence, time_ms)
        found.newest_ms = max(found.newest_ms, time_ms)

    def _floor_ms(self, found: _Origin | None) -> int:
        return self.floor_ms if found is None else max(found.floor_ms, self.floor_ms)

    def _entered(self, origin: bytes) -> _Origin:
        if len(self._origins) >= self._origins_max:
            oldest = min(self._origins, key=lambda one: self._origins[one].newest_ms)
            self.floor_ms = max(self.floor_ms, self._origins.pop(oldest).newest_ms)
        found = self._origins[origin] = _Origin()
        return found

    def __len__(self) -> int:
        return len(self._origins)
