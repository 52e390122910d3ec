# SPDX-License-Identifier: Apache-2.0
"""How much a neighbour may say, by kind of word: a bucket each. What is too much is dropped and held against it.

Dear words have small buckets: a body costs a check of its signature (0.1 ms), an address costs a place in the book. The
numbers let an honest node through that passes on 50 transactions a second for hours, or a backlog of 2000 at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ...gossip.defence.buckets import Bucket

#: Kind: how many a second, and how many at once. Of words with ids each id counts.
LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType({
    "body": (50.0, 2_000.0), "stem": (10.0, 200.0), "announce": (500.0, 20_000.0), "want": (100.0, 5_000.0),
    "dontwant": (500.0, 20_000.0), "heard": (500.0, 20_000.0), "reconcile": (5.0, 20.0), "sketch": (5_000.0, 50_000.0),
    "headers": (20.0, 400.0), "getheaders": (5.0, 100.0), "getblock": (50.0, 2_000.0), "getcompact": (20.0, 500.0),
    "getparts": (20.0, 500.0), "block": (50.0, 2_000.0), "compact": (20.0, 500.0), "parts": (20.0, 500.0),
    "absent": (20.0, 500.0), "graft": (5.0, 20.0), "prune": (5.0, 20.0), "ping": (1.0, 20.0), "pong": (1.0, 20.0),
    "askaddresses": (0.02, 3.0), "addresses": (0.1, 5.0), "bye": (1.0, 2.0), "bytes": (2e6, 2e7),
})
_OTHER: Final = (100.0, 2_000.0)


class Rates:
    """The buckets of one neighbour."""

    def __init__(self, now: float, limits: Mapping[str, tuple[float, float]] = LIMITS) -> None:
        self._now, self._limits = now, limits
        self._buckets: dict[str, Bucket] = {}

    def allow(self, kind: str, count: int, size: int, now: float) -> bool:
        """May it say this, of so many ids and bytes? What may not be takes nothing."""
        words, whole = self._of(kind), self._of("bytes")
        if words.level(now) < count or whole.level(now) < size:  # guard: rate-limit
            return False
        words.take(count, now)
        whole.take(size, now)
        return True

    def _of(self, kind: str) -> Bucket:
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(*self._limits.get(kind, _OTHER), self._now)
        return bucket
