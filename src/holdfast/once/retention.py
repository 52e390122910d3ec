# SPDX-License-Identifier: Apache-2.0
"""How old a record of an effect may be before it goes: records in SQL, asked of the server that has the stream.

A row of the inbox may go when its message can no longer come. That is the server's to say: the group's low-water mark
on every partition, and whether anything lies replayed, parked for long or published for later, which is older than its
place says. Without a mark nothing goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .._base import events as ev
from .._redis.keys import GroupKeys, StreamKeys
from ..errors import HoldfastError

if TYPE_CHECKING:
    from .._redis.server import Server

#: What the clocks of workers and server may differ by, in ms: rows carry the workers' time.
SLACK_MS = 300_000
#: Rows deleted in one transaction.
PRUNED = 1000
#: Seconds between two looks of a running worker.
LOOK_S = 600.0


class Pruned(Protocol):
    """What can be pruned: ``SqlOnce``."""

    async def prune(self, before_ms: int, limit: int = PRUNED) -> int:
        """Deletes up to ``limit`` records older than ``before_ms``; returns how many."""
        ...


async def edge_ms(server: Server, groups: Sequence[GroupKeys], kept_ms: int) -> int | None:
    """Records applied before this may go; None: none may."""
    edges = []
    for keys in groups:
        link, beside = server.shared(keys.low), StreamKeys(keys.prefix, keys.stream)
        mark = await link.call("HGET", keys.low, "id")
        waits = [await link.call("XLEN", keys.replay), await link.call("XLEN", keys.parked),
                 await link.call("ZCARD", beside.later)]
        head = (mark or b"").partition(b"-")[0]
        if any(waits) or not head.isdigit():  # guard: what waits is older than its place says
            return None
        edges += [int(head), await link.time_ms() - kept_ms]
    return min(edges) - SLACK_MS if edges else None


async def prune_rows(server: Server, groups: Sequence[GroupKeys], records: Pruned, kept_ms: int) -> int:
    """Deletes the rows of a group that may go, a thousand a transaction; returns how many."""
    before, removed = await edge_ms(server, groups, kept_ms), 0
    while before is not None:
        count = await records.prune(before, PRUNED)
        removed += count
        if count < PRUNED:
            break
    return removed


@dataclass(frozen=True, slots=True)
class Rows:
    """The inbox rows of one consumer: what prunes them, the group on each partition, and how long they are kept."""

    records: Pruned
    groups: Sequence[GroupKeys]
    kept_ms: int


async def tidy(server: Server, consumers: Sequence[Rows], events: ev.Events) -> None:
    """Prunes by and by, until cancelled. What cannot be reached is left to the next look."""
    while consumers:
        await asyncio.sleep(LOOK_S)
        for rows in consumers:
            first = rows.groups[0]
            try:
                count = await prune_rows(server, rows.groups, rows.records, rows.kept_ms)
            except (HoldfastError, OSError) as error:
                ev.log.warning("pruning the inbox of %s for %s: %s", first.stream, first.group, error)
                continue
            if count:
                events.emit(ev.RecordsPruned(stream=first.stream, group=first.group, count=count, where="sql"))
