# SPDX-License-Identifier: Apache-2.0
"""News that is still to be passed on, each item a limited number of times.

What was told least goes first, so that what is new overtakes what everybody has heard; among equals the longest,
because short ones fill the gaps; then the newest. An item about the same thing takes an older one's place. Source:
github.com/hashicorp/memberlist, queue.go (TransmitLimitedQueue).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic, TypeVar

M = TypeVar("M")

#: Times told, minus its length, minus its number: sorted, that is the order in which items go out.
_Rank = tuple[int, int, int]


class Broadcasts(Generic[M]):
    """The queue. items_max: beyond so many the one told most often is dropped.

    finished: marks of items that were told as often as they should be, or gave way; whoever reads it empties it.
    dropped: how many fell out because the queue was full.
    """

    __slots__ = ("_items", "_items_max", "_named", "_names", "_number", "_ranks", "_smallest", "dropped", "finished")

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._ranks: list[_Rank] = []
        self._items: dict[_Rank, tuple[M, object]] = {}
        self._named: dict[str, _Rank] = {}
        self._names: dict[int, str] = {}
        self._number = 0
        self._smallest = 0
        self.finished: list[object] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._ranks)

    def add(self, message: M, size: int, name: str | None = None, mark: object = None) -> None:
        """Something new, of so many bytes. name: what it is about; an older item about that gives way."""
        old = self._named.get(name) if name is not None else None
        if old is not None:  # guard: what is outdated is told no more
            self._remove(old)
        self._number += 1
        if name is not None:
            self._names[self._number] = name
        self._put((0, -size, -self._number), message, mark)
        self._smallest = min(self._smallest, size) if len(self._ranks) > 1 else size
        while len(self._ranks) > self._items_max:  # guard: the queue has a bound
            self._remove(self._ranks[-1])
            self.dropped += 1

    def take(self, room: int, overhead: int, limit: int) -> list[M]:
        """What goes into the next packet: up to ``room`` bytes, each item with ``overhead``; told ``limit`` times, an
        item is done."""
        if not self._ranks:
            return []
        chosen: list[_Rank] = []
        for rank in self._ranks:
            needed = overhead - rank[1]
            if needed <= room:
                chosen.append(rank)
                room -= needed
            elif room < self._smallest + overhead:
                break
        return [self._told(rank, limit) for rank in chosen]

    def _told(self, rank: _Rank, limit: int) -> M:
        told, size, number = rank
        message, mark = self._items[rank]
        name = self._names.get(-number)
        self._remove(rank, finished=told + 1 >= limit)
        if told + 1 < limit:  # guard: each member passes an item on so many times and no more
            if name is not None:
                self._names[-number] = name
            self._put((told + 1, size, number), message, mark)
        return message

    def _put(self, rank: _Rank, message: M, mark: object) -> None:
        insort(self._ranks, rank)
        self._items[rank] = message, mark
        name = self._names.get(-rank[2])
        if name is not None:
            self._named[name] = rank

    def _remove(self, rank: _Rank, *, finished: bool = True) -> None:
        del self._ranks[bisect_left(self._ranks, rank)]
        _, mark = self._items.pop(rank)
        name = self._names.pop(-rank[2], None)
        if name is not None:
            self._named.pop(name, None)
        if finished and mark is not None:
            self.finished.append(mark)
