# SPDX-License-Identifier: Apache-2.0
"""Whose dead letters are taken in: named streams and groups, or all there are. They come and go; it is looked again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._redis.keys import GroupKeys, StreamKeys, unescape
from ...streams.inspect import physical_streams

if TYPE_CHECKING:
    from ..._redis.server import Server

_PARTITION = re.compile(r"^(.+)\.\d+$")


@dataclass(frozen=True, order=True)
class Whose:
    """The dead letters of one group on one physical stream. logical: the stream as its users name it."""

    logical: str
    stream: str
    group: str


@dataclass(frozen=True)
class Wanted:
    """Which ones. No streams: all of the server. No groups: all of these streams. also: streams and groups besides,
    whatever else is said: letters of other brokers; only_also: and no others."""

    streams: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    only_also: bool = False

    def takes(self, whose: Whose) -> bool:
        """Is this one of them?"""
        if (whose.logical, whose.group) in self.also or self.only_also:
            return (whose.logical, whose.group) in self.also
        return (not self.streams or whose.logical in self.streams) and (not self.groups or whose.group in self.groups)


async def there(server: Server, wanted: Wanted, desk_group: str) -> list[Whose]:
    """Those that there are now. A stream of dead letters is there from the first of them on."""
    walks = not wanted.only_also and not (wanted.streams and wanted.groups)
    found = {*await (_all(server) if walks else _named(server, wanted))}
    found |= {Whose(name, name, group) for name, group in wanted.also}  # their first letter is not waited for
    return sorted(whose for whose in found if wanted.takes(whose) and whose.group != desk_group)


async def _named(server: Server, wanted: Wanted) -> list[Whose]:
    found = []
    for logical in wanted.streams:
        for stream in await physical_streams(server, logical):
            found += [Whose(logical, stream, group) for group in wanted.groups
                      if await server.shared(stream.encode()).call(
                          "EXISTS", GroupKeys(server.prefix, stream, group).dead)]
    return found


async def _all(server: Server) -> list[Whose]:
    """By the names of keys: a walk through the key space of every master, in small steps."""
    names: set[bytes] = set()
    for link in (await server.masters()).values():
        async for page in link.scan(f"{server.prefix}:{{*:dead", kind="stream"):
            names.update(page)
        await link.close()
    found = [group_of(name.decode("utf-8", "replace"), server.prefix) for name in sorted(names)]
    return [Whose(await _logical(server, stream), stream, group) for stream, group in filter(None, found)]


def group_of(key: str, prefix: str) -> tuple[str, str] | None:
    """Stream and group of a key of dead letters; None when it is none of ours."""
    parts = key.split(":")
    if len(parts) < 4 or parts[-1] != "dead":
        return None
    stream, group = unescape(parts[-3]), unescape(parts[-2])
    return (stream, group) if GroupKeys(prefix, stream, group).dead.decode() == key else None


async def _logical(server: Server, stream: str) -> str:
    match = _PARTITION.match(stream)
    if match is None:
        return stream
    keys = StreamKeys(server.prefix, stream)
    partitions = int(await server.shared(keys.stream_key).call("HGET", keys.meta, "partitions") or 0)
    return match[1] if partitions else stream


def shown(found: Sequence[Whose]) -> str:
    """For people."""
    return ", ".join(sorted({f"{whose.logical}/{whose.group}" for whose in found})) or "nothing yet"
