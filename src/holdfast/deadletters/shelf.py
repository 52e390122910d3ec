# SPDX-License-Identifier: Apache-2.0
"""Where a group's dead letters lie, over all partitions of its stream, and how they are read.

Each partition has a stream of letters and an index by letter id, in its own slot. Reading goes page by page and the
pages of partitions are merged by time, so a queue of any length takes a page a partition of memory. Letters that are
written or removed meanwhile may or may not be seen; a letter that stays is seen once.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from .._base.letter import DEFAULT_PREFIX
from .._redis.keys import GroupKeys
from ..errors import ConfigurationError, LetterNotFound
from ..streams.inspect import physical_streams, stream_state
from .letters import Choice, LetterGroup, LetterInfo, grouped, letter_info

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

PAGE = 200
_ENTRY_ID = re.compile(r"\d+-\d+")


class Shelf:
    """The dead letters of one group. ``prefix`` begins their metadata fields, as the consumer was told."""

    def __init__(self, server: Server, stream: str, group: str, *, prefix: str = DEFAULT_PREFIX) -> None:
        self.server = server
        self.stream = stream
        self.group = group
        self.prefix = prefix
        self._keys: list[GroupKeys] | None = None

    async def keys(self) -> list[GroupKeys]:
        """The keys of each partition."""
        if self._keys is None:
            names = await physical_streams(self.server, self.stream)
            self._keys = [GroupKeys(self.server.prefix, name, self.group) for name in names]
        return self._keys

    def link(self, keys: GroupKeys) -> Link:
        """The connection to this partition's slot."""
        return self.server.shared(keys.stream.encode())

    async def exists(self) -> bool:
        """Is there such a group, or has there been one that left letters?"""
        for keys in await self.keys():
            if await self.link(keys).call("EXISTS", keys.dead, keys.low, keys.replay):
                return True
            state = await stream_state(self.server, keys.stream)
            if state is not None and self.group in [g.group for g in state.groups]:
                return True
        return False

    async def count(self) -> int:
        """How many letters there are."""
        return sum([await self.link(keys).call("XLEN", keys.dead) for keys in await self.keys()])

    async def now_ms(self) -> int:
        """The server's clock, in ms since 1970."""
        return await self.link((await self.keys())[0]).time_ms()

    async def letters(self, choice: Choice | None = None, *, newest_first: bool = False, limit: int | None = None,
                      until_ms: int | None = None) -> AsyncIterator[LetterInfo]:
        """Letters by time of burial, oldest first unless told otherwise. ``until_ms``: none written after it."""
        wanted = choice or Choice()
        given = 0
        async for letter in self._merged(wanted.since_ms, until_ms, newest_first=newest_first):
            if limit is not None and given >= limit:
                return
            if wanted.takes(letter):
                given += 1
                yield letter

    async def get(self, letter_id: str) -> LetterInfo:
        """One letter, by its id or by its entry id. Raises LetterNotFound."""
        for keys in await self.keys():
            entry = await self.link(keys).call("HGET", keys.letters, letter_id)
            if entry is None and _ENTRY_ID.fullmatch(letter_id):
                entry = letter_id.encode()
            rows = await self.link(keys).call("XRANGE", keys.dead, entry, entry) if entry else []
            if rows:
                return self._info(keys, *rows[0])
        raise LetterNotFound(f"group {self.group!r} of {self.stream!r} has no letter {letter_id}: it was replayed, "
                             f"discarded or trimmed; `holdfast dlq ls {self.stream} --group {self.group}` lists what "
                             "there is")

    async def groups(self, choice: Choice | None = None) -> list[LetterGroup]:
        """Letters gathered by what they died of, the largest group first."""
        return grouped([letter async for letter in self.letters(choice)])

    def _info(self, keys: GroupKeys, entry_id: bytes, fields: Sequence[bytes]) -> LetterInfo:
        return letter_info(keys.stream, self.group, entry_id, fields, self.prefix)

    async def _merged(self, since_ms: int | None, until_ms: int | None, *, newest_first: bool
                      ) -> AsyncIterator[LetterInfo]:
        """All partitions as one, by entry id."""
        runs = [self._partition(keys, since_ms, until_ms, newest_first=newest_first) for keys in await self.keys()]
        heads = [(letter, run) for run in runs if (letter := await anext(run, None)) is not None]
        while heads:
            best = (max if newest_first else min)(range(len(heads)), key=lambda i: _time_of(heads[i][0]))
            letter, run = heads[best]
            yield letter
            following = await anext(run, None)
            if following is None:
                heads.pop(best)
            else:
                heads[best] = (following, run)

    async def _partition(self, keys: GroupKeys, since_ms: int | None, until_ms: int | None, *, newest_first: bool
                         ) -> AsyncIterator[LetterInfo]:
        low, high = "-" if since_ms is None else f"{since_ms}-0", "+" if until_ms is None else f"{until_ms}"
        while True:
            order = ("XREVRANGE", keys.dead, high, low) if newest_first else ("XRANGE", keys.dead, low, high)
            rows = await self.link(keys).call(*order, "COUNT", PAGE)
            for entry_id, fields in rows:
                yield self._info(keys, entry_id, fields)
            if len(rows) < PAGE:
                return
            edge = f"({rows[-1][0].decode()}"
            low, high = (low, edge) if newest_first else (edge, high)


def _time_of(letter: LetterInfo) -> tuple[int, int]:
    ms, _, seq = letter.entry_id.partition("-")
    return int(ms), int(seq)


async def open_shelf(server: Server, stream: str, group: str, *, prefix: str = DEFAULT_PREFIX) -> Shelf:
    """The letters of ``group``. Raises ConfigurationError when there is no such group."""
    shelf = Shelf(server, stream, group, prefix=prefix)
    if not await shelf.exists():
        raise ConfigurationError(f"there is no group {group!r} on stream {stream!r} at {server.url}, and no letters of "
                                 f"one: `holdfast streams ls` shows streams with their groups")
    return shelf
