# SPDX-License-Identifier: Apache-2.0
"""Writes that share a transaction: each is told of itself alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.desk.commits import Commits
from holdfast.errors import CaseMoved, ServerUnreachable
from tests.integration.desk.test_desk import case

ONE, OTHER = Actor("one"), Actor("other")


@pytest.fixture(params=["sqlite", "postgres"])
def source(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


class Counting:
    """Steps of a desk, counted."""

    def __init__(self, step):
        self.steps, self._step = 0, step

    async def __call__(self, work, **more):
        self.steps += 1
        return await self._step(work, **more)


@asynccontextmanager
async def counted(source):
    desk = await Desk(source).open()
    counting = Counting(desk._step)
    desk._commits = Commits(counting)
    try:
        yield desk, counting
    finally:
        await desk.close()


def test_moves_that_are_asked_for_together_are_few_commits(source, arun):
    async def main():
        async with counted(source) as (desk, counting):
            cases = await desk.take_in([case(n) for n in range(150)], ONE)
            moved = await asyncio.gather(*(desk.move(one, "classified", ONE, what="classified") for one in cases))
            assert {one.state for one in moved} == {"classified"}
            assert counting.steps <= 3
            assert all([len(await desk.steps(one.letter_id)) == 2 for one in cases])

    arun(main())


def test_one_that_comes_too_late_leaves_the_others_alone(source, arun):
    async def main():
        async with counted(source) as (desk, counting):
            cases = await desk.take_in([case(n) for n in range(20)], ONE)
            await desk.move(cases[7], "classified", OTHER, what="classified")
            counting.steps = 0
            found = await asyncio.gather(*(desk.move(one, "classified", ONE, what="classified") for one in cases),
                                         return_exceptions=True)
            assert [n for n, one in enumerate(found) if isinstance(one, CaseMoved)] == [7]
            assert counting.steps <= 2, "the others were committed together"
            assert [step.actor for step in await desk.steps(cases[7].letter_id)] == ["one", "other"]

    arun(main())


def test_one_that_fails_is_told_so_and_the_others_are_written(source, arun):
    def fails(connection):
        connection.execute(sa.text("SELECT nonsense FROM nowhere"))

    async def main():
        async with counted(source) as (desk, _):
            cases = await desk.take_in([case(n) for n in range(20)], ONE)
            found = await asyncio.gather(*(
                desk.move(one, "classified", ONE, what="classified", also=fails if n == 3 else None)
                for n, one in enumerate(cases)), return_exceptions=True)
            assert [n for n, one in enumerate(found) if isinstance(one, Exception)] == [3]
            states = [(await desk.get(one.letter_id)).state for one in cases]
            assert states == ["classified"] * 3 + ["new"] + ["classified"] * 16, (
                "guard: nobody is told of another's error")

    arun(main())


def test_a_database_that_is_away_is_asked_once_more_and_not_by_each(arun):
    calls = []

    async def away(work):
        calls.append(work)
        raise ServerUnreachable("away")

    async def main():
        commits = Commits(away)
        found = await asyncio.gather(*(commits.run(f"L{n}", lambda c, now: None) for n in range(30)),
                                     return_exceptions=True)
        assert all(isinstance(one, ServerUnreachable) for one in found)
        assert len(calls) <= 4

    arun(main())
