# SPDX-License-Identifier: Apache-2.0
"""Who is at work where consumers hold no lease: marks of the living are theirs, those of the dead are not."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from holdfast._base.chance import system_chance
from holdfast._base.clock import Instant, SystemClock
from holdfast._base.events import Events
from holdfast._redis.heart import Heart
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.once.presence import Presence
from holdfast.testing import wait_until_async

LEASE_MS = 600
SOON_S = 20.0


class Watch(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def now(self) -> Instant:
        return Instant(super().now() + self.ahead_s)


@pytest.fixture
def there(valkey, stream):
    """Makes presences of one group, each with a heart and a watch of its own."""
    keys = GroupKeys("hf", f"rabbitmq:{stream}", "billing")

    @asynccontextmanager
    async def come(lease_ms=LEASE_MS):
        watch, server = Watch(), await open_server(valkey.url)
        heart = Heart(server, watch, Events())
        heart.start(0.05)
        one = Presence(server, heart, keys, lease_ms=lease_ms, clock=watch, chance=system_chance())
        try:
            await one.open()
            yield one, watch
        finally:
            await one.close()
            await heart.stop()
            await server.close()

    come.keys, come.admin = keys, valkey.admin
    return come


@pytest.fixture
def valkey():
    from holdfast.testing import Single

    with Single() as server:
        yield server


def alive(there):
    return {name.decode() for name in there.admin.zrange(there.keys.leases, 0, -1)}


def test_who_is_there_is_kept_and_who_goes_is_gone(there, arun):
    async def claim():
        async with there() as (one, _):
            async with there() as (two, _):
                assert alive(there) == {one.name, two.name}
                assert one.name != two.name
                until = there.admin.zscore(there.keys.leases, one.name)
                await wait_until_async(lambda: there.admin.zscore(there.keys.leases, one.name) > until, SOON_S, "beats")
            assert alive(there) == {one.name}
        assert alive(there) == set()

    arun(claim())


def test_the_dead_are_taken_away_by_the_living(there, arun):
    async def claim():
        async with there() as (one, _):
            there.admin.zadd(there.keys.leases, {"host-1-hf0000000000": 1})
            await wait_until_async(lambda: alive(there) == {one.name}, SOON_S, "the dead one went")

    arun(claim())


def test_a_clock_that_steps_makes_nobody_dead(there, arun):
    async def claim():
        async with there(lease_ms=60_000) as (one, watch):
            over = "host-1-hf0000000000"
            there.admin.zadd(there.keys.leases, {over: 1})
            await one.bury()
            assert over in alive(there), "guard: a clock that steps makes nobody dead"
            watch.ahead_s = 30.0
            await one.bury()
            assert over in alive(there)
            there.admin.zadd(there.keys.leases, {over: 2})  # it lives: it has beaten meanwhile
            watch.ahead_s = 61.0
            await one.bury()
            assert over in alive(there)
            watch.ahead_s = 122.0
            await one.bury()
            assert alive(there) == {one.name}

    arun(claim())


def test_who_was_declared_dead_comes_again_as_another(there, arun):
    async def claim():
        async with there() as (one, _):
            former = one.name
            there.admin.zrem(there.keys.leases, former)
            await wait_until_async(lambda: one.name != former and alive(there) == {one.name}, SOON_S, "another came")

    arun(claim())
