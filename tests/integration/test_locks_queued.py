# SPDX-License-Identifier: Apache-2.0
"""Locks with a queue on a real server: in the order of arrival, handed over by name, never more than there is."""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast.errors import ConfigurationError
from holdfast.testing import wait_until_async
from tests.support.locks import locks_at
from tests.support.queues import ONE, Place, of, queue_up

pytestmark = pytest.mark.everywhere


def test_it_is_had_in_the_order_of_arrival_and_tokens_grow(backend, stream, arun):
    async def main():
        place, order = Place(backend, stream), []

        async def take(lock, n):
            async with lock.hold() as held:
                order.append((n, held.fencing_token))

        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            first = await one.lock(stream, fair=True).acquire()
            tasks = []
            for n in range(8):  # by turns through either door
                tasks.append(asyncio.create_task(take((one, other)[n % 2].lock(stream, fair=True), n)))
                await place.until(n + 1)
            await one.lock(stream, fair=True).release(first)
            await asyncio.gather(*tasks)
        assert [n for n, _ in order] == list(range(8)), "guard: in the order of arrival"
        tokens = [first.fencing_token, *(token for _, token in order)]
        assert tokens == sorted(set(tokens))
        assert not place.left()

    arun(main())


def test_whoever_asks_again_keeps_its_place(backend, stream, arun):
    """Everybody polls, the later ones more often."""
    async def main():
        place, order = Place(backend, stream), []

        async def take(locks, n):
            async with locks.lock(stream, fair=True).hold():
                order.append(n)

        async with (locks_at(backend.url, poll_s=0.4) as slow, locks_at(backend.url, poll_s=0.02) as quick,
                    locks_at(backend.url, poll_s=0.4) as holder):
            held = await holder.lock(stream, fair=True).acquire()
            tasks = []
            for n, locks in enumerate((slow, slow, quick, quick)):
                tasks.append(asyncio.create_task(take(locks, n)))
                await place.until(n + 1)
            await asyncio.sleep(0.5)
            await holder.lock(stream, fair=True).release(held)
            await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3], "guard: its place is kept"

    arun(main())


@pytest.mark.parametrize("kind", ONE)
def test_one_holder_at_a_time(backend, stream, arun, kind):
    tokens, inside = [], []

    async def take(locks):
        async with of(locks, kind, stream).hold() as held:
            inside.append(held)
            assert len(inside) == 1, "somebody else is inside"
            tokens.append(held.fencing_token)
            await asyncio.sleep(0)
            inside.remove(held)

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            await asyncio.gather(*(take(locks) for _ in range(10) for locks in (one, other)))

    arun(main())
    assert len(tokens) == 20
    assert tokens == sorted(set(tokens))


def test_a_release_wakes_the_next_one_and_nobody_else(backend, stream, arun):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url, ttl_s=20) as one, locks_at(backend.url, ttl_s=20) as other:
            held, tasks = await one.lock(stream, fair=True).acquire(), []
            for _ in range(6):
                await queue_up(place, other.lock(stream, fair=True), tasks)
            heard, (listener,) = [], other._listeners.values()
            tell = listener._tell
            listener._tell = lambda channel: (heard.append(channel), tell(channel))
            for n in range(6):
                began = time.monotonic()
                await (other if n else one).lock(stream, fair=True).release(held)
                held = await tasks[n]
                assert time.monotonic() - began < 5, "told, for poll and lease are 20 s and more"
                assert len(heard) == n + 1, "one message a release"
                assert not any(task.done() for task in tasks[n + 1:])

    arun(main())


def test_a_free_lock_is_not_had_past_those_who_wait_for_it(backend, stream, arun):
    async def main():
        place = Place(backend, stream, "permits")
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            both, tasks = one.semaphore(stream, 2, units=2), []
            first = await one.semaphore(stream, 2).acquire()
            await queue_up(place, both, tasks)
            with pytest.raises(TimeoutError):  # one permit is free, and somebody waits for two
                await other.semaphore(stream, 2).acquire(wait_s=0)
            assert place.waiting() == 1, "one look takes no place"
            await one.semaphore(stream, 2).release(first)
            assert await both.release(await tasks[0])

    arun(main())


def test_there_are_never_more_holds_than_permits(backend, stream, arun):
    inside, most = set(), []

    async def take(locks, n):
        async with locks.semaphore(stream, 3).hold():
            inside.add(n)
            most.append(len(inside))
            await asyncio.sleep(0.005)
            inside.remove(n)

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            await asyncio.gather(*(take((one, other)[n % 2], n) for n in range(20)))

    arun(main())
    assert max(most) == 3, "guard: no more than there are, and no fewer"


def test_permits_are_holds_of_their_own_and_a_task_may_have_several(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            permits = locks.semaphore(stream, 3)
            one, two, three = [await permits.acquire(wait_s=0) for _ in range(3)]
            assert one.fencing_token < two.fencing_token < three.fencing_token
            with pytest.raises(TimeoutError):
                await permits.acquire(wait_s=0)
            assert await permits.release(two) is True
            again = await permits.acquire(wait_s=0)
            for held in (one, three, again):
                held.check()
                assert await permits.release(held) is True

    arun(main())


def test_several_permits_are_had_together_or_not_at_all(backend, stream, arun):
    async def main():
        place = Place(backend, stream, "permits")
        async with locks_at(backend.url) as locks:
            two, three = await locks.semaphore(stream, 5, units=2).acquire(), locks.semaphore(stream, 5, units=3)
            held = await three.acquire(wait_s=0)
            with pytest.raises(TimeoutError):
                await locks.semaphore(stream, 5).acquire(wait_s=0)
            assert len(place.holding()) == 2
            await three.release(held)
            with pytest.raises(TimeoutError):
                await locks.semaphore(stream, 5, units=4).acquire(wait_s=0)
            await locks.semaphore(stream, 5).release(two)
            assert not place.holding()
            for units in (0, 6):
                with pytest.raises(ConfigurationError, match="of 5 permits"):
                    locks.semaphore(stream, 5, units=units)

    arun(main())


def test_who_asks_last_says_how_many_permits_there_are(backend, stream, arun):
    async def main():
        place = Place(backend, stream, "permits")
        async with locks_at(backend.url) as locks:
            held = [await locks.semaphore(stream, 4).acquire(wait_s=0) for _ in range(4)]
            with pytest.raises(TimeoutError):
                await locks.semaphore(stream, 2).acquire(wait_s=0)
            await locks.semaphore(stream, 2).release(held.pop())
            with pytest.raises(TimeoutError):  # three are out, of two
                await locks.semaphore(stream, 2).acquire(wait_s=0)
            held.append(await locks.semaphore(stream, 4).acquire(wait_s=0))
            tasks = []
            await queue_up(place, locks.semaphore(stream, 4, units=4), tasks)
            with pytest.raises(TimeoutError):  # who waits for four of now two is content with two
                await locks.semaphore(stream, 2).acquire(wait_s=0)
            for _ in range(4):
                await locks.semaphore(stream, 2).release(held.pop())
            await locks.semaphore(stream, 2).release(await tasks[0])

    arun(main())


def test_readers_are_in_together_and_a_writer_alone(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            mine, theirs = one.read_write(stream), other.read_write(stream)
            reads = [await side.read.acquire(wait_s=0) for side in (mine, theirs, theirs)]
            for side in (one.read_write(stream), theirs):
                with pytest.raises((TimeoutError, ConfigurationError)):
                    await side.write.acquire(wait_s=0)
            for side, held in zip((mine, theirs, theirs), reads, strict=True):
                await side.read.release(held)
            write = await mine.write.acquire(wait_s=0)
            for side in (theirs.read, theirs.write):
                with pytest.raises(TimeoutError):
                    await side.acquire(wait_s=0)
            assert write.fencing_token > max(held.fencing_token for held in reads)
            await mine.write.release(write)

    arun(main())


def test_a_writer_that_waits_is_passed_by_no_reader(backend, stream, arun):
    async def main():
        place, order = Place(backend, stream, "rw"), []

        async def take(side, name):
            async with side.hold():
                order.append(name)
                await asyncio.sleep(0.01)

        async with locks_at(backend.url) as locks:
            sides = locks.read_write(stream)
            first, tasks = await sides.read.acquire(), []
            for n, (side, name) in enumerate(((sides.write, "w"), (sides.read, "r1"), (sides.read, "r2"))):
                tasks.append(asyncio.create_task(take(side, name)))
                await place.until(n + 1)
            await sides.read.release(first)
            await asyncio.gather(*tasks)
        assert order == ["w", "r1", "r2"]

    arun(main())


def test_who_writes_may_read_and_who_reads_may_not_write(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            sides = locks.read_write(stream)
            async with sides.write.hold() as write:
                async with sides.read.hold(wait_s=0) as inside, sides.write.hold(wait_s=0) as again:
                    assert inside.fencing_token == again.fencing_token == write.fencing_token
                write.check()
            async with sides.read.hold() as read, sides.read.hold(wait_s=0) as again:
                assert again is read
                with pytest.raises(ConfigurationError, match="wait for itself"):
                    await sides.write.acquire(wait_s=5)
            async with sides.write.hold(wait_s=0):
                pass

    arun(main())


def test_kinds_of_lock_with_one_name_are_different_locks(backend, stream, arun):
    """Counted together, a permit of a hundred would let somebody in beside whoever holds the only one."""
    async def main():
        async with locks_at(backend.url) as locks:
            held = [(lock, await lock.acquire(wait_s=0)) for lock in (
                locks.lock(stream), locks.lock(stream, fair=True), locks.semaphore(stream, 2),
                locks.read_write(stream).write)]
            for lock in (locks.lock(stream, fair=True), locks.read_write(stream).read):
                with pytest.raises(TimeoutError):
                    await asyncio.create_task(lock.acquire(wait_s=0))
            await locks.semaphore(stream, 2).acquire(wait_s=0)
            for lock, one in held:
                one.check()
                assert await lock.release(one) is True
            tokens = [one.fencing_token for _, one in held]
            assert tokens == sorted(set(tokens)), "they guard one thing: its tokens grow whichever lock is taken"

    arun(main())


def test_a_look_does_not_wait_and_leaves_nothing(backend, stream, arun):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url) as locks, locks.lock(stream, fair=True).hold():
            before = place.left()

            async def look():
                await locks.lock(stream, fair=True).acquire(wait_s=0)

            with pytest.raises(TimeoutError, match="held by somebody else"):
                await asyncio.create_task(look())
            assert place.waiting() == 0
            assert place.left() == before

    arun(main())


@pytest.mark.parametrize("end", ["cancelled", "out of time"])
def test_a_place_is_given_back_by_whoever_stops_waiting(backend, stream, arun, end):
    async def main():
        place = Place(backend, stream)
        async with locks_at(backend.url, ttl_s=20) as one, locks_at(backend.url, ttl_s=20) as other:
            held, tasks = await one.lock(stream, fair=True).acquire(), []
            before = place.left()
            await queue_up(place, other.lock(stream, fair=True), tasks, wait_s=0.3 if end == "out of time" else None)
            if end == "cancelled":
                tasks[0].cancel()
            with pytest.raises((asyncio.CancelledError, TimeoutError)):
                await tasks[0]
            assert place.waiting() == 0
            assert place.left() == before
            assert not any(listener._waiting for listener in other._listeners.values())
            assert await one.lock(stream, fair=True).release(held) is True
            async with other.lock(stream, fair=True).hold(wait_s=0):
                pass
        assert not place.left()

    arun(main())


def test_holds_of_all_kinds_are_renewed_by_one_command(backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=1) as locks:
            names = [f"{{{stream}}}:{n}" for n in range(20)]
            held = [await of(locks, (*ONE, "read")[n % 4], name).acquire() for n, name in enumerate(names)]
            await wait_until_async(lambda: locks.renewer.renewed >= 80, 20, "four times each")
            for one in held:
                one.check()
            assert locks.renewer.commands <= locks.renewer.renewed / 8

    arun(main())
