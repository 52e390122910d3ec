# SPDX-License-Identifier: Apache-2.0
"""The schemes whose effects lie in Redis or outside, each as a user would write it: a consumer and a handler.

All of them count a message by its id, so that a second effect shows. None of the effects is idempotent by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..consume.backoff import Fixed
from ..consume.policy import RetryPolicy
from ..once.calls import IdempotencyKey
from ..once.modes import in_redis, locked
from ..once.writes import Writes
from .lines import Lines
from .multi_exec import MultiExec

if TYPE_CHECKING:
    from .._base.chance import Chance
    from .._redis.server import Server
    from ..app import Holdfast
    from .once_books import Books
    from .place import Place

GROUP = "lab"
#: The hurts are the lab's and no message's fault: nothing is buried for them, and what is busy is asked again soon.
POLICY = RetryPolicy(attempts=100, crash_limit=100, backoff=Fixed(0.2), busy_s=0.2)
#: Bytes of a message's JSON.
BODY_BYTES = 200

Where = Literal["redis", "sql", "outside"]


class Order(msgspec.Struct):
    """The message: 200 bytes of JSON."""

    id: str
    note: str = ""


def order(message_id: str) -> Order:
    """A message of the usual size."""
    made = Order(message_id)
    made.note = "x" * max(0, BODY_BYTES - len(msgspec.json.encode(made)))
    return made


@dataclass(kw_only=True)
class World:
    """What the handlers of one process share. work_s: how long a handler goes on after its effect, or with its effect
    in its hands: where a death hurts. limits: of every consumer."""

    hf: Holdfast
    server: Server
    place: Place
    chance: Chance
    books: Books | None = None
    work_s: float = 0.0
    limits: dict[str, Any] = field(default_factory=dict)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    _lines: dict[str, Lines] = field(default_factory=dict)

    def consumer(self, stream: str, **how: Any) -> Callable[[Any], Any]:
        """Declares a handler of this world."""
        return self.hf.consumer(stream, group=GROUP, retry=POLICY, **self.limits, **how)

    def lines(self, stream: str) -> Lines:
        """Connections for what handlers do by themselves beside a stream."""
        if stream not in self._lines:
            self._lines[stream] = Lines(self.server, stream.encode(), self.chance)
        return self._lines[stream]

    async def work(self) -> None:
        """The rest of a handler."""
        self.started.set()
        if self.work_s:
            await asyncio.sleep(self.work_s)

    async def close(self) -> None:
        """Closes what handlers have opened."""
        for lines in self._lines.values():
            await lines.close()


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One way to make an effect happen once.

    where: its effects lie. promises: scenarios in which an effect must not happen twice. one_step: its record goes in
    with the effect. needs: what a person has to bring along. declare: the consumer, on a stream of a world.
    """

    name: str
    title: str
    where: Where
    promises: frozenset[str]
    one_step: bool
    declare: Callable[[World, str], None]

    @property
    def spans_stores(self) -> bool:
        """Are effect and acknowledgement kept by two stores, of which one may be set back without the other?"""
        return self.where != "redis"

    @property
    def needs_sql(self) -> bool:
        """Does it take a database?"""
        return self.where == "sql"


BOTH = frozenset({"duplicate-storm", "kill"})


def _at_least_once(world: World, stream: str) -> None:
    effects, lines = world.place.beside(stream, "effects"), world.lines(stream)

    @world.consumer(stream)
    async def handle(order: Order) -> None:
        async with lines.lent() as line:
            await line.call("HINCRBY", effects, order.id, 1)
        await world.work()


def _redis(world: World, stream: str) -> None:
    effects = world.place.beside(stream, "effects")

    @world.consumer(stream, once=in_redis())
    async def handle(order: Order, writes: Writes) -> None:
        writes.hincrby(effects, order.id)
        await world.work()


def _multi_exec(world: World, stream: str) -> None:
    effects, lines = world.place.beside(stream, "effects"), world.lines(stream)

    @world.consumer(stream, once=MultiExec(lambda: lines, world.place.own, clustered=world.server.clustered))
    async def handle(order: Order, writes: Writes) -> None:
        writes.hincrby(effects, order.id)
        await world.work()


def _lock_done(world: World, stream: str) -> None:
    """The record is in the step of the effect; the lock keeps two from working at the same time."""
    effects = world.place.beside(stream, "effects")

    @world.consumer(stream, once=locked(inner=in_redis()))
    async def handle(order: Order, writes: Writes) -> None:
        writes.hincrby(effects, order.id)
        await world.work()


def _lock_done_later(world: World, stream: str) -> None:
    """The effect is made at once, and recorded with the acknowledgement: what a death in between repeats."""
    effects, lines = world.place.beside(stream, "effects"), world.lines(stream)

    @world.consumer(stream, once=locked())
    async def handle(order: Order) -> None:
        async with lines.lent() as line:
            await line.call("HINCRBY", effects, order.id, 1)
        await world.work()


def _outside(world: World, stream: str) -> None:
    """The callee honours the key: it does a thing once for each, and counts how often it was asked."""
    callee, asked = world.place.beside(stream, "callee"), world.place.beside(stream, "asked")
    lines = world.lines(stream)

    @world.consumer(stream, once="outside")
    async def handle(order: Order, key: IdempotencyKey) -> None:
        async with lines.lent() as line:
            await line.link.pipeline([("HSETNX", callee, key, order.id), ("HINCRBY", asked, order.id, 1)])
        await world.work()


REDIS_SCHEMES: tuple[Scheme, ...] = (
    Scheme(name="at-least-once", title="no once at all: the handler makes its effect, then the message is acknowledged",
           where="redis", promises=frozenset(), one_step=False, declare=_at_least_once),
    Scheme(name="redis", title='once="redis": effect, record and acknowledgement in one script', where="redis",
           promises=BOTH, one_step=True, declare=_redis),
    Scheme(name="multi-exec", title="WATCH, MULTI, EXEC by hand: the same in one transaction a message", where="redis",
           promises=BOTH, one_step=True, declare=_multi_exec),
    Scheme(name="lock+done", title="locked(inner=in_redis()): a lock around the handler, the record with the effect",
           where="redis", promises=BOTH, one_step=True, declare=_lock_done),
    Scheme(name="lock+done-later", title="locked(): a lock around the handler, the record after the effect",
           where="redis", promises=frozenset({"duplicate-storm"}), one_step=False, declare=_lock_done_later),
    Scheme(name="outside", title='once="outside": begun and done are recorded, the callee honours a key',
           where="outside", promises=BOTH, one_step=False, declare=_outside),
)


async def applied_in_redis(server: Server, place: Place, scheme: Scheme, stream: str, like: str) -> Counter[str]:
    """Message id → how often it took effect, of ids that begin with ``like``."""
    link = server.shared(stream.encode())
    if scheme.where == "outside":
        found = await link.call("HVALS", place.beside(stream, "callee"))
        return Counter(name for name in map(bytes.decode, found) if name.startswith(like))
    flat = await link.call("HGETALL", place.beside(stream, "effects"))
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return Counter({name.decode(): int(count) for name, count in pairs if name.startswith(like.encode())})


async def asked_of_callee(server: Server, place: Place, stream: str, like: str) -> int:
    """How often the callee was asked, about messages that begin with ``like``."""
    flat = await server.shared(stream.encode()).call("HGETALL", place.beside(stream, "asked"))
    return sum(int(count) for name, count in zip(flat[::2], flat[1::2], strict=True) if name.startswith(like.encode()))
