# SPDX-License-Identifier: Apache-2.0
"""When one error floods: how many of its lines a minute are told of one by one, and kept with their bytes. Pure.

What is counted is what comes of one source for one reason. Nothing is left out of the ledger: each line keeps a dead
letter with its exact range and its reason, and every one is counted; above ``copies_per_minute`` the letter is without
the line's bytes, which can be read from the file for as long as that is kept. By default all have theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .._base.clock import Instant
from ..errors import ConfigurationError

__all__ = ["Flood", "FloodSettings"]

_KEYS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodSettings:
    """alerts_per_minute: lines of one source and reason that are told of one by one; more fill logs with what counters
    say already. copies_per_minute: lines of these that are kept with their bytes; None, the default, keeps all, at the
    price of the space that a flood takes."""

    alerts_per_minute: int = 60
    copies_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.alerts_per_minute < 0 or (self.copies_per_minute is not None and self.copies_per_minute < 0):
            raise ConfigurationError("flood: alerts_per_minute and copies_per_minute count from 0")


class Flood:
    """Counts of this minute, by source and reason."""

    def __init__(self, settings: FloodSettings | None = None) -> None:
        self._settings = settings or FloodSettings()
        self._minute = -1
        self._counts: dict[tuple[str, str], int] = {}

    def take(self, source: str, reason: str, now: Instant) -> tuple[bool, bool]:
        """Of one more line: is it told of, is it kept with its bytes?"""
        minute = math.floor(now / 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        key = (source, reason)
        if key not in self._counts and len(self._counts) >= _KEYS_MAX:
            key = ("", reason)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        copies = self._settings.copies_per_minute
        return count <= self._settings.alerts_per_minute, copies is None or count <= copies
