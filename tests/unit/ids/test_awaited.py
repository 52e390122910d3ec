# SPDX-License-Identifier: Apache-2.0
"""Ids for an event loop: the same, and the loop is never slept in."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from holdfast.errors import IdsRefused
from holdfast.ids import Generator, Pace, Window
from holdfast.ids.awaited import AwaitedIds
from holdfast.ids.layout import DEFAULT

from .test_generator import BEGIN, Hold


class Running(Hold):
    def now_ms(self):
        return time.time() * 1000


def never(seconds):
    pytest.fail("guard: the loop is never slept in")


def awaited(hold, **pace):
    return AwaitedIds(Generator(DEFAULT, hold, Pace(**pace), chance=random.Random(7), sleep=never))


def test_ids_grow_and_none_is_made_twice(arun):
    async def main():
        ids = awaited(Running())
        one_by_one = [await ids.next_id() for _ in range(30_000)]
        assert one_by_one == sorted(set(one_by_one))
        assert not set(one_by_one) & set(await ids.next_ids(30_000))

    arun(main())


def test_a_burst_is_waited_for_and_others_go_on_meanwhile(arun):
    async def main():
        ids, turns = awaited(Running(), ahead_ms=0), 0
        asked = asyncio.create_task(ids.next_ids(4096 * 30))
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(set(await asked)) == 4096 * 30
        assert turns > 10

    arun(main())


def test_a_window_that_has_ended_is_refused_and_goes_on_when_it_is_extended(arun):
    async def main():
        hold = Hold(last_ms=BEGIN + 5)
        ids = awaited(hold)
        await ids.next_id()
        hold.ms += 10
        for _ in range(2):
            with pytest.raises(IdsRefused, match="its window has ended"):
                await ids.next_id()
        hold.window = Window(0, BEGIN + 1000)
        assert DEFAULT.decode(await ids.next_id()).timestamp_ms == BEGIN + 10

    arun(main())


def test_tasks_that_ask_at_once_have_ids_of_their_own(arun):
    async def main():
        ids = awaited(Running(), ahead_ms=0)

        async def some():
            return [await ids.next_id() for _ in range(5000)]

        found = [made for mine in await asyncio.gather(*(some() for _ in range(8))) for made in mine]
        assert len(set(found)) == 40_000, "guard: a task takes its block as a whole"

    arun(main())


def test_closing_gives_back_what_it_stands_on(arun):
    async def main():
        closed = []

        async def close():
            closed.append(True)

        async with AwaitedIds(Generator(DEFAULT, Hold()), close=close) as ids:
            await ids.next_id()
        assert closed == [True]

    arun(main())
