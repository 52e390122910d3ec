# SPDX-License-Identifier: Apache-2.0
"""What became of a job's letters: still on their way, handled, or dead again.

First the way is read (the replay stream, and what is parked), then what was buried since. A consumer buries and
acknowledges in one step, so what has left the way and is not among the dead was settled: handled, or acknowledged as a
duplicate, as expired, or by somebody's hand. The other way round a letter that dies in between would be taken for
handled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._base.letter_text import readable, utf8
from ..._redis.keys import GroupKeys
from ..desk import Desk
from ..desk.rounds import children
from .job import Item

if TYPE_CHECKING:
    from ..shelf import Shelf

PAGE = 500


class Watch:
    """The letters of one job that are on their way. ``sent``: those that an earlier run sent."""

    def __init__(self, shelf: Shelf, desk: Desk, sent: Iterable[Item], *, within_s: float) -> None:
        self._shelf, self._desk, self._within_ms = shelf, desk, int(within_s * 1000)
        self._out: dict[str, Item] = {}
        #: By physical stream: up to which entry its dead letters were read.
        self._read: dict[str, bytes] = {}
        self.add(sent)

    def __len__(self) -> int:
        return len(self._out)

    def add(self, sent: Iterable[Item]) -> None:
        """More letters went out."""
        for item in sent:
            self._out[item.letter_id] = item
            since = (item.entry or item.entry_id).encode()
            known = self._read.get(item.stream)
            if known is None or _number(since) < _number(known):
                self._read[item.stream] = since

    async def look(self) -> tuple[list[Item], int]:
        """Those that came to an end since the last look, and how many of them died in time to count."""
        if not self._out:
            return [], 0
        streams = sorted({item.stream for item in self._out.values()})
        way = {letter for stream in streams for letter in await self._way(stream)}
        dead: dict[str, int] = {}
        for stream in streams:  # guard: first the way, then the dead
            dead |= await self._dead(stream)
        arrived = [letter for letter in self._out if letter not in way and letter not in dead]
        for at in range(0, len(arrived), PAGE):  # died, and was moved again by the service before it was read here
            again = await children(self._desk, arrived[at:at + PAGE])
            dead |= {letter: case.dead_ms for letter, case in again.items()}
        ended = [self._ended(item, dead.get(letter)) for letter, item in self._out.items()
                 if letter in dead or letter not in way]
        failed = sum(item.state == "died" and self._in_time(item, dead[item.letter_id]) for item in ended)
        for item in ended:
            del self._out[item.letter_id]
        return ended, failed

    def _ended(self, item: Item, dead_ms: int | None) -> Item:
        if dead_ms is None:
            return msgspec.structs.replace(item, state="handled")
        return msgspec.structs.replace(item, state="died", why="it died again, as another letter")

    def _in_time(self, item: Item, dead_ms: int) -> bool:
        return not item.entry or dead_ms - _number(item.entry.encode())[0] <= self._within_ms

    async def _way(self, stream: str) -> set[str]:
        keys, found = self._keys(stream), set[str]()
        for key in (keys.replay, keys.parked):
            after = b"-"
            while rows := await self._shelf.link(keys).call("XRANGE", key, after, "+", "COUNT", PAGE):
                found.update(self._parent(fields) for _, fields in rows)
                after = b"(" + rows[-1][0]
        return found

    async def _dead(self, stream: str) -> dict[str, int]:
        """Letters of ours that died again, and when, among those buried since the last look."""
        keys, found = self._keys(stream), dict[str, int]()
        while rows := await self._shelf.link(keys).call("XRANGE", keys.dead, b"(" + self._read[stream], "+",
                                                        "COUNT", PAGE):
            for entry, fields in rows:
                parent = self._parent(fields)
                if parent in self._out:
                    found[parent] = _number(entry)[0]
            self._read[stream] = rows[-1][0]
        return found

    def _parent(self, fields: Sequence[bytes]) -> str:
        """The letter whose replay this is. Lineage is near the end of a replayed entry, so that is where it begins:
        there may be a hundred thousand."""
        name = utf8(self._shelf.prefix + "replayed-from")
        at = next((i for i in range(len(fields) - 2, -1, -2) if fields[i] == name), None)
        return "" if at is None else readable(fields[at + 1])

    def _keys(self, stream: str) -> GroupKeys:
        return GroupKeys(self._shelf.server.prefix, stream, self._shelf.group)


def _number(entry: bytes) -> tuple[int, int]:
    ms, _, seq = entry.partition(b"-")
    return int(ms), int(seq or 0)
