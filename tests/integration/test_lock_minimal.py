# SPDX-License-Identifier: Apache-2.0
"""The errors that ``SET NX PX`` and compare-and-delete were made against, shown; and that the minimal lock has neither.

What it still lacks, ``tests/contract/test_lock.py`` shows.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from holdfast._redis.keys import LockKeys
from holdfast._redis.open import open_server
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.locks.minimal import MinimalLocks
from holdfast.testing import Proxy, wait_until_async

TTL_S = 0.4
SOON_S = 10.0


@contextlib.asynccontextmanager
async def minimal(url, **how):
    server = await open_server(url)
    locks = MinimalLocks(server, ttl_s=TTL_S, **how)
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


async def expired(held):
    await wait_until_async(lambda: held.over, SOON_S, "its lease ends")


async def third_beside_second(url, name, **how) -> bool:
    """A is late and releases what B has by now. Does C get it beside B?"""
    async with minimal(url, **how) as a, minimal(url, **how) as b, minimal(url, **how) as c:
        late = await a.lock(name).acquire()
        await expired(late)
        held = await b.lock(name).acquire(wait_s=SOON_S, lease_s=SOON_S)
        assert await a.lock(name).release(late) is False
        await a._ledger.close()
        with contextlib.suppress(TimeoutError):
            await c.lock(name).acquire(wait_s=0)
            held.check()
            return True
    return False


def test_deleting_without_a_look_lets_a_third_one_in(backend, stream, arun):
    assert arun(third_beside_second(backend.url, stream, classic="blind-delete"))


def test_compare_and_delete_does_not(backend, stream, arun):
    assert not arun(third_beside_second(backend.url, stream)), "guard: owner, in release_minimal.lua"


async def dies_while_it_asks(backend, name, then, **how) -> int:
    """A process that ends between its first command and whatever comes next. What is left of the key's life, in ms."""
    key = LockKeys("hf", name).lock_minimal
    with Proxy(backend.server.address) as proxy:
        async with minimal(proxy.through(backend.url), **how) as locks:
            async with locks.lock(f"{name}-other").hold():
                pass
            proxy.eat_reply(to=then, then="hang")
            asking = asyncio.create_task(locks._keeper._asked(locks._keeper.new(name, None)))
            await wait_until_async(lambda: backend.admin.exists(key), SOON_S, "it is there")
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ServerUnreachable):
                await asking
    return backend.admin.pttl(key)


def test_an_expiry_that_comes_second_may_never_come(backend, stream, arun):
    assert arun(dies_while_it_asks(backend, stream, b"SETNX", classic="expire-after")) == -1, "locked for ever"


def test_an_expiry_of_the_same_command_comes_with_it(backend, stream, arun):
    assert 0 < arun(dies_while_it_asks(backend, stream, b"SET")) <= TTL_S * 1000


def test_work_that_takes_longer_than_the_lease_goes_on_beside_the_next_holder(backend, stream, arun):
    async def main():
        async with minimal(backend.url) as a, minimal(backend.url) as b:
            late = await a.lock(stream).acquire()
            held = await b.lock(stream).acquire(wait_s=SOON_S)
            assert late.fencing_token == held.fencing_token == 0, "and nothing tells them apart"

    arun(main())


def test_a_lease_has_a_length():
    with pytest.raises(ConfigurationError, match="longer than 0 s"):
        MinimalLocks(None, ttl_s=0)
