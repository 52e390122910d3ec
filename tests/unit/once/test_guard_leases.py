# SPDX-License-Identifier: Apache-2.0
"""A guarded call's lease: renewed while the body runs, and what happens when it is lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from holdfast.errors import LeaseLost, ServerUnreachable
from holdfast.once.guard.memory_store import MemoryStore
from holdfast.testing import wait_until, wait_until_async
from tests.support.guards import Failing, held_by_another, made, outcomes

SOON_S = 10.0


def test_a_slow_coroutine_is_renewed(arun):
    store = Failing()

    async def main():
        async with made(store, lease_s=0.2).once("42") as call:
            await wait_until_async(lambda: store.calls.count("renew") >= 4, SOON_S, "renewed past its first lease")
            assert not call.lost

    arun(main())


def test_slow_plain_code_is_renewed():
    store = Failing()
    with made(store, lease_s=0.2).once("42") as call:
        wait_until(lambda: store.calls.count("renew") >= 4, SOON_S, "renewed past its first lease")
        assert not call.lost


def test_a_body_that_ended_is_renewed_no_more(arun):
    store = Failing()
    guard = made(store, lease_s=0.03)

    async def main():
        async with guard.once("42"):
            pass
        with guard.once("43"):
            pass
        before = [task.get_name() for task in asyncio.all_tasks()]
        threads = [thread.name for thread in threading.enumerate()]
        return before, threads

    tasks, threads = arun(main())
    assert not [name for name in [*tasks, *threads] if "guard" in name]


def test_a_coroutine_whose_mark_was_taken_over_is_cancelled(arun, told):
    store = MemoryStore()
    guard = made(store, lease_s=0.1, told=told)
    cancelled = []

    async def call():
        async with guard.once("42"):
            held_by_another(store)
            try:
                await asyncio.sleep(SOON_S)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    async def main():
        with pytest.raises(LeaseLost, match="somebody else took it over"):
            await call()
        assert asyncio.current_task().cancelling() == 0, "the caller itself is not cancelled"
        return await guard.look("42")

    assert arun(main()).owner == "another"
    assert cancelled
    assert outcomes(told) == ["failed"]


def test_a_coroutine_is_cancelled_when_the_store_is_silent_past_its_lease(arun):
    store = Failing()
    guard = made(store, lease_s=0.1)
    store.before["renew"] = [ServerUnreachable() for _ in range(100)]

    async def call():
        async with guard.once("42"):
            await asyncio.sleep(SOON_S)

    with pytest.raises(LeaseLost, match="did not confirm"):
        arun(call())
    assert store.calls.count("renew") >= 2, "once is not enough"


def test_a_renewal_that_failed_once_is_tried_again_in_time(arun):
    store = Failing()
    guard = made(store, lease_s=0.3)
    store.before["renew"] = [ServerUnreachable(), OSError("odd"), ServerUnreachable()]

    async def main():
        async with guard.once("42") as call:
            await wait_until_async(lambda: store.calls.count("renew") >= 5, SOON_S, "it goes on")
            call.result = 1

    arun(main())


def test_a_cancellation_from_outside_stays_one_although_the_mark_is_lost(arun):
    store = MemoryStore()
    guard = made(store, lease_s=0.1)

    async def main():
        async def call():
            async with guard.once("42"):
                held_by_another(store)
                try:
                    await asyncio.sleep(SOON_S)
                finally:
                    me.cancel()

        me = asyncio.create_task(call())
        with pytest.raises(asyncio.CancelledError):
            await me

    arun(main())


def test_plain_code_is_told_that_its_mark_is_lost_and_does_not_pass_for_the_first():
    store = MemoryStore()
    guard = made(store, lease_s=0.1)

    def work():
        with guard.once("42") as call:
            held_by_another(store)
            wait_until(lambda: call.lost, SOON_S, "the renewal finds another's mark")
            call.result = 1

    with pytest.raises(LeaseLost, match="somebody else took it over"):
        work()
    assert store.plain().look("refunds", "42").owner == "another"


def test_who_was_taken_over_unnoticed_does_not_pass_for_the_first(guard, once, store, told):
    with pytest.raises(LeaseLost):
        once(guard, "42", lambda call: held_by_another(store))
    assert store.plain().look("refunds", "42").owner == "another"
    assert outcomes(told) == ["failed"]


def test_plain_code_that_lost_sight_of_the_store_goes_on_if_nobody_took_over():
    store = Failing()
    guard = made(store, lease_s=0.1)
    store.before["renew"] = [ServerUnreachable() for _ in range(30)]
    with guard.once("42") as call:
        wait_until(lambda: call.lost, SOON_S, "nothing was confirmed for a lease")
        call.result = 1
    assert store.plain().look("refunds", "42").result == b"1"
