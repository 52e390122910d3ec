# SPDX-License-Identifier: Apache-2.0
"""How the demo's stream stands, read from the server's own lists and from nothing the workers say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..streams.inspect import GroupState, StreamState, stream_state
from ..streams.producer import physical

if TYPE_CHECKING:
    from .._redis.server import Server

#: Pending entries of one worker looked at, at most: more than it ever reads ahead.
_PAGE = 10_000


@dataclass(frozen=True)
class Sight:
    """The stream at one moment, partitions put together.

    unread: not yet handed to anybody. pending: handed out and not settled. held: pending by (partition, consumer).
    owned: partitions by the pid of the worker that has the lease. certain: every partition was there and could say.
    """

    unread: int
    pending: int
    dead: int
    held: Mapping[tuple[str, str], int]
    owned: Mapping[int, int]
    certain: bool

    @property
    def settled(self) -> bool:
        """Has everything been read and settled?"""
        return self.certain and not self.unread and not self.pending

    def held_by(self, pid: int) -> int:
        """Entries that incarnations of a process hold."""
        return sum(count for (_, consumer), count in self.held.items() if pid_of(consumer) == pid)


def pid_of(consumer: str) -> int:
    """The pid in a consumer's name, ``host-pid-random``; 0 in names that are not ours."""
    parts = consumer.rsplit("-", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else 0


class Watch:
    """Looks at one group of one partitioned stream."""

    def __init__(self, server: Server, stream: str, group: str, partitions: int) -> None:
        self._server = server
        self._group = group
        self.names = [physical(stream, n, partitions) for n in range(partitions)]

    async def look(self) -> Sight:
        """The stream now: one look at each partition, all at once."""
        states = await asyncio.gather(*(stream_state(self._server, name) for name in self.names))
        groups = [group for state in states if state is not None for group in self._mine(state)]
        held = {(g.stream, c.name): c.pending for g in groups for c in g.consumers if c.pending}
        return Sight(
            unread=sum(max(g.lag, 0) for g in groups), pending=sum(g.pending for g in groups),
            dead=sum(g.dead for g in groups), held=held, owned=_owned(groups),
            certain=len(groups) == len(self.names) and all(g.lag >= 0 for g in groups))

    def _mine(self, state: StreamState) -> list[GroupState]:
        return [g for g in state.groups if g.group == self._group]

    async def entries_of(self, pid: int) -> list[tuple[str, str]]:
        """What a process holds: (partition, entry id). Quick, for a process that is kept waiting meanwhile."""
        found = await asyncio.gather(*(self._entries_in(name, pid) for name in self.names))
        return [(name, entry) for name, entries in zip(self.names, found, strict=True) for entry in entries]

    async def _entries_in(self, name: str, pid: int) -> list[str]:
        link = self._server.shared(name.encode())
        entries: list[str] = []
        for info in await link.call("XINFO", "CONSUMERS", name, self._group):
            about = dict(zip(info[::2], info[1::2], strict=True))
            consumer = about[b"name"].decode()
            if about[b"pending"] and pid_of(consumer) == pid:
                rows = await link.call("XPENDING", name, self._group, "-", "+", _PAGE, consumer)
                entries += [row[0].decode() for row in rows]
        return entries


def _owned(groups: list[GroupState]) -> dict[int, int]:
    owned: dict[int, int] = {}
    for group in groups:
        for consumer in group.consumers:
            if (pid := pid_of(consumer.name)) and (consumer.lease_left_s or -1.0) > 0:
                owned[pid] = owned.get(pid, 0) + 1
    return owned
