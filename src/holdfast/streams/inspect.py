# SPDX-License-Identifier: Apache-2.0
"""How a stream and its groups stand, as frozen records. Tests, command line and console read the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._redis.keys import PARKED, GroupKeys, StreamKeys
from ..errors import NotAStream, ServerRefused
from .names import OURS
from .producer import physical

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server


class ConsumerState(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer of this process."""

    stream: str
    group: str
    consumer: str
    lease_left_s: float
    lost: bool
    reads: int
    epoch: int | None


class ConsumerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer as the server sees it. ``kind``: ours, parked, foreign. ``lease_left_s``: None without a lease."""

    name: str
    kind: str
    pending: int
    idle_s: float
    lease_left_s: float | None


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """One group of one physical stream.

    pending: delivered and not settled, parked ones included; lag: not yet delivered, -1 when the server cannot say;
    retries_due: parked entries whose time has come; parked: entries waiting for their time, near and far.
    settled: what consumers of ours ever settled, whatever became of it. buried: letters ever written; None before 7.0.
    """

    stream: str
    group: str
    pending: int
    lag: int
    retries_due: int
    parked: int
    dead: int
    replay: int
    settled: int
    buried: int | None
    oldest_pending_s: float
    last_delivered: str
    low_water: str
    consumers: list[ConsumerInfo]


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """One physical stream. added: entries ever, None before 7.0. later: messages published for later that are not in it
    yet."""

    stream: str
    length: int
    added: int | None
    first: str
    last: str
    later: int
    schema: int
    partitions: int
    groups: list[GroupState]


def _pairs(flat: Any) -> dict[str, Any]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}


async def stream_state(server: Server, stream: str) -> StreamState | None:
    """How ``stream`` stands; None when there is no such key. Raises NotAStream when the key is something else."""
    keys = StreamKeys(server.prefix, stream)
    link = server.shared(keys.stream_key)
    kind = await link.call("TYPE", keys.stream_key)
    if kind == b"none":
        return None
    if kind != b"stream":
        raise NotAStream(f"key {stream!r} is a {kind.decode()}, not a stream")
    info = _pairs(await link.call("XINFO", "STREAM", keys.stream_key))
    groups = [_pairs(g) for g in await link.call("XINFO", "GROUPS", keys.stream_key)]
    later = await link.call("ZCARD", keys.later)
    meta = await link.call("HMGET", keys.meta, "schema", "partitions")
    now = await link.time_ms()
    first, last = info.get("first-entry"), info.get("last-entry")
    return StreamState(
        stream=stream, length=info["length"], added=info.get("entries-added"), first=first[0].decode() if first else "",
        last=last[0].decode() if last else info["last-generated-id"].decode(), later=later,
        schema=int(meta[0] or 0), partitions=int(meta[1] or 0),
        groups=[await _group_state(link, keys.group(g["name"].decode()), g, info, now) for g in groups])


async def _group_state(link: Link, keys: GroupKeys, info: dict[str, Any], stream: dict[str, Any],
                       now: int) -> GroupState:
    key, group = keys.stream.encode(), keys.group.encode()
    replies = await link.pipeline([
        ("XINFO", "CONSUMERS", key, group), ("ZRANGE", keys.leases, 0, -1, "WITHSCORES"), ("ZCARD", keys.due),
        ("ZCOUNT", keys.due, "-inf", now), ("XLEN", keys.dead), ("XLEN", keys.replay), ("XLEN", keys.parked),
        ("HMGET", keys.low, "id", "settled", "settled-replays"), ("ZCOUNT", keys.parked_due, "-inf", now),
        ("ZCOUNT", keys.replay_due, "-inf", now), ("ZCARD", keys.replay_due), ("XINFO", "STREAM", keys.dead)])
    consumers, leases, parked, due, dead, replay, stowed, low, due_far, due_replay, parked_replay, shelf = (
        [] if isinstance(r, Exception) and i < 2 else r for i, r in enumerate(replies))
    till = {leases[i]: float(leases[i + 1]) for i in range(0, len(leases), 2)}
    listed = [_consumer(_pairs(c), till, now) for c in consumers]
    return GroupState(
        stream=keys.stream, group=keys.group, pending=info["pending"], lag=await _lag(link, key, info, stream),
        retries_due=due + due_far + due_replay, parked=parked + stowed + parked_replay, dead=dead, replay=replay,
        settled=int(low[1] or 0) + int(low[2] or 0), buried=_buried(shelf),
        oldest_pending_s=max((c.idle_s for c in listed if c.pending), default=0.0),
        last_delivered=info["last-delivered-id"].decode(), low_water=(low[0] or b"").decode(), consumers=listed)


def _buried(shelf: Any) -> int | None:
    """Letters ever written, by what the server says of their stream; an error where there is none yet."""
    if isinstance(shelf, Exception):
        return 0
    found = _pairs(shelf).get("entries-added")
    return found if isinstance(found, int) else None


def _consumer(info: dict[str, Any], till: dict[bytes, float], now: int) -> ConsumerInfo:
    name = info["name"]
    kind = "parked" if name == PARKED else "ours" if OURS.match(name.decode()) else "foreign"
    return ConsumerInfo(name=name.decode(), kind=kind, pending=info["pending"], idle_s=info["idle"] / 1000,
                        lease_left_s=round((till[name] - now) / 1000, 3) if name in till else None)


async def _lag(link: Link, key: bytes, info: dict[str, Any], stream: dict[str, Any]) -> int:
    """Entries not yet delivered to the group.

    Before 7.0, and after deletions, the server does not know: we count, up to 10,000.
    """
    known = info.get("lag")
    if isinstance(known, int):
        return known
    if info["last-delivered-id"] == stream["last-generated-id"]:
        return 0
    try:
        rows = await link.call("XRANGE", key, b"(" + info["last-delivered-id"], "+", "COUNT", 10_000)
    except ServerRefused:
        return -1
    return len(rows)


async def physical_streams(server: Server, stream: str) -> list[str]:
    """The streams that ``stream`` is made of: its partitions, or itself when it has none (or does not exist)."""
    count = await partitions_of(server, stream)
    return [physical(stream, i, count) for i in range(count)] or [stream]


async def partitions_of(server: Server, stream: str) -> int:
    """How many partitions ``stream`` has; 0 when it is not partitioned.

    Every partition knows the number, but a partition that nothing was published to may not be there yet: where
    partition 0 does not know, the key space is searched for one that does.
    """
    found = await _partitions_at(server, physical(stream, 0, 1))
    if found or await server.shared(stream.encode()).call("EXISTS", stream):
        return found
    for name in await stream_names(server, f"{_glob(stream)}.*"):
        if name.removeprefix(f"{stream}.").isdigit() and (found := await _partitions_at(server, name)):
            return found
    return 0


async def _partitions_at(server: Server, where: str) -> int:
    keys = StreamKeys(server.prefix, where)
    return int(await server.shared(keys.stream_key).call("HGET", keys.meta, "partitions") or 0)


async def stream_names(server: Server, pattern: str = "*") -> list[str]:
    """Names of all stream keys that match the glob ``pattern``, sorted; those beside streams, which are ours, left out.

    Walks the whole key space of every master with SCAN: a moment for a million keys, and no lock.
    """
    ours = f"{server.prefix}:{{".encode()
    found: set[str] = set()
    for link in (await server.masters()).values():
        async for names in link.scan(pattern, kind="stream"):
            found |= {name.decode("utf-8", "replace") for name in names if not name.startswith(ours)}
        await link.close()
    return sorted(found)


def _glob(text: str) -> str:
    """``text`` for a pattern that matches nothing else."""
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in text)
