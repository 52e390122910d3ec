# SPDX-License-Identifier: Apache-2.0
"""How fast and how many at once: token buckets and slots, for a handler and for each key. Pure; the caller waits.

A bucket keeps one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371): it
needs no timer and cannot drift. ``take`` either takes or says how long to wait and takes nothing, so a caller that is
cancelled while waiting owes nothing.
"""

from __future__ import annotations

import math

from .._base.clock import Instant
from ..errors import ConfigurationError

#: Keys whose state is kept. Beyond it keys share one bucket: too slow for some, rather than too fast for all.
KEYS_MAX = 10_000


class Bucket:
    """``rate_per_s`` tokens a second, at most ``burst`` saved up (default: one second's worth, at least 1)."""

    __slots__ = ("_full_at", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float | None = None) -> None:
        self._full_at = -math.inf
        self.rate_per_s = 1.0
        self.set(rate_per_s, burst)

    def set(self, rate_per_s: float, burst: float | None = None, now: Instant | None = None) -> None:
        """New numbers from now on; what was taken stays taken, and with ``now`` is paid for at the new rate."""
        if not (math.isfinite(rate_per_s) and rate_per_s > 0):
            raise ConfigurationError(f"rate_per_s={rate_per_s!r}: give messages a second above 0, or None for no limit")
        if burst is not None and not burst >= 1:
            raise ConfigurationError(f"burst={burst!r}: give 1 or more, or nothing would ever pass")
        if now is not None and self._full_at > now:
            self._full_at = now + (self._full_at - now) * self.rate_per_s / rate_per_s
        self.rate_per_s = rate_per_s
        self.burst = max(1.0, rate_per_s) if burst is None else float(burst)

    def take(self, now: Instant, n: int = 1) -> float:
        """Takes ``n`` tokens and answers 0, or takes none and answers the seconds after which to ask again.

        More than ``burst`` at once pass when the bucket is full and are paid for afterwards: a batch larger than the
        burst is slowed down, not stuck.
        """
        full_at = max(self._full_at, now)
        then = full_at + n / self.rate_per_s
        wait_s = then - now - max(self.burst, n) / self.rate_per_s
        if wait_s > 1e-9:  # less is rounding, and would be a wake-up for nothing
            return wait_s
        self._full_at = then
        return 0.0

    def put_back(self, n: int = 1) -> None:
        """What was taken was not used after all."""
        self._full_at -= n / self.rate_per_s

    def full(self, now: Instant) -> bool:
        """Nothing is remembered that a new bucket would not know."""
        return self._full_at <= now


class KeyedBuckets:
    """A bucket a key, made when first needed and forgotten when full again."""

    __slots__ = ("_buckets", "_burst", "_keys_max", "_rate", "_shared")

    def __init__(self, rate_per_s: float, burst: float | None = None, keys_max: int = KEYS_MAX) -> None:
        self._shared = Bucket(rate_per_s, burst)
        self._rate, self._burst, self._keys_max = rate_per_s, burst, keys_max
        self._buckets: dict[str, Bucket] = {}

    def take(self, key: str | None, now: Instant, n: int = 1) -> float:
        """As ``Bucket.take`` for the key's own bucket. A message without key is not limited by key."""
        return 0.0 if key is None else self._of(key, now).take(now, n)

    def put_back(self, key: str | None, now: Instant) -> None:
        """As ``Bucket.put_back``."""
        if key is not None:
            self._of(key, now).put_back()

    def set(self, rate_per_s: float, now: Instant) -> None:
        """As ``Bucket.set``, for every key."""
        self._rate = rate_per_s
        for bucket in (self._shared, *self._buckets.values()):
            bucket.set(rate_per_s, self._burst, now)

    def _of(self, key: str, now: Instant) -> Bucket:
        found = self._buckets.get(key)
        if found is not None:
            return found
        if len(self._buckets) >= self._keys_max:
            self._buckets = {k: b for k, b in self._buckets.items() if not b.full(now)}
            if len(self._buckets) >= self._keys_max:
                return self._shared
        return self._buckets.setdefault(key, Bucket(self._rate, self._burst))

    @property
    def rate_per_s(self) -> float:
        return self._rate

    def __len__(self) -> int:
        return len(self._buckets)


class Slots:
    """How many run at once: in all, and of one key. None: no limit."""

    __slots__ = ("_by_key", "limit", "per_key", "running")

    def __init__(self, limit: int | None = None, per_key: int | None = None) -> None:
        for name, value in (("limit", limit), ("per_key", per_key)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name}={value}: give 1 or more, or None for no limit")
        self.limit, self.per_key = limit, per_key
        self.running = 0
        self._by_key: dict[str, int] = {}

    def enter(self, key: str | None = None) -> bool:
        """Takes a slot if one is free."""
        if self.limit is not None and self.running >= self.limit:
            return False
        if self.per_key is not None and key is not None:
            mine = self._by_key.get(key, 0)
            if mine >= self.per_key:
                return False
            self._by_key[key] = mine + 1
        self.running += 1
        return True

    def leave(self, key: str | None = None) -> None:
        """Gives the slot back. Limits may have been changed in between."""
        self.running -= 1
        mine = 0 if key is None else self._by_key.get(key, 0)
        if key is not None and mine > 1:
            self._by_key[key] = mine - 1
        elif key is not None:
            self._by_key.pop(key, None)
