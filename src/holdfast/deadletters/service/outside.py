# SPDX-License-Identifier: Apache-2.0
"""What Redis says: is a letter on its shelf, is a replayed message on its way, is everything read that died.

The desk says what was meant; this says what was done. Whoever finds a deed without its doer asks here first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..._base.letter_lineage import split
from ..._base.letter_text import utf8
from ..._redis.keys import GroupKeys
from ..desk import Case
from ..discard import remove
from ..letters import LetterInfo, letter_info
from ..shelf import Shelf
from .cases import id_of

if TYPE_CHECKING:
    from ..._redis.link import Link
    from ..._redis.server import Server

PAGE = 500


class OneShelf(Shelf):
    """The shelf of one physical stream: which partitions there are is known already."""

    def __init__(self, server: Server, stream: str, group: str, *, prefix: str) -> None:
        super().__init__(server, stream, group, prefix=prefix)
        self._keys = [GroupKeys(server.prefix, stream, group)]


class Shelved(msgspec.Struct, frozen=True, kw_only=True):
    """How a group's dead letters stand: how many, since when (server ms; None: none), how many are handed out to the
    service and not taken in, and the server's time."""

    length: int
    oldest_ms: int | None
    pending: int
    now_ms: int


class Outside:
    """The Redis side of one service. desk_group: its consumer group."""

    def __init__(self, server: Server, desk_group: str, prefix: str) -> None:
        self.server, self.desk_group, self.prefix = server, desk_group, prefix

    def keys(self, stream: str, group: str) -> GroupKeys:
        """Keys of a group on a physical stream."""
        return GroupKeys(self.server.prefix, stream, group)

    def link(self, stream: str) -> Link:
        """The connection to its slot."""
        return self.server.shared(stream.encode())

    def shelf(self, case: Case) -> OneShelf:
        """Where the letter of a case lies."""
        return OneShelf(self.server, case.stream, case.group, prefix=self.prefix)

    async def letter(self, case: Case) -> LetterInfo | None:
        """The letter as it lies there; None when it was moved, or trimmed."""
        keys = self.keys(case.stream, case.group)
        rows = await self.link(case.stream).call("XRANGE", keys.dead, case.entry_id, case.entry_id)
        return letter_info(case.stream, case.group, rows[0][0], rows[0][1], self.prefix) if rows else None

    async def remove(self, case: Case, letter: LetterInfo) -> bool:
        """Takes it off its shelf, by one script; False when it was gone."""
        return await remove(self.shelf(case), self.keys(case.stream, case.group), letter)

    async def on_their_way(self, stream: str, group: str) -> set[str]:
        """Ids of letters whose messages were sent back and are not settled yet: on the replay stream, or parked.

        What is parked is asked for twice: an entry that moves from there onto the replay stream is seen the first time,
        one that moves the other way the second time.
        """
        keys, found = self.keys(stream, group), set[str]()
        for key in (keys.parked, keys.replay, keys.parked):  # guard: on its way while it changes places
            after: bytes = b"-"
            while rows := await self.link(stream).call("XRANGE", key, after, "+", "COUNT", PAGE):
                found |= {id_of(split(fields, self.prefix)[0].get("replayed-from", "")) for _, fields in rows}
                after = b"(" + rows[-1][0]
        return found

    async def all_taken_in(self, stream: str, group: str) -> bool:
        """Has the service taken in every letter that is on this shelf now? Then what died is known at the desk."""
        keys = self.keys(stream, group)
        last, groups = await self.link(stream).pipeline(
            [("XREVRANGE", keys.dead, "+", "-", "COUNT", 1), ("XINFO", "GROUPS", keys.dead)])
        if isinstance(last, Exception) or isinstance(groups, Exception):  # no such stream: nothing has died here
            return True
        mine = next((g for g in map(_pairs, groups) if g["name"] == utf8(self.desk_group)), None)
        if mine is None or mine["pending"]:
            return not last and mine is None
        return not last or _number(last[0][0]) <= _number(mine["last-delivered-id"])

    async def applied(self, case: Case) -> bool:
        """Is there a done-record of its message beside the stream? Not knowing is False."""
        keys = self.keys(case.stream, case.group)
        return await self.link(case.stream).call("ZSCORE", keys.done, utf8(case.message_id)) is not None

    async def shelved(self, stream: str, group: str) -> Shelved:
        """Gauges of one physical stream."""
        keys, link = self.keys(stream, group), self.link(stream)
        length, first, groups = await link.pipeline(
            [("XLEN", keys.dead), ("XRANGE", keys.dead, "-", "+", "COUNT", 1), ("XINFO", "GROUPS", keys.dead)])
        pending = 0 if isinstance(groups, Exception) else sum(
            g["pending"] for g in map(_pairs, groups) if g["name"] == utf8(self.desk_group))
        return Shelved(length=length, oldest_ms=_number(first[0][0])[0] if first else None, pending=pending,
                       now_ms=await link.time_ms())


def _pairs(flat: Any) -> dict[str, Any]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}


def _number(entry_id: bytes) -> tuple[int, int]:
    ms, _, seq = entry_id.decode().partition("-")
    return int(ms), int(seq or 0)
