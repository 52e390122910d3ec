# SPDX-License-Identifier: Apache-2.0
"""How things stand on the server: streams, groups, locks, worker ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...deadletters.desk.rounds import Standing, standings
from ...errors import ServerUnreachable
from ...ids.scheme import Holding
from ...locks.inspect import Holder, holders
from ...streams.inspect import StreamState
from ..console import Console
from ..course import Course, Point

LOCKS_MAX = 1_000


class Rate(Point, frozen=True, kw_only=True):
    """Where one group is now."""

    stream: str
    group: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Streams with their groups and consumers. more: how many are not shown. rates: of each group, from the last two
    readings. open: letters in hand by group and state; None when the desk does not answer."""

    at_ms: int
    streams: list[StreamState]
    more: int
    rates: list[Rate]
    open: list[Standing] | None


class HoldView(msgspec.Struct, frozen=True, kw_only=True):
    """One hold of a lock: see ``locks.inspect.Holder``. who: host, pid, task."""

    name: str
    kind: str
    token: int
    units: int
    since_ms: int
    left_ms: int
    who: Mapping[str, Any]


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker id: see ``ids.scheme.Holding``."""

    worker: int
    owner: str
    window_end_ms: int
    live: bool


async def overview(console: Console) -> Overview:
    """The first streams by name. Raises ServerUnreachable when the server is away; without the desk it goes on."""
    reading, more = await console.watching.latest()
    return Overview(at_ms=reading.at_ms, streams=reading.streams, more=more, rates=_rates(console, reading.streams),
                    open=await _open(console))


async def courses(console: Console) -> list[Course]:
    """The last points of each group, oldest first, for charts; one every ``live_s`` while somebody looks."""
    await console.watching.latest()
    return console.watching.courses.all()


def _rates(console: Console, streams: Sequence[StreamState]) -> list[Rate]:
    found = [(stream.stream, group.group, console.watching.courses.last(stream.stream, group.group))
             for stream in streams for group in stream.groups]
    return [Rate(stream=stream, group=group, **msgspec.structs.asdict(point)) for stream, group, point in found
            if point is not None]


async def _open(console: Console) -> list[Standing] | None:
    try:
        return await standings(await console.desk())
    except ServerUnreachable:
        return None


async def locks(console: Console) -> list[HoldView]:
    """Who holds which lock, by name."""
    found: list[Holder] = []
    async for held in holders(await console.server()):
        found.append(held)
        if len(found) >= LOCKS_MAX:
            break
    return [HoldView(name=h.name, kind=h.kind, token=h.token, units=h.units, since_ms=h.since_ms, left_ms=h.left_ms,
                     who=h.who) for h in sorted(found, key=lambda h: (h.name, h.token))]


async def workers(console: Console) -> list[WorkerView]:
    """Worker ids that are or were held."""
    found = [] if console.holders is None else await console.holders()
    return [_worker(one) for one in found]


def _worker(one: Holding) -> WorkerView:
    return WorkerView(worker=one.worker, owner=one.owner, window_end_ms=one.window_end_ms, live=one.live)
