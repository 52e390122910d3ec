# SPDX-License-Identifier: Apache-2.0
"""A consumer at RabbitMQ or Kafka in a test's own loop, which fails as often as a body says; -1: always."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from holdfast import Holdfast, Retry
from holdfast._base import events as ev
from holdfast._kafka.mock import MockCluster
from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.kafka.settings import Topics
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.deadletters.boxed import open_box
from holdfast.deadletters.branch import Origin
from holdfast.testing import wait_until_async
from holdfast.testing.rabbitmq import RabbitServer
from tests.support.letter_service import GROUP

#: Sessions as short as the mock cluster allows.
QUICK = KafkaSettings(session_ms=3_000, revoke_s=1.0)


class Shop:
    """failed, handled: how often, by the body's id. buried: letters that the consumer has written."""

    def __init__(self, hf: Holdfast, url: str, stream: str) -> None:
        self.hf, self.stream = hf, stream
        self.origin = Origin(url, stream, GROUP)
        self.failed: Counter[int] = Counter()
        self.handled: Counter[int] = Counter()
        self.buried: list[str] = []
        self._joined = False
        hf.events.subscribe(self._told)

        @hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
        async def bill(order: dict[str, Any]) -> None:
            if order["fails"] == -1 or self.failed[order["id"]] < order["fails"]:
                self.failed[order["id"]] += 1
                raise ConnectionError("not now")
            self.handled[order["id"]] += 1

    def _told(self, event: ev.Event) -> None:
        if isinstance(event, ev.Buried):
            self.buried.append(event.letter_id)
        self._joined = self._joined or event.name == "consumer_started"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        async with self.hf:
            task = asyncio.create_task(self.hf.run(drain_s=5.0))
            try:
                await wait_until_async(lambda: self._joined or task.done(), 20.0, "the consumer has joined")
                yield self
            finally:
                self.hf.stop()
                await task

    async def publish(self, *orders: dict[str, Any]) -> None:
        await self.hf.publish_many(self.stream, list(orders))

    async def left(self) -> list[str]:
        """Message ids of letters that lie at the broker."""
        async with open_box(self.origin.url, self.stream, GROUP, own_prefix="hf") as box:
            return [letter.message_id async for letter in box.letters()]


def rabbit_shop(server: RabbitServer, stream: str) -> Shop:
    """At RabbitMQ."""
    return Shop(Holdfast(server.url, broker=RabbitSettings(look_s=0.2)), server.url, stream)


def kafka_shop(cluster: MockCluster, stream: str) -> Shop:
    """At librdkafka's mock cluster."""
    named = Topics(stream, GROUP, QUICK.levels_s)
    for topic in (*named.read, named.dead):
        cluster.create(topic, 2)
    return Shop(Holdfast(cluster.url, broker=QUICK), cluster.url, stream)
