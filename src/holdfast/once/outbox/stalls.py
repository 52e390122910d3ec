# SPDX-License-Identifier: Apache-2.0
"""Streams that the relay leaves alone for a while, because they refused or did not answer. Pure.

The order within a stream must hold, so nothing of it may overtake what failed; other streams must not wait for it. So
a stream rests as a whole, and its rows are not even read: a full batch of them would leave no room for others.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..._base.clock import Instant

#: Seconds of the first rest; each further one in a row doubles it.
FIRST_S = 0.25
#: Longest rest: by so much a stream that was mended goes on later.
LONGEST_S = 10.0


@dataclass(frozen=True, slots=True)
class Rest:
    """One stream at rest: until when, for how long this time, and why."""

    until: Instant
    length_s: float
    why: str


class Stalls:
    """Which streams rest. ``of`` is what ``inspect`` shows."""

    def __init__(self) -> None:
        self.of: dict[str, Rest] = {}

    def failed(self, stream: str, why: str, now: Instant) -> None:
        """It rests, twice as long as the last time if it has not gone well since."""
        last = self.of.get(stream)
        length_s = FIRST_S if last is None else min(2 * last.length_s, LONGEST_S)
        self.of[stream] = Rest(Instant(now + length_s), length_s, why)

    def went_well(self, stream: str) -> None:
        """The next rest begins small again."""
        self.of.pop(stream, None)

    def resting(self, now: Instant) -> list[str]:
        """Streams to leave alone now."""
        return [stream for stream, rest in self.of.items() if now < rest.until]
