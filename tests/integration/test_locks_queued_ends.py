# SPDX-License-Identifier: Apache-2.0
"""How holds and places of a lock with a queue end on a real server: given back, run out, by death, by a person."""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast.errors import LeaseLost
from holdfast.locks.queued import Queued, Share
from holdfast.testing import wait_until_async
from tests.support.locks import locks_at
from tests.support.queues import Place, dead_waiter, queue_up

pytestmark = pytest.mark.everywhere


def test_nobody_renews_or_gives_back_what_has_ended(backend, stream, arun):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url) as locks:
            lock = locks.lock(stream, fair=True)
            held = await lock.acquire()
            mine = held.acquisition.encode()
            backend.admin.zrem(place.keys.lock_holders, mine)
            await wait_until_async(lambda: held.over, 10, "the renewer is told")
            assert held.cause == "server"
            assert place.holding() == [], "guard: owner, in renew_queued.lua"
            assert await lock._keeper.give_back(held) is False, "guard: owner, in release_queued.lua"
            assert await lock.release(held) is False

    arun(main())


def test_a_hold_that_is_not_renewed_ends_and_the_next_one_in_line_has_it(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            began = time.monotonic()
            held = await one.lock(stream, fair=True).acquire(lease_s=0.4)
            taken = await other.lock(stream, fair=True).acquire(wait_s=10)
            assert 0.35 < time.monotonic() - began < 5, "guard: a lease has an end. The poll is 30 s"
            with pytest.raises(LeaseLost):
                held.check()
            assert await one.lock(stream, fair=True)._keeper.give_back(held) is False
            taken.check()

    arun(main())


def test_a_dead_one_in_the_queue_is_passed_over(backend, stream, arun):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url, ttl_s=5, poll_s=0.2) as locks:
            lock = locks.lock(stream, fair=True)
            held = await lock.acquire()
            await dead_waiter(locks, lock)
            assert place.waiting() == 1
            await asyncio.sleep(0.7)
            await lock.release(held)
            assert place.holding() == [], "guard: a dead one is passed over. Its place was kept for 0.6 s"
            assert place.waiting() == 0
            await lock.release(await lock.acquire(wait_s=0))

    arun(main())


def test_a_dead_one_in_the_middle_of_the_queue_keeps_nobody_busy(backend, stream, arun):
    """Whoever is behind it has nobody left to wait for, and must not ask without a pause for all that."""
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url, ttl_s=9, poll_s=0.1) as one, locks_at(backend.url, ttl_s=9, poll_s=5) as other:
            held, tasks = await one.lock(stream, fair=True).acquire(), []
            await queue_up(place, other.lock(stream, fair=True), tasks)
            await dead_waiter(one, one.lock(stream, fair=True))
            await queue_up(place, other.lock(stream, fair=True), tasks)
            await asyncio.sleep(0.4)
            asked, ask = [], other.ask

            async def counted(*args):
                asked.append(args)
                return await ask(*args)

            other.ask = counted
            await asyncio.sleep(0.5)
            assert len(asked) <= 4, f"asked {len(asked)} times in half a second"
            assert place.waiting() == 2, "the dead one is gone"
            await one.lock(stream, fair=True).release(held)
            for task in tasks:
                await other.lock(stream, fair=True).release(await task)

    arun(main())


def test_what_was_handed_over_to_a_dead_one_goes_on_and_leaves_no_key_behind(backend, stream, arun):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url, poll_s=0.2) as locks:
            lock = locks.lock(stream, fair=True)
            held = await lock.acquire()
            dead = await dead_waiter(locks, lock)
            await lock.release(held)
            assert place.holding() == [dead.encode()]
            for key in (place.keys.lock_holders, place.keys.lock_about):
                assert 0 < place.admin.pttl(key) < 120_000, f"{key} ends by itself"
            began = time.monotonic()
            await lock.release(await lock.acquire(wait_s=10))
            assert time.monotonic() - began < 3, "a place is kept for three polls"

    arun(main())


def test_keys_end_when_nobody_uses_them(backend, stream, arun):
    async def main():
        place = Place(backend, stream, "permits")
        async with locks_at(backend.url, ttl_s=1, poll_s=0.2) as locks:
            tasks = []
            await locks.semaphore(stream, 1).acquire()
            await queue_up(place, locks.semaphore(stream, 1), tasks)
            await wait_until_async(lambda: locks.renewer.renewed >= 2, 10, "it is renewed")
            for key in (place.keys.lock_holders, place.keys.lock_queue, place.keys.lock_about):
                assert 0 < place.admin.pttl(key) <= 63_000, f"{key} ends by itself"
            tasks[0].cancel()
        assert place.admin.pttl(place.keys.lock_token) == -1, "tokens only grow, however long ago"

    arun(main())


def test_a_hold_whose_record_is_gone_counts_as_all_there_is_and_is_told(backend, stream, arun):
    """An eviction, or a person, takes one key and leaves the other: how much this writer has is not known any more."""
    async def main():
        place = Place(backend, stream, "rw")
        async with locks_at(backend.url, ttl_s=0.9) as locks:
            sides = locks.read_write(stream)
            write = await sides.write.acquire()
            place.admin.delete(place.keys.lock_about)

            with pytest.raises(TimeoutError):
                await asyncio.create_task(sides.read.acquire(wait_s=0))
            await wait_until_async(lambda: write.over, 10, "it is told at its next renewal")
            assert write.cause == "server"
            await asyncio.create_task(sides.read.acquire(wait_s=5))

    arun(main())


def test_asked_again_it_is_one_hold_with_one_token(backend, stream, arun):
    async def main():
        place = Place(backend, stream, "permits")
        async with locks_at(backend.url) as locks:
            lock = locks.semaphore(stream, 1)
            held = await lock.acquire()
            question = await Queued(locks, Share("permits", "permit", 1, 1))._question(held, waits=True)
            token = held.fencing_token
            assert await locks.ask(question, held) is None
            assert held.fencing_token == token, "guard: asked again"
            assert place.holding() == [held.acquisition.encode()]
            assert place.waiting() == 0
            assert await lock.release(held) is True
            assert await lock._keeper.give_back(held) is True, "guard: asked again, in release_queued.lua"

    arun(main())
