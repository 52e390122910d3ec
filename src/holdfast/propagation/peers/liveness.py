# SPDX-License-Identifier: Apache-2.0
"""Does a neighbour still answer, and how soon: a ping now and then, each with a number that nobody can guess."""

from __future__ import annotations

from ..._base.chance import Chance

#: How much of a new measurement goes into the mean (RFC 6298's number).
_GAIN = 0.125


class Liveness:
    """One neighbour. every_s: between pings; shorter finds the dead sooner and talks more. dead_s: without an answer;
    shorter takes the slow for dead."""

    def __init__(self, now: float, every_s: float = 20.0, dead_s: float = 60.0) -> None:
        self.every_s, self.dead_s = every_s, dead_s
        #: Of a ping and its answer, smoothed; 0: not known yet. And the least ever.
        self.rtt_s = self.least_s = 0.0
        self._asked: tuple[int, float] | None = None
        self._next = now

    def due(self, now: float, chance: Chance) -> int | None:
        """The number of the ping that is to be said now."""
        if self._asked is not None or now < self._next:
            return None
        self._asked = chance.getrandbits(62), now
        return self._asked[0]

    def answered(self, nonce: int, now: float) -> bool:
        """False: an answer to nothing that was asked."""
        if self._asked is None or self._asked[0] != nonce:  # guard: pong-asked
            return False
        took, self._asked = now - self._asked[1], None
        self.rtt_s = took if not self.rtt_s else self.rtt_s + _GAIN * (took - self.rtt_s)
        self.least_s = took if not self.least_s else min(self.least_s, took)
        self._next = now + self.every_s
        return True

    def dead(self, now: float) -> bool:
        """Was it asked so long ago?"""
        return self._asked is not None and now - self._asked[1] >= self.dead_s
