# SPDX-License-Identifier: Apache-2.0
"""Named leases: one holder, a growing epoch, a deadline of the holder's own, and hand-over on release and on death."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._redis.heart import Heart
from holdfast._redis.lease import Lease
from holdfast._redis.open import open_server
from holdfast.errors import LeaseLost
from holdfast.testing import Proxy, wait_until_async

CLOCK = SystemClock()
LEASE_MS = 600


@asynccontextmanager
async def contender(url, name, member, lease_ms=LEASE_MS):
    """A process that would hold the lease ``name``."""
    server = await open_server(url)
    heart = Heart(server, CLOCK, Events())
    heart.start(0.05)
    try:
        yield Lease(server, heart, name, member, lease_ms=lease_ms, clock=CLOCK, chance=system_chance())
    finally:
        await heart.stop()
        await server.close()


def test_one_holds_it_and_the_next_gets_it_with_a_higher_epoch(backend, stream, arun):
    """guard: held in claim_lease.lua"""
    async def scenario():
        async with contender(backend.url, stream, "a") as a, contender(backend.url, stream, "b") as b:
            term = await a.claim()
            assert term is not None
            assert await b.claim() is None
            again = await a.claim()
            assert again is not None, "asking again gives the same grant"
            assert again.epoch == term.epoch
            await a.release(term)
            after = await b.claim()
            assert after is not None
            assert after.epoch == term.epoch + 1

    arun(scenario())


def test_it_outlasts_its_length_while_its_holder_lives(backend, stream, arun):
    """guard: the heart beats for it"""
    async def scenario():
        async with contender(backend.url, stream, "a") as a, contender(backend.url, stream, "b") as b:
            term = await a.claim()
            until = CLOCK.now() + 3 * LEASE_MS / 1000
            while CLOCK.now() < until:
                assert await b.claim() is None
                term.check(CLOCK)
                await asyncio.sleep(0.05)

    arun(scenario())


def test_a_dead_holder_is_followed_when_its_lease_has_run_out(backend, stream, arun):
    async def scenario():
        async with contender(backend.url, stream, "b") as b:
            async with contender(backend.url, stream, "a") as a:
                assert await a.claim() is not None
                assert await b.claim() is None
            # Its heart has stopped, and it has said nothing.
            term = await wait_until_async(b.claim, 5, "the lease ran out")
            assert term.epoch == 2

    arun(scenario())


@pytest.mark.kinds("valkey", "redis62", "redis70")
def test_a_holder_that_is_cut_off_knows_it_by_its_own_clock(backend, stream, arun):
    async def scenario():
        with Proxy(backend.masters[0].address) as proxy:
            host, port = proxy.address
            async with contender(f"redis://{host}:{port}/0", stream, "a") as a, a.held() as term:
                term.check(CLOCK)
                proxy.stall()
                await asyncio.wait_for(term.lost.wait(), 3)
                assert term.cause == "unreachable"
                with pytest.raises(LeaseLost):
                    term.check(CLOCK)
                proxy.resume()

    arun(scenario())


def test_waiters_take_turns(backend, stream, arun):
    holders: list[str] = []
    inside = 0

    async def lead(member):
        nonlocal inside
        async with contender(backend.url, stream, member) as lease, lease.held():
            inside += 1
            assert inside == 1, "two led at once"
            holders.append(member)
            await asyncio.sleep(0.02)
            inside -= 1

    async def scenario():
        await asyncio.gather(*(lead(f"m{n}") for n in range(4)))
        assert sorted(holders) == ["m0", "m1", "m2", "m3"]

    arun(scenario())
