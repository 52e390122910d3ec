# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import pytest

from holdfast.errors import NameLost
from holdfast.gossip.agent.feed import Feed
from holdfast.gossip.agent.view import Missed


def test_what_happens_is_read_in_order_and_waited_for(arun):
    async def story():
        feed = Feed(8)
        read = asyncio.create_task(anext(feed))
        await asyncio.sleep(0)
        assert not read.done()
        feed.put("a")
        feed.put("b")
        assert (await read, await anext(feed)) == ("a", "b")

    arun(story())


def test_a_slow_reader_loses_the_oldest_and_hears_how_many(arun):
    async def story():
        feed = Feed(3)
        for number in range(10):
            feed.put(number)
        assert [await anext(feed) for _ in range(4)] == [Missed(7), 7, 8, 9]
        feed.put(10)
        assert await anext(feed) == 10
        assert feed.dropped == 7

    arun(story())


def test_what_is_left_is_read_before_the_end(arun):
    async def story():
        feed = Feed(3)
        feed.put("a")
        feed.end()
        feed.put("too late")
        assert [item async for item in feed] == ["a"]

    arun(story())


def test_a_reader_that_waits_hears_of_the_end_and_why(arun):
    async def story():
        feed = Feed(3)
        read = asyncio.create_task(anext(feed))
        await asyncio.sleep(0)
        feed.end(NameLost())
        feed.end()
        with pytest.raises(NameLost):
            await read
        with pytest.raises(NameLost):
            await anext(feed)

    arun(story())
