# SPDX-License-Identifier: Apache-2.0
"""Several locks at once: all or none, in one order for all, so that nobody waits in a circle."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.lock import HoldState
from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.testing import wait_until_async
from tests.support.locks import key_of, locks_at

pytestmark = pytest.mark.everywhere


def names(stream, count=3):
    """In as many slots, on a Cluster."""
    return [f"{stream}-{n}" for n in range(count)]


def test_nobody_has_a_part_of_what_somebody_else_holds(backend, stream, arun):
    a, b, c = names(stream)
    inside = []

    async def take(locks, *wanted):
        async with locks.together(*wanted).hold() as held:
            assert not {name for other in inside for name in other} & set(wanted), "guard: held, in acquire.lua"
            inside.append(wanted)
            held.check()
            await asyncio.sleep(0)
            inside.remove(wanted)

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            await asyncio.gather(*(take(locks, *wanted) for wanted in ((a, b), (b, c), (c, a), (c, b, a))
                                   for locks in (one, other) for _ in range(3)))

    arun(main())


def test_of_locks_in_one_slot_it_has_all_or_none(backend, stream, arun):
    a, b = f"{{{stream}}}:a", f"{{{stream}}}:b"

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other, one.lock(b).hold():
            waiting = asyncio.create_task(hold(other))
            with pytest.raises(TimeoutError, match="held by somebody else"):
                async with other.together(a, b).hold(wait_s=0):
                    pass
            async with one.lock(a).hold(wait_s=0):
                pass  # guard: all or none. Whoever waits for both holds none
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def hold(locks):
        async with locks.together(a, b).hold():
            pass

    arun(main())


def test_opposite_orders_do_not_wait_for_each_other(backend, stream, arun):
    wanted = names(stream, 6)
    rounds = []

    async def go(locks, order):
        for _ in range(15):
            async with locks.together(*order).hold(wait_s=20):
                await asyncio.sleep(0)
        rounds.append(order)

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            await asyncio.gather(go(one, wanted), go(other, wanted[::-1]))

    arun(main())
    assert len(rounds) == 2, "guard: one order for all"


def test_each_name_has_a_token_that_grows_whoever_holds_it_and_how(backend, stream, arun):
    a, b, _ = names(stream)

    async def main():
        async with locks_at(backend.url) as locks:
            async with locks.lock(a).hold() as held:
                first = held.fencing_token
            async with locks.together(a, b).hold() as both:
                tokens = both.tokens
                assert tokens[a] > first
                assert both.fencing_token == max(tokens.values())
                assert both.deadline > locks.clock.now()
            async with locks.lock(b).hold() as held:
                assert held.fencing_token > tokens[b]

    arun(main())


def test_they_are_renewed_and_the_loss_of_one_is_the_loss_of_all(backend, stream, arun):
    a, b, _ = names(stream)

    async def hold(locks):
        async with locks.together(a, b).hold() as held:
            await asyncio.sleep(1.0)
            assert held.state is HoldState.HELD, "it is renewed"
            backend.admin.delete(key_of(b))
            await asyncio.sleep(20)

    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(LeaseLost, match=r"was lost \(server\)"):
                await hold(locks)
            await wait_until_async(lambda: not backend.admin.exists(key_of(a)), 10, "the other one is given back")

    arun(main())


def test_a_task_that_holds_one_of_them_is_told_and_does_not_wait_for_itself(backend, stream, arun):
    a, b, _ = names(stream)

    async def main():
        async with locks_at(backend.url) as locks, locks.lock(b).hold():
            with pytest.raises(ConfigurationError, match="held by this task already: take all of"):
                async with locks.together(a, b).hold():
                    pass
            with pytest.raises(ConfigurationError, match="need a name each"):
                locks.together()

    arun(main())
