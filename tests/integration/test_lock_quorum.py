# SPDX-License-Identifier: Apache-2.0
"""What only a quorum has: majorities, validity, servers that come back without what they had. The rest is in
``tests/contract/test_lock.py``."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from holdfast._base import events as ev
from holdfast._base.clock import SystemClock
from holdfast._redis.keys import LockKeys
from holdfast.errors import ConfigurationError, LeaseLost, ServerUnreachable
from holdfast.locks.quorum import QuorumLocks, QuorumSettings
from holdfast.testing import Proxy, Single, Way, wait_until, wait_until_async

DURABLE = {"appendonly": "yes", "appendfsync": "always"}
SOON_S = 10.0


@pytest.fixture(scope="module")
def running():
    """Three servers that forget nothing, so that they count at once."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Single("valkey", DURABLE)) for _ in range(3)]


@pytest.fixture
def servers(running):
    for server in running:
        server.start()
        server.admin.flushall()
    return running


@contextlib.asynccontextmanager
async def door(servers, *, urls=None, events=None, **settings):
    given = {"ttl_s": 1.0, "answer_s": 0.2, "retry_s": 0.03} | settings
    locks = QuorumLocks(urls or [server.url for server in servers], QuorumSettings(**given), events=events)
    try:
        yield locks
    finally:
        await locks.close()


def plant(server, name, acquisition="another"):
    """Somebody else holds it there."""
    server.admin.hset(LockKeys("hf", name).lock, mapping={"acquisition": acquisition, "token": 1})
    server.admin.pexpire(LockKeys("hf", name).lock, 60_000)


def holder_at(server, name):
    return (server.admin.hget(LockKeys("hf", name).lock, "acquisition") or b"").decode()


def heard(events):
    """What was said, as it is said."""
    said = []
    events.subscribe(said.append)
    return said


def test_a_majority_is_enough_and_less_is_not(servers, stream, arun):
    async def main():
        async with door(servers) as locks:
            plant(servers[0], stream)
            held = await locks.lock(stream).acquire(wait_s=0)
            assert await locks.lock(stream).release(held)
            plant(servers[1], stream)
            with pytest.raises(TimeoutError, match="held by somebody else"):
                await locks.lock(stream).acquire(wait_s=0)

    arun(main())


def test_what_too_few_granted_is_given_back_everywhere(servers, stream, arun):
    async def main():
        plant(servers[0], stream)
        plant(servers[1], stream)
        with Proxy(servers[2].address) as proxy:
            async with door(servers, urls=[servers[0].url, servers[1].url, proxy.through(servers[2].url)]) as locks:
                with pytest.raises(TimeoutError):
                    await locks.lock(stream).acquire(wait_s=0)
                assert holder_at(servers[2], stream) == "", "guard: roll-back"
                proxy.stall(Way.DOWN)  # it grants, and we do not hear of it
                with pytest.raises(TimeoutError):
                    await locks.lock(stream).acquire(wait_s=0)
                await wait_until_async(lambda: holder_at(servers[2], stream) == "", SOON_S, "guard: everywhere")

    arun(main())


def test_what_took_too_long_to_be_granted_is_not(servers, stream, arun):
    events = ev.Events()
    said = heard(events)

    async def main():
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(Proxy(server.address)) for server in servers]
            urls = [proxy.through(server.url) for proxy, server in zip(proxies, servers, strict=True)]
            async with door(servers, urls=urls, events=events, least_valid=0.9) as locks:
                async with locks.lock(stream).hold():
                    pass
                for proxy in proxies:
                    proxy.delay(0.06)
                with pytest.raises(ServerUnreachable, match=r"[23] of 3 servers answered"):
                    await locks.lock(stream).acquire(wait_s=0)
                for proxy in proxies:
                    proxy.heal()
                held = await locks.lock(stream).acquire(wait_s=SOON_S)
                assert held.deadline - SystemClock().now() > 0.8
                await locks.lock(stream).release(held)

    arun(main())
    (missed,) = [event for event in said if isinstance(event, ev.QuorumMissed)][:1]
    assert missed.granted >= 2
    assert missed.left_s < 0.9


def test_a_server_that_lost_what_it_had_does_not_count_until_that_has_run_out(arun, stream):
    """Both for whoever knew it before, and for whoever meets it first: that one hears since when it is up."""
    async def main(servers):
        async with door(servers, ttl_s=2.0) as one, door(servers, ttl_s=2.0) as knew:
            async with knew.lock("another").hold(wait_s=SOON_S):
                pass
            held = await one.lock(stream).acquire(wait_s=SOON_S, lease_s=2.0)
            for server in servers[:2]:
                server.restart()
            assert holder_at(servers[0], stream) == "", "it came back empty"
            async with door(servers, ttl_s=2.0) as new:
                assert SystemClock().now() < held.deadline - 0.5, "there was a lease left to break"
                taking = [asyncio.create_task(_granted_at(locks, stream)) for locks in (knew, new)]
                for granted_at in await asyncio.gather(*taking):
                    assert granted_at >= held.deadline, "guard: delayed restart"

    with contextlib.ExitStack() as stack:
        arun(main([stack.enter_context(Single("valkey")) for _ in range(3)]))


async def _granted_at(locks, name):
    async with locks.lock(name).hold(wait_s=SOON_S):
        return SystemClock().now()


def test_a_token_is_at_a_majority_before_anybody_is_told(servers, stream, arun):
    token_key = LockKeys("hf", stream).lock_token

    async def main():
        with Proxy(servers[2].address) as proxy:
            urls = [servers[0].url, servers[1].url, proxy.through(servers[2].url)]
            async with door(servers, urls=urls) as one, door(servers) as two:
                proxy.stall()
                far = time.time_ns() // 1000 + 3_600_000_000
                servers[0].admin.set(token_key, far)
                async with one.lock(stream).hold(wait_s=SOON_S) as held:
                    assert held.fencing_token == far + 1
                    assert int(servers[1].admin.get(token_key)) >= far + 1, "guard: written back"
                servers[0].kill()  # the next majority is of the other two
                proxy.heal()
                async with two.lock(stream).hold(wait_s=SOON_S) as later:
                    assert later.fencing_token > held.fencing_token

    arun(main())


def test_a_lost_majority_closes_and_opens_only_when_told_to(servers, stream, arun):
    events = ev.Events()
    said = heard(events)

    async def main():
        servers[0].kill()
        servers[1].kill()
        async with door(servers, events=events) as locks:
            with pytest.raises(ServerUnreachable, match="1 of 3 servers answered"):
                await locks.lock(stream).acquire(wait_s=0)
            with pytest.raises(ServerUnreachable):
                await locks.lock(stream).acquire(wait_s=0.3)
            assert holder_at(servers[2], stream) == ""
        async with (door(servers, events=events, on_lost_majority="open") as locks,
                    locks.lock(stream).hold(wait_s=0) as held):
            await asyncio.sleep(1.5)
            held.check()
            with pytest.raises(TimeoutError):
                await asyncio.create_task(locks.lock(stream).acquire(wait_s=0))

    arun(main())
    assert [event.granted for event in said if isinstance(event, ev.QuorumMissed)][:1] == [1]


def test_a_quorum_outlives_a_minority_and_does_not_wear_away(servers, stream, arun):
    async def main():
        async with door(servers) as locks, locks.lock(stream).hold() as held:
            for server in servers:  # each has forgotten it once, one after the other
                server.admin.flushall()
                await wait_until_async(lambda at=server: holder_at(at, stream) == held.acquisition, SOON_S,
                                       "guard: taken again where it was forgotten")
            servers[0].kill()
            await asyncio.sleep(1.5)
            held.check()

    arun(main())


def test_a_majority_that_has_somebody_else_ends_it_at_once(servers, stream, arun):
    events = ev.Events()
    said = heard(events)

    async def main():
        async with door(servers, events=events) as locks:
            with pytest.raises(LeaseLost, match="server"):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold():
                    for server in servers[:2]:
                        plant(server, stream)
                    await asyncio.sleep(SOON_S)

    arun(main())
    assert [event for event in said if isinstance(event, ev.LockHeldTwice)]


def test_a_minority_that_extends_it_moves_no_deadline(servers, stream, arun):
    async def main():
        async with door(servers) as locks:
            with pytest.raises(LeaseLost, match="unreachable"):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold() as held:
                    servers[0].kill()
                    servers[1].kill()
                    await asyncio.sleep(SOON_S)
            assert held.deadline <= SystemClock().now(), "guard: majority, in a renewal"

    arun(main())


def test_settings_that_cannot_be_are_refused(servers, stream, arun):
    urls = [server.url for server in servers]
    for wrong in (urls[:2], [*urls, "redis://localhost:1/0"], [urls[0]] * 3):
        with pytest.raises(ConfigurationError, match="odd number of different"):
            QuorumLocks(wrong)
    for wrong in ({"answer_s": 5}, {"ttl_s": 0.01}, {"ttl_max_s": 1}, {"least_valid": 1}, {"retry_s": 0},
                  {"on_lost_majority": "ajar"}):
        with pytest.raises(ConfigurationError):
            QuorumSettings(**wrong)

    async def main():
        async with door(servers) as locks:
            with pytest.raises(ConfigurationError, match="longer than ttl_max_s"):
                await locks.lock(stream).acquire(lease_s=1.5)

    arun(main())
    wait_until(lambda: all(server.alive for server in servers), 1, "nobody was hurt")
