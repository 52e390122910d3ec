# SPDX-License-Identifier: Apache-2.0
"""A trouble that repeats is told at once, and then now and then with how often it was: an outage must not bury its log.

Everything that polls a server that is away finds the same trouble several times a second, in every process of a fleet.
"""

from __future__ import annotations

from .clock import Clock, Instant
from .events import log

#: Seconds between two lines about the same trouble.
EVERY_S = 10.0


class Thinned:
    """Warnings of one owner, each kind by itself. A kind is what the line begins with."""

    def __init__(self, clock: Clock, every_s: float = EVERY_S) -> None:
        self._clock = clock
        self._every_s = every_s
        self._told: dict[str, tuple[Instant, int]] = {}

    def warn(self, what: str, error: object) -> None:
        """Logs ``what: error``, unless the same ``what`` was told less than ``every_s`` ago; then it is counted."""
        now = self._clock.now()
        told_at, since = self._told.get(what, (None, 0))
        if told_at is not None and now - told_at < self._every_s:
            self._told[what] = (told_at, since + 1)
            return
        self._told[what] = (now, 0)
        log.warning("%s: %s%s", what, error, f" ({since} times more since it was last told)" if since else "")
