# SPDX-License-Identifier: Apache-2.0
"""What a handler under ``once="redis"`` does to its data: nothing yet. It is written down, and goes in with the
acknowledgement, in one step of the server::

    @hf.consumer("orders", group="points", once="redis")
    async def credit(order: OrderPaid, writes: Writes) -> None:
        writes.hincrby(f"points:{order.customer}", "balance", order.points)

A handler that decides by what it reads asks through ``writes.read``. The answer is compared again in the step that
writes; if it would be another one by then, nothing is written and the handler runs again: what WATCH does, without the
round trips. On a Cluster all keys of one message have to share a slot (``{…}`` in their names); the second slot is
refused at the line that asks for it.

Buffered commands name one key, their first argument. Those that block, that name several keys, or that answer
otherwise each time (``SPOP``, ``SRANDMEMBER``) are refused: their effect could not be repeated half-way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .._redis.effect import Read, Words, digest
from .._redis.slots import slot_of
from ..errors import ConfigurationError

Arg = str | bytes | int | float


def _names(table: str) -> frozenset[str]:
    return frozenset(table.split())


#: Commands that write to one key, their first argument, and do the same whenever they are carried out.
WRITES = _names("""
    APPEND DECR DECRBY DEL EXPIRE EXPIREAT GETDEL GETSET HDEL HINCRBY HINCRBYFLOAT HMSET HSET HSETNX INCR INCRBY
    INCRBYFLOAT LINSERT LPOP LPUSH LPUSHX LREM LSET LTRIM PERSIST PEXPIRE PEXPIREAT PFADD PSETEX RPOP RPUSH RPUSHX SADD
    SET SETBIT SETEX SETNX SETRANGE SREM UNLINK XADD XDEL XTRIM ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX
    ZREMRANGEBYRANK ZREMRANGEBYSCORE
""")
#: Commands that read one key, their first argument, and answer the same while it is unchanged.
READS = _names("""
    EXISTS GET GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HSTRLEN HVALS LINDEX LLEN LRANGE SCARD SISMEMBER SMEMBERS
    STRLEN TYPE XLEN ZCARD ZCOUNT ZRANGE ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANK ZSCORE
""")
#: Words of one command at most: a script cannot pass on many more.
WORDS_MAX = 7000

_ONE_KEY = frozenset({"DEL", "UNLINK", "EXISTS"})

#: Asks the server one command.
Ask = Callable[[Words], Awaitable[Any]]


def _word(arg: Arg) -> bytes:
    if type(arg) is str:
        return arg.encode()
    return arg if isinstance(arg, bytes) else b"%d" % arg if type(arg) is int else str(arg).encode()


def words_of(args: tuple[Arg, ...]) -> Words:
    """Arguments as bytes, numbers as the server reads them."""
    return tuple(map(_word, args))


class Writes:
    """The buffer of one attempt. Any command of ``WRITES`` by ``call``, the common ones by name."""

    __slots__ = ("_ask", "_clustered", "_slot", "reads", "writes")

    def __init__(self, ask: Ask, *, clustered: bool) -> None:
        self._ask = ask
        self._clustered = clustered
        self._slot: int | None = None
        #: Buffered commands, in order.
        self.writes: list[Words] = []
        #: Commands that were asked, each with a digest of its answer.
        self.reads: tuple[Read, ...] = ()

    @property
    def slot(self) -> int | None:
        """Cluster slot of what is touched; None while nothing is, and where there is no Cluster."""
        return self._slot

    def call(self, command: str, key: str | bytes, *args: Arg) -> None:
        """Buffers ``command key args…``. ConfigurationError when it cannot be buffered."""
        name = command.upper()
        if name not in WRITES or (name in _ONE_KEY and args):
            raise ConfigurationError(f"{name} cannot be buffered: writes take commands on one key that do the same "
                                     f"whenever they run, such as HINCRBY; read with `await writes.read(…)`")
        self._take((name.encode(), _word(key), *map(_word, args)))

    async def read(self, command: str, key: str | bytes, *args: Arg) -> Any:
        """The raw answer now. If it would be another one when the writes go in, none goes in and the handler runs
        again. Sees nothing of what is buffered."""
        name = command.upper()
        if name not in READS or (name in _ONE_KEY and args):
            raise ConfigurationError(f"{name} cannot be compared later: read one key, with a command such as HGET")
        words = words_of((name, key, *args))
        self._check(words)
        answer = await self._ask(words)
        self.reads = (*self.reads, (words, digest(answer)))
        return answer

    def provide(self, wanted: type) -> Any:
        """As ``EffectContext``: the buffer is what a handler is given."""
        if wanted is not Writes:
            raise KeyError(wanted)
        return self

    def _take(self, words: Words) -> None:
        if self._clustered or len(words) > 8:
            self._check(words)
        self.writes.append(words)

    def _check(self, words: Words) -> None:
        if len(words) > WORDS_MAX:
            raise ConfigurationError(f"{words[0].decode()} with {len(words)} words: split it, {WORDS_MAX} are the most")
        if self._clustered:
            slot = slot_of(words[1])
            if self._slot is not None and slot != self._slot:  # guard: one slot
                raise ConfigurationError(
                    f"key {words[1]!r} lies in another slot than what this message has touched before, and no step of "
                    f"a Cluster spans two: give the keys a common {{tag}}, or use once='sql'")
            self._slot = slot

    # -- the common ones ------------------------------------------------------------------------------------------

    def set(self, key: str | bytes, value: Arg, *, px: int | None = None) -> None:
        """``SET``; ``px``: expires after so many ms."""
        self.call("SET", key, value, *(() if px is None else ("PX", px)))

    def delete(self, key: str | bytes) -> None:
        """``DEL``."""
        self._take((b"DEL", _word(key)))

    def incrby(self, key: str | bytes, amount: int = 1) -> None:
        """``INCRBY``."""
        self._take((b"INCRBY", _word(key), _word(amount)))

    def hset(self, key: str | bytes, field: str | bytes, value: Arg) -> None:
        """``HSET`` of one field."""
        self._take((b"HSET", _word(key), _word(field), _word(value)))

    def hincrby(self, key: str | bytes, field: str | bytes, amount: int = 1) -> None:
        """``HINCRBY``."""
        self._take((b"HINCRBY", _word(key), _word(field), _word(amount)))

    def sadd(self, key: str | bytes, *members: Arg) -> None:
        """``SADD``."""
        self.call("SADD", key, *members)

    def zadd(self, key: str | bytes, member: Arg, score: float) -> None:
        """``ZADD`` of one member."""
        self.call("ZADD", key, score, member)

    def rpush(self, key: str | bytes, *values: Arg) -> None:
        """``RPUSH``."""
        self.call("RPUSH", key, *values)

    def xadd(self, key: str | bytes, fields: dict[str, Arg]) -> None:
        """An entry of somebody's stream, with an id of the server's."""
        self.call("XADD", key, "*", *[part for pair in fields.items() for part in pair])
