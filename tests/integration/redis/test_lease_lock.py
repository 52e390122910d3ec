# SPDX-License-Identifier: Apache-2.0
"""Locks that are leases, on a real server: many that come and go, and what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._base.lock import HoldState
from holdfast._redis.heart import Heart
from holdfast._redis.keys import LeaseKeys
from holdfast._redis.lease_lock import LeaseLocks
from holdfast._redis.open import open_server
from holdfast.errors import LeaseLost
from holdfast.testing import wait_until_async

CLOCK = SystemClock()
LEASE_MS = 600

pytestmark = pytest.mark.everywhere


@asynccontextmanager
async def process(url: str, family: str, lease_ms: int = LEASE_MS) -> AsyncIterator[LeaseLocks]:
    """A process that takes locks. What it holds when it ends is left as a crash leaves it."""
    server = await open_server(url)
    heart = Heart(server, CLOCK, Events())
    heart.start(0.05)
    try:
        yield LeaseLocks(server, heart, family, lease_ms=lease_ms, clock=CLOCK, chance=system_chance())
    finally:
        await heart.stop()
        await server.close()


def keys_of(family: str, name: str) -> LeaseKeys:
    return LeaseKeys("hf", f"{family}:{name}", family)


async def left_lying(locks: LeaseLocks, name: str) -> None:
    """Claims it, and never says another word about it."""
    term = await locks.of(name)._lease.claim()
    assert term is not None
    locks._heart.remove(term.pulse)


async def taken(locks: LeaseLocks, name: str, wait_s: float = 5.0) -> int:
    async with locks.of(name).hold(wait_s=wait_s) as held:
        return held.fencing_token


def test_one_holds_a_name_and_another_name_is_another_lock(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream) as one, process(backend.url, stream) as two:
            async with one.of("a").hold(wait_s=0):
                with pytest.raises(TimeoutError):
                    await taken(two, "a", 0)
                assert await taken(two, "b", 0)
            assert await taken(two, "a", 0)

    arun(scenario())


def test_a_lock_outlasts_its_lease_while_its_holder_lives(backend, stream, arun):
    """guard: the heart beats for it"""
    async def scenario():
        async with (process(backend.url, stream) as one, process(backend.url, stream) as two,
                    one.of("a").hold(wait_s=0) as held):
            until = CLOCK.now() + 3 * LEASE_MS / 1000
            while CLOCK.now() < until:
                with pytest.raises(TimeoutError):
                    await taken(two, "a", 0)
                held.check()
                await asyncio.sleep(0.05)

    arun(scenario())


def test_what_a_dead_holder_left_is_taken_over_although_every_lock_is_a_new_one(backend, stream, arun):
    """guard: a family remembers what its locks have seen of the server's clock"""
    async def scenario():
        async with process(backend.url, stream) as one, process(backend.url, stream) as two:
            await left_lying(one, "a")
            began = CLOCK.now()

            async def by_a_new_lock() -> int:
                try:
                    return await taken(two, "a", 0)
                except TimeoutError:
                    return 0

            await wait_until_async(by_a_new_lock, 5, "somebody got it")
            assert CLOCK.now() - began < 2 * LEASE_MS / 1000

    arun(scenario())


def test_a_later_grant_has_a_larger_token_even_if_the_last_one_is_forgotten(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream) as locks:
            tokens = [await taken(locks, name) for name in ("a", "b", "a", "b")]
            assert sorted(set(tokens)) == tokens, "one row of numbers for all locks of a family"
            backend.admin.delete(keys_of(stream, "a").lease_epoch)  # as a failover loses it
            assert await taken(locks, "a") > tokens[-1]

    arun(scenario())


def test_locks_leave_nothing_behind_but_one_number_for_all_of_them(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream) as locks:
            await asyncio.gather(*(taken(locks, f"message-{n}") for n in range(50)))
            assert all_keys(backend) == [keys_of(stream, "").lease_epoch]

    arun(scenario())


def test_what_a_dead_holder_leaves_is_forgotten_in_the_end_and_no_sooner_while_one_lives(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream) as locks:
            key = keys_of(stream, "a").lease
            async with locks.of("a").hold(wait_s=0):
                assert 0 < backend.admin.pttl(key) <= 360 * LEASE_MS
                backend.admin.pexpire(key, 5_000)  # as if it had been held for long
                await wait_until_async(lambda: backend.admin.pttl(key) > 5_000, 5, "a beat put it off")
            assert all_keys(backend) == [keys_of(stream, "").lease_epoch]

    arun(scenario())


def test_after_a_step_of_the_server_s_clock_nobody_is_taken_for_dead_before_he_can_beat(backend, stream, arun):
    """The step is seen with a lock that is free; another's lease looks as if it had run out."""
    async def scenario():
        async with process(backend.url, stream, 2000) as locks:
            await taken(locks, "free")
            locks._family.even_since -= 10  # it has watched for long
            watch = locks._family.watch
            assert watch.seen_ms is not None
            watch.seen_ms -= 60_000  # the clock steps by a minute, and what somebody else holds is over by its numbers
            await taken(locks, "free")
            backend.admin.zadd(keys_of(stream, "held").lease, {"lock-of-another": 1})
            with pytest.raises(TimeoutError):
                await taken(locks, "held", 0)
            assert await taken(locks, "held"), "who does not beat is dead after all"

    arun(scenario())


def test_a_beat_that_comes_after_the_release_revives_nothing_and_robs_nobody(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream, 60_000) as locks:
            heart = locks._heart
            async with locks.of("a").hold(wait_s=0) as held:
                pulse = held._term.pulse
                assert pulse in heart._pulses
            assert pulse not in heart._pulses, "its renewal has ended before the release"
            await asyncio.to_thread(heart._beat, pulse)  # one that was under way
            assert pulse.lost
            assert all_keys(backend) == [keys_of(stream, "").lease_epoch]
            async with locks.of("a").hold(wait_s=0) as other:
                await asyncio.to_thread(heart._beat, pulse)
                assert other.state is HoldState.HELD

    arun(scenario())


def test_who_has_lost_it_gives_back_nothing_of_another_s(backend, stream, arun):
    async def scenario():
        async with process(backend.url, stream) as locks:
            key = keys_of(stream, "a").lease

            async def robbed() -> Any:
                async with locks.of("a").hold(wait_s=0):
                    backend.admin.delete(key)
                    backend.admin.zadd(key, {"lock-of-another": 2**50})
                    await asyncio.sleep(30)

            with pytest.raises(LeaseLost):
                await robbed()
            assert backend.admin.zrange(key, 0, -1) == [b"lock-of-another"]

    arun(scenario())


def test_two_hundred_locks_are_kept_alive_at_once(backend, stream, arun):
    """They come twenty at a time: a claim that waits behind 199 others is given up for want of an answer."""
    lease_ms = 4000

    async def scenario():
        async with process(backend.url, stream, lease_ms) as locks:
            async def kept(n: int) -> None:
                async with contextlib.AsyncExitStack() as stack:
                    async with door:
                        held = await stack.enter_async_context(locks.of(f"message-{n}").hold(wait_s=0))
                    await everybody.wait()
                    await asyncio.sleep(1.25 * lease_ms / 1000)
                    held.check()

            door, everybody = asyncio.Semaphore(20), asyncio.Barrier(200)
            await asyncio.gather(*(kept(n) for n in range(200)))

    arun(scenario())


def all_keys(backend: Any) -> list[bytes]:
    return [key for master in backend.masters for key in master.admin.keys("*")]
