# SPDX-License-Identifier: Apache-2.0
"""Every server command Holdfast sends, with the reason, and the smallest ACL line made of them.

A command that is used and not listed here fails for the user whom this line makes; ``tests/unit/redis/test_acl.py``
compares the list with what the source says to servers.
"""

from __future__ import annotations

from collections.abc import Sequence

from .keys import DEFAULT_PREFIX

#: Command, or command|subcommand → why it is needed.
NEEDED: dict[str, str] = {
    # the connection
    "ping": "links say it once when they connect",
    "select": "a database other than 0 in the URL",
    "evalsha": "every step that must be one step is a script",
    "eval": "gives a script's text to a server that does not know it",
    "time": "leases and due times are in the server's time",
    # streams
    "xadd": "publishing, dead letters, replay",
    "xreadgroup": "reading",
    "xack": "settling",
    "xpending": "ownership is checked before anything is settled",
    "xclaim": "take-over, parking, hand-back",
    "xrange": "payloads of taken-over and parked entries; inspection",
    "xrevrange": "the newest entry, for inspection",
    "xlen": "lag and limits",
    "xdel": "entries that nobody needs any more",
    "xtrim": "trimming behind the slowest group",
    "xgroup|create": "a group is made, or healed, where it is missing",
    "xgroup|delconsumer": "a dead consumer that holds nothing is removed",
    "xinfo|stream": "trimming and healing",
    "xinfo|groups": "trimming and healing",
    "xinfo|consumers": "finding the dead",
    # beside the stream
    "del": "leases, marks and notes that are done with; the first write at maxmemory",
    "exists": "whether the stream is there",
    "type": "a key that is no stream is refused with advice",
    "get": "the producer's window",
    "set": "the producer's window",
    "hdel": "notes and marks",
    "hexists": "notes and marks",
    "hget": "notes and marks",
    "hgetall": "owners of a pool of worker ids",
    "hmget": "notes and marks",
    "hincrby": "what was settled is counted, so that what others trimmed is found",
    "incr": "the epoch of a named lease",
    "hset": "notes and marks",
    "hsetnx": "the partition count beside a stream",
    "zadd": "leases and due times",
    "zcard": "inspection",
    "zcount": "what is due",
    "zrange": "leases and due times",
    "zrangebyscore": "what is due",
    "zrank": "a place in the queue of a lock",
    "zrem": "leases and due times",
    "zremrangebyscore": "processes that share partitions no more",
    "zscore": "leases and due times",
}

#: Command → what is lost without it. Everything else works.
USEFUL: dict[str, str] = {
    "wait": "publishing that is confirmed by replicas",
    "client|id": "a blocked read is woken rather than cut off",
    "client|setname": "links have names in CLIENT LIST",
    "client|unblock": "a blocked read is woken rather than cut off",
    "cluster|slots": "needed on a cluster: who serves which slot",
    "asking": "needed on a cluster: slots that are being moved",
    "info": "a failover is noticed by the server's run id; counters cannot do without; doctor",
    "config|get": "doctor tells persistence and limits",
    "command|info": "doctor tells abilities without trying",
    "scan": "`holdfast streams ls` without stream names",
    "zmscore": 'once="redis": what is in already',
    "hlen": 'once="redis" and "outside": what did not end',
    "hvals": 'once="redis" and "outside": how old the oldest doubt is',
    "hscan": "`holdfast once doubts`",
    "memory|usage": "`holdfast once ls`: what records take",
    "pexpire": "guarded keys, and locks that nobody gives back",
    "pttl": "guarded keys, and locks that nobody gives back",
    "hkeys": "the outbox's relay",
    "incrby": "the outbox's relay, after a server forgot numbers",
}

#: What only later servers have, so that a line with it would be refused by others: to be added by hand.
LATER: dict[str, str] = {"waitaof": "StreamSettings(confirm_aof=True): Redis 7.2, Valkey"}

#: Of the useful ones what a consumer whose effects are recorded beside its stream cannot do without.
FOR_RECORDS = ("zmscore", "hlen", "hvals")


def acl_line(
    streams: Sequence[str] = ("<your streams>",),
    *,
    prefix: str = DEFAULT_PREFIX,
    user: str = "holdfast",
    password: str = "<password>",  # noqa: S107 - a blank to fill in
    useful: bool = True,
) -> str:
    """The smallest ``ACL SETUSER`` that works for ``streams`` (names or patterns), as words to send or to print.

    With ``useful`` the rights that only some features need are included.
    """
    rights = [*NEEDED, *(USEFUL if useful else ())]
    keys = [f"~{prefix}:*", *(f"~{stream}" for stream in streams)]
    allowed = [f"+{right}" for right in rights]
    return " ".join(["ACL SETUSER", user, "on", f">{password}", "resetkeys", *keys, "-@all", *allowed])
