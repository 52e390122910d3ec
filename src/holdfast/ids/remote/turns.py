# SPDX-License-Identifier: Apache-2.0
"""Which instance is asked next, and when. Pure.

Whoever answers is asked again. When one fails the next is asked at once; when all have, there is a pause that doubles,
drawn from its upper half, so that the clients of a service that comes back do not come all at once. Who is told to wait
waits, and asks nobody else meanwhile: each instance counts its own quota, and going round them would be a way round it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..._base.chance import Chance

#: Seconds, after all have failed.
PAUSE_S, PAUSE_MAX_S = 0.05, 5.0
#: Longest wait that a service can impose.
TOLD_MAX_S = 60.0


class Turns:
    """Begins with any of them, so that clients are spread."""

    def __init__(self, urls: Sequence[str], chance: Chance) -> None:
        self._urls, self._chance = tuple(urls), chance
        self._at = int(chance.random() * len(self._urls))
        self._failed = 0
        self._pause_s = PAUSE_S

    @property
    def url(self) -> str:
        """Who is asked now."""
        return self._urls[self._at]

    def answered(self) -> None:
        """It gave ids."""
        self._failed, self._pause_s = 0, PAUSE_S

    def failed(self) -> float:
        """It gave none: the next one is asked, in so many seconds."""
        self._at = (self._at + 1) % len(self._urls)
        self._failed += 1
        if self._failed % len(self._urls):
            return 0.0
        pause_s = self._pause_s * (1 + self._chance.random()) / 2
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)
        return pause_s

    def told(self, wait_s: float) -> float:
        """It said to wait: for so many seconds, and a little more, each client another."""
        wait_s = min(max(wait_s, PAUSE_S), TOLD_MAX_S)
        return wait_s * (1 + self._chance.random() / 10)  # guard: not before Retry-After
