# SPDX-License-Identifier: Apache-2.0
"""``Holdfast("memory://")``: the façade without a server, for the tests of those who use it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from holdfast import Drop, Fixed, Holdfast, Message, Outgoing, Reject, Retry
from holdfast.deadletters.letters import LetterInfo, letter_info
from holdfast.errors import BadHandler, ConfigurationError
from holdfast.once import IdempotencyKey, Writes
from holdfast.testing import ManualClock, wait_until_async

STREAM, GROUP = "orders", "billing"


class Order(msgspec.Struct):
    id: str
    amount: int = 0


@pytest.fixture
def hf() -> Holdfast:
    return Holdfast("memory://")


def letters(broker: Any, group: str = GROUP) -> list[LetterInfo]:
    return [letter_info(STREAM, group, b"0-0", raw) for raw in broker.letters(STREAM, group)]


async def publish(hf: Holdfast, *values: Any, **how: Any) -> None:
    for value in values:
        await hf.publish(STREAM, value, **how)


def test_a_typed_handler_is_given_what_was_published(hf, arun):
    seen = []

    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order, message: Message) -> None:
        seen.append((order, message.id, message.key, message.headers))

    async def scene():
        async with hf.testing() as broker:
            receipt = await hf.publish(STREAM, Order("o-1", 9), key="c", headers={"lang": "nl"})
            await broker.settled(STREAM, GROUP)
            assert seen == [(Order("o-1", 9), receipt.id, "c", {"lang": "nl"})]
            assert (broker.pending(STREAM, GROUP), broker.lag(STREAM, GROUP), letters(broker)) == (0, 0, [])

    arun(scene())


def test_a_plain_handler_runs_too(hf, arun):
    seen = []

    @hf.consumer(STREAM, group=GROUP)
    def bill(order: Order) -> None:
        seen.append(order.id)

    async def scene():
        async with hf.testing() as broker:
            await hf.publish_many(STREAM, [Order("o-1"), Outgoing(value=Order("o-2"), key="c")])
            await broker.settled(STREAM, GROUP)

    arun(scene())
    assert sorted(seen) == ["o-1", "o-2"]


def test_a_failing_message_is_tried_as_often_as_its_policy_says_and_then_dead(hf, arun):
    attempts = []

    @hf.consumer(STREAM, group=GROUP, retry=Retry(attempts=3, backoff=Fixed(0.01)))
    async def bill(order: Order) -> None:
        attempts.append(order.id)
        raise LookupError("no such customer")

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"))
            await broker.settled(STREAM, GROUP)
            (letter,) = letters(broker)
            assert (letter.reason, letter.error_type, letter.attempts) == ("max_attempts", "LookupError", 3)
            assert msgspec.json.decode(dict(zip(letter.fields[::2], letter.fields[1::2], strict=True))[b"body"],
                                       type=Order) == Order("o-1")

    arun(scene())
    assert attempts == ["o-1"] * 3


def test_a_manual_clock_skips_the_wait_of_a_retry(arun):
    clock, attempts = ManualClock(), []
    hf = Holdfast("memory://", clock=clock)

    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order) -> None:
        attempts.append(clock.now())
        if len(attempts) == 1:
            raise Retry(after=3_600)

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"))
            await wait_until_async(lambda: broker.parked(STREAM, GROUP) == 1, 5, "the first failed, and was parked")
            clock.advance(3_599)
            with pytest.raises(TimeoutError):
                await broker.settled(STREAM, GROUP, within_s=0.1)
            clock.advance(2)
            await broker.settled(STREAM, GROUP)

    arun(scene())
    assert len(attempts) == 2


def test_directives_mean_what_they_say(hf, arun):
    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order) -> Any:
        if order.id == "bad":
            raise Reject("no such customer", code="CUSTOMER")
        return Drop("superseded") if order.id == "old" else None

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("bad"), Order("old"), Order("good"))
            await broker.settled(STREAM, GROUP)
            (letter,) = letters(broker)
            assert (letter.reason, letter.metadata["error-code"]) == ("rejected", "CUSTOMER")

    arun(scene())


def test_what_cannot_be_decoded_is_dead_at_once_and_what_nobody_knows_waits(hf, arun):
    @hf.consumer(STREAM, group=GROUP, type="Order")
    async def bill(order: Order) -> None:
        raise AssertionError("nothing here is an order")

    async def scene():
        async with hf.testing() as broker:
            await hf.publish(STREAM, {"id": 7}, type="Order")
            await hf.publish(STREAM, {"id": "r-1"}, type="Refund")
            await wait_until_async(lambda: letters(broker) and broker.pending(STREAM, GROUP) == 1, 5, "both")
            assert [letter.reason for letter in letters(broker)] == ["schema_invalid"]

    arun(scene())


def test_every_group_gets_every_message(hf, arun):
    seen: dict[str, list[str]] = {"billing": [], "audit": []}

    def noting(names: list[str]) -> Any:
        async def handler(order: Order) -> None:
            names.append(order.id)
        return handler

    for group, names in seen.items():
        hf.consumer(STREAM, group=group)(noting(names))

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"), Order("o-2"))
            await broker.settled(STREAM, "billing")
            await broker.settled(STREAM, "audit")

    arun(scene())
    assert {group: sorted(names) for group, names in seen.items()} == {g: ["o-1", "o-2"] for g in seen}


def test_a_batch_handler_answers_for_each_member(hf, arun):
    @hf.consumer(STREAM, group=GROUP, batch=True, batch_size=10)
    async def bill(orders: list[Order]) -> list[Any]:
        return [Reject("not ours") if order.id == "bad" else None for order in orders]

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"), Order("bad"), Order("o-2"))
            await broker.settled(STREAM, GROUP)
            assert [letter.reason for letter in letters(broker)] == ["rejected"]

    arun(scene())


def test_messages_of_one_key_run_in_order_even_when_one_is_retried(hf, arun):
    ran: list[tuple[str, int]] = []

    @hf.consumer(STREAM, group=GROUP, ordered=True, retry=Retry(backoff=Fixed(0.02)))
    async def bill(order: Order) -> None:
        ran.append((order.id, order.amount))
        if order.amount == 1 and ran.count((order.id, 1)) == 1:
            raise ConnectionError

    async def scene():
        async with hf.testing() as broker:
            for amount in (1, 2, 3):
                for customer in ("a", "b"):
                    await hf.publish(STREAM, Order(customer, amount), key=customer)
            await broker.settled(STREAM, GROUP)

    arun(scene())
    for customer in ("a", "b"):
        assert [amount for who, amount in ran if who == customer] == [1, 1, 2, 3]


def test_middleware_wraps_each_attempt(hf, arun):
    seen = []

    async def outer(delivery, call_next):
        seen.append("before")
        try:
            return await call_next(delivery)
        finally:
            seen.append("after")

    @hf.consumer(STREAM, group=GROUP, middleware=[outer])
    async def bill(order: Order) -> None:
        seen.append(order.id)

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"))
            await broker.settled(STREAM, GROUP)

    arun(scene())
    assert seen == ["before", "o-1", "after"]


def test_leaving_hands_back_what_still_runs(hf, arun):
    started = asyncio.Event()

    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order) -> None:
        started.set()
        await asyncio.sleep(60)

    async def scene():
        async with hf.testing() as broker:
            await publish(hf, Order("o-1"))
            await started.wait()
        assert broker.pending(STREAM, GROUP) == 1
        assert letters(broker) == []

    arun(scene())


@pytest.mark.parametrize("way", ["testing", "lifespan"])
def test_a_block_that_ends_at_once_ends(hf, arun, way):
    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order) -> None: ...

    async def scene():
        async with asyncio.timeout(5), getattr(hf, way)():
            pass

    arun(scene())


def test_publishing_from_plain_code_reaches_the_same_broker(hf, arun):
    seen = []

    @hf.consumer(STREAM, group=GROUP)
    async def bill(order: Order) -> None:
        seen.append(order.id)

    async def scene():
        async with hf.testing() as broker:
            with hf.blocking() as plain:
                await asyncio.to_thread(plain.publish, STREAM, Order("o-1"))
            await broker.settled(STREAM, GROUP)

    arun(scene())
    assert seen == ["o-1"]


def test_what_memory_cannot_do_is_said(hf, arun):
    async def scene():
        with pytest.raises(ConfigurationError, match="later"):
            await hf.publish(STREAM, Order("o-1"), delay_s=1)
        with pytest.raises(ConfigurationError, match="no server"):
            await hf.open()
        with pytest.raises(ConfigurationError, match="memory://"):
            async with Holdfast("redis://localhost:1/0").testing():
                pass

    arun(scene())


def test_a_handler_that_cannot_be_served_is_refused_where_it_is_declared(hf):
    with pytest.raises(BadHandler):

        @hf.consumer(STREAM, group=GROUP)
        async def bill() -> None: ...


# -- once ------------------------------------------------------------------------------------------------------------


def test_an_effect_is_applied_once_and_can_be_looked_at(hf, arun):
    @hf.consumer(STREAM, group=GROUP, once="redis")
    async def bill(order: Order, writes: Writes) -> None:
        writes.incrby("sum", order.amount)

    async def scenario():
        async with hf.testing() as broker:
            for _ in range(3):
                await hf.publish(STREAM, Order("o-1", 9), id="m-1")
            await broker.settled(STREAM, GROUP)
            assert broker.applied(STREAM, GROUP) == {"m-1": [(b"INCRBY", b"sum", b"9")]}

    arun(scenario())


def test_an_outside_effect_is_given_its_key(hf, arun):
    keys = []

    @hf.consumer(STREAM, group=GROUP, once="outside")
    async def pay(order: Order, key: IdempotencyKey) -> None:
        keys.append(key)

    async def scenario():
        async with hf.testing() as broker:
            for _ in range(3):
                await hf.publish(STREAM, Order("o-1", 9), id="m-1")
            await broker.settled(STREAM, GROUP)
            assert list(broker.applied(STREAM, GROUP)) == ["m-1"]

    arun(scenario())
    assert len(set(keys)) == 1


def test_a_directive_and_an_error_are_no_effect(hf, arun):
    @hf.consumer(STREAM, group=GROUP, once="redis", retry=Retry(attempts=1))
    async def bill(order: Order, writes: Writes) -> Any:
        writes.incrby("sum", order.amount)
        if order.id == "drop":
            return Drop("no")
        raise ValueError

    async def scenario():
        async with hf.testing() as broker:
            await publish(hf, Order("drop"), Order("bad"))
            await broker.settled(STREAM, GROUP)
            assert broker.applied(STREAM, GROUP) == {}
            assert [letter.message_id for letter in letters(broker)]

    arun(scenario())


def test_a_guard_keeps_its_records_as_long_as_the_service(hf, arun):
    async def scenario():
        runs = 0
        for _ in range(2):
            async with hf.guard("refunds").once("42") as call:
                if call.first:
                    runs += 1
                    call.result = runs
            assert call.result == 1
        await hf.close()

    arun(scenario())
