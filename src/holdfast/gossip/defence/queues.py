# SPDX-License-Identifier: Apache-2.0
"""A queue with a bound, and a line for each peer.

Lines are served by turns, so a peer that sends much waits for itself. When the queue is full, the longest line loses
one, and it is counted against that peer: whoever floods, throws out what is its own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from typing import Generic, Literal, TypeVar

from ...errors import ConfigurationError

T = TypeVar("T")

#: newest: what came last waits no more; what was begun is finished. oldest: the news counts, and it replaces the past.
Drop = Literal["newest", "oldest"]


class FairQueue(Generic[T]):
    """items_max, bytes_max: of all lines. drop: which end of the longest line falls out.

    1,024 items are what memberlist queues for its handler. Price of more: what waits is old when its turn comes. Price
    of less: more falls out in a burst. Falling out costs a look at each line that waits.
    """

    __slots__ = ("_bytes", "_items", "_lines", "_sizes", "bytes_max", "drop", "dropped", "dropped_of", "items_max")

    def __init__(self, items_max: int = 1_024, bytes_max: int = 8_388_608, drop: Drop = "newest") -> None:
        if items_max < 1 or bytes_max < 1:
            raise ConfigurationError("a queue holds one item and one byte at least")
        self.items_max, self.bytes_max, self.drop = items_max, bytes_max, drop
        self._lines: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        self._sizes: Counter[str] = Counter()
        self._items = self._bytes = 0
        #: How many fell out; and whose, of those in line now.
        self.dropped = 0
        self.dropped_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._items

    @property
    def bytes(self) -> int:
        """In all lines."""
        return self._bytes

    def put(self, peer: str, item: T, size: int) -> list[T]:
        """Stands at the end of its peer's line. Returns what fell out for it, which may be the item itself."""
        self._lines.setdefault(peer, deque()).append((item, size))
        self._items += 1
        self._bytes += size
        self._sizes[peer] += size
        fallen = []
        while self._items > self.items_max or self._bytes > self.bytes_max:
            fallen.append(self._fall())  # guard: the queue has a bound
        return fallen

    def take(self) -> tuple[str, T] | None:
        """The next one, and whose it is; None when nothing waits."""
        if not self._lines:
            return None
        peer, line = next(iter(self._lines.items()))
        item, size = line.popleft()
        self._after(peer, size)
        if peer in self._lines:
            self._lines.move_to_end(peer)
        return peer, item

    def _fall(self) -> T:
        by_bytes = self._items <= self.items_max
        peer = max(self._lines, key=lambda one: self._sizes[one] if by_bytes else len(self._lines[one]))
        line = self._lines[peer]
        item, size = line.pop() if self.drop == "newest" else line.popleft()
        self.dropped += 1
        self.dropped_of[peer] += 1
        self._after(peer, size)
        return item

    def _after(self, peer: str, size: int) -> None:
        self._items -= 1
        self._bytes -= size
        self._sizes[peer] -= size
        if not self._lines[peer]:
            del self._lines[peer], self._sizes[peer]
            self.dropped_of.pop(peer, None)
