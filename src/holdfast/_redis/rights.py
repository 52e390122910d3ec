# SPDX-License-Identifier: Apache-2.0
"""Which of the commands in ``acl`` the server's user may not run, found out by sending each in a void form.

Servers check rights before they look at arguments' meaning and after they have counted them. So each trial has enough
arguments and is void: the key does not exist, the number is no number, the write is conditional. HSETNX has no void
form and is not tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotAuthorized
from .acl import FOR_RECORDS, NEEDED, USEFUL
from .errand import Command
from .link import Link


def trials(scratch: bytes) -> dict[str, Command]:
    """Command of ``acl`` → a void use of it. ``scratch`` is a key that does not exist."""
    key, group, nobody = scratch, "g", "c"
    return {
        "ping": ("PING",),
        "select": ("SELECT", "none"),
        "evalsha": ("EVALSHA", "0" * 40, 0),
        "eval": ("EVAL", "return 1", 0),
        "time": ("TIME",),
        "xadd": ("XADD", key, "NOMKSTREAM", "*", "f", "v"),
        "xreadgroup": ("XREADGROUP", "GROUP", group, nobody, "STREAMS", key, ">"),
        "xack": ("XACK", key, group, "0-1"),
        "xpending": ("XPENDING", key, group),
        "xclaim": ("XCLAIM", key, group, nobody, 0, "0-1"),
        "xrange": ("XRANGE", key, "-", "+", "COUNT", 1),
        "xrevrange": ("XREVRANGE", key, "+", "-", "COUNT", 1),
        "xlen": ("XLEN", key),
        "xdel": ("XDEL", key, "0-1"),
        "xtrim": ("XTRIM", key, "MAXLEN", 0),
        "xgroup|create": ("XGROUP", "CREATE", key, group, "0"),
        "xgroup|delconsumer": ("XGROUP", "DELCONSUMER", key, group, nobody),
        "xinfo|stream": ("XINFO", "STREAM", key),
        "xinfo|groups": ("XINFO", "GROUPS", key),
        "xinfo|consumers": ("XINFO", "CONSUMERS", key, group),
        "del": ("DEL", key),
        "exists": ("EXISTS", key),
        "type": ("TYPE", key),
        "get": ("GET", key),
        "set": ("SET", key, "v", "XX"),
        "hdel": ("HDEL", key, "f"),
        "hexists": ("HEXISTS", key, "f"),
        "hget": ("HGET", key, "f"),
        "hgetall": ("HGETALL", key),
        "hmget": ("HMGET", key, "f"),
        "hset": ("HSET", key, "f", "v", "odd"),
        "incr": ("INCR", key, "odd"),
        "hincrby": ("HINCRBY", key, "f", "odd"),
        "zadd": ("ZADD", key, "XX", 1, "m"),
        "zcard": ("ZCARD", key),
        "zcount": ("ZCOUNT", key, 0, 0),
        "zrange": ("ZRANGE", key, 0, 0),
        "zrank": ("ZRANK", key, "m"),
        "zrangebyscore": ("ZRANGEBYSCORE", key, 0, 0),
        "zrem": ("ZREM", key, "m"),
        "zremrangebyscore": ("ZREMRANGEBYSCORE", key, 0, 0),
        "zscore": ("ZSCORE", key, "m"),
        "wait": ("WAIT", 0, 0),
        "client|id": ("CLIENT", "ID"),
        "client|setname": ("CLIENT", "SETNAME", "hf-doctor"),
        "client|unblock": ("CLIENT", "UNBLOCK", 0),
        "cluster|slots": ("CLUSTER", "SLOTS"),
        "info": ("INFO", "server"),
        "config|get": ("CONFIG", "GET", "appendonly"),
        "command|info": ("COMMAND", "INFO", "get"),
        "scan": ("SCAN", 0, "COUNT", 1),
        "zmscore": ("ZMSCORE", key, "m"),
        "hlen": ("HLEN", key),
        "hvals": ("HVALS", key),
        "hscan": ("HSCAN", key, 0, "COUNT", 1),
        "hkeys": ("HKEYS", key),
        "memory|usage": ("MEMORY", "USAGE", key),
        "pexpire": ("PEXPIRE", key, 1),
        "pttl": ("PTTL", key),
        "incrby": ("INCRBY", key, "odd"),
        "asking": ("ASKING",),
    }


#: What a consumer of a stream does without: a database other than 0, the producer's window, inspection, named leases.
_NOT_FOR_CONSUMERS = frozenset({"select", "get", "set", "type", "xrevrange", "incr"})


async def require_rights(link: Link, scratch: bytes, stream: str) -> None:
    """Raises NotAuthorized with every command that a consumer of ``stream`` needs and the user may not run.

    Found out beforehand, because a consumer that can read and cannot settle would handle the same messages for ever.
    """
    names = [name for name in trials(scratch) if name in NEEDED and name not in _NOT_FOR_CONSUMERS]
    await _require(link, scratch, names, f"a consumer of {stream!r}", stream)
    (answer,) = await link.pipeline([("XLEN", stream)])
    if isinstance(answer, NotAuthorized):
        raise NotAuthorized(f"the server's user has no access to the key {stream!r}; `holdfast doctor {stream}` prints "
                            f"the smallest ACL line that works")


async def require_rights_for_records(link: Link, scratch: bytes) -> None:
    """The same of what only effects that are recorded beside their stream need."""
    await _require(link, scratch, FOR_RECORDS, 'once="redis" and "outside"', "STREAM")


async def _require(link: Link, scratch: bytes, names: Sequence[str], who: str, stream: str) -> None:
    tried = trials(scratch)
    answers = await link.pipeline([tried[name] for name in names])
    refused = [name.upper().replace("|", " ") for name, answer in zip(names, answers, strict=True)
               if isinstance(answer, NotAuthorized)]
    if refused:
        raise NotAuthorized(f"the server's user may not run {', '.join(refused)}, which {who} needs; "
                            f"`holdfast doctor {stream}` prints the smallest ACL line that works")


async def missing_rights(link: Link, scratch: bytes, streams: Sequence[str]) -> dict[str, str]:
    """What is refused → why it is wanted. ``streams`` are keys the user should reach, besides our own.

    On a cluster only streams of this node can be tried; the others' are left to their nodes.
    """
    voids = trials(scratch)
    reasons = NEEDED | USEFUL
    answers = await link.pipeline([*voids.values(), *(("XLEN", stream) for stream in streams)])
    refused = [isinstance(answer, NotAuthorized) for answer in answers]
    commands = {name: reasons[name] for name, no in zip(voids, refused, strict=False) if no}
    keys = {f"~{name}": "the stream itself" for name, no in zip(streams, refused[len(voids):], strict=True) if no}
    return commands | keys
