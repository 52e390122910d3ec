# SPDX-License-Identifier: Apache-2.0
"""A count-down latch: it opens once, for all who wait and for those who come late."""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast.errors import ConfigurationError
from holdfast.testing import Proxy
from tests.support.locks import locks_at

pytestmark = pytest.mark.everywhere


def test_all_who_wait_go_on_when_it_was_counted_down_and_who_comes_late_too(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            waiting = [asyncio.create_task(locks.latch(stream, 3).wait(20)) for locks in (one, other, other)]
            assert await one.latch(stream, 3).count_down() == 2
            assert await other.latch(stream, 3).count_down() == 1
            with pytest.raises(TimeoutError, match=r"not open within 0\.2 s"):
                await one.latch(stream, 3).wait(0.2)
            assert not any(task.done() for task in waiting)
            began = time.monotonic()
            assert await other.latch(stream, 3).count_down() == 0
            await asyncio.gather(*waiting)
            assert time.monotonic() - began < 10, "they are told: the poll is 30 s"
            await one.latch(stream, 3).wait(1)
            assert await one.latch(stream, 3).count_down(5) == 0, "below zero is zero"

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_lost_answer_counts_nothing_again(backend, stream, arun):
    async def main():
        with Proxy(backend.server.address) as proxy:
            async with locks_at(proxy.through(backend.url)) as locks:
                latch = locks.latch(stream, 5)
                assert await latch.left() == 5
                trap = proxy.eat_reply(to=b"EVALSHA")
                assert await latch.count_down() == 4, "guard: asked again, in latch.lua"
                assert trap.eaten

    arun(main())


@pytest.mark.kinds("valkey")
def test_it_opens_between_a_look_and_the_subscription(backend, stream, arun, monkeypatch):
    async def main():
        async with locks_at(backend.url) as locks:
            latch, listener = locks.latch(stream, 1), await locks.listener(b"any")
            subscribed = listener._subscribed

            async def late(channel):
                await locks.latch(stream, 1).count_down()
                await subscribed(channel)

            monkeypatch.setattr(listener, "_subscribed", late)
            await latch.wait(5)

    arun(main())


@pytest.mark.kinds("valkey")
def test_it_is_gone_when_nobody_has_looked_for_long(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            await locks.latch(stream, 2, keep_s=0.2).count_down()
            await asyncio.sleep(0.4)
            assert await locks.latch(stream, 2).left() == 2
            for wrong in ((stream, 0, 1), ("", 1, 1), (stream, 1, 0)):
                with pytest.raises(ConfigurationError, match="needs a name, a count of 1 or more"):
                    locks.latch(wrong[0], wrong[1], keep_s=wrong[2])
            with pytest.raises(ConfigurationError, match="by 1 or more"):
                await locks.latch(stream, 1).count_down(0)

    arun(main())
