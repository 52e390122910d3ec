# SPDX-License-Identifier: Apache-2.0
"""Letters of Kafka at the service, on librdkafka's mock cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

from holdfast import Holdfast, Retry
from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.kafka.settings import Topics
from holdfast.deadletters.boxed import open_box
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.desk import Filter
from tests.support.letter_service import GROUP, serving, sqlite, until

QUICK = KafkaSettings(session_ms=3_000, revoke_s=1.0)
AGAIN = {"rules": [{"name": "again", "match": {"error_type": "ConnectionError"}, "category": "transient",
                    "retry": {"strategy": "immediate", "max": 3}}]}


class Shop:
    """A consumer that fails as often as a body says."""

    def __init__(self, cluster, stream):
        named = Topics(stream, GROUP, QUICK.levels_s)
        for topic in (*named.read, named.dead):
            cluster.create(topic, 2)
        self.hf = Holdfast(cluster.url, broker=QUICK)
        self.stream, self.cluster = stream, cluster
        self.origin = Origin(cluster.url, stream, GROUP)
        self.handled: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()

        @self.hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
        async def bill(order: dict) -> None:
            if self.failed[order["id"]] < order["fails"]:
                self.failed[order["id"]] += 1
                raise ConnectionError("not now")
            self.handled[order["id"]] += 1

    @asynccontextmanager
    async def open(self):
        async with self.hf:
            task = asyncio.create_task(self.hf.run(drain_s=5.0))
            try:
                yield self
            finally:
                self.hf.stop()
                await task

    async def left(self):
        """Letters that lie at the cluster still."""
        async with open_box(self.origin.url, self.stream, GROUP, own_prefix="hf") as box:
            return [letter.id async for letter in box.letters()]


async def in_state(desk, state, count):
    found = await desk.find(Filter(states=(state,)))
    return found if len(found) == count else None


def test_letters_of_kafka_are_sent_back_until_they_are_handled(kafka, backend, stream, tmp_path, arun):
    async def main():
        shop, url = Shop(kafka, stream), sqlite(tmp_path)
        how = {"also": [shop.origin], "land_s": 0.2, "watch_s": 2.0}
        async with (shop.open(), serving(backend, stream, url, AGAIN, name="one", **how) as (_, desk, _told),
                    serving(backend, stream, url, AGAIN, name="two", **how)):
            await shop.hf.publish_many(stream, [{"id": n, "fails": 1 + n % 2} for n in range(6)])
            await until(lambda: len(shop.handled) == 6, "all are handled", 40.0)
            found = await until(lambda: in_state(desk, "resolved", 9), "each death is one case", 40.0)
            assert shop.handled == Counter(range(6)), "none went back twice"
            assert {case.logical for case in found} == {shop.origin.name}
            assert sum(bool(case.parent) for case in found) == 3
            assert await shop.left() == []

    arun(main())
