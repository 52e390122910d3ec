# SPDX-License-Identifier: Apache-2.0
"""Kafka on the bench of ``test_broker``: librdkafka's mock cluster, which is not a Kafka broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast._base.chance import new_id, system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._base.letter import DEFAULT_PREFIX
from holdfast._kafka.mock import MockCluster
from holdfast.brokers import World
from holdfast.brokers.kafka import KafkaBroker, KafkaSettings, open_broker
from holdfast.brokers.kafka.settings import Topics
from holdfast.brokers.kafka.source import KafkaSource
from holdfast.consume.contract import Source, Wanted
from holdfast.consume.letters import Letters
from holdfast.testing import wait_until_async
from tests.contract.benches import SOON_S, At

CHANCE = system_chance()
#: Sessions as short as a busy machine allows: the mock cluster waits for them at each rebalance.
SETTINGS = KafkaSettings(session_ms=3_000, revoke_s=0.5)
#: All of a test's topics have one, so that what is published comes in order.
PARTITIONS = 1


def world() -> World:
    return World(prefix="hf", events=Events(), clock=SystemClock(), chance=CHANCE)


class KafkaBench:
    """``brokers.kafka``, on a mock cluster."""

    dealt = True

    def __init__(self, broker: KafkaBroker, cluster: MockCluster, stream: str, partitions: int) -> None:
        self.broker, self.cluster, self.stream, self.partitions = broker, cluster, stream, partitions
        self.abilities = broker.abilities
        self.there: list[KafkaSource] = []
        cluster.create(stream, partitions)

    def topics(self, group: str) -> Topics:
        return Topics(self.stream, group, SETTINGS.levels_s)

    async def add(self, *fields: bytes) -> bytes:
        own = () if b"id" in fields[::2] else (b"id", new_id(CHANCE).encode())
        [entry] = await self.broker.publish(self.stream, [[*own, *fields]])
        return entry

    def source(self, group: str) -> Source:
        topics = self.topics(group)
        for topic in (*topics.read[1:], topics.dead):
            self.cluster.create(topic, self.partitions)
        [source] = self.broker.sources(Wanted(
            stream=self.stream, group=group, at_once=100, stale_s=1.0, letter_prefix=DEFAULT_PREFIX,
            of_missing=Letters(SystemClock()).of_missing))
        assert isinstance(source, KafkaSource)
        self.there.append(source)
        return source

    async def ready(self, at: At) -> None:
        """Partitions are dealt: who joins later would have what is unfinished dealt anew, and read twice."""
        await joined(at)

    async def pending(self, group: str) -> int:
        """What of all that was read is not done, by what is committed; of topics that nobody reads yet, nothing."""
        return sum(lag.behind for lag in await self.broker.lag(self.stream, group))

    async def letters(self, group: str) -> list[list[bytes]]:
        async with self.broker.letters(self.stream, group).held() as found:
            return [kept.fields for kept in found]

    async def looks(self, at: At) -> None:
        """Several times more: what was on its way has come, and was handed out if there was room."""
        for _ in range(5):
            at.source._wake.set()  # type: ignore[attr-defined]
            await asyncio.sleep(0.1)


@asynccontextmanager
async def kafka_bench(cluster: MockCluster, stream: str, partitions: int = PARTITIONS) -> AsyncIterator[KafkaBench]:
    broker = open_broker(cluster.url, world(), SETTINGS)
    await broker.open()
    try:
        yield KafkaBench(broker, cluster, stream, partitions)
    finally:
        await broker.close()


async def joined(at: At) -> None:
    """Returns when the source has partitions."""
    await wait_until_async(lambda: at.task.done() or at.source.inspect().partitions, SOON_S, "partitions of the source")
