# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ behind the façade: what strangers write, what it refuses, what it forgets, and what is refused at once."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from unittest.mock import patch

import aio_pika
import pytest
from aiormq import spec
from pamqp import encode

from holdfast import Reject, Retry
from holdfast._base.message import Message
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.errors import ConfigurationError, NotAuthorized, PublishError, ServerUnreachable
from holdfast.testing import wait_until_async
from holdfast.testing.ports import free_port
from holdfast.testing.rabbitmq import RabbitServer
from tests.support.rabbit import GROUP, SOON_S, full, lying, running, service, stranger


def dead(stream):
    return f"{stream}/{GROUP}/dead"


# -- publishing ------------------------------------------------------------------------------------------------------


def test_a_message_that_no_group_would_take_is_not_published(rabbitmq, stream, arun):
    async def claim():
        async with service(rabbitmq.url).hf as hf:
            with pytest.raises(PublishError, match="has no group yet"):
                await hf.publish(stream, {"n": 1})

    arun(claim())


def test_each_group_gets_each_message_whole(rabbitmq, stream, arun):
    async def claim():
        it, got = service(rabbitmq.url), []

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            got.append(("billing", order["n"]))

        @it.hf.consumer(stream, group="audit")
        async def audit(order: dict) -> None:
            got.append(("audit", order["n"]))

        async with running(it):
            await it.joined(2)
            receipts = await it.hf.publish_many(stream, [{"n": n} for n in range(20)])
            await it.until(lambda: len(got) >= 40, "both groups have all of it")
        assert sorted(got) == sorted((group, n) for group in ("audit", "billing") for n in range(20))
        assert len({receipt.id for receipt in receipts}) == 20

    arun(claim())


# -- what strangers write ------------------------------------------------------------------------------------------


def test_a_strangers_message_keeps_its_form_and_its_identity_through_retries(rabbitmq, stream, arun):
    async def claim():
        it, got = service(rabbitmq.url), []

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.05, attempts=3))
        async def bill(order: dict, message: Message) -> None:
            got.append((message.id, message.headers, message.body, message.content_type))
            raise ConnectionError("not now")

        async with running(it), stranger(rabbitmq.url) as channel:
            exchange = await channel.get_exchange(stream)
            await exchange.publish(aio_pika.Message(
                b'{"n": 7}', content_type="application/json", headers={"lang": "nl", "count": 3, "CC": ["elsewhere"]},
                expiration=60, user_id="guest", correlation_id="c-1"), routing_key="x")
            await it.until(lambda: bool(it.heard("buried")), "it died")
        assert len(got) == 3
        ids = {message_id for message_id, *_ in got}
        assert len(ids) == 1, "each attempt had another identity"
        assert got[0][1:] == got[2][1:] == ({"lang": "nl", "count": "3"}, b'{"n": 7}', "application/json")
        [letter] = await lying(rabbitmq.url, dead(stream))
        assert letter.headers["x-dlq-failure-reason"] == "max_attempts"
        assert letter.headers["x-dlq-original-message-id"] == ids.pop()
        assert letter.body == b'{"n": 7}'

    arun(claim())


def _written_as(kind: str, raw: bytes, value: object):
    """What a client in another language writes for ``value``, and the driver never would."""
    usual = encode.METHODS[kind]
    return patch.dict(encode.METHODS, {kind: lambda given: raw if given == value else usual(given)})


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Times in nanoseconds, and later than any date; a message id in Latin-1; headers that leave no room for ours.
STRANGE = {
    "nanoseconds": (_written_as("timestamp", struct.pack(">Q", 17 * 10**17), EPOCH), {"timestamp": EPOCH}),
    "no-date": (_written_as("timestamp", struct.pack(">Q", 2**63), EPOCH), {"timestamp": EPOCH}),
    "latin-1": (_written_as("shortstr", b"\x02\xe9\xff", "é"), {"message_id": "é"}),
    "large": (nullcontext(), {"headers": {"large": "x" * 131_000}}),
    "nested": (nullcontext(), {"headers": {"x-death": [{"queue": "q", "count": 3, "keys": ["a", {"b": None}]}],
                                           "raw": bytearray(b"\xff\x00"), "hf-note": bytearray(b"\xc1")}}),
    "empty": (nullcontext(), {}),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_no_driver_would_write_is_retried_and_buried_and_takes_nothing_along(rabbitmq, stream, arun, kind):
    async def claim():
        it, begun, go_on, got = service(rabbitmq.url), asyncio.Event(), asyncio.Event(), []

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.05, attempts=3))
        async def bill(body: bytes) -> None:
            if body == b"innocent":
                begun.set()
                await go_on.wait()
                return
            got.append(body)
            raise ConnectionError("not now")

        async with running(it), stranger(rabbitmq.url) as channel:
            under = await channel.get_underlay_channel()
            await under.basic_publish(b"innocent", exchange=stream, routing_key="")
            await asyncio.wait_for(begun.wait(), SOON_S)
            how, properties = STRANGE[kind]
            body = b"" if kind == "empty" else b"strange"
            with how:
                await under.basic_publish(body, exchange=stream, routing_key="",
                                          properties=spec.Basic.Properties(**properties))
            await it.until(lambda: bool(it.heard("buried")), "it died of its third attempt")
            assert got == [body] * 3
            go_on.set()
            await it.until(lambda: not it.state().pending, "all is settled")
            assert not it.heard("incarnation_lost")
            assert not it.heard("settle_failed")
        [letter] = await lying(rabbitmq.url, dead(stream))
        assert body in letter.body  # packed or not

    arun(claim())


def test_what_was_published_twice_with_one_id_does_not_run_beside_itself(rabbitmq, stream, arun):
    async def claim():
        it = service(rabbitmq.url)
        at_once, most, ended = 0, 0, 0

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            nonlocal at_once, most, ended
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.2)
            at_once, ended = at_once - 1, ended + 1

        async with running(it):
            for _ in range(3):
                await it.hf.publish(stream, {"n": 1}, id="same")
            await it.until(lambda: ended == 3, "all three ran")
        assert most == 1

    arun(claim())


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_of_the_users_own_is_consumed_as_it_is(rabbitmq, stream, arun, kind):
    async def claim():
        own, got = f"own-{stream}", []
        async with stranger(rabbitmq.url) as channel:
            await channel.declare_queue(own, durable=True, arguments={"x-queue-type": kind})
            it = service(rabbitmq.url, queues={f"{stream}/{GROUP}": own})

            @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.05, attempts=2))
            async def bill(order: dict) -> None:
                got.append(order["n"])
                if order["n"] == 2:
                    raise Reject("of no use")
                if got.count(order["n"]) == 1:
                    raise ConnectionError("not now")

            async with running(it):
                for n in (1, 2):
                    await channel.default_exchange.publish(aio_pika.Message(b'{"n": %d}' % n), routing_key=own)
                await it.until(lambda: got.count(1) == 2 and bool(it.heard("buried")), "one done, one dead")
            assert [json.loads(letter.body) for letter in await lying(rabbitmq.url, dead(stream))] == [{"n": 2}]
            assert await lying(rabbitmq.url, own) == []

    arun(claim())


# -- what it refuses -----------------------------------------------------------------------------------------------


def test_a_letter_that_is_refused_leaves_its_message_pending_until_it_is_taken(rabbitmq, stream, arun):
    async def claim():
        it, tries = service(rabbitmq.url), 0

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            nonlocal tries
            tries += 1
            raise Reject("of no use")

        async with running(it):
            async with full(rabbitmq, dead(stream)):
                await it.hf.publish(stream, {"n": 1})
                await it.until(lambda: bool(it.heard("bury_failed")), "the letter was refused")
            await wait_until_async(lambda: lying(rabbitmq.url, dead(stream)), SOON_S, "it came back, and was buried",
                                   poll_s=0.2)
            assert tries > 1
        [letter] = await lying(rabbitmq.url, dead(stream))
        assert letter.body == b'{"n":1}'
        assert letter.headers["x-dlq-failure-reason"] == "rejected"

    arun(claim())


def test_a_retry_that_is_refused_is_delivered_again(rabbitmq, stream, arun, monkeypatch):
    async def claim():
        it, tries = service(rabbitmq.url), 0

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=3600.0, attempts=9))
        async def bill(order: dict) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ConnectionError("not now")

        async with running(it):
            async with full(rabbitmq, "hf/later/16"):
                await it.hf.publish(stream, {"n": 1})
                await it.until(lambda: tries == 2 and not it.state().pending, "it came back and was done")
            assert any(event.why == "refused" for event in it.heard("settle_failed"))

    monkeypatch.setattr("holdfast.brokers.rabbitmq.source.AGAIN_S", 0.2)
    arun(claim())


def test_a_server_that_is_short_of_memory_is_waited_for_and_holds_up_no_acknowledgement(rabbitmq, stream, arun,
                                                                                        monkeypatch):
    async def claim():
        it, calls, go = service(rabbitmq.url), Counter(), asyncio.Event()

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.1, attempts=9))
        async def bill(order: dict) -> None:
            await go.wait()
            calls[order["n"]] += 1
            if order["n"] >= 10 and calls[order["n"]] == 1:
                raise ConnectionError("not now")

        async with running(it):
            await it.hf.publish_many(stream, [{"n": n} for n in range(20)])
            await it.until(lambda: it.state().pending == 20, "all are in hand")
            await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "absolute", "1")
            try:
                go.set()
                await it.until(lambda: it.state().pending == 10, "what is done is acknowledged")
                await it.until(lambda: len(it.heard("settle_failed")) >= 3, "retries were refused several times")
                assert it.state().pending == 10
            finally:
                await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "absolute", "1GB")
            await it.until(lambda: all(calls[n] >= 2 for n in range(10, 20)) and not it.state().pending, "all are done")
        assert [calls[n] for n in range(10)] == [1] * 10
        assert max(calls.values()) <= 3, "copies piled up"  # one may have been on its way when the door was shut

    monkeypatch.setattr("holdfast._amqp.outlet.CONFIRM_S", 2.0)
    arun(claim())


@pytest.mark.timeout(120)
def test_what_is_held_for_too_long_is_revoked_and_comes_back(stream, arun):
    """RabbitMQ closes a channel that does not acknowledge; the others' work on it comes back as well."""
    async def claim(server):
        it, begun = service(server.url), []

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            begun.append(order["n"])
            if len(begun) == 1:
                await asyncio.sleep(600)

        async with running(it):
            await it.hf.publish(stream, {"n": 1})
            await it.until(lambda: len(begun) == 2 and not it.state().pending, "it came back and was done")
        [lost] = it.heard("incarnation_lost")
        assert lost.dropped == 1

    with RabbitServer(consumer_timeout_ms=2_000) as server:
        arun(claim(server))


def test_a_queue_that_somebody_deleted_is_made_again(rabbitmq, stream, arun):
    async def claim():
        it, got = service(rabbitmq.url), []

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            got.append(order["n"])

        async with running(it), stranger(rabbitmq.url) as channel:
            for lives, name in enumerate((f"{stream}/{GROUP}", dead(stream)), 2):
                await channel.queue_delete(name)
                await it.joined(lives)
                await it.hf.publish(stream, {"n": lives})
                await it.until(lambda lives=lives: lives in got, "it is consumed again")

    arun(claim())


# -- what it forgets ----------------------------------------------------------------------------------------------


def test_when_connections_are_cut_work_is_revoked_and_done_by_the_next_incarnation(rabbitmq, stream, arun):
    async def claim():
        it, done = service(rabbitmq.url), []
        hold = asyncio.Event()

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            if not hold.is_set():
                await asyncio.sleep(30)  # it is cancelled when its channel is gone
            done.append(order["n"])

        async with running(it):
            await it.hf.publish_many(stream, [{"n": n} for n in range(10)])
            await it.until(lambda: it.state().pending == 10, "all are in hand")
            hold.set()
            await asyncio.to_thread(rabbitmq.control, "close_all_connections", "a test")
            await it.joined(2)
            await it.until(lambda: len(done) >= 10 and not it.state().pending, "all are done")
        assert sorted(done) == list(range(10))
        assert it.heard("incarnation_lost")[0].dropped == 10
        names = [event.consumer for event in it.heard("consumer_started")]
        assert len(set(names)) == len(names)

    arun(claim())


# -- refused from the start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "why"), [
    ({"ordered": True}, "asks for ordered=True and RabbitMQ keeps order nowhere"),
    ({"once": "redis"}, "RabbitMQ has no place for them"),
    ({"once": "outside"}, "RabbitMQ has no place for them"),
])
def test_what_it_cannot_is_refused_before_anything_runs(rabbitmq, stream, arun, how, why):
    async def claim():
        it = service(rabbitmq.url)

        @it.hf.consumer(stream, group=GROUP, **how)
        async def bill(order: dict) -> None:
            raise AssertionError("nothing runs")

        async with it.hf:
            with pytest.raises(ConfigurationError, match=why):
                await it.hf.run()

    arun(claim())


def test_what_belongs_to_redis_says_so(rabbitmq, stream, arun):
    async def claim():
        async with service(rabbitmq.url).hf as hf:
            with pytest.raises(ConfigurationError, match="publishes at once"):
                await hf.publish(stream, {"n": 1}, delay_s=5)
            with pytest.raises(ConfigurationError, match="needs a Redis or Valkey, and amqp:// is none"):
                await hf.locks()

    arun(claim())


def test_a_wrong_password_and_a_server_that_is_not_there_are_told_apart(rabbitmq, arun):
    async def claim():
        with pytest.raises(NotAuthorized):
            await service(rabbitmq.url.replace("guest:guest", "guest:wrong")).hf._elsewhere()
        with pytest.raises(ServerUnreachable) as nobody:
            await service(f"amqp://guest:secret-word@127.0.0.1:{free_port()}/").hf._elsewhere()
        assert "secret-word" not in str(nobody.value)

    arun(claim())


def test_a_virtual_host_that_is_not_there_and_a_port_that_is_none_are_named(rabbitmq, arun):
    async def claim():
        with pytest.raises(NotAuthorized, match="/nowhere: there is no such virtual host"):
            async with service(f"{rabbitmq.url}nowhere").hf:
                pytest.fail("it is not open")
        with pytest.raises(ConfigurationError, match="has no readable port"):
            service("amqp://guest:secret-word@localhost:none/").hf.cannot()
        for nowhere in ("amqp://", "amqp:///shop", "amqp://guest:secret-word@/"):
            with pytest.raises(ConfigurationError, match="names no host"):
                service(nowhere).hf.cannot()

    arun(claim())


def test_a_queue_of_the_users_own_that_is_not_there_is_named(rabbitmq, stream, arun):
    async def claim():
        it = service(rabbitmq.url, queues={f"{stream}/{GROUP}": f"no-{stream}"})

        @it.hf.consumer(stream, group=GROUP)
        async def bill(order: dict) -> None:
            raise AssertionError("nothing runs")

        async with it.hf:
            with pytest.raises(ConfigurationError, match=f"there is no queue 'no-{stream}'"):
                await it.hf.run()

    arun(claim())


def test_settings_of_another_kind_are_refused():
    with pytest.raises(ConfigurationError, match="prefetch=0"):
        RabbitSettings(prefetch=0)
    it = service("amqp://localhost/")
    it.hf._broker_settings = object()
    with pytest.raises(ConfigurationError, match="use RabbitSettings"):
        it.hf.cannot()
