# SPDX-License-Identifier: Apache-2.0
"""What the bits of an id mean. Time first, so that ids sort by when they were made; then who made it, then a sequence.

::

    snowflake   0 | 41 time (ms) | 10 worker | 12 sequence        https://github.com/twitter-archive/snowflake
    sonyflake   0 | 39 time (10 ms) | 8 sequence | 16 worker      the sequence stands before the worker

A layout ends: 41 bits of milliseconds last 69 years from their epoch, 28 bits of seconds eight and a half; ids made
behind that are negative, or begin again. So a layout says how many years are left, and refuses to begin without any.

No layout has more than 63 bits: what is signed in SQL and in most languages stays positive. Where the original counts
64 (TSID, Instagram), its first bit of time is left out: the ids are the same until it would be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .._base.clock import WallMs
from ..errors import ConfigurationError

YEAR_MS = 31_556_952_000
#: 2024-01-01T00:00:00Z: what our own layouts count from.
EPOCH_MS = 1_704_067_200_000


@dataclass(frozen=True)
class Decoded:
    """What an id says. timestamp_ms: since 1970, of the beginning of its unit. datacenter: 0 where there is none."""

    timestamp_ms: int
    worker: int
    sequence: int
    layout: str
    datacenter: int = 0


@dataclass(frozen=True)
class Layout:
    """How many bits for what, how long a unit of time is, and when time begins.

    datacenter_bits: the upper part of the worker's bits, shown apart when an id is read. sequence_first: the sequence
    stands before the worker (Sonyflake).
    """

    name: str
    time_bits: int
    worker_bits: int
    sequence_bits: int
    unit_ms: int = 1
    epoch_ms: int = EPOCH_MS
    datacenter_bits: int = 0
    sequence_first: bool = False

    def __post_init__(self) -> None:
        if min(self.time_bits, self.worker_bits, self.sequence_bits) < 1 or self.bits > 63:
            raise ConfigurationError(f"layout {self.name!r}: every part needs a bit, and all together 63 at most, not "
                                     f"{self.time_bits} + {self.worker_bits} + {self.sequence_bits}")
        if self.unit_ms < 1 or self.epoch_ms < 0 or not 0 <= self.datacenter_bits < self.worker_bits:
            raise ConfigurationError(f"layout {self.name!r}: a unit is 1 ms or more, the epoch is in ms since 1970, "
                                     "and a datacenter's bits are some of the worker's")

    @property
    def bits(self) -> int:
        """All of them, without the sign."""
        return self.time_bits + self.worker_bits + self.sequence_bits

    @property
    def workers(self) -> int:
        """How many there can be."""
        return 1 << self.worker_bits

    @property
    def sequences(self) -> int:
        """Ids of one worker in one unit of time."""
        return 1 << self.sequence_bits

    @property
    def step(self) -> int:
        """From one id of a worker to its next one in the same unit."""
        return 1 << self.worker_bits if self.sequence_first else 1

    @property
    def ends_ms(self) -> int:
        """Since 1970: the first moment that has no id."""
        return self.epoch_ms + (self.unit_ms << self.time_bits)

    def years_left(self, now_ms: int) -> float:
        """Years until it ends; 0 or less: it has."""
        return (self.ends_ms - now_ms) / YEAR_MS

    def check(self, now: WallMs, *, years_min: float = 1.0) -> None:
        """Raises ConfigurationError when there is less than ``years_min`` left, or when time has not begun."""
        if now < self.epoch_ms:
            raise ConfigurationError(f"layout {self.name!r} begins in the future: mend its epoch, or this clock")
        left = self.years_left(now)
        if left < years_min:
            raise ConfigurationError(f"layout {self.name!r} has {left:.2f} years left: take a later epoch, more bits "
                                     "for time or a longer unit. Ids of a new layout go into a column of their own")

    def beginning(self, epoch_ms: int) -> Layout:
        """The same layout with another epoch. Price: its ids and those of the old epoch can be the same."""
        return replace(self, epoch_ms=epoch_ms)

    # -- units of time --------------------------------------------------------------------------------------------

    def unit_of(self, ms: float) -> int:
        """The unit that is running at ``ms`` since 1970."""
        return int((ms - self.epoch_ms) // self.unit_ms)

    def ms_of(self, unit: int) -> int:
        """When a unit begins, in ms since 1970."""
        return self.epoch_ms + unit * self.unit_ms

    # -- ids ------------------------------------------------------------------------------------------------------

    def encode(self, unit: int, worker: int, sequence: int) -> int:
        """The id. ValueError when a part does not fit: it would run into its neighbour."""
        if unit >> self.time_bits or worker >> self.worker_bits or sequence >> self.sequence_bits:
            raise ValueError(f"layout {self.name!r} has no id for unit {unit}, worker {worker}, sequence {sequence}")
        above = unit << (self.worker_bits + self.sequence_bits)
        if self.sequence_first:
            return above | sequence << self.worker_bits | worker
        return above | worker << self.sequence_bits | sequence

    def decode(self, id: int) -> Decoded:
        """What the id says. ValueError for a number that this layout cannot have made."""
        if id < 0 or id >> self.bits:
            raise ValueError(f"{id} is no id of layout {self.name!r}: it has {self.bits} bits and no sign")
        unit, rest = divmod(id, 1 << (self.worker_bits + self.sequence_bits))
        if self.sequence_first:
            sequence, worker = divmod(rest, self.workers)
        else:
            worker, sequence = divmod(rest, self.sequences)
        datacenter = worker >> (self.worker_bits - self.datacenter_bits) if self.datacenter_bits else 0
        return Decoded(self.ms_of(unit), worker, sequence, self.name, datacenter)


#: 2010-11-04T01:42:54.657Z, https://github.com/twitter-archive/snowflake
_TWITTER_MS = 1_288_834_974_657
#: 2014-09-01, https://github.com/sony/sonyflake
_SONY_MS = 1_409_529_600_000
#: 2020-01-01, https://github.com/f4b6a3/tsid-creator
_TSID_MS = 1_577_836_800_000
#: 2011-08-24T21:07:01.721Z, from Instagram's article of 2012
_INSTAGRAM_MS = 1_314_220_021_721

#: By name. The first one is what is taken when nobody says.
LAYOUTS: Mapping[str, Layout] = MappingProxyType({made.name: made for made in (
    Layout("snowflake", 41, 10, 12),
    Layout("snowflake-5-5", 41, 10, 12, datacenter_bits=5),
    Layout("twitter", 41, 10, 12, epoch_ms=_TWITTER_MS, datacenter_bits=5),
    Layout("javascript", 41, 3, 9),
    Layout("seconds", 32, 10, 21, unit_ms=1000),
    Layout("sonyflake", 39, 16, 8, unit_ms=10, epoch_ms=_SONY_MS, sequence_first=True),
    Layout("tsid", 41, 10, 12, epoch_ms=_TSID_MS),
    Layout("instagram", 40, 13, 10, epoch_ms=_INSTAGRAM_MS),
)})
DEFAULT = LAYOUTS["snowflake"]


def layout_called(name: str) -> Layout:
    """The layout of this name; ConfigurationError names those there are."""
    try:
        return LAYOUTS[name]
    except KeyError:
        raise ConfigurationError(f"no layout is called {name!r}: one of {', '.join(LAYOUTS)}") from None
