# SPDX-License-Identifier: Apache-2.0
"""How far a clock has gone back, and whether somebody was told."""

from __future__ import annotations

#: Answers of a store travel, so that its time is known to some ms: that is no clock that went back.
NOTICED_MS = 50.0


class Back:
    """news: it has gone back by more than ``NOTICED_MS``, which was not told yet. Told once, until it has caught up."""

    def __init__(self) -> None:
        self._latest_ms = self._now_ms = float("-inf")
        self._back_ms = 0.0
        self._was_told = False
        self.news = False

    def at(self, now_ms: float) -> float:
        """By how many ms ``now_ms`` lies behind the latest one of which ids were made."""
        self._now_ms = now_ms
        self._back_ms = max(self._latest_ms - now_ms, 0.0)
        if not self._back_ms:
            self._was_told = False
        self.news = self._back_ms > NOTICED_MS and not self._was_told
        return self._back_ms

    def made(self) -> None:
        """Ids were made at the time that was asked about last. One that was refused does not count: a clock that was
        ahead would keep everybody waiting for it."""
        self._latest_ms = max(self._latest_ms, self._now_ms)

    def told(self) -> float:
        """By how many ms it is; it is no news then."""
        self.news, self._was_told = False, True
        return self._back_ms
