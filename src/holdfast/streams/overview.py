# SPDX-License-Identifier: Apache-2.0
"""Streams as their users see them: partitions put together, one line a stream, one line a group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..errors import ConfigurationError
from .inspect import GroupState, StreamState, physical_streams, stream_names, stream_state

if TYPE_CHECKING:
    from .._redis.server import Server

_PARTITION = re.compile(r"^(.+)\.\d+$")


class StreamLine(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. ``partitions``: 0 for one that has none; ``later``: messages published for later."""

    stream: str
    partitions: int
    length: int
    later: int
    groups: list[str]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How a group stands on one physical stream: see ``inspect.GroupState``."""

    stream: str
    pending: int
    lag: int
    retries_due: int
    parked: int
    dead: int
    replay: int
    oldest_pending_s: float
    consumers: int


class GroupLag(Counts, frozen=True, kw_only=True):
    """A group over all partitions. ``lag`` is -1 when one of them cannot say."""

    group: str
    partitions: list[Counts]


async def overview(server: Server, pattern: str = "*") -> list[StreamLine]:
    """Every stream whose name matches the glob ``pattern``."""
    found: dict[str, list[StreamState]] = {}
    for name in await stream_names(server, pattern):
        state = await stream_state(server, name)
        if state is not None:
            found.setdefault(logical(state), []).append(state)
    return [_line(name, states) for name, states in sorted(found.items())]


def logical(state: StreamState) -> str:
    """The name its users know: ``orders`` for the partition ``orders.3``."""
    match = _PARTITION.match(state.stream) if state.partitions else None
    return match[1] if match else state.stream


def _line(name: str, states: Sequence[StreamState]) -> StreamLine:
    return StreamLine(stream=name, partitions=max(s.partitions for s in states), length=sum(s.length for s in states),
                      later=sum(s.later for s in states), groups=sorted({g.group for s in states for g in s.groups}))


async def lags(server: Server, stream: str) -> list[GroupLag]:
    """How each group of ``stream`` stands, partitions put together. Raises ConfigurationError without such a stream."""
    states = await states_of(server, stream)
    found: dict[str, list[GroupState]] = {}
    for state in states:
        for group in state.groups:
            found.setdefault(group.group, []).append(group)
    return [_together(stream, name, groups) for name, groups in sorted(found.items())]


async def states_of(server: Server, stream: str) -> list[StreamState]:
    """The state of each partition that exists. Raises ConfigurationError when there is none, NotAStream."""
    states = [await stream_state(server, name) for name in await physical_streams(server, stream)]
    there = [state for state in states if state is not None]
    if not there:
        raise ConfigurationError(f"there is no stream {stream!r} on {server.url}: `holdfast streams ls` lists those "
                                 "there are")
    return there


def _together(stream: str, name: str, groups: Sequence[GroupState]) -> GroupLag:
    parts = [_counts(g) for g in groups]
    return GroupLag(stream=stream, group=name, partitions=parts, pending=sum(p.pending for p in parts),
                    lag=_sum_known(p.lag for p in parts), retries_due=sum(p.retries_due for p in parts),
                    parked=sum(p.parked for p in parts), dead=sum(p.dead for p in parts),
                    replay=sum(p.replay for p in parts), oldest_pending_s=max(p.oldest_pending_s for p in parts),
                    consumers=sum(p.consumers for p in parts))


def _counts(g: GroupState) -> Counts:
    return Counts(stream=g.stream, pending=g.pending, lag=g.lag, retries_due=g.retries_due, parked=g.parked,
                  dead=g.dead, replay=g.replay, oldest_pending_s=g.oldest_pending_s,
                  consumers=sum(1 for c in g.consumers if c.kind != "parked"))


def _sum_known(values: Iterable[int]) -> int:
    known = list(values)
    return -1 if -1 in known else sum(known)
