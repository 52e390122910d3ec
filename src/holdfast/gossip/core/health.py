# SPDX-License-Identifier: Apache-2.0
"""How far a member trusts itself: a score from 0 (well) up. Lifeguard's local health multiplier.

Whoever hears from nobody is more likely to be the one that is ill. So each sign of one's own slowness raises the score,
each probe that was answered lowers it, and a probe's deadline is stretched by it.
"""

from __future__ import annotations


class Health:
    """The score. max_mult: it stays below that. off: it stays 0."""

    __slots__ = ("_max", "score")

    def __init__(self, max_mult: int, *, off: bool = False) -> None:
        self._max = 0 if off else max_mult - 1
        self.score = 0

    def add(self, delta: int) -> None:
        """Worse by so much, or better where it is negative."""
        self.score = min(self._max, max(0, self.score + delta))

    def stretched(self, seconds: float) -> float:
        """A time-out as long as this health asks for."""
        return seconds * (self.score + 1)
