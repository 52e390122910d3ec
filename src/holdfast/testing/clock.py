# SPDX-License-Identifier: Apache-2.0
"""Time and chance that a test owns."""

from __future__ import annotations

from collections.abc import Iterable

from .._base.clock import Instant, WallMs

#: 2030-01-01T00:00:00Z. In the future, so that a mix-up with the real clock shows.
_WALL_MS = 1_893_456_000_000


class ManualClock:
    """A clock that stands until it is told otherwise. Fits ``holdfast._base.clock.Clock``.

    The instant and the wall clock move together with ``advance``; ``step_wall`` moves the wall clock alone, forwards or
    back, as an operator or NTP does.
    """

    def __init__(self, now_s: float = 1_000.0, wall_ms: int = _WALL_MS) -> None:
        self._now_s = now_s
        self._wall_ms = float(wall_ms)

    def now(self) -> Instant:
        """Seconds; they stand until ``advance``."""
        return Instant(self._now_s)

    def wall_ms(self) -> WallMs:
        """Milliseconds since 1970."""
        return WallMs(int(self._wall_ms))

    def advance(self, seconds: float) -> None:
        """Lets time pass. Raises ValueError for a negative time: instants never go back."""
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds} s: step_wall(ms) moves the wall clock alone")
        self._now_s += seconds
        self._wall_ms += seconds * 1000

    def step_wall(self, ms: int) -> None:
        """Sets the wall clock forward, or back when negative; elapsed time does not notice."""
        self._wall_ms += ms


class FakeChance:
    """Chance that was decided beforehand. Fits ``holdfast._base.chance.Chance``.

    ``random()`` answers the given values in order and raises IndexError when they are used up: a test that draws more
    than it decided does not know what it tests.
    """

    def __init__(self, values: Iterable[float], bits: Iterable[int] = ()) -> None:
        self._values = list(values)
        self._bits = list(bits)

    def random(self) -> float:
        """The next of the values."""
        return self._values.pop(0)

    def getrandbits(self, k: int, /) -> int:
        """The next of ``bits``, cut to ``k`` bits."""
        return self._bits.pop(0) & ((1 << k) - 1)
