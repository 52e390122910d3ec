# SPDX-License-Identifier: Apache-2.0
"""What makes ids, whatever it makes them from: time and a worker id, a counter in a store, a service, chance.

Two shapes of one contract. ``Ids`` is for threads, and may sleep; ``AsyncIds`` is for an event loop, and never blocks
it. An id is an ``int`` of at most 63 bits, or of 128 for UUIDs. Every family keeps this: no id is given twice, ever, by
anybody who shares its name and its store; what it cannot give it refuses with an ``IdError`` or a ``ServerError``.
Order is the family's own affair, and its docstring says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Ids(Protocol):
    """Any thread may ask."""

    def next_id(self) -> int:
        """The next id; waits for it where it has to."""
        ...

    def next_ids(self, count: int) -> Sequence[int]:
        """So many at once."""
        ...


class AsyncIds(Protocol):
    """Any task of one event loop may ask."""

    async def next_id(self) -> int:
        """The next id."""
        ...

    async def next_ids(self, count: int) -> Sequence[int]:
        """So many at once."""
        ...
