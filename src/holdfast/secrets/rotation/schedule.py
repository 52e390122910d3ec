# SPDX-License-Identifier: Apache-2.0
"""When a secret is due for rotation. Pure.

::

    made ───────────── age ─────────────▶ due ── jitter ──▶ the next window opens: rotate

The jitter is drawn from the secret's name and version: every process that asks finds the same moment, and a hundred
secrets that were made in one hour are not rotated in one hour.
"""

from __future__ import annotations

import hashlib

import msgspec

from ..._base.clock import WallMs
from ...errors import ConfigurationError

__all__ = ["DAY_S", "Schedule"]

DAY_S = 86_400
_DAY_MS = DAY_S * 1000


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """age_s: how old a version becomes before it is replaced. jitter: up to this part of the age earlier, so that a
    policy's limit holds for the age. window: seconds of the day, UTC, from and to, in which rotations may begin; over
    midnight when it ends before it begins; None: always. weekdays: on which they may, 0 for Monday.

    Raises ConfigurationError for what would never, or always, be due.
    """

    age_s: float
    jitter: float = 0.1
    window: tuple[int, int] | None = None
    weekdays: frozenset[int] = frozenset(range(7))

    def __post_init__(self) -> None:
        wrong = (
            (not self.age_s > 0, "an age is more than 0 s"),
            (not 0 <= self.jitter < 1, "jitter is a part of the age: at least 0, less than 1"),
            (not self.weekdays or not self.weekdays <= {*range(7)}, "weekdays are some of 0 (Monday) to 6"),
            (self.window is not None and (self.window[0] == self.window[1]
                                          or not all(0 <= second <= DAY_S for second in self.window)),
             f"a window has two different ends between 0 and {DAY_S} s"))
        for is_wrong, why in wrong:
            if is_wrong:
                raise ConfigurationError(f"a schedule cannot be used: {why}")

    def due(self, name: str, version: int, made: WallMs) -> WallMs:
        """When this version, made then, is due; the window is not looked at."""
        drawn = int.from_bytes(hashlib.sha256(f"{version}:{name}".encode()).digest()[:8], "big") / 2**64
        return WallMs(made + round(self.age_s * 1000 * (1 - self.jitter * drawn)))

    def begins(self, name: str, version: int, made: WallMs, now: WallMs) -> WallMs:
        """When a rotation may begin, at the earliest now."""
        at = max(now, self.due(name, version, made))
        for _ in range(9):  # of a week and its two ends one day fits
            opens, closes = self._window(at)
            at = max(at, opens)
            if at < closes:
                return at
            at = WallMs((at // _DAY_MS + 1) * _DAY_MS)
        raise AssertionError("unreachable: a week has each of its days")

    def _window(self, at: WallMs) -> tuple[WallMs, WallMs]:
        """The window of that day, or what is left of the one before, that ends last behind ``at``; empty: none."""
        day = at // _DAY_MS
        first, last = self.window or (0, DAY_S)
        for begins in (day - 1, day):
            opens = begins * _DAY_MS + first * 1000
            closes = begins * _DAY_MS + last * 1000 + (_DAY_MS if last <= first else 0)
            # 1 January 1970 was a Thursday. A window over midnight belongs to the day on which it opens.
            if at < closes and (begins + 3) % 7 in self.weekdays:
                return WallMs(opens), WallMs(closes)
        return at, at
