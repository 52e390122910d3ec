# SPDX-License-Identifier: Apache-2.0
"""Names in an order that is shuffled as far as it is read.

A member probes all others once, in random order, then again in another one. Shuffling ten thousand names for ten
thousand simulated members up front would fill memory with orders nobody reads. So the shuffle (Fisher and Yates) is
done step by step, each time the next name is asked for, and only what has moved is kept; the rest stands where a list
shared by all has it. The distribution is that of a full shuffle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..._base.chance import Chance


def below(chance: Chance, bound: int) -> int:
    """A random whole number in [0, bound)."""
    return int(chance.random() * bound)


class Order:
    """Names by position, and how far this round has come. shared: where it begins; it is never written to."""

    __slots__ = ("_count", "_moved", "_shared", "_turn")

    def __init__(self, shared: Sequence[str] = ()) -> None:
        self._shared = shared
        self._moved: dict[int, str] = {}
        self._count = len(shared)
        self._turn = 0

    def __len__(self) -> int:
        return self._count

    def at(self, position: int) -> str:
        """The name that stands there."""
        name = self._moved.get(position)
        return self._shared[position] if name is None else name

    def __iter__(self) -> Iterator[str]:
        return (self.at(position) for position in range(self._count))

    def insert(self, name: str, chance: Chance) -> None:
        """Puts a name in at a random place; what stood there goes to the end. So it may be probed at once, or a whole
        round later: many that enter together are not probed in a burst."""
        self._count += 1
        self._moved[self._count - 1] = name
        self._swap(below(chance, self._count), self._count - 1)

    def turn(self, chance: Chance) -> str | None:
        """The next one of this round, drawn from those that had no turn yet; None at its end, when another begins."""
        if self._turn >= self._count:
            self._turn = 0
            return None
        self._swap(self._turn, self._turn + below(chance, self._count - self._turn))
        self._turn += 1
        return self.at(self._turn - 1)

    def sample(self, wanted: int, chance: Chance, fits: Callable[[str], bool]) -> list[str]:
        """Up to so many different names that fit. In a large cluster it is drawn 3 times its size at most, so it may
        find fewer than there are."""
        found: list[str] = []
        for position in self._positions(wanted, chance):
            if len(found) >= wanted:
                break
            name = self.at(position)
            if name not in found and fits(name):
                found.append(name)
        return found

    def remove(self, fits: Callable[[str], bool]) -> list[str]:
        """Takes out all that fit; between rounds, since positions move."""
        gone = [position for position in range(self._count) if fits(self.at(position))]
        names = [self.at(position) for position in gone]
        for position in reversed(gone):
            self._swap(position, self._count - 1)
            self._count -= 1
            self._moved.pop(self._count, None)
        return names

    def _positions(self, wanted: int, chance: Chance) -> Iterator[int]:
        count = self._count
        if count >= 3 * wanted:
            return (below(chance, count) for _ in range(3 * count))
        mixed = list(range(count))
        for place in range(count - 1, 0, -1):
            other = below(chance, place + 1)
            mixed[place], mixed[other] = mixed[other], mixed[place]
        return iter(mixed)

    def _swap(self, one: int, other: int) -> None:
        if one != other:
            self._moved[one], self._moved[other] = self.at(other), self.at(one)
