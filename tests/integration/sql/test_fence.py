# SPDX-License-Identifier: Apache-2.0
"""The fence row: of two owners of a partition, only the later one can commit."""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast._sql import Timeouts
from holdfast.errors import LeaseLost
from tests.integration.sql.bench import Bench, delivery, on


@pytest.fixture(params=["async", "plain"])
def bench(request, url):
    return Bench(url, request.param)


def test_an_owner_with_a_lower_epoch_cannot_write(bench):
    async def claim():
        assert await bench.run(delivery("m1", epoch=4)) is True
        assert await bench.run(delivery("m2", epoch=5)) is True
        with pytest.raises(LeaseLost, match="epoch 5"):
            await bench.run(delivery("m3", epoch=4))
        assert bench.once.transient(LeaseLost())
        assert bench.applied() == ["m1", "m2"] == bench.inbox()
        assert bench.fence() == 5

    on(bench, claim)


def test_without_an_epoch_there_is_no_fence(bench):
    async def claim():
        assert await bench.run(delivery("m1", epoch=None)) is True
        assert bench.fence() is None

    on(bench, claim)


def test_each_partition_has_a_fence_of_its_own(bench):
    async def claim():
        await bench.run(delivery("m1", stream="orders.0", epoch=9))
        assert await bench.run(delivery("m2", stream="orders.1", epoch=1)) is True

    on(bench, claim)


def test_a_batch_of_the_old_owner_is_refused_whole(bench):
    async def claim():
        await bench.run(delivery("m0", stream="orders.1", epoch=7))
        members = [delivery("m1", stream="orders.0", epoch=3), delivery("m2", stream="orders.1", epoch=6)]
        with pytest.raises(LeaseLost):
            await bench.run_batch(members)
        assert bench.applied() == ["m0"]

    on(bench, claim)


def test_the_fence_is_not_raised_for_what_was_not_applied_but_never_goes_back(bench):
    """Raising is a transaction of its own: an owner whose first handler fails is still the owner."""

    async def claim():
        with pytest.raises(ValueError, match="bad"):
            await bench.run(delivery("m1", epoch=8), error=ValueError("bad"))
        assert bench.fence() == 8
        with pytest.raises(LeaseLost):
            await bench.run(delivery("m1", epoch=7))

    on(bench, claim)


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_one_owners_transactions_do_not_queue_behind_each_other(bench):
    async def claim():
        await bench.run(delivery("m0", epoch=1))
        both = asyncio.Barrier(2)
        await asyncio.wait_for(asyncio.gather(
            bench.run(delivery("m1", epoch=1), then=both.wait), bench.run(delivery("m2", epoch=1), then=both.wait)), 10)
        assert bench.applied() == ["m0", "m1", "m2"]

    on(bench, claim)


def test_a_new_owner_waits_for_the_old_ones_open_transaction(bench):
    """Otherwise the old one could commit after the new one has, with what it read before."""

    async def claim():
        await bench.run(delivery("m0", epoch=1))
        written, go_on = asyncio.Event(), asyncio.Event()

        async def hold():
            written.set()
            await go_on.wait()

        old = asyncio.create_task(bench.run(delivery("m1", epoch=1), then=hold))
        await written.wait()
        new = asyncio.create_task(bench.run(delivery("m2", epoch=2)))
        assert await asyncio.wait([new], timeout=0.2) == (set(), {new})
        go_on.set()
        assert await asyncio.gather(old, new) == [True, True]
        with pytest.raises(LeaseLost):
            await bench.run(delivery("m3", epoch=1))

    on(bench, claim)


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_a_paused_owner_holds_the_new_one_up_no_longer_than_the_idle_limit(bench):
    impatient = Bench(bench.url, bench.side, Timeouts(lock_s=10.0, idle_s=1.0))

    async def claim():
        await impatient.run(delivery("m0", epoch=1))
        written, go_on = asyncio.Event(), asyncio.Event()

        async def pause():
            written.set()
            await go_on.wait()

        paused = asyncio.create_task(impatient.run(delivery("m1", epoch=1), then=pause))
        await written.wait()
        started = time.monotonic()
        assert await bench.run(delivery("m1", epoch=2)) is True
        assert 0.5 < time.monotonic() - started < 5
        go_on.set()
        with pytest.raises(Exception):  # noqa: B017  the server has closed its connection; drivers name it differently
            await paused
        assert bench.applied() == ["m0", "m1"]
        await impatient.close()

    on(bench, claim)
