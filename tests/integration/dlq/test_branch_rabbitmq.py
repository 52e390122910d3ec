# SPDX-License-Identifier: Apache-2.0
"""Letters of RabbitMQ at the service: taken in, judged, sent back to the group that they died in."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

from holdfast import Retry
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.desk import Filter
from tests.support.letter_service import GROUP, serving, sqlite, until
from tests.support.rabbit import lying, running, service

AGAIN = {"rules": [{"name": "again", "match": {"error_type": "ConnectionError"}, "category": "transient",
                    "retry": {"strategy": "immediate", "max": 3}}]}


class Shop:
    """A consumer at RabbitMQ that fails as often as a body says; -1: always."""

    def __init__(self, url, stream):
        self.it, self.stream = service(url), stream
        self.ids: list[str] = []
        self.handled: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self.origin = Origin(url, stream, GROUP)

        @self.it.hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
        async def bill(order: dict, message: object = None) -> None:
            if order["fails"] == -1 or self.failed[order["id"]] < order["fails"]:
                self.failed[order["id"]] += 1
                raise ConnectionError("not now")
            self.handled[order["id"]] += 1

    @asynccontextmanager
    async def open(self):
        async with running(self.it):
            yield self

    async def publish(self, *orders):
        await self.it.hf.publish_many(self.stream, list(orders))


async def in_state(desk, state, count):
    found = await desk.find(Filter(states=(state,)))
    return found if len(found) == count else None


def test_a_letter_of_rabbitmq_is_sent_back_until_it_is_handled(rabbitmq, backend, stream, tmp_path, arun):
    async def main():
        shop = Shop(rabbitmq.url, stream)
        async with shop.open(), serving(backend, stream, sqlite(tmp_path), AGAIN, also=[shop.origin], land_s=0.1,
                                        watch_s=2.0) as (_, desk, _told):
            await shop.publish({"id": 1, "fails": 2})
            await until(lambda: shop.handled[1] == 1, "it is handled after two deaths")
            await until(lambda: in_state(desk, "resolved", 2), "both deaths are resolved")
            first, second = sorted(await desk.find(Filter()), key=lambda case: case.dead_ms)
            assert second.parent == first.letter_id
            assert (await desk.steps(first.letter_id))[-1].result == "failed", "it died again"
            assert (await desk.steps(second.letter_id))[-1].result == "ok"
            assert {case.logical for case in (first, second)} == {shop.origin.name}
            assert "guest" not in shop.origin.name
            assert first.message_id == second.message_id
        assert await lying(rabbitmq.url, f"{stream}/{GROUP}/dead") == []
        keys = GroupKeys("hf", shop.origin.name, GROUP)
        assert backend.admin.xlen(keys.dead) == backend.admin.xlen(keys.replay) == 0

    arun(main())
