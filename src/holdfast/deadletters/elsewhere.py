# SPDX-License-Identifier: Apache-2.0
"""Redirecting a letter's message to another server, of whatever kind: there first, then off its shelf. At least once.

On Redis the target keeps a mark of the letter for a day, so that doing it again writes nothing twice; at other brokers
the message has its own id, and the letter's beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .._base import events as ev
from .._base.chance import system_chance
from .._base.clock import SystemClock
from .._base.message import F_ID, F_IDENTITY
from .._redis.keys import StreamKeys
from .._redis.open import open_server
from ..brokers import World, broker_for, scheme_of
from .replay import ONCE, REDIRECT_WINDOW_MS, Elsewhere, place_of


@asynccontextmanager
async def elsewhere(url: str, own_prefix: str) -> AsyncIterator[Elsewhere]:
    """Writes to streams at ``url``: ``await write(stream, letter_id, fields)`` answers the entry's id there."""
    if scheme_of(url):
        async with _at_a_broker(url, own_prefix) as write:
            yield write
        return
    server = await open_server(url, prefix=own_prefix)

    async def to_redis(stream: str, letter_id: str, fields: Sequence[bytes]) -> bytes:
        there = StreamKeys(own_prefix, await place_of(server, stream, fields))
        entry: bytes = (await server.shared(there.stream_key).run(
            ONCE, (there.stream_key, there.sent(f"letter:{letter_id}")), (REDIRECT_WINDOW_MS, *fields)))[0]
        return entry

    try:
        yield to_redis
    finally:
        await server.close()


@asynccontextmanager
async def _at_a_broker(url: str, own_prefix: str) -> AsyncIterator[Elsewhere]:
    broker: Any = broker_for(url, World(prefix=own_prefix, events=ev.Events(), clock=SystemClock(),
                                        chance=system_chance()))
    await broker.open()

    async def to_broker(stream: str, _letter_id: str, fields: Sequence[bytes]) -> bytes:
        own = list(fields)
        if F_ID not in own[::2] and F_IDENTITY in own[::2]:  # the id it is known by there is that which it had here
            own[own[::2].index(F_IDENTITY) * 2] = F_ID
        [entry] = await broker.publish(stream, [own])
        return bytes(entry)

    try:
        yield to_broker
    finally:
        await broker.close()


__all__ = ["elsewhere"]
