# SPDX-License-Identifier: Apache-2.0
"""Every ``once`` at RabbitMQ and Kafka, with its records in a Valkey beside them."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

import pytest

from holdfast import Holdfast, Reject, Retry
from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.once import IdempotencyKey, Writes, locked, outside
from holdfast.streams.settings import StreamSettings
from holdfast.testing import Single
from holdfast.testing.ports import free_port
from holdfast.testing.proxy import Proxy
from tests.support.rabbit import GROUP, Service, running

SETTINGS = StreamSettings(lease_ms=1_000)


@pytest.fixture(scope="module")
def records():
    """The server of records."""
    with Single() as server:
        yield server


@pytest.fixture(params=["rabbitmq", "kafka"])
def at(request, records, stream):
    """Makes services at one broker, with records at the Valkey."""
    broker = request.getfixturevalue(request.param)
    if request.param == "kafka":
        for topic in (stream, *(f"{stream}.{GROUP}.{what}" for what in ("retry.10s", "retry.600s", "retry.long",
                                                                         "replay", "dead"))):
            broker.create(topic, 1)
        settings = KafkaSettings(session_ms=3_000, revoke_s=0.5)
    else:
        settings = RabbitSettings(look_s=0.2)

    def make(**more):
        return Service(Holdfast(broker.url, broker=settings, settings=SETTINGS, prefix=f"hf{stream}",
                                **{"records": records.url, **more}))

    make.kind = request.param
    return make


def key(stream):
    return f"points:{stream}"


async def copies(it, stream, count, **more):
    """The same messages twice, as a crash between two steps leaves them."""
    ids = [uuid.uuid4().hex for _ in range(count)]
    for _ in range(2):
        for n, one in enumerate(ids):
            await it.hf.publish(stream, {"n": n, **more}, id=one)


def idle(it):
    return it.state().pending == 0


def test_an_effect_in_redis_is_in_once_however_often_its_message_comes(at, records, stream, arun):
    async def claim():
        it, ran = at(), []

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def credit(order: dict, writes: Writes) -> None:
            ran.append(order["n"])
            writes.hincrby(key(stream), str(order["n"]), 1)

        async with running(it):
            await copies(it, stream, 5)
            await it.until(lambda: len(ran) == 10 and idle(it), "both copies came")
        assert records.admin.hgetall(key(stream)) == {b"%d" % n: b"1" for n in range(5)}, "guard: once"
        assert len(it.heard("duplicate_suppressed")) == 5

    arun(claim())


def test_what_is_in_is_acknowledged_and_not_buried(at, records, stream, arun):
    async def claim():
        it, ran = at(), []

        @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(attempts=1))
        async def credit(order: dict, writes: Writes) -> None:
            ran.append(order["n"])
            if ran.count(order["n"]) > 1:
                raise ValueError("the second time")
            writes.incrby(key(stream), 1)

        async with running(it):
            await copies(it, stream, 1)
            await it.until(lambda: len(ran) == 2 and idle(it), "both copies came")
        assert records.admin.get(key(stream)) == b"1"
        assert not it.heard("buried")

    arun(claim())


def test_a_refusal_is_no_effect_and_a_letter(at, records, stream, arun):
    async def claim():
        it = at()

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def credit(order: dict, writes: Writes) -> Reject:
            writes.incrby(key(stream), 1)
            return Reject("no such customer")

        async with running(it):
            await it.hf.publish(stream, {"n": 1})
            await it.until(lambda: bool(it.heard("buried")) and idle(it), "it is a letter")
        assert records.admin.get(key(stream)) is None

    arun(claim())


def test_what_stopped_half_way_goes_on_behind_what_is_in(at, records, stream, arun):
    async def claim():
        it, ran = at(), []
        records.admin.set(f"wrong:{stream}", "text")

        @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(after=0.2, attempts=50))
        async def credit(order: dict, writes: Writes) -> None:
            ran.append(order["n"])
            writes.incrby(key(stream), 1)
            writes.rpush(f"wrong:{stream}", "x")

        async with running(it):
            await it.hf.publish(stream, {"n": 1})
            await it.until(lambda: bool(it.heard("attempt_failed")), "a write was refused")
            records.admin.delete(f"wrong:{stream}")
            await it.until(lambda: records.admin.llen(f"wrong:{stream}") == 1 and idle(it), "it went on")
        assert records.admin.get(key(stream)) == b"1", "guard: cursor"
        assert ran == [1]

    arun(claim())


def test_a_call_outside_is_made_once_and_under_one_key(at, stream, arun):
    async def claim():
        it, calls = at(), []

        @it.hf.consumer(stream, group=GROUP, once="outside")
        async def pay(order: dict, idempotency: IdempotencyKey) -> None:
            calls.append((order["n"], idempotency))

        async with running(it):
            await copies(it, stream, 5)
            await it.until(lambda: len(it.heard("duplicate_suppressed")) == 5 and idle(it), "both copies came")
        assert sorted(n for n, _ in calls) == list(range(5)), "guard: once"
        assert len({one for _, one in calls}) == 5

    arun(claim())


def test_a_call_that_failed_is_made_again_with_its_key(at, stream, arun):
    async def claim():
        it, calls = at(), []

        @it.hf.consumer(stream, group=GROUP, once=outside(), retry=Retry(after=0.1, attempts=5))
        async def pay(order: dict, idempotency: IdempotencyKey) -> None:
            calls.append(idempotency)
            if len(calls) < 3:
                raise ConnectionError("away")

        async with running(it):
            await it.hf.publish(stream, {"n": 1})
            await it.until(lambda: len(calls) == 3 and idle(it), "it went through")
        assert len(set(calls)) == 1

    arun(claim())


def test_one_business_id_is_worked_on_by_one_at_a_time_and_once(at, stream, arun):
    async def claim():
        it, at_work, done, most = at(), Counter(), [], []

        @it.hf.consumer(stream, group=GROUP, once=locked(by=lambda order: str(order["n"] % 2)),
                        retry=Retry(after=0.1, attempts=5))
        async def bill(order: dict) -> None:
            who = order["n"] % 2
            at_work[who] += 1
            most.append(at_work[who])
            await asyncio.sleep(0.05)
            at_work[who] -= 1
            done.append(who)

        async with running(it):
            for n in range(8):
                await it.hf.publish(stream, {"n": n})
            await it.until(lambda: len(it.heard("duplicate_suppressed")) == 6 and idle(it), "all came")
        assert (max(most), sorted(done)) == (1, [0, 1])

    arun(claim())


def test_while_the_records_are_away_nothing_is_counted_and_nothing_lost(at, records, stream, arun):
    async def claim():
        with Proxy(("127.0.0.1", records.port)) as proxy:
            it, ran = at(records=f"redis://127.0.0.1:{proxy.port}"), []

            @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(after=0.1, attempts=1))
            async def credit(order: dict, writes: Writes) -> None:
                ran.append(order["n"])
                writes.incrby(key(stream), 1)

            async with running(it):
                proxy.refuse()
                proxy.cut()
                await it.hf.publish(stream, {"n": 1})
                await it.until(lambda: len(it.heard("attempt_failed")) >= 2, "it was tried, and again")
                proxy.accept()
                await it.until(lambda: records.admin.get(key(stream)) == b"1" and idle(it), "it is in")
            assert not it.heard("buried"), "guard: a server of records that is away is no fault of the message"

    arun(claim())


@pytest.mark.parametrize("once", ["redis", "outside", locked()], ids=["redis", "outside", "locked"])
def test_without_records_it_is_refused_with_the_way_out(at, stream, arun, once):
    async def claim():
        it = at(records=None)

        @it.hf.consumer(stream, group=GROUP, once=once)
        async def bill(order: dict) -> None: ...

        assert any("records=" in sentence for sentence in it.hf.cannot())
        with pytest.raises(ConfigurationError, match=r'records="redis://…"'):
            async with it.hf:
                await it.hf.run()

    arun(claim())


def test_records_that_are_not_there_are_said_at_the_start(at, stream, arun):
    async def claim():
        it = at(records=f"redis://127.0.0.1:{free_port()}")

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def bill(order: dict) -> None: ...

        assert not any("records" in sentence for sentence in it.hf.cannot())
        with pytest.raises(ServerUnreachable):
            async with it.hf:
                await it.hf.run()

    arun(claim())
