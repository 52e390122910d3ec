# SPDX-License-Identifier: Apache-2.0
"""What is due when. A heap whose outdated entries are left lying until they come up."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush

_SPARE = 64


class Timers:
    """Keys and when they are due; each key has one time. Of two that are due at once the one set first comes first."""

    __slots__ = ("_count", "_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[Hashable, tuple[float, int, Hashable]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._count = 0

    def set(self, key: Hashable, due: float) -> None:
        """``key`` is due then, and no longer when it was."""
        self._count += 1
        self._due[key] = entry = (due, self._count, key)
        heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._due) + _SPARE:
            self._heap = list(self._due.values())
            heapify(self._heap)

    def cancel(self, key: Hashable) -> None:
        """``key`` is not due any more; fine if it was not."""
        self._due.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._due

    def due(self, key: Hashable) -> float | None:
        """When ``key`` is due."""
        entry = self._due.get(key)
        return None if entry is None else entry[0]

    def keys(self) -> Iterator[Hashable]:
        """All there are, as they are now."""
        return iter(list(self._due))

    @property
    def next(self) -> float:
        """When the first one is due; infinity where there is none."""
        heap, due = self._heap, self._due
        while heap:
            top = heap[0]
            if due.get(top[2]) is top:
                return top[0]
            heappop(heap)
        return math.inf

    def pop(self, now: float) -> Hashable | None:
        """The first that is due at ``now``, no longer set; None where nothing is."""
        if self.next > now:
            return None
        key = heappop(self._heap)[2]
        del self._due[key]
        return key
