# SPDX-License-Identifier: Apache-2.0
"""Effects of RabbitMQ's and Kafka's messages, recorded at a Redis or Valkey beside them (``Holdfast(records=…)``)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast import Holdfast, Outgoing, Reject, Retry
from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast._redis.scripts import load_script
from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.once import Held, IdempotencyKey, Writes, in_redis, locked, outside
from holdfast.once.calls import resolve
from holdfast.once.inspect import doubts
from holdfast.streams.settings import StreamSettings
from holdfast.testing import Proxy, wait_until_async
from holdfast.testing.ports import free_port

GROUP = "billing"
SOON_S = 30.0
LEASE_MS = 2_000


class At:
    """A service at one of the brokers, with a server of records, and what it said."""

    def __init__(self, broker: Any, records: str | None, kind: str) -> None:
        settings: Any = RabbitSettings(look_s=0.2) if kind == "rabbitmq" else KafkaSettings(session_ms=3_000,
                                                                                             revoke_s=1.0)
        self.hf = Holdfast(broker.url, broker=settings, records=records, settings=StreamSettings(lease_ms=LEASE_MS))
        self.said: list[ev.Event] = []
        self.hf.events.subscribe(self.said.append)

    def told(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.said if isinstance(event, kind)]

    async def until(self, met: Callable[[], bool], what: str) -> None:
        await wait_until_async(met, SOON_S, what)

    @property
    def done(self) -> int:
        return sum(event.acked + event.duplicates for event in self.told(ev.Settled))

    @property
    def duplicates(self) -> int:
        return sum(event.duplicates for event in self.told(ev.Settled))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[At]:
        async with self.hf:
            task = asyncio.create_task(self.hf.run(drain_s=5.0))
            try:
                await self.until(lambda: task.done() or bool(self.told(ev.ConsumerStarted)), "the consumer has joined")
                if task.done():
                    task.result()
                yield self
            finally:
                self.hf.stop()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def asked(url: str) -> AsyncIterator[Callable[..., Any]]:
    """Commands to the server of records, by a connection of its own."""
    server = await open_server(url)

    async def call(*words: Any) -> Any:
        key = words[1] if len(words) > 1 else b"x"
        return await server.shared(key if isinstance(key, bytes) else key.encode()).call(*words)

    try:
        yield call
    finally:
        await server.close()


@pytest.fixture(params=["rabbitmq", "kafka"])
def at(request, backend, stream):
    """Makes services at a broker; ``records``: another address of the server of records."""
    broker = request.getfixturevalue(request.param)
    if request.param == "kafka":
        from tests.integration.test_kafka import topics

        topics(broker, stream, 2)

    def made(records: str | None = backend.url) -> At:
        return At(broker, records, request.param)

    return made


def keys_of(stream: str) -> GroupKeys:
    return GroupKeys("hf", stream, GROUP)


# -- redis -------------------------------------------------------------------------------------------------------------


def test_writes_and_record_are_in_before_the_broker_acknowledges_and_a_copy_is_a_duplicate(at, backend, stream, arun):
    async def claim():
        it, ran = at(), []

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def count(order: dict, writes: Writes) -> str:
            ran.append(order["n"])
            writes.hincrby(f"effects:{stream}", str(order["n"]))
            return "counted"

        async with it.running(), asked(backend.url) as ask:
            outs = [Outgoing(value={"n": n}, id=f"m-{n}") for n in range(5)]
            await it.hf.publish_many(stream, outs)
            await it.until(lambda: it.done >= 5, "each was done")
            await it.hf.publish_many(stream, outs)
            await it.until(lambda: it.done >= 10, "each copy was done")
            counts = await ask("HVALS", f"effects:{stream}")
            assert counts == [b"1"] * 5
            assert await ask("ZCARD", keys_of(stream).done) == 5
            assert await ask("HGET", keys_of(stream).results, "m-0") == b'"counted"'
        assert it.duplicates == 5
        assert len(it.told(ev.DuplicateSuppressed)) == 5
        assert {event.strategy for event in it.told(ev.DuplicateSuppressed)} == {"redis"}
        assert sorted(ran) == list(range(5))  # a copy is known before its handler runs

    arun(claim())


def test_one_business_id_in_two_messages_is_one_effect(at, backend, stream, arun):
    async def claim():
        it = at()

        @it.hf.consumer(stream, group=GROUP, once=in_redis(by=lambda order: order["pay"]))
        async def count(order: dict, writes: Writes) -> None:
            writes.hincrby(f"effects:{stream}", order["pay"])

        async with it.running(), asked(backend.url) as ask:
            await it.hf.publish_many(stream, [{"pay": "p-1"}, {"pay": "p-1"}, {"pay": "p-2"}])
            await it.until(lambda: it.done >= 3, "all are done")
            assert await ask("HGETALL", f"effects:{stream}") in (
                [b"p-1", b"1", b"p-2", b"1"], [b"p-2", b"1", b"p-1", b"1"])
        assert it.duplicates == 1

    arun(claim())


def test_a_directive_writes_nothing_and_what_was_rejected_is_buried(at, backend, stream, arun):
    async def claim():
        it = at()

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def refuse(order: dict, writes: Writes) -> Reject:
            writes.hincrby(f"effects:{stream}", "never")
            return Reject("of no use")

        async with it.running(), asked(backend.url) as ask:
            await it.hf.publish(stream, {"n": 1})
            await it.until(lambda: bool(it.told(ev.Buried)), "it is dead")
            assert await ask("EXISTS", f"effects:{stream}") + await ask("EXISTS", keys_of(stream).done) == 0

    arun(claim())


def test_what_stopped_half_way_goes_on_behind_the_cursor_without_its_handler(at, backend, stream, arun):
    async def claim():
        it, ran = at(), []

        @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(after=0.1, attempts=50))
        async def count(order: dict, writes: Writes) -> None:
            ran.append(order["n"])
            writes.hincrby(f"effects:{stream}", "first")
            writes.hincrby(f"other:{stream}", "second")

        async with asked(backend.url) as ask:
            await ask("SET", f"other:{stream}", "of another type")
            async with it.running():
                await it.hf.publish(stream, {"n": 1})
                await it.until(lambda: bool(it.told(ev.EffectHalfDone)), "the second write was refused")
                await ask("DEL", f"other:{stream}")
                await it.until(lambda: it.done >= 1, "it went on")
            assert await ask("HGET", f"effects:{stream}", "first") == b"1"
            assert await ask("HGET", f"other:{stream}", "second") == b"1"
            assert await ask("HLEN", keys_of(stream).half_done) == 0
        half = it.told(ev.EffectHalfDone)[0]
        assert (half.done, half.total) == (1, 2)
        assert ran == [1]

    arun(claim())


def test_what_is_in_is_acknowledged_and_not_buried(at, backend, stream, arun):
    """Its handler would reject it now; the record is asked before a letter is written."""
    async def claim():
        it = at()

        @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(after=0.05, attempts=1))
        async def count(order: dict, writes: Writes) -> None:
            async with asked(backend.url) as ask:  # somebody else brings it about while this one runs
                await ask("ZADD", keys_of(stream).done, 1_000, "m-1")
            raise ValueError("too late")

        async with it.running():
            await it.hf.publish(stream, {"n": 1}, id="m-1")
            await it.until(lambda: it.done >= 1, "it was acknowledged")
        assert not it.told(ev.Buried)
        assert it.duplicates == 1

    arun(claim())


def test_without_the_server_of_records_messages_wait_uncounted_and_nothing_is_lost(at, backend, stream, arun):
    async def claim():
        where = urlsplit(backend.url)
        with Proxy((str(where.hostname), int(where.port or 0))) as proxy:
            it, attempts = at(proxy.through(backend.url)), []

            @it.hf.consumer(stream, group=GROUP, once="redis", retry=Retry(after=0.05, attempts=1))
            async def count(order: dict, writes: Writes) -> None:
                attempts.append(order["n"])
                writes.hincrby(f"effects:{stream}", str(order["n"]))

            async with it.running(), asked(backend.url) as ask:
                await asyncio.to_thread(proxy.refuse)
                await asyncio.to_thread(proxy.cut)
                await it.hf.publish_many(stream, [{"n": n} for n in range(5)])
                await it.until(lambda: len(it.told(ev.AttemptFailed)) >= 5, "each has tried")
                assert await ask("EXISTS", f"effects:{stream}") == 0
                await asyncio.to_thread(proxy.accept)
                await it.until(lambda: it.done >= 5, "each was done")
                assert await ask("HVALS", f"effects:{stream}") == [b"1"] * 5
            assert not it.told(ev.Buried)
            assert {event.attempt for event in it.told(ev.AttemptFailed)} == {1}

    arun(claim())


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["redis", "outside", "locked"])
def test_without_a_server_of_records_it_is_refused_and_told_what_to_say(at, stream, arun, mode):
    async def claim():
        it = at(None)

        @it.hf.consumer(stream, group=GROUP, once=locked() if mode == "locked" else mode)
        async def handle(order: dict) -> None: ...

        assert any('records="redis://…"' in sentence for sentence in it.hf.cannot())
        with pytest.raises(ConfigurationError, match=r'records="redis://…"'):
            async with it.running():
                raise AssertionError("it runs")

    arun(claim())


def test_a_server_of_records_that_is_not_there_is_one_clear_error(at, stream, arun):
    async def claim():
        it = at(f"redis://127.0.0.1:{free_port()}")

        @it.hf.consumer(stream, group=GROUP, once="redis")
        async def handle(order: dict) -> None: ...

        assert not any('once="sql" is what' in sentence for sentence in it.hf.cannot())
        assert any("kept_days" in sentence for sentence in it.hf.cannot())
        with pytest.raises(ServerUnreachable, match="the server of records=, where effects are recorded"):
            async with it.running():
                raise AssertionError("it runs")

    arun(claim())


def test_records_shorter_than_letters_are_refused(at, stream, arun):
    async def claim():
        it = at()

        @it.hf.consumer(stream, group=GROUP, once=in_redis(kept_days=1))
        async def handle(order: dict) -> None: ...

        with pytest.raises(ConfigurationError, match="Raise kept_days"):
            async with it.running():
                raise AssertionError("it runs")

    arun(claim())


def test_on_redis_a_server_of_records_is_refused(backend, stream, arun):
    async def claim():
        hf = Holdfast(backend.url, records=backend.url)

        @hf.consumer(stream, group=GROUP, once="redis")
        async def handle(order: dict) -> None: ...

        async with hf:
            with pytest.raises(ConfigurationError, match="records= is for amqp:// and kafka://"):
                await hf.run()

    arun(claim())


# -- outside -----------------------------------------------------------------------------------------------------------


def test_an_outside_effect_is_begun_under_a_lease_and_done_before_the_acknowledgement(at, backend, stream, arun):
    async def claim():
        it, keys, marks = at(), [], []

        @it.hf.consumer(stream, group=GROUP, once="outside")
        async def pay(order: dict, key: IdempotencyKey) -> None:
            async with asked(backend.url) as ask:
                mark = (await ask("HGET", keys_of(stream).begun, f"m-{order['n']}")).decode().split()[0]
                marks.append(await ask("ZSCORE", keys_of(stream).leases, mark))
            keys.append(key)

        async with it.running(), asked(backend.url) as ask:
            outs = [Outgoing(value={"n": n}, id=f"m-{n}") for n in range(3)]
            await it.hf.publish_many(stream, outs)
            await it.until(lambda: it.done >= 3, "each was paid")
            await it.hf.publish_many(stream, outs)
            await it.until(lambda: it.done >= 6, "each copy was done")
            assert await ask("HLEN", keys_of(stream).begun) == 0
            assert await ask("ZCARD", keys_of(stream).done) == 3
        assert len(set(keys)) == len(keys) == 3
        assert all(marks)
        async with asked(backend.url) as ask:
            assert await ask("ZCARD", keys_of(stream).leases) == 0  # given back at the end

    arun(claim())


def test_what_a_dead_consumer_began_is_tried_again_with_its_key_once_its_lease_is_over(at, backend, stream, arun):
    async def claim():
        it, keys = at(), []

        @it.hf.consumer(stream, group=GROUP, once="outside", retry=Retry(after=0.1, attempts=1))
        async def pay(order: dict, key: IdempotencyKey) -> None:
            keys.append(key)

        async with asked(backend.url) as ask:
            now = int((await ask("TIME"))[0]) * 1000
            await ask("ZADD", keys_of(stream).leases, now - 5_000, "dead-1-hf0123456789")
            await ask("HSET", keys_of(stream).begun, "m-1", f"dead-1-hf0123456789 {now}")
            async with it.running():
                await it.hf.publish(stream, {"n": 1}, id="m-1")
                await it.until(lambda: it.done >= 1, "it was taken over")
            assert await ask("HLEN", keys_of(stream).begun) == 0
        assert len(keys) == 1
        assert [event.from_consumer for event in it.told(ev.EffectTakenOver)] == ["dead-1-hf0123456789"]
        assert not it.told(ev.Buried)

    arun(claim())


def test_what_is_in_doubt_waits_for_a_person_who_says_so_at_the_server_of_records(at, backend, stream, arun):
    async def claim():
        it, keys = at(), []

        @it.hf.consumer(stream, group=GROUP, once=outside(on_doubt="hold", hold_s=0.2))
        async def pay(order: dict, key: IdempotencyKey) -> None:
            keys.append(key)

        server = await open_server(backend.url)
        try:
            async with asked(backend.url) as ask, it.running():
                await ask("HSET", keys_of(stream).begun, "m-1", "dead-1-hf0123456789 1000")
                await it.hf.publish(stream, {"n": 1}, id="m-1")
                await it.until(lambda: bool(it.told(ev.EffectDoubted)), "it is in doubt")
                assert [(d.id, d.kind) async for d in doubts(server, keys_of(stream))] == [("m-1", "in doubt")]
                assert await resolve(server, keys_of(stream), "m-1", "applied") == "resolved"
                await it.until(lambda: it.done >= 1, "it was acknowledged")
        finally:
            await server.close()
        assert not keys
        assert it.duplicates == 1

    arun(claim())


# -- locked ------------------------------------------------------------------------------------------------------------


def test_a_lock_at_the_server_of_records_keeps_two_processes_apart_and_a_record_what_comes_later(at, backend, stream,
                                                                                                 arun):
    async def claim():
        one, two, running, most, done = at(), at(), [], [], []

        def declare(it: At) -> None:
            @it.hf.consumer(stream, group=GROUP, once=locked(by=lambda order: order["pay"]),
                            retry=Retry(after=0.05, attempts=1))
            async def pay(order: dict, held: Held) -> None:
                running.append(order["pay"])
                most.append(running.count(order["pay"]))
                await asyncio.sleep(0.05)
                held.check()
                running.remove(order["pay"])
                done.append(order["pay"])

        declare(one)
        declare(two)
        async with one.running(), two.running():
            await one.hf.publish_many(stream, [{"pay": f"p-{n % 4}"} for n in range(20)])
            await one.until(lambda: one.done + two.done >= 20 and len(set(done)) == 4, "all are done")
        assert max(most) == 1
        assert sorted(done) == [f"p-{n}" for n in range(4)]
        assert one.duplicates + two.duplicates >= 16  # and what a group that is dealt anew gives to the other one

    arun(claim())


# -- leases at the server of records -----------------------------------------------------------------------------------


def test_who_beats_between_the_look_and_the_step_stays(backend, stream, arun):
    async def claim():
        server = await open_server(backend.url)
        try:
            keys = keys_of(stream)
            link = server.shared(keys.leases)
            for who in ("dead", "beaten"):
                await link.call("ZADD", keys.leases, 1000, who)
            await link.call("ZADD", keys.leases, 2000, "beaten")
            gone = await link.run(load_script("holdfast.once", "seat"), (keys.leases, keys.door),
                                  ("", 0, "dead", "1000", "beaten", "1000"))
            assert gone == 1
            assert await link.call("ZRANGE", keys.leases, 0, -1) == [b"beaten"]
        finally:
            await server.close()

    arun(claim())
