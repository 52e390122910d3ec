# SPDX-License-Identifier: Apache-2.0
"""What else taskiq's tasks do: reject, requeue, acknowledge by hand, run out of time, ask for what they are given."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from taskiq import Context, InMemoryBroker, SimpleRetryMiddleware, TaskiqDepends, TaskiqMiddleware
from taskiq.api import run_receiver_task

from holdfast import Fixed, Holdfast, Retry, StreamSettings
from holdfast._redis.keys import DEFAULT_PREFIX, GroupKeys
from holdfast.adapters.taskiq import HoldfastBroker, given
from holdfast.errors import ConfigurationError
from holdfast.once import Writes
from holdfast.testing.waiting import wait_until_async
from tests.integration.adapters.seen import BILLS, dead, pending, reasons, settled, shop

pytestmark = pytest.mark.kinds("valkey")
QUICK = StreamSettings(lease_ms=2000, sweep_ms=200)
#: A task's context, as taskiq hands it to who asks.
Own = Annotated[Context, TaskiqDepends()]


def held(backend, stream, hf=None, **settings):
    return HoldfastBroker(hf or Holdfast(backend.url, settings=QUICK), stream=stream, group="g",
                          **{"retry": Retry(attempts=2, backoff=Fixed(0.02)), **settings})


@asynccontextmanager
async def running(broker):
    broker.is_worker_process = True
    await broker.startup()
    receiver = asyncio.create_task(run_receiver_task(broker, max_async_tasks=10))
    try:
        yield broker
    finally:
        receiver.cancel()
        await asyncio.gather(receiver, return_exceptions=True)
        await broker.shutdown()


def test_tasks_say_in_their_own_words_what_becomes_of_them(backend, stream, arun):
    broker, calls = held(backend, stream), []

    @broker.task("say")
    async def say(word: str, context: Own) -> None:
        calls.append(word)
        if word == "reject":
            context.reject()
        if word == "requeue once" and calls.count(word) == 1:
            await context.requeue()

    async def live():
        async with running(broker):
            for word in ("nothing", "reject", "requeue once"):
                await say.kiq(word)
            await settled(backend, stream, lambda: len(calls) == 4)

    arun(live())
    assert sorted(calls) == ["nothing", "reject", "requeue once", "requeue once"]
    assert reasons(backend, stream) == ["rejected"]


def test_a_task_that_is_sent_on_by_its_handler_has_its_effect_once(backend, stream, arun):
    broker, calls = held(backend, stream, once="redis"), []

    @broker.task("push")
    async def push(context: Own, writes: Annotated[Writes, TaskiqDepends(given(Writes))]) -> None:
        calls.append(context.message.task_id)
        writes.rpush(f"{stream}-done", f"{len(calls)}")
        if len(calls) == 1:
            await context.requeue()

    async def live():
        async with running(broker):
            await push.kiq()
            await settled(backend, stream, lambda: len(calls) == 2)

    arun(live())
    assert backend.admin.lrange(f"{stream}-done", 0, -1) == [b"2"], "what was sent on left nothing"


def test_who_acknowledges_by_hand_and_does_not_has_not_done_it(backend, stream, arun):
    broker, calls = held(backend, stream), []

    @broker.task("by_hand", ack_type="manual")
    async def by_hand(n: int, context: Own) -> None:
        calls.append(n)
        if n == 1 or calls.count(n) == 2:
            await context.ack()

    async def live():
        async with running(broker):
            await by_hand.kiq(0)
            await by_hand.kiq(1)
            await settled(backend, stream, lambda: len(calls) >= 3)

    arun(live())
    assert sorted(calls) == [0, 0, 1]


@pytest.mark.parametrize("when", ["when_received", "when_executed", "when_saved"])
def test_whenever_taskiq_acknowledges_a_task_that_failed_is_tried_again(backend, stream, arun, when):
    broker, calls = held(backend, stream), []

    @broker.task("fail", ack_type=when)
    async def fail() -> None:
        calls.append(when)
        raise LookupError("no such account")

    async def live():
        async with running(broker):
            await fail.kiq()
            await settled(backend, stream, lambda: dead(backend, stream))

    arun(live())
    assert len(calls) == 2
    assert reasons(backend, stream) == ["max_attempts"]


def test_a_task_that_nobody_knows_is_parked_until_a_worker_does(backend, stream, arun):
    calls = []

    async def live():
        sender = held(backend, stream)

        @sender.task("new")
        async def new() -> None:
            calls.append("by the sender")

        await new.kiq()
        await sender.shutdown()
        older = held(backend, stream)
        async with running(older):
            parked = GroupKeys(DEFAULT_PREFIX, stream, "g").due
            await wait_until_async(lambda: backend.admin.zcard(parked) == 1, 60, "it is parked")
            assert pending(backend, stream) == 1
        backend.admin.zadd(parked, {backend.admin.zrange(parked, 0, 0)[0]: 1})
        newer = held(backend, stream)
        newer.task("new")(new.original_func)
        async with running(newer):
            await settled(backend, stream, lambda: calls)

    arun(live())
    assert calls == ["by the sender"]
    assert dead(backend, stream) == []


def test_what_is_no_message_of_taskiqs_is_a_dead_letter_and_is_not_acknowledged_away(backend, stream, arun):
    broker = held(backend, stream)

    async def live():
        backend.admin.xadd(stream, {"data": b"{no json"})
        async with running(broker):
            await settled(backend, stream, lambda: dead(backend, stream))

    arun(live())
    (letter,) = dead(backend, stream)
    assert letter[b"x-dlq-failure-reason"] == b"decode_error"
    assert letter[b"data"] == b"{no json"


def test_an_effect_in_sql_goes_in_with_its_record_or_not_at_all(backend, stream, arun, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    broker = held(backend, stream, Holdfast(backend.url, sql=url, settings=QUICK), once="sql")
    tries = []

    @broker.task("bill")
    async def bill(order_id: str, session: Annotated[AsyncSession, TaskiqDepends(given(AsyncSession))]) -> None:
        await session.execute(insert(BILLS).values(order_id=order_id))
        tries.append(order_id)
        if len(tries) == 1:
            raise LookupError("after the write")

    async def live():
        async with shop(url) as engine:
            async with running(broker):
                await bill.kiq("o-1")
                await settled(backend, stream, lambda: len(tries) == 2)
            async with engine.connect() as connection:
                return (await connection.execute(select(BILLS))).all()

    assert arun(live()) == [("o-1",)]


def test_a_task_over_its_limit_is_cut_off_before_it_is_tried_again(backend, stream, arun):
    broker, seen = held(backend, stream, timeout_s=0.2), []

    @broker.task("slow")
    async def slow() -> None:
        seen.append("begun")
        if seen == ["begun"]:
            try:
                await asyncio.sleep(600)
            finally:
                seen.append("cut off")

    async def live():
        async with running(broker):
            await slow.kiq()
            await settled(backend, stream, lambda: len(seen) == 3)

    arun(live())
    assert seen == ["begun", "cut off", "begun"]


def test_a_plain_task_runs_in_a_thread_and_is_given_things_there_too(backend, stream, arun):
    broker, threads = held(backend, stream, once="redis"), []

    @broker.task("plain")
    def plain(writes: Annotated[Writes, TaskiqDepends(given(Writes))]) -> None:
        threads.append(threading.current_thread())
        writes.rpush(f"{stream}-done", "1")

    async def live():
        async with running(broker):
            await plain.kiq()
            await settled(backend, stream, lambda: backend.admin.exists(f"{stream}-done"))

    arun(live())
    assert threads[0] is not threading.main_thread()


def test_labels_say_when_and_in_which_order(backend, stream, arun):
    broker, calls = held(backend, stream), []

    @broker.task("later")
    async def later(n: int) -> None:
        calls.append(n)

    async def live():
        async with running(broker):
            await later.kicker().with_labels(delay=0.5, key="o-1").kiq(1)
            await later.kiq(2)
            await wait_until_async(lambda: len(calls) == 2, 60, "both are done")

    arun(live())
    assert calls == [2, 1]


def test_labels_of_every_kind_reach_the_task_as_they_were_sent(backend, stream, arun):
    broker, seen = held(backend, stream), []
    labels = {"n": 7, "part": 0.5, "yes": True, "raw": b"\x00\xff", "text": "7"}

    @broker.task("labelled", **labels)
    async def labelled(context: Own) -> None:
        seen.append(context.message.labels)

    async def live():
        async with running(broker):
            await labelled.kiq()
            await settled(backend, stream, lambda: seen)

    arun(live())
    assert seen == [labels]


async def one_task_died(broker, backend, stream):
    """A task that does nothing, sent, and run until it is a letter."""
    @broker.task("any")
    async def any_task() -> None: ...

    async with running(broker):
        await any_task.kiq()
        await settled(backend, stream, lambda: dead(backend, stream))


def test_what_taskiq_itself_cannot_read_after_all_is_a_dead_letter(backend, stream, arun):
    broker = held(backend, stream)
    real, reads = broker.formatter.loads, []

    def reads_twice_and_no_more(message):
        reads.append(message)
        if len(reads) > 2:
            raise ValueError("another release of it could")
        return real(message)

    broker.formatter.loads = reads_twice_and_no_more
    arun(one_task_died(broker, backend, stream))
    assert reasons(backend, stream) == ["decode_error"]


def test_what_was_not_begun_when_taskiq_stops_is_handed_back_without_an_attempt(backend, stream, arun):
    once = Retry(attempts=1)
    broker, calls = held(backend, stream, retry=once), []

    @broker.task("slow")
    async def slow(n: int) -> None:
        calls.append(n)
        await asyncio.sleep(0)

    async def live():
        # A worker that takes messages and begins none.
        broker.is_worker_process = True
        await broker.startup()
        hands = broker.listen()
        for n in range(3):
            await slow.kiq(n)
        await anext(hands)
        await broker.shutdown()
        await hands.aclose()
        assert calls == []
        again = held(backend, stream, retry=once)
        again.task("slow")(slow.original_func)
        async with running(again):
            await settled(backend, stream, lambda: len(calls) == 3)

    arun(live())
    assert sorted(calls) == [0, 1, 2]


def test_a_middleware_that_breaks_costs_an_attempt_and_loses_nothing(backend, stream, arun):
    class Broken(TaskiqMiddleware):
        def pre_execute(self, message):
            raise ConnectionError("its own store is away")

    broker = held(backend, stream)
    broker.add_middlewares(Broken())
    arun(one_task_died(broker, backend, stream))
    assert reasons(backend, stream) == ["max_attempts"]


def test_a_middleware_that_would_retry_beside_us_is_refused(backend, stream, arun):
    class OurOwn(SimpleRetryMiddleware):
        """A user's, made of theirs."""

    broker = held(backend, stream)
    broker.add_middlewares(OurOwn())

    async def live():
        with pytest.raises(ConfigurationError, match="OurOwn would send a failed task anew"):
            await broker.startup()
        await broker.shutdown()

    arun(live())


def test_consumers_that_end_by_themselves_end_taskiqs_listening(backend, stream, arun):
    broker = held(backend, stream)

    async def live():
        broker.is_worker_process = True
        await broker.startup()
        receiver = asyncio.create_task(run_receiver_task(broker, max_async_tasks=1))
        await wait_until_async(lambda: broker.hf.worker is not None, 60, "it runs")
        broker.hf.stop()
        await asyncio.wait({receiver}, timeout=20)
        assert receiver.done()
        await broker.shutdown()

    arun(live())


def test_tasks_still_run_in_memory_in_their_own_tests(arun):
    broker, calls = InMemoryBroker(), []

    @broker.task("bill")
    async def bill(n: int) -> None:
        calls.append(n)

    async def live():
        await broker.startup()
        await (await bill.kiq(1)).wait_result()
        await broker.shutdown()

    arun(live())
    assert calls == [1]


@pytest.fixture(autouse=True)
def _quiet():
    """Taskiq logs each failure with its traceback: here they are wanted."""
    logger = logging.getLogger("taskiq")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
