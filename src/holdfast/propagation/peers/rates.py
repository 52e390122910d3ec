# SPDX-License-Identifier: Apache-2.0
"""How much a neighbour may say, by kind of word: a bucket each. What is too much is dropped and held against it.

Dear words have small buckets: a body costs a check of its signature (0.1 ms), an address costs a place in the book. The
numbers let an honest node through that passes on 100 transactions a second for hours, or a backlog of 10,000 at once;
that is twice as many as a newcomer is told of (``GREETED_MAX``).

Who catches up says very much and does nothing wrong, and so does who helps it. So words about blocks have wide buckets,
and bytes none: who sends more than ``BYTES_S`` is read more slowly, and TCP tells it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ...gossip.defence.buckets import Bucket

#: Kind: how many a second, and how many at once. Of words with ids each id counts.
LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType({
    "body": (100.0, 10_000.0), "stem": (10.0, 200.0), "announce": (500.0, 20_000.0), "want": (200.0, 10_000.0),
    "dontwant": (500.0, 20_000.0), "heard": (500.0, 20_000.0), "reconcile": (5.0, 20.0), "sketch": (5_000.0, 50_000.0),
    "graft": (5.0, 20.0), "prune": (5.0, 20.0), "ping": (1.0, 20.0), "pong": (1.0, 20.0),
    "headers": (200.0, 4_000.0), "getheaders": (20.0, 400.0), "getblock": (2_000.0, 20_000.0),
    "getcompact": (2_000.0, 20_000.0), "getparts": (2_000.0, 20_000.0), "block": (2_000.0, 20_000.0),
    "compact": (2_000.0, 20_000.0), "parts": (2_000.0, 20_000.0), "absent": (2_000.0, 20_000.0),
    "askaddresses": (0.02, 3.0), "addresses": (0.1, 5.0), "bye": (1.0, 2.0),
})
#: Bytes that are read of a neighbour a second, and at once.
BYTES_S: Final = 20e6
BYTES_AT_ONCE: Final = 40e6
_OTHER: Final = (100.0, 2_000.0)


class Rates:
    """The buckets of one neighbour."""

    def __init__(self, now: float, limits: Mapping[str, tuple[float, float]] = LIMITS, *,
                 bytes_s: float = BYTES_S, at_once: float = BYTES_AT_ONCE) -> None:
        self._now, self._limits = now, limits
        self._buckets: dict[str, Bucket] = {}
        self._bytes = Bucket(bytes_s, at_once, now)

    def allow(self, kind: str, count: int, now: float) -> bool:
        """May it say this, of so many ids? What may not be takes nothing."""
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(*self._limits.get(kind, _OTHER), self._now)
        return bucket.take(count, now)  # guard: rate-limit

    def pause_s(self, size: int, now: float) -> float:
        """So many bytes came: how long to wait before more are read."""
        self._bytes.force(size, now)
        return max(0.0, -self._bytes.level(now) / self._bytes.rate)
