# SPDX-License-Identifier: Apache-2.0
"""A limit on retries as a share of success, so that a failing dependency is not hit hardest when it is weakest.

Each success earns ``ratio`` of a retry, and time earns ``min_per_s``. A retry that finds nothing earned is not dropped:
it is put off until time will have earned it, in the order of asking. The ratio is kept in each process by itself: if
all keep it, the fleet keeps it, and nobody has to ask a server that may be what is failing.
Source: Finagle's RetryBudget; the SRE book, "Handling Overload".
"""

from __future__ import annotations

import math

from .._base.clock import Instant
from ..errors import ConfigurationError


class RetryBudget:
    """Retries ≤ ``ratio`` × successes + ``min_per_s`` × time, plus what was saved up.

    saved_s: quiet times and successes save up at most so many seconds' worth of ``min_per_s``, and at least 1 retry.
    wait_s_max: no retry is put off by more. Past it the budget gives way, so that a long outage does not park messages
        until next week; what leaks then is one retry a message every ``wait_s_max``.
    """

    __slots__ = ("_at", "_tokens", "min_per_s", "ratio", "saved_s", "wait_s_max")

    def __init__(
        self, ratio: float = 0.2, min_per_s: float = 10.0, *, saved_s: float = 10.0, wait_s_max: float = 300.0
    ) -> None:
        self._at: Instant | None = None
        self.saved_s, self.wait_s_max = saved_s, wait_s_max
        self.set(ratio, min_per_s)
        self._tokens = self._most

    def set(self, ratio: float, min_per_s: float) -> None:
        """New numbers from now on."""
        if not (math.isfinite(ratio) and ratio >= 0):
            raise ConfigurationError(f"retry ratio {ratio!r}: give 0 or more; 0.2 is one retry in five successes")
        if not (math.isfinite(min_per_s) and min_per_s > 0):
            raise ConfigurationError(f"min_per_s={min_per_s!r}: give above 0, or what fails wholly never recovers")
        self.ratio, self.min_per_s = ratio, min_per_s

    @property
    def _most(self) -> float:
        return max(1.0, self.min_per_s * self.saved_s)

    def succeeded(self, now: Instant, count: int = 1) -> None:
        """So many messages were done."""
        self._earn(now)
        self._tokens = min(self._most, self._tokens + self.ratio * count)

    def take(self, now: Instant) -> float:
        """Books one retry; the seconds by which it has to be put off, 0 when the budget has room."""
        self._earn(now)
        self._tokens = max(self._tokens - 1.0, -self.min_per_s * self.wait_s_max)
        return max(0.0, -self._tokens / self.min_per_s)

    def _earn(self, now: Instant) -> None:
        passed_s = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._most, self._tokens + passed_s * self.min_per_s)

    @property
    def exhausted(self) -> bool:
        """Would the next retry have to wait? As of the last call."""
        return self._tokens < 1.0
