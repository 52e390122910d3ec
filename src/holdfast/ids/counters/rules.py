# SPDX-License-Identifier: Apache-2.0
"""How large the next segment is, and when it is fetched.

Source: Leaf (https://tech.meituan.com/2017/04/21/mt-leaf.html): two segments, the next one fetched when a tenth of the
present one is used; a segment that lasts less than a quarter of an hour is followed by one twice as large, one that
lasts more than half an hour by one half as large. So a store may be away for about a quarter of an hour, whatever the
rate, and a crash costs what would have lasted for half an hour at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigurationError


@dataclass(frozen=True)
class Sizes:
    """Of segments. minimum: the first one, and never less; also what a start or a crash costs at a low rate.

    maximum: never more: bounds what a crash costs at a high rate. Price: at more than ``maximum / short_s`` ids a
    second the store is asked more often, and its outages are outlived for less long. short_s, long_s: see the module.
    threshold: the next segment is fetched when this part of the present one is used. Later than 0.1 costs less after a
    crash (what is fetched and unused is lost), and leaves less time to a store that is slow or away.
    """

    minimum: int = 1_000
    maximum: int = 1_000_000
    short_s: float = 900.0
    long_s: float = 1_800.0
    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ConfigurationError(f"segments of {self.minimum} to {self.maximum} ids: at least 1, and no more than "
                                     "the maximum")
        if not 0 < self.short_s <= self.long_s or not 0 <= self.threshold < 1:
            raise ConfigurationError("short_s is above 0 and no more than long_s; threshold is a part, below 1")

    def next(self, size: int, lasted_s: float | None) -> int:
        """After a segment of ``size`` that lasted so long; None: it is the first one."""
        if lasted_s is None:
            return self.minimum
        if lasted_s < self.short_s:
            return min(size * 2, self.maximum)
        if lasted_s > self.long_s:
            return max(size // 2, self.minimum)
        return size

    def is_low(self, left: int, size: int) -> bool:
        """Whether the next one is to be fetched, with ``left`` of ``size`` unused."""
        return size - left >= size * self.threshold


def pause_s(failures: int, chance: float) -> float:
    """Before the store is asked again after it failed so often in a row: grows from 0.05 to 2 s, half of it chance."""
    return min(2.0, 0.05 * 2.0 ** min(failures, 10)) * (0.5 + chance / 2)
