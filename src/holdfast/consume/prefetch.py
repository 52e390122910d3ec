# SPDX-License-Identifier: Apache-2.0
"""How far to read ahead: so many seconds of work at the rate seen, between a floor and a ceiling.

Pure but for its state.
"""

from __future__ import annotations


class Prefetch:
    """Bounded by expected seconds of work, not only by count: ten slow messages are more to hold than a thousand quick
    ones.

    The floor is two messages a handler task: one that runs, one that waits. The rate is smoothed over the last ten or
    so looks that saw something finished. An idle time counts as one such look: it lowers the rate once, not for as long
    as it lasted.
    """

    def __init__(self, concurrency: int, seconds: float, most: int) -> None:
        self._floor = min(2 * concurrency, most)
        self._most = most
        self._seconds = seconds
        self._rate = 0.0
        self._done = 0
        self._at: float | None = None
        self.target = self._floor
        #: Queue length at which reading goes on.
        self.low = self.target // 2

    def room(self, waiting: int) -> int:
        """How many more are wanted while ``waiting`` wait: nothing above half, so that reads stay large."""
        return self.target - waiting if waiting <= self.low else 0

    def measured(self, done: int, now: float) -> None:
        """``done`` messages were finished until ``now`` (monotonic seconds)."""
        if self._at is not None and done == self._done:
            return  # guard: slow work is not measured by the looks that happened to see it end (test_prefetch)
        if self._at is not None and now > self._at:
            rate = (done - self._done) / (now - self._at)
            self._rate += 0.2 * (rate - self._rate)
            self.target = int(min(self._most, max(self._floor, self._rate * self._seconds)))
            self.low = self.target // 2
        self._at, self._done = now, done
