# SPDX-License-Identifier: Apache-2.0
"""What a store of counters is: it gives the next numbers of a tag, and never gives one twice.

Numbers begin at 1. With several stores side by side, each with a ``part`` of ``parts`` of its own, the id of a number
is ``number * parts + part``: no two of them can make the same one, whoever of them is there (Flickr's ticket servers;
``auto_increment_increment`` and ``auto_increment_offset`` of MySQL). The store keeps part and parts beside the number
and refuses whoever comes with others. ``parts`` cannot be changed later; take more than there are databases.

Stores block, and any thread may ask them. They are asked by threads of ours, or by whoever wants one id at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...errors import ConfigurationError, IdsRefused

#: The largest id: what is signed in SQL and in most languages stays positive.
MOST = (1 << 63) - 1


@dataclass(frozen=True)
class Segment:
    """Ids that are whoever's who asked. ids: growing, in steps of ``parts``.

    epoch: of the store, as far as it can tell; another one after it lost something. jumped: so many numbers were left
    out before these, because the store had gone back, and for which reason (``server``, ``lost``, ``behind``).
    """

    ids: range
    epoch: str = ""
    jumped: int = 0
    why: str = ""


@dataclass(frozen=True)
class Share:
    """Which of the ids of a tag are this store's."""

    part: int = 0
    parts: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts:
            raise ConfigurationError(f"part={self.part} of parts={self.parts}: parts are numbered from 0 on")

    def ids(self, first: int, last: int) -> range:
        """The ids of the numbers from ``first`` to ``last``. IdsRefused when they have more than 63 bits."""
        if last * self.parts + self.part > MOST:
            raise IdsRefused(f"number {last} has no id below 2^63 any more: take a new tag", why="layout")
        return range(first * self.parts + self.part, last * self.parts + self.part + 1, self.parts)

    def agreed(self, tag: str, part: int, parts: int) -> None:
        """Raises ConfigurationError when the store was told otherwise before."""
        if (part, parts) != (self.part, self.parts):  # guard: who shares a tag agrees on the steps
            raise ConfigurationError(f"the counter {tag!r} was begun as part {part} of {parts}, not {self.part} of "
                                     f"{self.parts}: ids would be made twice. Give it what it had, or a new tag")


#: One store has them all.
ALONE = Share()


class CounterStore(Protocol):
    """name: for metrics. share: which ids are its own."""

    name: str
    share: Share

    def take(self, tag: str, count: int) -> Segment:
        """The next ids of ``tag``: at least one, at most ``count``.

        Raises ServerUnreachable and the like, and IdsRefused when there are no more.
        """
        ...

    def tend(self, tag: str) -> None:
        """Prepares the next ``take`` of ``tag``, where that helps. Called when the last one's ids are in use."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...
