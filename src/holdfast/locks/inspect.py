# SPDX-License-Identifier: Apache-2.0
"""Who holds which lock, as frozen records: tests, the command line and the console read the same ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .._redis.keys import LockKeys, unescape
from .._redis.listen import publish_word
from .._redis.scripts import load_script

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

_FORCE = load_script("holdfast.locks", "force_unlock")


class Holder(msgspec.Struct, frozen=True):
    """One lock that is held. since_ms: server time of the grant; left_ms: until its lease ends, unless it is renewed.

    who: host, pid, task and what its owner calls itself. acquisition tells one hold from another of the same owner.
    """

    name: str
    token: int
    since_ms: int
    left_ms: int
    acquisition: str
    who: Mapping[str, Any]


async def holder(server: Server, name: str) -> Holder | None:
    """Who holds ``name``; None when it is free."""
    keys = LockKeys(server.prefix, name)
    return await _look(server.shared(keys.lock), keys)


async def _look(link: Link, keys: LockKeys) -> Holder | None:
    (acquisition, token, since, who), left_ms = await link.pipeline((
        ("HMGET", keys.lock, "acquisition", "token", "since", "who"), ("PTTL", keys.lock)))
    if acquisition is None:
        return None
    return Holder(keys.name, int(token), int(since), max(int(left_ms), 0), acquisition.decode(),
                  msgspec.json.decode(who))


async def holders(server: Server) -> AsyncIterator[Holder]:
    """Every lock that is held, in no order. Walks all keys of the server, in small steps: a big one takes a while."""
    masters = await server.masters()
    try:
        for link in masters.values():
            async for name in _names(link, server.prefix):
                if (found := await holder(server, name)) is not None:
                    yield found
    finally:
        for link in masters.values():
            await link.close()


async def _names(link: Link, prefix: str) -> AsyncIterator[str]:
    """Names are escaped in keys, so that ``::`` marks what lies beside a lock."""
    async for page in link.scan(f"{prefix}:{{*}}:lock:*", kind="hash"):
        for key in page:
            _, _, name = key.rpartition(b"}:lock:")
            if b"::" not in name:
                yield unescape(name.decode())


async def force_unlock(server: Server, name: str, token: int) -> int | None:
    """Takes the lock from the holder with this fencing token. None when done; else the token that holds it, 0: nobody.

    The holder learns of it at its next renewal, a third of a lease later at most, and may go on until then: that is
    what fences are for.
    """
    keys = LockKeys(server.prefix, name)
    args = (token, keys.channel, await publish_word(server))
    done, now = await server.shared(keys.lock).run(_FORCE, (keys.lock,), args)
    return None if done else int(now or 0)
