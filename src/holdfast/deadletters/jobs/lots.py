# SPDX-License-Identifier: Apache-2.0
"""Letters of a job as they lie on their shelves, lot after lot: as many at a time as memory bears, and the next are
asked for while those before are worked at."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._redis.keys import GroupKeys
from ...errors import ServerError
from .job import Item

if TYPE_CHECKING:
    from ..shelf import Shelf

#: Letters that are read at once: at first, and then as many as have so many bytes together, within these bounds. Three
#: lots are in memory at a time.
FIRST, LEAST, MOST, LOT_BYTES = 100, 10, 500, 4 * 1024 * 1024

#: An entry: its id, and its fields and values.
Row = tuple[bytes, list[bytes]]


class Lots:
    """Reads from one group's shelves."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._size = FIRST

    async def read(self, items: Sequence[Item]) -> AsyncIterator[tuple[list[Item], list[Row | None]]]:
        """Lot after lot, each with its rows; the next is asked for meanwhile."""
        left = by_stream(items)
        lot = self._lot(left)
        reading = asyncio.create_task(self._rows(lot))
        try:
            while lot:
                rows = await reading
                self._size = size_of(rows, self._size)
                mine, lot = lot, self._lot(left)
                reading = asyncio.create_task(self._rows(lot))
                await asyncio.sleep(0)  # so that it has asked
                yield mine, rows
        finally:
            reading.cancel()

    def _lot(self, left: list[list[Item]]) -> list[Item]:
        """The next that are read at once, of one shelf; nothing at the end."""
        while left and not left[0]:
            left.pop(0)
        if not left:
            return []
        lot, left[0] = left[0][:self._size], left[0][self._size:]
        return lot

    async def _rows(self, items: Sequence[Item]) -> list[Row | None]:
        """Each one's entry, or nothing. Most jobs take a shelf as it lies, so what lies between the first and the last
        is read as a whole; what that did not reach is asked for by itself."""
        if not items:
            return []
        keys = GroupKeys(self._shelf.server.prefix, items[0].stream, self._shelf.group)
        link, dead, ids = self._shelf.link(keys), keys.dead, [item.entry_id.encode() for item in items]
        numbers = [number_of(one) for one in ids]
        first, last = ids[numbers.index(min(numbers))], ids[numbers.index(max(numbers))]
        rows = await link.call("XRANGE", dead, first, last, "COUNT", len(ids))
        found: dict[bytes, Row] = {row[0]: row for row in rows}
        if len(rows) == len(ids) and len(found.keys() & set(ids)) < len(ids):
            seen = number_of(rows[-1][0])
            beyond = [one for one, number in zip(ids, numbers, strict=True) if number > seen]
            replies = await link.pipeline([("XRANGE", dead, one, one) for one in beyond]) if beyond else []
            found |= {row[0]: row for reply in replies for row in raised(reply)}
        return [found.get(one) for one in ids]


def by_stream(items: Sequence[Item]) -> list[list[Item]]:
    """By physical stream, in their order."""
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.stream].append(item)
    return list(found.values())


def size_of(rows: Sequence[Row | None], before: int) -> int:
    """Letters that are read at once from now on, by what those that were read weigh."""
    weights = [sum(map(len, row[1])) for row in rows if row is not None]
    if not weights:
        return before
    return max(LEAST, min(MOST, LOT_BYTES * len(weights) // max(1, sum(weights))))


def raised(reply: Any) -> Any:
    """A reply of a pipeline; one that is an error is raised."""
    if isinstance(reply, ServerError):
        raise reply
    return reply


def number_of(entry: bytes) -> tuple[int, int]:
    """An entry id as its two numbers."""
    ms, _, seq = entry.partition(b"-")
    return int(ms), int(seq or 0)
