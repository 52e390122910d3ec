# SPDX-License-Identifier: Apache-2.0
"""Messages whose key is not known yet: kept for a short while, and never much.

Anybody can send such messages, so all is bounded: how many, how many bytes, how many of one peer, how long. What comes
when it is full is refused, not what was there before: else a flood would wash out what waits for its key.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from .verdict import Peer

COUNT_MAX: Final = 1024
BYTES_MAX: Final = 1 << 20
PEER_MAX: Final = 64
KEEP_MS: Final = 30_000


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A message that waits, who delivered it and when."""

    key_id: bytes
    data: bytes
    peer: Peer
    since_ms: int


class Quarantine:
    """count_max, bytes_max, peer_max (of one peer), keep_ms. Price of more: memory that strangers fill."""

    __slots__ = ("_asked", "_bytes_max", "_count_max", "_keep_ms", "_of_peer", "_peer_max", "_waiting", "size")

    def __init__(self, count_max: int = COUNT_MAX, bytes_max: int = BYTES_MAX, peer_max: int = PEER_MAX,
                 keep_ms: int = KEEP_MS) -> None:
        self._count_max, self._bytes_max, self._peer_max, self._keep_ms = count_max, bytes_max, peer_max, keep_ms
        self._waiting: dict[bytes, Waiting] = {}
        self._of_peer: Counter[Peer] = Counter()
        self._asked: dict[tuple[bytes, Peer], int] = {}
        #: Bytes that wait.
        self.size = 0

    def put(self, waiting: Waiting) -> bool:
        """Keeps it. False: there is no room. The same bytes wait once."""
        self.expire(waiting.since_ms)
        if waiting.data in self._waiting:
            return True
        if (len(self._waiting) >= self._count_max or self.size + len(waiting.data) > self._bytes_max
                or self._of_peer[waiting.peer] >= self._peer_max):  # guard: bounded. Strangers fill it
            return False
        self._waiting[waiting.data] = waiting
        self._of_peer[waiting.peer] += 1
        self.size += len(waiting.data)
        return True

    def ask(self, waiting: Waiting) -> bool:
        """Is it time to ask this peer for this key? Once while its messages can wait."""
        key = waiting.key_id, waiting.peer
        if key in self._asked:
            return False
        if len(self._asked) >= self._count_max:
            del self._asked[next(iter(self._asked))]
        self._asked[key] = waiting.since_ms
        return True

    def take(self, key_id: bytes, now_ms: int) -> list[Waiting]:
        """What waits for this key, oldest first; it waits no longer."""
        self.expire(now_ms)
        found = [one for one in self._waiting.values() if one.key_id == key_id]
        for one in found:
            self._drop(one)
        return found

    def expire(self, now_ms: int) -> None:
        """Forgets what waited too long; what seems to come from the future too, since the clock was set back."""
        while self._waiting and self._over(now_ms, (one := next(iter(self._waiting.values()))).since_ms):
            self._drop(one)
        while self._asked and self._over(now_ms, self._asked[key := next(iter(self._asked))]):
            del self._asked[key]

    def _over(self, now_ms: int, since_ms: int) -> bool:
        return not 0 <= now_ms - since_ms < self._keep_ms

    def _drop(self, one: Waiting) -> None:
        del self._waiting[one.data]
        self.size -= len(one.data)
        self._of_peer[one.peer] -= 1
        if not self._of_peer[one.peer]:
            del self._of_peer[one.peer]

    def __len__(self) -> int:
        return len(self._waiting)
