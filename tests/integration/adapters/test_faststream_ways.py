# SPDX-License-Identifier: Apache-2.0
"""What else FastStream's subscribers are: their words and policies, batches, filters, middlewares, what is not held."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from faststream import AckPolicy, BaseMiddleware, Depends
from faststream.exceptions import NackMessage, RejectMessage, SkipMessage
from faststream.redis import RedisMessage, RedisRouter, RedisStreamMessage, StreamSub, TestRedisBroker
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast import Fixed, Holdfast, Retry, StreamSettings
from holdfast.adapters.faststream import HoldfastBroker, given, how
from holdfast.consume.contract import Delivery
from holdfast.errors import ConfigurationError
from holdfast.once import Writes
from holdfast.testing.waiting import wait_until_async
from tests.integration.adapters.seen import BILLS, reasons, replayed, settled, shop

pytestmark = pytest.mark.kinds("valkey")
QUICK = StreamSettings(lease_ms=2000, sweep_ms=200)


def sub(stream, **how):
    return StreamSub(stream, group="g", consumer="any", last_id="0", **how)


def held(backend, **settings):
    return HoldfastBroker(Holdfast(backend.url, settings=QUICK), graceful_timeout=2,
                          settings={"retry": Retry(attempts=2, backoff=Fixed(0.02)), **settings})


@asynccontextmanager
async def running(broker):
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def test_handlers_say_in_their_own_words_what_becomes_of_a_message(backend, stream, arun):
    broker, calls = held(backend), []

    @broker.subscriber(stream=sub(stream))
    async def handle(body: dict, message: RedisMessage) -> None:
        calls.append(body["say"])
        match body["say"]:
            case "reject":
                raise RejectMessage
            case "skip":
                raise SkipMessage
            case "nack once" if calls.count("nack once") == 1:
                raise NackMessage
            case "by hand":
                await message.reject()

    async def live():
        async with running(broker):
            for word in ("ack", "reject", "skip", "nack once", "by hand"):
                await broker.publish({"say": word}, stream=stream)
            await settled(backend, stream, lambda: len(calls) == 6)

    arun(live())
    assert sorted(calls) == ["ack", "by hand", "nack once", "nack once", "reject", "skip"]
    assert reasons(backend, stream) == ["rejected", "rejected"]


def test_who_acknowledges_by_hand_and_does_not_has_not_done_it(backend, stream, arun):
    broker, calls = held(backend), []

    @broker.subscriber(stream=sub(stream), ack_policy=AckPolicy.MANUAL)
    async def handle(body: dict, message: RedisStreamMessage) -> None:
        calls.append(body["n"])
        if calls.count(body["n"]) == 2 or body["n"] == 1:
            await message.ack()

    async def live():
        async with running(broker):
            for n in range(2):
                await broker.publish({"n": n}, stream=stream)
            await settled(backend, stream, lambda: len(calls) >= 3)

    arun(live())
    assert sorted(calls) == [0, 0, 1]
    assert reasons(backend, stream) == []


def test_a_handler_may_ask_for_its_attempt_and_a_replay_is_read_as_it_was_published(backend, stream, arun):
    broker, seen = held(backend), []

    @broker.subscriber(stream=sub(stream))
    async def handle(body: dict, delivery: Annotated[Delivery, Depends(given(Delivery))]) -> None:
        seen.append((body, delivery.attempt))
        if len(seen) < 3:
            raise LookupError("not yet")

    async def live():
        async with running(broker):
            # As a publisher that knows neither of us: fields, and no body.
            backend.admin.xadd(stream, {"n": "1"})
            await settled(backend, stream, lambda: reasons(backend, stream))
            await replayed(backend.url, stream, "g")
            await settled(backend, stream, lambda: len(seen) == 3)

    arun(live())
    assert seen == [({"n": "1"}, 1), ({"n": "1"}, 2), ({"n": "1"}, 1)]


def test_an_error_that_its_user_wants_acknowledged_is(backend, stream, arun):
    broker, calls = held(backend, once="redis"), []

    @broker.subscriber(stream=sub(stream), ack_policy=AckPolicy.ACK)
    async def handle(body: dict, writes: Annotated[Writes, Depends(given(Writes))]) -> None:
        calls.append(body)
        writes.rpush(f"{stream}-half", "done")
        raise LookupError("never mind")

    async def live():
        async with running(broker):
            await broker.publish({}, stream=stream)
            await settled(backend, stream, lambda: calls)

    arun(live())
    assert len(calls) == 1
    assert reasons(backend, stream) == []
    assert not backend.admin.exists(f"{stream}-half"), "and what it had begun is not half there"


def test_a_batch_comes_whole_and_its_members_one_by_one_when_it_fails(backend, stream, arun):
    broker, calls = held(backend), []

    @broker.subscriber(stream=sub(stream, batch=True, max_records=3))
    async def handle(bodies: list[dict]) -> None:
        calls.append([body["n"] for body in bodies])
        if any(body["n"] == 1 for body in bodies):
            raise LookupError("not this one")

    async def live():
        await broker.connect()
        for n in range(3):
            await broker.publish({"n": n}, stream=stream)
        async with running(broker):
            await settled(backend, stream, lambda: reasons(backend, stream))

    arun(live())
    assert calls[0] == [0, 1, 2]
    assert [0] in calls
    assert [2] in calls
    assert calls.count([1]) == 2
    assert reasons(backend, stream) == ["max_attempts"]


def test_filters_middlewares_and_routers_are_theirs_as_before(backend, stream, arun):
    calls = []

    class Counting(BaseMiddleware):
        async def consume_scope(self, call_next, msg):
            calls.append("middleware")
            return await call_next(msg)

    broker = HoldfastBroker(Holdfast(backend.url, settings=QUICK), middlewares=[Counting], graceful_timeout=2)
    router = RedisRouter(prefix=f"{stream}-")
    subscriber = router.subscriber(stream=sub("s"))

    @subscriber(filter=lambda message: message.headers.get("kind") == "a")
    async def of_kind_a(body: str) -> None:
        calls.append(f"a {body}")

    @subscriber
    async def of_any_kind(body: str) -> None:
        calls.append(f"any {body}")

    broker.include_router(router)

    async def live():
        async with running(broker):
            await broker.publish("one", stream=f"{stream}-s", headers={"kind": "a"})
            await broker.publish("two", stream=f"{stream}-s")
            await settled(backend, f"{stream}-s", lambda: len(calls) == 4)

    arun(live())
    assert sorted(calls) == ["a one", "any two", "middleware", "middleware"]


def test_an_effect_in_sql_goes_in_with_its_record_or_not_at_all(backend, stream, arun, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    hf = Holdfast(backend.url, sql=url, settings=QUICK)
    broker, tries = HoldfastBroker(hf, graceful_timeout=2), []

    @broker.subscriber(stream=sub(stream))
    @how(once="sql", retry=Retry(attempts=2, backoff=Fixed(0.02)))
    async def handle(body: dict, session: Annotated[AsyncSession, Depends(given(AsyncSession))]) -> None:
        await session.execute(insert(BILLS).values(order_id=body["id"]))
        tries.append(body["id"])
        if len(tries) == 1:
            raise LookupError("after the write")

    async def live():
        async with shop(url) as engine:
            async with running(broker):
                await broker.publish({"id": "o-1"}, stream=stream)
                await settled(backend, stream, lambda: len(tries) == 2)
            async with engine.connect() as connection:
                return (await connection.execute(select(BILLS))).all()

    assert arun(live()) == [("o-1",)]


def test_what_has_no_group_or_wants_no_acknowledgement_stays_theirs(backend, stream, arun):
    broker, calls = held(backend), []

    @broker.subscriber(f"{stream}-channel")
    async def of_channel(body: str) -> None:
        calls.append(body)

    @broker.subscriber(list=f"{stream}-list")
    async def of_list(body: str) -> None:
        calls.append(body)

    @broker.subscriber(stream=StreamSub(f"{stream}-no-ack", group="g", consumer="c", no_ack=True))
    async def of_no_ack(body: str) -> None:
        calls.append(body)

    async def live():
        async with running(broker):
            assert broker.hf.worker is None
            await broker.publish("channel", f"{stream}-channel")
            await broker.publish("list", list=f"{stream}-list")
            await broker.publish("no ack", stream=f"{stream}-no-ack")
            await wait_until_async(lambda: len(calls) == 3, 60, "all three came")

    arun(live())
    assert sorted(calls) == ["channel", "list", "no ack"]


@pytest.mark.parametrize(("idle_ms", "says"), [
    (1000, "Holdfast takes over what the dead hold"), (None, "ACK_FIRST acknowledges before the handler runs"),
], ids=["claims by idle time", "acknowledges first"])
def test_what_would_break_the_promise_is_refused_at_the_start(backend, stream, arun, idle_ms, says):
    broker = held(backend)

    @broker.subscriber(stream=sub(stream, min_idle_time=idle_ms),
                       ack_policy=AckPolicy.REJECT_ON_ERROR if idle_ms else AckPolicy.ACK_FIRST)
    async def handle(body: dict) -> None: ...

    async def live():
        with pytest.raises(ConfigurationError, match=says):
            await broker.start()
        await broker.stop()

    arun(live())


def test_two_subscribers_of_one_group_are_refused(backend, stream, arun):
    broker = held(backend)

    @broker.subscriber(stream=sub(stream))
    async def one(body: dict) -> None: ...

    @broker.subscriber(stream=sub(stream))
    async def other(body: dict) -> None: ...

    async def live():
        with pytest.raises(ConfigurationError, match="has a consumer already"):
            await broker.start()
        await broker.stop()

    arun(live())


def test_without_an_address_it_says_what_it_needs():
    with pytest.raises(ConfigurationError, match="needs an address"):
        HoldfastBroker(Holdfast())


def test_their_own_test_broker_runs_the_handlers_without_a_server(arun):
    broker, calls = HoldfastBroker(Holdfast("redis://nowhere:1")), []

    @broker.subscriber(stream=sub("orders"))
    async def handle(body: dict) -> None:
        calls.append(body)

    async def live():
        async with TestRedisBroker(broker):
            await broker.publish({"n": 1}, stream="orders")
            handle.mock.assert_called_once_with({"n": 1})

    arun(live())
    assert calls == [{"n": 1}]


def test_what_is_given_outside_of_a_handler_says_so():
    with pytest.raises(ConfigurationError, match="outside of a handler"):
        given(AsyncSession)()


def test_consumers_that_end_by_themselves_take_the_application_with_them(backend, stream, arun):
    from faststream import FastStream

    broker = held(backend)
    app = FastStream(broker)

    @broker.subscriber(stream=sub(stream))
    async def handle(body: dict) -> None: ...

    async def live():
        run = asyncio.create_task(app.run())
        await wait_until_async(lambda: broker.hf.worker is not None, 60, "it runs")
        broker.hf.stop()
        await asyncio.wait_for(run, 20)

    arun(live())
