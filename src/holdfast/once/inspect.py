# SPDX-License-Identifier: Apache-2.0
"""What is known of a group's effects, as frozen records: the command line, tests and the console read the same ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

import msgspec

from .._redis.keys import GroupKeys, StreamKeys

if TYPE_CHECKING:
    from .._redis.server import Server

_PAGE = 500


class Doubt(msgspec.Struct, frozen=True):
    """An effect that did not end.

    kind: ``begun`` (an outside effect; ``consumer`` is at it), ``in doubt`` (its consumer is dead, or was cut off: did
    it happen?) or ``half done`` (``done`` of ``total`` writes are in, the next was refused with ``error``). age_s:
    since it was begun; of half-done ones it is not known.
    """

    stream: str
    group: str
    id: str
    kind: Literal["begun", "in doubt", "half done"]
    consumer: str = ""
    age_s: float = 0.0
    done: int = 0
    total: int = 0
    error: str = ""


class Applied(msgspec.Struct, frozen=True):
    """One effect by its identity. applied_ms: server ms; None: it is not known to be in. result: JSON of what its
    handler answered; empty: nothing."""

    stream: str
    group: str
    id: str
    applied_ms: int | None
    result: str


async def doubts(server: Server, keys: GroupKeys) -> AsyncIterator[Doubt]:
    """Every effect of a group on one physical stream that did not end."""
    link = server.shared(keys.begun)
    now = await link.time_ms()
    async for identity, mark in _pairs(server, keys.begun):
        who, _, since = mark.decode().partition(" ")
        open_to_all, doubted = who.startswith("-"), who.startswith("?")
        alive = not doubted and await link.call("ZSCORE", keys.leases, who) is not None
        yield Doubt(keys.stream, keys.group, identity, "begun" if alive or open_to_all else "in doubt",
                    "" if open_to_all else who.removeprefix("?"), age_s=max(0, now - int(since)) / 1000)
    async for identity, kept in _pairs(server, keys.half_done):
        done, total, error = kept.partition(b"\n")[0].decode("utf-8", "replace").split("|", 2)
        yield Doubt(keys.stream, keys.group, identity, "half done", done=int(done), total=int(total), error=error)


async def _pairs(server: Server, key: bytes) -> AsyncIterator[tuple[str, bytes]]:
    link, cursor = server.shared(key), b"0"
    while True:
        cursor, flat = await link.call("HSCAN", key, cursor, "COUNT", _PAGE)
        for i in range(0, len(flat), 2):
            yield flat[i].decode("utf-8", "replace"), flat[i + 1]
        if cursor == b"0":
            return


async def applied(server: Server, keys: GroupKeys, identity: str) -> Applied:
    """When an effect was applied, and what its handler answered."""
    link = server.shared(keys.done)
    at, result = await link.call("ZSCORE", keys.done, identity), await link.call("HGET", keys.results, identity)
    return Applied(keys.stream, keys.group, identity, None if at is None else int(float(at)), (result or b"").decode())


async def kept_apart(server: Server, keys: GroupKeys) -> bool:
    """Are these records of a group whose stream is at another broker (``Holdfast(records=…)``)?"""
    link = server.shared(keys.done)
    if await link.call("EXISTS", StreamKeys(keys.prefix, keys.stream).stream_key):
        return False
    return bool(await link.call("EXISTS", keys.done, keys.begun, keys.half_done, keys.leases))


async def memory_bytes(server: Server, keys: GroupKeys) -> int | None:
    """What the done-records of a group take on the server; None where it does not say."""
    found: int | None = await server.shared(keys.done).call("MEMORY", "USAGE", keys.done, "SAMPLES", 50)
    return found
