# SPDX-License-Identifier: Apache-2.0
"""Ids in hand, and how many more to ask for. Pure: whoever owns one brings the time, and the lock where there are
threads.

As many are kept as were used within the last ``ahead_s``, weighed so that what is longer ago counts less: that is
``ahead_s`` at the present rate. Asked for are half as many again, when there are fewer. So a service that is away is
not missed for so long.

The price is age. An id that says when it was made says so of the time it was asked for, and lies for up to ``ahead_s``
and a half at a steady rate, longer at a falling one. ``lag_s`` throws away what is older; it also ends what an absence
can be bridged with. Counters have no age: None.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence


class Stock:
    """Batches, the oldest first, each with when it was asked for.

    least, most: so many are kept however little is used, and no more however much is.
    """

    def __init__(self, *, ahead_s: float, lag_s: float | None, least: int, most: int, now: float) -> None:
        self._ahead_s, self._lag_s = ahead_s, math.inf if lag_s is None else lag_s
        self._least, self._most = least, most
        self._batches: deque[tuple[float, list[int]]] = deque()
        self._used, self._used_at = 0.0, now
        #: As many are waited for right now, beyond what is here.
        self.missing = 0
        #: How many are here, those that are too old included.
        self.left = 0

    def take(self, count: int, now: float) -> list[int]:
        """At most so many; fewer when there are no more."""
        self._drop_old(now)
        found: list[int] = []
        while self._batches and len(found) < count:
            batch = self._batches[0][1]  # lies in reverse: what is taken off the end is its lowest
            wanted = count - len(found)
            found += batch[:-wanted - 1:-1]
            del batch[-wanted:]
            if not batch:
                self._batches.popleft()
        self.left -= len(found)
        self._used = self._faded(now) + len(found)
        self._used_at = now
        return found

    def add(self, ids: Sequence[int], asked_at: float) -> None:
        """They came."""
        if ids:
            self._batches.append((asked_at, list(reversed(ids))))
            self.left += len(ids)

    def wanted(self, now: float) -> int:
        """How many to ask for now; 0 while there are enough."""
        self._drop_old(now)
        low = max(self._least, math.ceil(self._faded(now)))
        full = min(low + (low + 1) // 2, self._most)  # guard: memory
        low = min(low, self._most)
        if self.left >= low + self.missing:
            return 0
        return full + self.missing - self.left

    def due_s(self, now: float) -> float:
        """In how many seconds the oldest will be too old."""
        return self._batches[0][0] + self._lag_s - now if self._batches else math.inf

    def _faded(self, now: float) -> float:
        return self._used * math.exp(-max(now - self._used_at, 0.0) / self._ahead_s)

    def _drop_old(self, now: float) -> None:
        while self._batches and now - self._batches[0][0] > self._lag_s:  # guard: none that is older than lag_s
            self.left -= len(self._batches.popleft()[1])
