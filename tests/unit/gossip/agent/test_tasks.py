# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from holdfast.gossip.agent.tasks import Tasks


def test_there_are_never_more_of_a_kind_than_may_be(arun):
    async def story():
        tasks, gate = Tasks({"a": 2, "b": 1}), asyncio.Event()

        async def work():
            await gate.wait()

        assert [tasks.start("a", work()) for _ in range(4)] == [True, True, False, False]
        assert tasks.start("b", work())
        assert tasks.turned_away == {"a": 2}
        gate.set()
        await asyncio.sleep(0.01)
        assert len(tasks) == 0
        assert tasks.start("a", work())
        await tasks.close()

    arun(story())


def test_an_error_nobody_expected_is_logged_and_counted(arun, caplog):
    async def story():
        tasks = Tasks({"a": 1})

        async def work():
            raise ZeroDivisionError

        tasks.start("a", work())
        await asyncio.sleep(0.01)
        assert tasks.failed == 1
        await tasks.close()

    arun(story())
    assert [record.message for record in caplog.records] == ["gossip: a failed"]


def test_closing_waits_until_all_have_ended(arun):
    async def story():
        tasks, ended = Tasks({"a": 3}), []

        async def work(number):
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                ended.append(number)

        for number in range(3):
            tasks.start("a", work(number))
        await asyncio.sleep(0)
        await tasks.close()
        assert sorted(ended) == [0, 1, 2]
        assert len(tasks) == 0

    arun(story())
