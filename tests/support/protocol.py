# SPDX-License-Identifier: Apache-2.0
"""A consumer group on a real server, from two sides.

``Desk``      by hand: incarnations that join, read, settle and sweep exactly when the test says so
``Service``   by itself: what ``Holdfast.run`` runs, as a process of its own that can also end as a crash ends one
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

from holdfast import Holdfast
from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Event, Events
from holdfast._base.incarnation import new_incarnation
from holdfast._redis.heart import Heart
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._redis.link import Link
from holdfast._redis.open import open_server
from holdfast._redis.server import Server
from holdfast.consume.contract import Delivery, Note, Settlement, Verb
from holdfast.consume.gate import Gate
from holdfast.consume.letters import Letters
from holdfast.consume.worker import Worker
from holdfast.streams.lane import Lane, Swept
from holdfast.streams.settings import StreamSettings
from holdfast.streams.sharing import SharedSource
from holdfast.streams.source import _JOIN, SCHEMA, StreamSource
from holdfast.streams.sweeper import _LOW
from holdfast.testing import wait_until_async

E = TypeVar("E", bound=Event)

GROUP = "billing"
#: Long enough that two busy cores do not lose a lease by accident, short enough that nobody waits.
FAST = StreamSettings(lease_ms=600, sweep_ms=100, block_ms=100)
#: A lease that nobody loses unless the test takes it away.
LONG_MS = 60_000


class Told:
    """What was told on a bus of events."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.all.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.all if isinstance(event, kind)]


class Desk:
    """One group on one stream, worked by hand. Nothing happens unless it is asked for."""

    def __init__(self, server: Server, stream: str, group: str = GROUP) -> None:
        self.server = server
        self.stream = stream
        self.keys = GroupKeys(server.prefix, stream, group)
        self.beside = StreamKeys(server.prefix, stream)
        self.key = self.beside.stream_key
        self.group = group
        self.link: Link = server.shared(self.key)
        self.call = self.link.call

    async def join(self, *, name: str | None = None, lease_ms: int = LONG_MS, start: str = "0", schema: int = SCHEMA,
                   partitions: int = 0, keep: bool = False, replay: bool = False, stow_ms: int | None = None) -> Lane:
        """A lane of an incarnation that has just joined."""
        name = name or new_incarnation(system_chance())
        self.joined = await self.link.run(
            _JOIN, (self.key, self.keys.leases, self.keys.low, self.beside.meta, self.keys.replay, self.keys.door),
            (self.group, name, lease_ms, start, schema, partitions))
        return self.lane(name, keep=keep, replay=replay, stow_ms=stow_ms)

    def lane(self, name: str, *, keep: bool = False, replay: bool = False, stow_ms: int | None = None) -> Lane:
        """The lane of an incarnation, whether it lives or not."""
        lane = Lane(self.link, self.keys, replay=replay, delete=not keep, stow_ms=stow_ms)
        lane.become(name)
        return lane

    async def add(self, count: int = 1, **fields: str) -> list[bytes]:
        """Entries as a client that knows nothing of us writes them."""
        flat = [part for pair in (fields or {"body": "1"}).items() for part in pair]
        return [await self.call("XADD", self.key, "*", *flat) for _ in range(count)]

    async def read(self, lane: Lane, count: int = 1000) -> list[Delivery]:
        """What is new, delivered to this lane's incarnation."""
        reply = await self.call("XREADGROUP", "GROUP", self.group, lane.incarnation, "COUNT", count,
                                "STREAMS", lane.key, ">")
        return lane.fresh(reply[0][1], 0.0) if reply else []

    async def got(self, count: int = 1, **joining: Any) -> tuple[Lane, list[Delivery]]:
        """So many entries, delivered to an incarnation that has just joined."""
        lane = await self.join(**joining)
        await self.add(count)
        return lane, await self.read(lane)

    async def sweep(self, lane: Lane, **how: Any) -> Swept:
        """One look around, by default at a server whose clock has not jumped, ready to take everything."""
        given = {"lease_ms": LONG_MS, "wanted": 1000, "seen_ms": None, "elapsed_ms": 0, "slack_ms": 500,
                 "other_server": False, "foreign_idle_ms": 0, "closely": True, "now": 0.0, **how}
        return await lane.sweep(**given)

    async def expire(self, lane: Lane) -> None:
        """Its lease ran out a second ago, by the server's clock."""
        await self.call("ZADD", self.keys.leases, await self.now_ms() - 1000, lane.incarnation)

    async def lease_ms(self, lane: Lane) -> int | None:
        """What is left of its lease; None when it has none."""
        till = await self.call("ZSCORE", self.keys.leases, lane.incarnation)
        return None if till is None else int(float(till)) - await self.now_ms()

    async def now_ms(self) -> int:
        seconds, micros = await self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def pending(self, key: bytes | None = None) -> dict[bytes, tuple[str, int]]:
        """Entry id → (consumer, delivery count), as the server has it."""
        rows = await self.call("XPENDING", key or self.key, self.group, "-", "+", 100_000)
        return {row[0]: (row[1].decode(), row[3]) for row in rows}

    async def pending_is_empty(self) -> bool:
        return not await self.pending()

    async def is_through(self) -> bool:
        """Whatever was published is settled: acknowledged, which deletes it, or dead. For a group that is alone."""
        return not await self.in_stream() and await self.pending_is_empty()

    async def in_stream(self, key: bytes | None = None) -> list[bytes]:
        """Ids of the entries that are in the stream."""
        return [row[0] for row in await self.call("XRANGE", key or self.key, "-", "+")]

    async def letters(self) -> list[dict[str, str]]:
        """The dead letters, field by field."""
        rows = await self.call("XRANGE", self.keys.dead, "-", "+")
        return [{f[i].decode(): f[i + 1].decode("utf-8", "replace") for i in range(0, len(f), 2)} for _, f in rows]

    async def leftovers(self) -> list[bytes]:
        """Keys beside the stream that are still there, but for those every group has."""
        own = {self.keys.leases, self.keys.low, self.beside.meta, self.keys.replay}
        named = [self.keys.due, self.keys.notes, self.keys.marks, self.keys.parked, self.keys.parked_due,
                 self.keys.replay_due, self.keys.replay_notes, self.keys.replay_marks, self.keys.door]
        return [key for key in named if key not in own and await self.call("EXISTS", key)]


@asynccontextmanager
async def desk_at(url: str, stream: str, group: str = GROUP, **opening: Any) -> AsyncIterator[Desk]:
    """A desk at a server of its own connection."""
    server = await open_server(url, **opening)
    try:
        yield Desk(server, stream, group)
    finally:
        await server.close()


def bury(delivery: Delivery, letter_id: str | None = None) -> Settlement:
    """A burial with the smallest letter there is."""
    return Settlement(delivery, Verb.BURY, letter=(b"body", b"x"), letter_id=letter_id or secrets.token_hex(4))


def park(delivery: Delivery, due_in_ms: int = LONG_MS, note: Note | None = None) -> Settlement:
    return Settlement(delivery, Verb.PARK, due_in_ms=due_in_ms, note=note)


class Service:
    """One process's worth of consumers inside this one: ``start``, then ``stop`` or ``crash``."""

    def __init__(self, url: str, *, settings: StreamSettings = FAST, drain_s: float = 2.0, **how: Any) -> None:
        self.told = Told()
        self.hf = Holdfast(url, settings=settings, events=Events(self.told), **how)
        self.consumer = self.hf.consumer
        self.drain_s = drain_s
        self.started: Counter[Any] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        server = await self.hf.open()
        self.heart = Heart(server, SystemClock(), self.hf.events)
        self.heart.start(0.05)
        self.executor = ThreadPoolExecutor(16)
        self.gate = Gate()
        self.worker = Worker([self.hf._assembly(server, self.heart).running(d, self.gate, self.executor)
                              for d in self.hf._declared])
        self._task = asyncio.create_task(self.worker.run(drain_s=self.drain_s))
        await self.worker.started.wait()
        return self

    @property
    def source(self) -> StreamSource:
        """The source of the only consumer."""
        (source,) = self.sources
        return source

    @property
    def sources(self) -> list[Any]:
        return [source for running in self.worker._running for source in running.sources]

    async def joined(self) -> StreamSource:
        """The only source, once its incarnation has a lease and is alive."""
        source = self.source
        await wait_until_async(lambda: source.pulse is not None and not source._lost.is_set(), 5, "the consumer joined")
        return source

    async def running_to_its_end(self) -> None:
        """Until it ends by itself; raises what ended it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self, drain_s: float | None = None) -> None:
        """As SIGTERM ends a process."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self.worker.request_stop()
        try:
            if not (task.done() and task.exception()):  # told already by ``running_to_its_end``
                await task
        finally:
            await self._gone()

    async def crash(self) -> None:
        """As SIGKILL ends a process: not a word to the server, no hand-back, the lease runs out by itself."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self.worker._end = _without_a_word
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        tasks = [t for running in self.worker._running for t in running.tasks]
        for source in self.sources:
            if isinstance(source, SharedSource):
                tasks += [t for p in source._partitions for t in (p.task, p.moving) if t is not None]
        for running in self.worker._running:
            await running.consumer.stop()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._gone()

    async def _gone(self) -> None:
        for running in self.worker._running:  # what a dead process had open is closed for it
            if running.effect is not None:
                await running.effect.close()
        await self.heart.stop()
        self.executor.shutdown(wait=False)
        await self.hf.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def _without_a_word(_: float) -> None:
    return None


async def low_water(desk: Desk, *, trim: bool = False) -> None:
    """What a consumer does every few sweeps: the group's mark is written, and what no group needs is trimmed."""
    await desk.link.run(_LOW, (desk.key, desk.keys.low, desk.keys.door, desk.keys.dead, desk.keys.due),
                        (desk.group, "delete" if trim else "keep", 0))


async def eventually(condition: Callable[[], Any], what: str, deadline_s: float = 8.0) -> Any:
    """Waits for a condition that a busy machine reaches within some seconds."""
    return await wait_until_async(condition, deadline_s, what)


def letters_of(service: Service) -> Letters:
    """A writer of letters as the service has one."""
    return Letters(SystemClock(), site=service.hf._site)


def ids(deliveries: Sequence[Delivery]) -> list[bytes]:
    return [d.entry_id for d in deliveries]
