# SPDX-License-Identifier: Apache-2.0
"""What a generator may do: a worker id, for a window of store time.

The time inside an id is its own fence. Whoever holds a worker id may make ids whose time lies in its window, and
whoever holds it next has a window that begins after that. So a process that was stopped, cut off, or whose clock was
stepped can wake up whenever it likes: the ids it can still make are nobody else's. Nothing here depends on anybody's
clock being right; a wrong one makes ids that are late, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Window:
    """Store time in ms since 1970, both ends within. Replaced as a whole when it is extended."""

    first_ms: int
    last_ms: int


class Term(Protocol):
    """One hold of a worker id.

    worker: the id. window: what may be used now; a renewal replaces it, a loss leaves it as it is.
    """

    worker: int
    window: Window

    def made_by(self, last_ms: Callable[[], int]) -> None:
        """Whoever makes ids under it tells how to ask it for the time of its last one, which is asked at the end."""
        ...

    def now_ms(self) -> float:
        """Store time now: that of the grant, and what has passed since then on a clock that counts suspended time."""
        ...
