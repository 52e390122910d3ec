# SPDX-License-Identifier: Apache-2.0
"""When a letter is sent back by itself: how long to wait, how often, and until when. Pure.

::

    retry: {strategy: immediate}
    retry: {strategy: fixed, wait: 5m, max: 12}
    retry: {strategy: exponential, base: 30s, factor: 2, cap: 1h, jitter: full, until: 12h}
    retry: {strategy: daily, at: ["03:00", "15:30"]}          # UTC
    retry: {strategy: at, at: 2026-12-01T08:00:00Z}

``until`` ends it: so long after the message failed for the first time, over all its deaths, or at an instant. What
would be due later is not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..._base.chance import Chance
from ...consume.backoff import Backoff, Immediate
from .amounts import DAY_MS, MINUTE_MS

KINDS: Final = ("immediate", "fixed", "exponential", "daily", "at")
#: Tries of one message, where nothing else is said.
TRIES_MAX: Final = 5
_AT_ONCE: Final = Immediate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How letters are sent back.

    backoff: the wait by the number of the try. minutes: instead of it, times of the day (UTC) at which to go.
    at_ms: instead of both, one instant; what dies after it goes at once. tries_max: automatic replays of one message,
    over all its deaths. until_s: none is due later than so long after the message failed first. until_ms: none after
    this instant.
    """

    backoff: Backoff = _AT_ONCE
    minutes: tuple[int, ...] = ()
    at_ms: int | None = None
    tries_max: int = TRIES_MAX
    until_s: float | None = None
    until_ms: int | None = None

    def due_ms(self, tries: int, *, now_ms: int, failed_ms: int, chance: Chance) -> int | None:
        """When the next one is due, after so many; None when there is to be none.

        now_ms: by the clock of whoever keeps the letters, failed_ms: when the message failed first (ms since 1970).
        """
        if tries >= self.tries_max:  # guard: so many and no more
            return None
        due = self._next(tries, now_ms, chance)
        if self.until_s is not None and due > failed_ms + self.until_s * 1000:  # guard: not after the deadline
            return None
        return None if self.until_ms is not None and due > self.until_ms else due

    def _next(self, tries: int, now_ms: int, chance: Chance) -> int:
        if self.at_ms is not None:
            return max(self.at_ms, now_ms)
        if self.minutes:
            return next_of_day(self.minutes, now_ms)
        return now_ms + round(self.backoff.delay_s(tries + 1, chance) * 1000)

    def __str__(self) -> str:
        when = ("at an instant" if self.at_ms is not None else "daily" if self.minutes
                else type(self.backoff).__name__.lower())
        return f"{when}, {self.tries_max} at most"


def next_of_day(minutes: tuple[int, ...], now_ms: int) -> int:
    """The next of these minutes of a day, UTC, that has not begun yet."""
    midnight = now_ms - now_ms % DAY_MS
    later = [midnight + day + minute * MINUTE_MS for day in (0, DAY_MS) for minute in minutes]
    return min(at for at in later if at > now_ms)
