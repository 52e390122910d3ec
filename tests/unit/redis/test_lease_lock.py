# SPDX-License-Identifier: Apache-2.0
"""A lease as a lock, with a lease that grants, ends and is lost when the test says so."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from holdfast._base.lock import HoldState
from holdfast._redis.lease import Term
from holdfast._redis.lease_lock import LeaseLock
from holdfast.errors import LeaseLost, NotAuthorized
from holdfast.testing import ManualClock, wait_until_async


class Pulse:
    """Keeps a deadline where the test puts it."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


class FakeLease:
    """Fulfils as much of ``Lease`` as a lock uses."""

    name, lease_ms = "name", 1000

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.free = True
        self.asked = 0
        self.released: list[Term] = []
        self.given_up = 0
        self.term: Term | None = None
        self.answering = asyncio.Event()
        self.answering.set()
        self.refuses: Exception | None = None

    async def claim(self) -> Term | None:
        self.asked += 1
        await self.answering.wait()
        if not self.free:
            return None
        self.term = Term(7, Pulse(self.clock.now() + 1.0))  # type: ignore[arg-type]
        return self.term

    async def release(self, term: Term) -> None:
        term.lose("released")
        self.released.append(term)
        if self.refuses is not None:
            raise self.refuses

    async def give_up(self) -> None:
        self.given_up += 1


def lock_on(lease: FakeLease) -> Any:
    return LeaseLock(lease, lease.clock, random.Random(1))  # type: ignore[arg-type]


def test_a_hold_tells_its_token_its_deadline_and_its_state(arun):
    async def scenario():
        lease = FakeLease(ManualClock())
        async with lock_on(lease).hold() as held:
            assert held.fencing_token == 7
            assert held.state is HoldState.HELD
            assert held.deadline == lease.clock.now() + 1.0
            held.check()
            lease.clock.advance(1.1)
            assert held.state is HoldState.LOST
            with pytest.raises(LeaseLost):
                held.check()
        assert held.state is HoldState.RELEASED
        assert lease.released == [lease.term]

    arun(scenario())


def test_a_body_whose_lease_is_lost_is_cancelled_and_ends_in_lease_lost(arun):
    async def scenario():
        lease, cut = FakeLease(ManualClock()), False
        asyncio.get_running_loop().call_later(0.01, lambda: lease.term and lease.term.lose("server"))

        async def body():
            nonlocal cut
            async with lock_on(lease).hold() as held:
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    cut = held.state is HoldState.LOST
                    raise

        with pytest.raises(LeaseLost, match="server"):
            await body()
        assert cut
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "nobody outside is cancelled by it"
        await asyncio.sleep(0)

    arun(scenario())


def test_a_cancellation_from_outside_stays_one_although_the_lease_is_lost_as_well(arun):
    async def scenario():
        lease = FakeLease(ManualClock())

        async def body():
            async with lock_on(lease).hold():
                await asyncio.sleep(30)

        task = asyncio.create_task(body())
        await wait_until_async(lambda: lease.term, 5, "it is held")
        assert lease.term is not None
        lease.term.lose("server")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lease.released

    arun(scenario())


@pytest.mark.parametrize("how", ["returns", "raises", "is cancelled"])
def test_it_is_given_back_however_the_body_ends(arun, how):
    async def scenario():
        lease = FakeLease(ManualClock())

        async def body():
            async with lock_on(lease).hold():
                if how == "raises":
                    raise ValueError
                if how == "is cancelled":
                    await asyncio.sleep(30)

        task = asyncio.create_task(body())
        if how == "is cancelled":
            await wait_until_async(lambda: lease.term, 5, "it is held")
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(lease.released) == 1

    arun(scenario())


def test_who_is_cancelled_while_it_claims_gives_back_what_may_have_been_granted(arun):
    """guard: it may be granted, and nobody would know"""
    async def scenario():
        lease = FakeLease(ManualClock())
        lease.answering.clear()

        async def body():
            async with lock_on(lease).hold():
                pytest.fail("it never held")

        task = asyncio.create_task(body())
        await wait_until_async(lambda: lease.asked, 5, "it asks")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lease.given_up == 1

    arun(scenario())


def test_a_busy_lock_is_asked_for_again_until_the_wait_is_over(arun):
    async def scenario():
        lease = FakeLease(ManualClock())
        lease.free = False
        with pytest.raises(TimeoutError):
            async with lock_on(lease).hold(wait_s=0):
                pytest.fail("it never held")
        assert lease.asked == 1
        asyncio.get_running_loop().call_later(0.05, setattr, lease, "free", True)
        async with lock_on(lease).hold(wait_s=1):
            assert 2 <= lease.asked <= 6, "it pauses between two questions"

    arun(scenario())


def test_a_body_that_came_to_its_end_does_not_fail_because_the_lock_could_not_be_given_back(arun, caplog):
    async def scenario():
        lease = FakeLease(ManualClock())
        lease.refuses = NotAuthorized("ZREM is not allowed")
        async with lock_on(lease).hold():
            pass

    arun(scenario())
    assert "giving back lock name: ZREM is not allowed" in caplog.text
