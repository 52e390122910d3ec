# SPDX-License-Identifier: Apache-2.0
"""The gate lets one in alone, and everybody else again afterwards."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.consume.gate import Gate


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


def test_it_waits_until_nothing_else_runs():
    async def scenario():
        gate, inside = Gate(), asyncio.Event()
        gate.running = 2

        async def alone():
            async with gate.alone():
                inside.set()

        task = asyncio.create_task(alone())
        await turns()
        assert not gate.open
        assert not inside.is_set()
        gate.running = 1
        gate.left()
        await turns()
        assert not inside.is_set()
        gate.running = 0
        gate.left()
        await asyncio.wait_for(task, 1)
        assert gate.open

    asyncio.run(scenario())


def test_two_who_want_to_be_alone_are_alone_one_after_the_other():
    async def scenario():
        gate, inside, most = Gate(), [], []

        async def alone(name):
            async with gate.alone():
                inside.append(name)
                most.append(len(inside))
                await turns()
                inside.remove(name)

        await asyncio.wait_for(asyncio.gather(*(alone(n) for n in range(4))), 1)
        assert most == [1, 1, 1, 1]
        assert gate.open

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_it_opens_again_however_that_ends(how):
    async def scenario():
        gate, woken = Gate(), []
        gate.call_on_open(lambda: woken.append(True))

        async def alone():
            async with gate.alone():
                if how == "fails":
                    raise ValueError("no")
                await asyncio.sleep(60)

        task = asyncio.create_task(alone())
        await turns()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gate.open
        assert woken == [True]
        await asyncio.wait_for(gate.opened(), 1)

    asyncio.run(scenario())


def test_it_opens_again_for_who_gave_up_waiting():
    async def scenario():
        gate = Gate()
        gate.running = 1

        async def alone():
            async with gate.alone():
                pass

        task = asyncio.create_task(alone())
        await turns()
        assert not gate.open
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert gate.open

    asyncio.run(scenario())
