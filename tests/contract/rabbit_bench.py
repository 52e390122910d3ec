# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ on the bench of ``test_broker``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast._amqp.link import Link, closed
from holdfast._amqp.parcel import Queue
from holdfast._base.chance import new_id, system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._base.letter import DEFAULT_PREFIX
from holdfast.brokers import World
from holdfast.brokers.rabbitmq import RabbitSettings, open_broker
from holdfast.brokers.rabbitmq.broker import RabbitBroker
from holdfast.brokers.rabbitmq.delay import LEVELS, chain
from holdfast.brokers.rabbitmq.source import RabbitSource
from holdfast.consume.contract import Source, Wanted
from holdfast.consume.letters import Letters
from holdfast.testing import wait_until_async
from tests.contract.benches import SOON_S, At

CHANCE = system_chance()


def world() -> World:
    return World(prefix="hf", events=Events(), clock=SystemClock(), chance=CHANCE)


class RabbitBench:
    """``brokers.rabbitmq``, on a real server."""

    def __init__(self, broker: RabbitBroker, stream: str) -> None:
        self.broker, self.stream = broker, stream
        self.abilities = broker.abilities
        self.there: list[RabbitSource] = []

    async def begin(self) -> None:
        """Nothing waits that another test has left: what waits, waits in queues that all groups share."""
        channel = await (await self.broker.consuming()).channel(confirms=False)
        await (await self.broker.consuming()).declare(chain("hf"))
        for level in range(LEVELS):
            await channel.queue_purge(f"hf/later/{level}")
        await closed(channel)

    async def add(self, *fields: bytes) -> bytes:
        """As the façade publishes: with an id."""
        own = () if b"id" in fields[::2] else (b"id", new_id(CHANCE).encode())
        [entry] = await self.broker.publish(self.stream, [[*own, *fields]])
        return entry

    def source(self, group: str) -> Source:
        [source] = self.broker.sources(Wanted(
            stream=self.stream, group=group, at_once=100, stale_s=1.0, letter_prefix=DEFAULT_PREFIX,
            of_missing=Letters(SystemClock()).of_missing))
        assert isinstance(source, RabbitSource)
        self.there.append(source)
        return source

    async def ready(self, at: At) -> None:
        """A group has what is published once it is there."""
        await wait_until_async(lambda: at.task.done() or not at.source.inspect().lost, SOON_S, "the source has joined")
        if at.task.done():
            at.task.result()

    async def pending(self, group: str) -> int:
        """What lies ready, what waits, and what sources hold."""
        names = self.broker.names(self.stream, group)
        link = await self.broker.consuming()
        ready = await link.declare([Queue(name=name, passive=True) for name in (
            names.main, names.alone, names.replay, *(f"hf/later/{level}" for level in range(LEVELS)))])
        return sum(ready) + sum(len(lane.open) for s in self.there if s.group == group for lane in s.lanes)

    async def letters(self, group: str) -> list[list[bytes]]:
        async with self.broker.letters(self.stream, group).held() as found:
            return [kept.fields for kept in found]

    async def looks(self, at: At) -> None:
        """What was on its way has come, and was handed out if there was room."""
        source = at.source
        assert isinstance(source, RabbitSource)
        link: Link = await self.broker.consuming()
        for _ in range(3):
            await link.declare([Queue(name=source.main.queue, passive=True)])
            source._wake()
            if at.tray.room() > 0:
                seen = source.rounds
                await wait_until_async(lambda seen=seen: source.rounds > seen, SOON_S, "a round of the source")

    async def close(self) -> None:
        """Deletes what the test has made: each quorum queue costs the server."""
        channel = await (await self.broker.consuming()).channel(confirms=False)
        for group in {s.group for s in self.there}:
            names = self.broker.names(self.stream, group)
            for name in (names.main, names.alone, names.replay, names.dead):
                await channel.queue_delete(name)
        await channel.exchange_delete(self.stream)
        await closed(channel)
        await self.broker.close()


@asynccontextmanager
async def rabbit_bench(url: str, stream: str) -> AsyncIterator[RabbitBench]:
    broker = open_broker(url, world(), RabbitSettings(look_s=0.2))
    await broker.open()
    bench = RabbitBench(broker, stream)
    await bench.begin()
    try:
        yield bench
    finally:
        await bench.close()
