# SPDX-License-Identifier: Apache-2.0
"""A key space as a list of commands that make it again, for fixtures that every later version must read.

``DUMP`` would be shorter, and a server reads no payload of a newer one. Commands are read by all of them and by people.
An argument is text, or ``{"hex": "…"}`` where it is not UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Command = list[Any]


def commands_of(admin: Any) -> Iterator[Command]:
    """What makes everything that ``admin``'s server holds, key by key in order of their names."""
    for key in sorted(admin.keys("*")):
        kind = admin.type(key).decode()
        yield from ([_shown(part) for part in command] for command in _MAKERS[kind](admin, key))
        if (left_ms := admin.pttl(key)) > 0:
            yield ["PEXPIRE", _shown(key), left_ms]


def load(admin: Any, commands: Iterable[Command]) -> None:
    """Makes the key space on an empty server."""
    for command in commands:
        words = [bytes.fromhex(part["hex"]) if isinstance(part, dict) else part for part in command]
        # The driver takes XCLAIM's reply for entries unless it is told.
        admin.execute_command(*words, **({"parse_justid": True} if command[0] == "XCLAIM" else {}))


def _shown(part: Any) -> Any:
    if isinstance(part, bytes):
        try:
            return part.decode()
        except UnicodeDecodeError:
            return {"hex": part.hex()}
    return part


def _hash(admin: Any, key: bytes) -> Iterator[Command]:
    yield ["HSET", key, *[part for pair in sorted(admin.hgetall(key).items()) for part in pair]]


def _zset(admin: Any, key: bytes) -> Iterator[Command]:
    yield ["ZADD", key, *[part for name, score in admin.zrange(key, 0, -1, withscores=True)
                          for part in (f"{score:.0f}", name)]]


def _string(admin: Any, key: bytes) -> Iterator[Command]:
    yield ["SET", key, admin.get(key)]


def _stream(admin: Any, key: bytes) -> Iterator[Command]:
    for entry_id, fields in admin.execute_command("XRANGE", key, "-", "+"):
        yield ["XADD", key, entry_id, *[part for pair in fields.items() for part in pair]]
    groups = admin.xinfo_groups(key)
    for group in groups:
        yield ["XGROUP", "CREATE", key, group["name"], group["last-delivered-id"], "MKSTREAM"]
    yield ["XSETID", key, admin.xinfo_stream(key)["last-generated-id"]]
    for group in groups:
        for consumer in admin.xinfo_consumers(key, group["name"]):
            yield ["XGROUP", "CREATECONSUMER", key, group["name"], consumer["name"]]
        for row in admin.xpending_range(key, group["name"], "-", "+", 1000) if group["pending"] else ():
            yield ["XCLAIM", key, group["name"], row["consumer"], 0, row["message_id"],
                   "RETRYCOUNT", row["times_delivered"], "FORCE", "JUSTID"]


_MAKERS = {"hash": _hash, "zset": _zset, "string": _string, "stream": _stream}
