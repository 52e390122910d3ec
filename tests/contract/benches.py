# SPDX-License-Identifier: Apache-2.0
"""A broker on the bench: entries go in, sources are run against a tray, and one looks at what is left.

``Tray``      an inbox that is worked off by hand
``Bench``     what a broker has to offer to be tested: ``MemoryBench``, ``StreamBench``; others have files of their own
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._redis.heart import Heart
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._redis.open import open_server
from holdfast.consume.contract import Abilities, Delivery, Origin, Settled, Settlement, Source, Verb
from holdfast.consume.letters import Letters
from holdfast.consume.memory import MemoryBroker
from holdfast.errors import ServerUnreachable
from holdfast.streams.open import ABILITIES, open_sources
from holdfast.streams.scene import Scene
from holdfast.streams.settings import StreamSettings
from holdfast.testing import wait_until_async

#: Seconds for what happens by itself; a busy machine needs more than an idle one.
SOON_S = 10.0
#: ``stow_ms`` is so short that a park of ``LONG_MS`` is moved beside the stream.
SETTINGS = StreamSettings(lease_ms=1_000, sweep_ms=50, block_ms=50, stow_ms=200)
SHORT_MS, LONG_MS = 100, 300


class Tray:
    """An inbox that takes everything and does nothing until it is told to."""

    ordered = False

    def __init__(self, room: int = 1_000) -> None:
        self.most = room
        self.all: list[Delivery] = []
        self.revoked: list[str] = []
        self._held: dict[tuple[Origin, bytes], Delivery] = {}
        self._room = asyncio.Event()

    def enter(self) -> None:
        """One source reads here."""

    def leave(self) -> None:
        """It reads no more."""

    def room(self) -> int:
        return self.most - len(self._held)

    async def wait_room(self) -> None:
        self._room.clear()
        if self.room() <= 0:
            await self._room.wait()

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        for d in deliveries:
            self.all.append(d)
            self._held[d.origin, d.entry_id] = d

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        return (origin, entry_id) in self._held

    def held(self, origin: Origin) -> int:
        return sum(1 for o, _ in self._held if o is origin)

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]], dead_keys: Iterable[str]) -> None:
        raise AssertionError("an inbox without order is told nothing of it")

    def hand_back(self, origin: Origin) -> None:
        self.let_go(d for (o, _), d in list(self._held.items()) if o is origin)

    def revoke(self, origin: Origin, cause: str) -> int:
        self.revoked.append(cause)
        gone = self.held(origin)
        self._held = {key: d for key, d in self._held.items() if key[0] is not origin}
        return gone

    def let_go(self, deliveries: Iterable[Delivery]) -> None:
        """From here on the tray knows nothing of them."""
        for d in deliveries:
            self._held.pop((d.origin, d.entry_id), None)
        self._room.set()

    async def got(self, count: int) -> list[Delivery]:
        """Everything delivered so far, once it is so much."""
        await wait_until_async(lambda: len(self.all) >= count, SOON_S, f"{count} deliveries, not {self.all}")
        return list(self.all)

    async def settle(self, acks: Sequence[Delivery] = (), others: Sequence[Settlement] = ()) -> list[Settled]:
        """Settles, and answers for each what became of it, acknowledgements first."""
        everything = [*acks, *(s.delivery for s in others)]
        refused = {id(d): answer for d, answer in await self._asked(everything[0].origin, list(acks), list(others))}
        self.let_go(everything)
        return [refused.get(id(d), Settled.OK) for d in everything]


    @staticmethod
    async def _asked(origin: Origin, acks: list[Delivery], others: list[Settlement]
                     ) -> Sequence[tuple[Delivery, Settled]]:
        """As the settler asks: what is unknown is asked again with the same."""
        until = time.monotonic() + SOON_S
        while True:
            try:
                return await origin.settle(acks, others)
            except ServerUnreachable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)


@dataclass
class At:
    """A source at work."""

    source: Source
    tray: Tray
    task: asyncio.Task[None]

    async def close(self) -> int:
        """As a worker ends it; answers how much was handed back."""
        await self.source.stop_reading()
        back = await self.source.close(self.tray)
        await self.task
        return back


class Bench(Protocol):
    """A broker under test, with one stream on it."""

    abilities: Abilities

    async def add(self, *fields: bytes) -> bytes: ...
    def source(self, group: str) -> Source: ...
    async def pending(self, group: str) -> int: ...
    async def letters(self, group: str) -> list[list[bytes]]: ...
    async def ready(self, at: At) -> None:
        """Returns when the source would get what is added now."""
        ...

    async def looks(self, at: At) -> None:
        """Returns when the source has looked around several times more."""
        ...


class MemoryBench:
    """``consume.memory``."""

    abilities = MemoryBroker.abilities

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.broker = MemoryBroker(SystemClock())

    async def add(self, *fields: bytes) -> bytes:
        return self.broker.add(self.stream, fields)

    def source(self, group: str) -> Source:
        return self.broker.source(self.stream, group)

    async def ready(self, at: At) -> None:
        """From the beginning."""

    async def pending(self, group: str) -> int:
        return self.broker.pending(self.stream, group)

    async def letters(self, group: str) -> list[list[bytes]]:
        return self.broker.letters(self.stream, group)

    async def looks(self, at: At) -> None:
        for _ in range(5):  # each wakes the source, which then goes round once
            self.broker._group(at.source.stream, at.source.group).changed.set()  # type: ignore[attr-defined]
            await asyncio.sleep(0.002)


class StreamBench:
    """``streams``, on a real server."""

    abilities = ABILITIES

    def __init__(self, scene: Scene, stream: str) -> None:
        self.scene = scene
        self.stream = stream
        self.key = StreamKeys(scene.server.prefix, stream).stream_key
        self.call = scene.server.shared(self.key).call

    async def add(self, *fields: bytes) -> bytes:
        entry: bytes = await self.call("XADD", self.key, "*", *fields)
        return entry

    def source(self, group: str) -> Source:
        return open_sources(self.scene, self.stream, group, SETTINGS)[0]

    async def ready(self, at: At) -> None:
        """From the beginning."""

    async def pending(self, group: str) -> int:
        return int((await self.call("XPENDING", self.key, group))[0])

    async def letters(self, group: str) -> list[list[bytes]]:
        rows = await self.call("XRANGE", GroupKeys(self.scene.server.prefix, self.stream, group).dead, "-", "+")
        return [fields for _, fields in rows]

    async def looks(self, at: At) -> None:
        sweeper = at.source.sweeper  # type: ignore[attr-defined]
        seen = sweeper._round + 4  # the round that was under way does not count
        await wait_until_async(lambda: sweeper._round >= seen, SOON_S, "sweeps of the source")


@asynccontextmanager
async def memory_bench(stream: str) -> AsyncIterator[Bench]:
    yield MemoryBench(stream)


@asynccontextmanager
async def stream_bench(url: str, stream: str) -> AsyncIterator[Bench]:
    server = await open_server(url)
    clock, events = SystemClock(), Events()
    heart = Heart(server, clock, events)
    heart.start(0.05)
    try:
        yield StreamBench(Scene(server, heart, events, clock, system_chance(), Letters(clock)), stream)
    finally:
        await heart.stop()
        await server.close()


class Party:
    """Consumers of a test: started when asked for, ended with it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._there: list[At] = []

    async def join(self, group: str = "billing", *, room: int = 1_000) -> At:
        """A consumer of ``group``, reading."""
        source, tray = self.bench.source(group), Tray(room)
        at = At(source, tray, asyncio.create_task(source.run(tray)))
        self._there.append(at)
        await self.bench.ready(at)
        return at

    async def holding(self, count: int, group: str = "billing") -> tuple[At, list[Delivery]]:
        """A consumer that has so many messages in its hands."""
        at = await self.join(group)
        for n in range(count):
            await self.bench.add(b"body", b"%d" % n)
        return at, await at.tray.got(count)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for at in self._there:
            if not at.task.done():
                await at.close()


Open = Callable[[], Any]


def bury(delivery: Delivery, letter_id: str) -> Settlement:
    """A burial with a letter of two fields."""
    return Settlement(delivery, Verb.BURY, letter=(b"body", delivery.message.body), letter_id=letter_id)
