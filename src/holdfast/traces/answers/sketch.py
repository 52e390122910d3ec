# SPDX-License-Identifier: Apache-2.0
"""Percentiles of what no longer fits into memory, or came in parts: a sketch that can be merged. Pure.

A value x counts in bucket ceil(log x / log γ), with γ = (1 + a) / (1 - a), and is remembered as the bucket's middle,
which is off by the share ``a`` of it at most. So is any percentile, since it is interpolated between two such values.
Merging adds buckets: it is exact, in any order and grouping, and a merged sketch is the one of all values.

Buckets are never joined, or merging would lose that: at a = 0.01 whole µs up to 2⁶³ take 2,184 of them. A t-digest is
smaller and better far out, but what it says depends on the order of merging. Source: DDSketch (VLDB 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from .report import LARGEST

#: By which share a percentile may be off. Half of it doubles the buckets.
RELATIVE_ERROR = 0.01


class Sketch(msgspec.Struct):
    """Counts, sum (up to LARGEST), smallest and largest value are exact. zeros: values of 0; they have no logarithm."""

    relative_error: float = RELATIVE_ERROR
    count: int = 0
    zeros: int = 0
    total: int = 0
    min: int = 0
    max: int = 0
    buckets: dict[int, int] = {}

    def add(self, value: int, times: int = 1) -> None:
        """One more value of 0 or more, or several of it."""
        self.min = min(self.min, value) if self.count else value
        self.max = max(self.max, value) if self.count else value
        self.count += times
        self.total = min(self.total + value * times, LARGEST)
        if value <= 0:
            self.zeros += times
        else:
            bucket = math.ceil(math.log(value) / _width(self.relative_error))
            self.buckets[bucket] = self.buckets.get(bucket, 0) + times

    def percentile(self, thousandths: int) -> int:
        """As in ``percentiles.py``, off by ``relative_error`` of it at most, and by rounding down. 0 without values."""
        if not self.count:
            return 0
        place, rest = divmod((self.count - 1) * thousandths, 1000)
        low = self._at(place)
        if not rest:
            return int(low)
        high = self._at(min(place + 1, self.count - 1))
        return int(low + (high - low) * rest / 1000 + 1e-9)

    def _at(self, place: int) -> float:
        """The value at a place of all in order, about."""
        if place == 0 or place == self.count - 1:
            return self.max if place else self.min
        place -= self.zeros
        if place < 0:
            return 0.0
        for bucket in sorted(self.buckets):
            place -= self.buckets[bucket]
            if place < 0:
                break
        gamma = math.exp(_width(self.relative_error))
        return min(max(2 * gamma ** bucket / (gamma + 1), self.min), self.max)


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all their values. Raises ValueError when their errors differ."""
    found: Sketch | None = None
    for one in sketches:
        if found is None:
            found = Sketch(one.relative_error)
        if one.relative_error != found.relative_error:
            raise ValueError(f"sketches of errors {found.relative_error} and {one.relative_error} do not merge")
        if one.count:
            found.min = min(found.min, one.min) if found.count else one.min
            found.max = max(found.max, one.max) if found.count else one.max
        found.count += one.count
        found.zeros += one.zeros
        found.total = min(found.total + one.total, LARGEST)
        for bucket, times in one.buckets.items():  # guard: what both have is added
            found.buckets[bucket] = found.buckets.get(bucket, 0) + times
    return found or Sketch()


def _width(relative_error: float) -> float:
    return math.log((1 + relative_error) / (1 - relative_error))
