# SPDX-License-Identifier: Apache-2.0
"""Letters of Kafka at the service, on librdkafka's mock cluster."""

from __future__ import annotations

from collections import Counter

from holdfast.deadletters.desk import Filter
from tests.support.letter_service import serving, sqlite, until
from tests.support.shops import kafka_shop

AGAIN = {"rules": [{"name": "again", "match": {"error_type": "ConnectionError"}, "category": "transient",
                    "retry": {"strategy": "immediate", "max": 3}}]}


async def in_state(desk, state, count):
    found = await desk.find(Filter(states=(state,)))
    return found if len(found) == count else None


def test_letters_of_kafka_are_sent_back_until_they_are_handled(kafka, backend, stream, tmp_path, arun):
    async def main():
        shop, url = kafka_shop(kafka, stream), sqlite(tmp_path)
        how = {"also": [shop.origin], "land_s": 0.2, "watch_s": 2.0}
        async with (shop.open(), serving(backend, stream, url, AGAIN, name="one", **how) as (_, desk, _told),
                    serving(backend, stream, url, AGAIN, name="two", **how)):
            await shop.publish(*({"id": n, "fails": 1 + n % 2} for n in range(6)))
            await until(lambda: len(shop.handled) == 6, "all are handled", 40.0)
            found = await until(lambda: in_state(desk, "resolved", 9), "each death is one case", 40.0)
            assert shop.handled == Counter(range(6)), "none went back twice"
            assert {case.logical for case in found} == {shop.origin.name}
            assert sum(bool(case.parent) for case in found) == 3
            assert await shop.left() == []

    arun(main())
