# SPDX-License-Identifier: Apache-2.0
"""Letters of RabbitMQ at the service: taken in, judged, sent back to the group that they died in."""

from __future__ import annotations

from collections import Counter

import aio_pika

from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.branch import broker_of
from holdfast.deadletters.desk import Actor, Filter
from holdfast.deadletters.jobs import Plan, Runner, make
from tests.support.letter_service import GROUP, serving, sqlite, until
from tests.support.rabbit import lying, stranger
from tests.support.shops import rabbit_shop

AGAIN = {"rules": [{"name": "again", "match": {"error_type": "ConnectionError"}, "category": "transient",
                    "retry": {"strategy": "immediate", "max": 3}}]}
#: By the stream's own name, and the broker's: a rule knows a letter of RabbitMQ as it knows any.
def ask(origin):
    return {"rules": [{"name": "ask", "category": "unknown", "action": "manual", "match": {
        "stream": origin.stream, "broker": broker_of(origin.name), "error_type": "ConnectionError"}}]}


async def in_state(desk, state, count):
    found = await desk.find(Filter(states=(state,)))
    return found if len(found) == count else None


async def ended(desk, case):
    """How it was resolved. That it was carried may be noted after that."""
    return [step.result for step in await desk.steps(case.letter_id) if step.what == "resolved"]


def test_a_letter_of_rabbitmq_is_sent_back_until_it_is_handled(rabbitmq, backend, stream, tmp_path, arun):
    async def main():
        shop = rabbit_shop(rabbitmq, stream)
        async with shop.open(), serving(backend, stream, sqlite(tmp_path), AGAIN, also=[shop.origin], land_s=0.1,
                                        watch_s=2.0) as (_, desk, _told):
            await shop.publish({"id": 1, "fails": 2})
            await until(lambda: shop.handled[1] == 1, "it is handled after two deaths")
            await until(lambda: in_state(desk, "resolved", 2), "both deaths are resolved")
            first, second = sorted(await desk.find(Filter()), key=lambda case: case.dead_ms)
            assert second.parent == first.letter_id
            assert await ended(desk, first) == ["failed"], "it died again"
            assert await ended(desk, second) == ["ok"]
            assert {case.logical for case in (first, second)} == {shop.origin.name}
            assert "guest" not in shop.origin.name
            assert first.message_id == second.message_id
        assert await lying(rabbitmq.url, f"{stream}/{GROUP}/dead") == []
        keys = GroupKeys("hf", shop.origin.name, GROUP)
        assert backend.admin.xlen(keys.dead) == backend.admin.xlen(keys.replay) == 0

    arun(main())


def test_a_person_sends_letters_of_rabbitmq_back_by_a_job_with_a_canary(rabbitmq, backend, stream, tmp_path, arun):
    async def main():
        shop = rabbit_shop(rabbitmq, stream)
        async with shop.open(), serving(backend, stream, sqlite(tmp_path), ask(shop.origin), also=[shop.origin],
                                        land_s=0.1, watch_s=0.5) as (_, desk, _told):
            await shop.publish(*({"id": n, "fails": 1} for n in range(6)))
            await until(lambda: in_state(desk, "manual", 6), "they wait for a person")
            shelf = Shelf(await open_server(backend.url), shop.origin.name, GROUP)
            letters = shelf.letters()
            job = await make(desk, shelf, letters, Plan(canary=True, stop_at=0.0), Actor("ann", person=True),
                             asked="all")
            ended = await Runner(desk, shelf, Actor("ann", person=True)).run(job.id)
            await shelf.server.close()
            assert {case.rule for case in await desk.find(Filter())} == {"ask"}
            assert (ended.state, ended.counts.handled, ended.counts.died) == ("done", 6, 0)
            assert shop.handled == Counter(range(6))
            await until(lambda: in_state(desk, "resolved", 6), "all are resolved")

    arun(main())


def test_two_instances_take_each_letter_in_once_and_carry_it_back_once(rabbitmq, backend, stream, tmp_path, arun):
    async def main():
        shop, url = rabbit_shop(rabbitmq, stream), sqlite(tmp_path)
        how = {"also": [shop.origin], "land_s": 0.1, "watch_s": 1.0}
        async with (shop.open(), serving(backend, stream, url, AGAIN, name="one", **how) as (_, desk, _told),
                    serving(backend, stream, url, AGAIN, name="two", **how)):
            await shop.publish(*({"id": n, "fails": 1} for n in range(40)))
            await until(lambda: sum(shop.handled.values()) >= 40, "all are handled")
            await until(lambda: in_state(desk, "resolved", 40), "each is one case")
            assert shop.handled == Counter(range(40))
            assert len(await desk.find(Filter(), limit=1_000)) == 40

    arun(main())


def test_what_a_stranger_has_dead_lettered_is_two_letters_where_it_may_be_two(rabbitmq, backend, stream, tmp_path,
                                                                              arun):
    async def main():
        shop = rabbit_shop(rabbitmq, stream)
        async with shop.open(), stranger(rabbitmq.url) as channel:
            for message_id in ("m-1", "m-1", None, None):  # the same twice, and two of which nobody knows
                await channel.default_exchange.publish(
                    aio_pika.Message(b"x", message_id=message_id), routing_key=f"{stream}/{GROUP}/dead")
            async with serving(backend, stream, sqlite(tmp_path), also=[shop.origin], land_s=0.1) as (_, desk, _told):
                await until(lambda: in_state(desk, "manual", 3), "they wait for a person")
                await until(lambda: _empty(rabbitmq.url, f"{stream}/{GROUP}/dead"), "all were taken over")
                assert [case.message_id for case in await desk.find(Filter())].count("m-1") == 1

    arun(main())


async def _empty(url, queue):
    return not await lying(url, queue)
