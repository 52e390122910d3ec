# SPDX-License-Identifier: Apache-2.0
"""Handlers that take too long, that do not let themselves be cancelled, and that end in odd ways."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time

import pytest

from holdfast import Fixed, Retry
from holdfast._base import events as ev
from holdfast.consume.consumer import WATCH_S
from holdfast.consume.policy import NEVER
from tests.support.protocol import GROUP, Service, desk_at, eventually

AGAIN = Retry(attempts=2, backoff=Fixed(0.02))


def test_an_overdue_handler_is_cancelled_in_time_counts_and_its_letter_says_timeout(backend, stream, arun):
    limit_s, ran_s = 0.2, []

    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, retry=AGAIN, timeout_s=limit_s)
        async def handle(body: str) -> None:
            started = time.monotonic()
            try:
                await asyncio.sleep(30)
            finally:
                ran_s.append(time.monotonic() - started)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "slow")
            (letter,) = await eventually(desk.letters, "it is dead after two attempts")
            assert letter["x-dlq-failure-reason"] == "timeout"
            assert letter["x-dlq-exception-type"] == "holdfast.errors.HandlerTimeout"
            assert letter["x-dlq-attempts"] == "2"
            assert [(e.attempt, e.stage) for e in service.told.of(ev.AttemptFailed)] == [(1, "handle"), (2, "handle")]

    arun(scenario())
    # The watch looks every 50 ms; the rest is what two busy cores may add to that.
    assert all(limit_s <= ran <= limit_s + WATCH_S + 0.5 for ran in ran_s)


def test_within_its_limit_a_handler_is_left_alone(backend, stream, arun):
    async def scenario():
        service, done = Service(backend.url), []

        @service.consumer(stream, group=GROUP, timeout_s=5.0)
        async def handle(body: str) -> None:
            await asyncio.sleep(0.2)
            done.append(body)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "slow enough")
            await eventually(lambda: done, "it ends by itself")
            await eventually(desk.is_through, "and is acknowledged")
            assert not service.told.of(ev.AttemptFailed)

    arun(scenario())


def test_who_swallows_the_cancellation_and_succeeds_is_acknowledged(backend, stream, arun):
    async def scenario():
        service, runs = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=AGAIN, timeout_s=0.1)
        async def handle(body: str) -> None:
            runs.append(body)
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                return

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "stubborn")
            await eventually(lambda: runs, "it runs")
            await eventually(desk.is_through, "it is acknowledged")
            assert await desk.letters() == []
        assert runs == ["stubborn"]

    arun(scenario())


def test_who_goes_on_after_its_cancellation_is_told_of_once_and_stays_in_flight(backend, stream, arun):
    async def scenario():
        service, let, runs = Service(backend.url), asyncio.Event(), []

        @service.consumer(stream, group=GROUP, retry=AGAIN, timeout_s=0.1)
        async def handle(body: str) -> None:
            runs.append(body)
            while not let.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await let.wait()

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "stubborn")
            try:
                await eventually(lambda: service.told.of(ev.HandlerOverdue), "it is told of")
                assert [count for _, count in (await desk.pending()).values()] == [1]
            finally:
                let.set()
            await eventually(desk.is_through, "its result counts")
            assert len(service.told.of(ev.HandlerOverdue)) == 1
        assert runs == ["stubborn"]

    arun(scenario())


def test_a_swallowed_cancellation_is_forgotten_with_its_message(backend, stream, arun):
    """A task counts its cancellations, and whoever asks it in a later message would take them for new ones."""

    async def scenario():
        service, counts = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=NEVER, timeout_s=0.1, concurrency=1)
        async def handle(body: str) -> None:
            counts.append(asyncio.current_task().cancelling())
            if body == "stubborn":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(30)

        async with service:
            await service.hf.publish(stream, "stubborn")
            await service.hf.publish(stream, "next")
            await eventually(lambda: len(counts) == 2, "both ran, in one task")
        assert counts == [0, 0]

    arun(scenario())


@pytest.mark.parametrize("how", ["a task that somebody cancelled", "raised by hand"])
def test_a_cancellation_that_is_not_ours_is_a_failure_like_any_other(backend, stream, arun, how):
    async def scenario():
        service, runs = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=AGAIN, concurrency=1)
        async def handle(body: str) -> None:
            runs.append(body)
            if body == "next":
                return
            if how == "raised by hand":
                raise asyncio.CancelledError
            other = asyncio.create_task(asyncio.sleep(30))
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "cancelled")
            (letter,) = await eventually(desk.letters, "it is dead after two attempts")
            assert letter["x-dlq-exception-type"] == "asyncio.exceptions.CancelledError"
            await service.hf.publish(stream, "next")
            await eventually(lambda: runs == ["cancelled", "cancelled", "next"], "the task lives and takes the next")

    arun(scenario())


def test_an_error_outside_of_exception_is_a_failure_like_any_other(backend, stream, arun):
    class Abandoned(BaseException):
        pass

    async def scenario():
        service, runs = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=NEVER, concurrency=1)
        async def handle(body: str) -> None:
            runs.append(body)
            if body == "bad":
                raise Abandoned

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "bad")
            (letter,) = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-exception-type"].endswith("Abandoned")
            await service.hf.publish(stream, "next")
            await eventually(lambda: runs == ["bad", "next"], "the task lives and takes the next")

    arun(scenario())


# -- in threads ------------------------------------------------------------------------------------------------------


def test_an_overdue_thread_keeps_its_entry_is_told_once_and_its_result_counts(backend, stream, arun):
    """For longer than a lease: nobody takes it over, nobody starts it beside it."""

    async def scenario():
        service, heir, let, runs = Service(backend.url), Service(backend.url), threading.Event(), []

        def handle(body: str) -> None:
            runs.append(body)
            let.wait(30)

        for each in (service, heir):
            each.consumer(stream, group=GROUP, retry=AGAIN, timeout_s=0.1)(handle)
        try:
            async with service, desk_at(backend.url, stream) as desk:
                await service.joined()
                await service.hf.publish(stream, "slow")
                await eventually(lambda: service.told.of(ev.HandlerOverdue), "it is told to be overdue")
                async with heir:
                    began = await desk.now_ms()
                    lease_ms = service.hf.settings.lease_ms

                    async def two_leases_passed():
                        return await desk.now_ms() - began > 2 * lease_ms

                    await eventually(two_leases_passed, "two leases pass")
                    (owner, count), = (await desk.pending()).values()
                    assert (owner, count) == (service.source.incarnation, 1)
                    assert runs == ["slow"]
                    let.set()
                    await eventually(desk.is_through, "its result counts")
                assert runs == ["slow"]
                assert await desk.letters() == []
                (overdue,) = service.told.of(ev.HandlerOverdue)
                assert overdue.seconds >= 0.1
        finally:
            let.set()

    arun(scenario())


def test_each_overdue_thread_is_told_of(backend, stream, arun):
    """One handler task, two messages: that the first was overdue says nothing of the second."""

    async def scenario():
        service, let = Service(backend.url), threading.Semaphore(0)

        @service.consumer(stream, group=GROUP, timeout_s=0.1, concurrency=1)
        def handle(body: str) -> None:
            let.acquire(timeout=30)

        async with service:
            for n in (1, 2):
                await service.hf.publish(stream, "slow")
                await eventually(lambda n=n: len(service.told.of(ev.HandlerOverdue)) == n, f"number {n} is told of")
                let.release()

    arun(scenario())


def test_after_an_overdue_thread_an_async_handler_is_cut_off_again(backend, stream, arun):
    async def scenario():
        service, let = Service(backend.url), threading.Event()

        @service.consumer(stream, group=GROUP, retry=NEVER, timeout_s=0.1, concurrency=1, type="plain")
        def handle(body: str) -> None:
            let.wait(30)

        @service.consumer(stream, group=GROUP, type="async")
        async def handle_async(body: str) -> None:
            await asyncio.sleep(30)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "slow", type="plain")
            await eventually(lambda: service.told.of(ev.HandlerOverdue), "the thread is overdue")
            let.set()
            await eventually(desk.is_through, "and ends")
            await service.hf.publish(stream, "slow", type="async")
            (letter,) = await eventually(desk.letters, "the other is cut off by the same task's watch")
            assert letter["x-dlq-failure-reason"] == "timeout"

    arun(scenario())


def test_a_thread_sees_the_context_that_middleware_made(backend, stream, arun):
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")

    async def scenario():
        service, seen = Service(backend.url), []

        async def of_tenant(delivery, call_next):
            tenant.set(delivery.message.headers["tenant"])
            return await call_next(delivery)

        @service.consumer(stream, group=GROUP, middleware=[of_tenant])
        def handle(body: str) -> None:
            seen.append(tenant.get())

        async with service:
            await service.hf.publish(stream, "x", headers={"tenant": "kelp"})
            await eventually(lambda: seen == ["kelp"], "the thread sees it")

    arun(scenario())
