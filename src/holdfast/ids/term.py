# SPDX-License-Identifier: Apache-2.0
"""What a generator may do: a worker id, for a window of store time.

The time inside an id is its own fence. Whoever holds a worker id may make ids whose time lies in its window, and
whoever holds it next has a window that begins after that. So a process that was stopped, cut off, or whose clock was
stepped can wake up whenever it likes: the ids it can still make are nobody else's. Nothing here depends on anybody's
clock being right; a wrong one makes ids that are late, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Window:
    """Store time in ms since 1970, both ends within. Replaced as a whole when it is extended."""

    first_ms: int
    last_ms: int


class Held(NamedTuple):
    """A worker id and its window: read together and replaced together, or an id could have one of each."""

    worker: int
    window: Window


class Maker(Protocol):
    """Whoever makes ids under a term. made: how many so far, in bulk and in blocks that were not used up, too."""

    made: int

    def last_ms(self) -> int:
        """The time of the last id: whoever has the worker id next begins after it."""
        ...

    def drop(self) -> None:
        """Throws away what was prepared: the worker id is lost, or given back."""
        ...


class Term(Protocol):
    """One hold of a worker id.

    A renewal replaces what is held; a loss ends its window.
    """

    @property
    def held(self) -> Held:
        """What may be used now."""
        ...

    @property
    def cause(self) -> str:
        """Why nothing may be used any more; empty while something may."""
        ...

    def made_by(self, maker: Maker) -> None:
        """Whoever makes ids under it says so: it is asked for its last one at the end, and told when there is one.
        There is one: two would make the same ids."""
        ...

    def now_ms(self) -> float:
        """Store time now: that of the grant, and what has passed since then on a clock that counts suspended time."""
        ...
