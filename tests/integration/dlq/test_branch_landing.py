# SPDX-License-Identifier: Apache-2.0
"""What the desk keeps of a letter on its way in, when the shelf's server has lost it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from holdfast._base import events as ev
from holdfast._base.clock import SystemClock
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.brokers.letters import Kept
from holdfast.deadletters import Shelf
from holdfast.deadletters import discard as discard_by_hand
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.branch.landing import Landing
from holdfast.deadletters.desk import Actor, Desk, clean_up, tables
from holdfast.deadletters.desk.arrived import uncased
from holdfast.deadletters.desk.kept import ARRIVED, kept
from holdfast.deadletters.people import erase
from holdfast.deadletters.service.cases import case_of
from tests.support.letter_service import GROUP, sqlite, until

ANN = Actor("ann", person=True)
BODY = b"\x00\xffodd"


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return request.getfixturevalue("postgres").database()


class Box:
    """A broker with one letter, which removes it."""

    def __init__(self, *more):
        self.lying = [Kept(place="1000-0", handles=(1,), fields=[
            b"x-dlq-spec-version", b"1", b"x-dlq-letter-id", b"L1", b"id", b"m-1", *more, b"body", BODY])]

    async def mark(self):
        return None

    @asynccontextmanager
    async def held(self, most=None):
        yield list(self.lying)

    async def remove_all(self, kept):
        for one in kept:
            self.lying.remove(one)


def test_a_letter_that_the_shelfs_server_has_lost_is_put_back_whole_and_once(backend, stream, desk_url, rng, arun):
    async def main():
        origin, box = Origin("amqp://h", stream, GROUP), Box()
        server, desk = await open_server(backend.url), await Desk(desk_url).open()
        shelf = Shelf(server, origin.name, GROUP)
        keys = GroupKeys("hf", origin.name, GROUP)
        how = {"chance": rng, "clock": SystemClock(), "counted": lambda *_: None}
        landing = Landing(origin, box, shelf, desk, **how)
        other = Landing(Origin("amqp://other", stream, GROUP), Box(), shelf, desk, **how)
        try:
            assert (await landing.sweep(), box.lying) == (1, [])
            assert await landing.restore() == 0, "it is there"
            backend.admin.delete(keys.dead, keys.letters, keys.taken_in)
            assert await other.restore() == 0, "it is not theirs"
            assert await landing.restore() == 1, "guard: what was kept and is lost comes back"
            [letter] = [letter async for letter in shelf.letters()]
            assert (letter.message_id, letter.fields[-1]) == ("m-1", BODY)
            await desk.take_in([case_of(letter, origin.name)], Actor("desk"))
            backend.admin.delete(keys.dead, keys.letters, keys.taken_in)
            assert await uncased(desk) == []
            assert await landing.restore() == 0, "with a case it is the service's"
        finally:
            await desk.close()
            await server.close()

    arun(main())


@asynccontextmanager
async def landed(backend, stream, desk_url, rng, *more):
    """A letter that has landed and has no case yet. Gives its landing, the broker, the desk and the shelf."""
    origin, box = Origin("amqp://h", stream, GROUP), Box(*more)
    server, desk = await open_server(backend.url), await Desk(desk_url).open()
    shelf = Shelf(server, origin.name, GROUP)
    try:
        landing = Landing(origin, box, shelf, desk, chance=rng, clock=SystemClock(), counted=lambda *_: None)
        there = list(box.lying)
        assert await landing.sweep() == 1
        box.lying = there  # as it lies there when somebody dies before it is removed
        yield landing, box, desk, shelf
    finally:
        await desk.close()
        await server.close()


async def kept_bodies(desk):
    return await desk.step(lambda c: c.execute(sa.select(kept.c.what, tables.body.c.body).join(
        tables.body, tables.body.c.sha256 == kept.c.sha256)).all(), reads=True)


def test_a_letter_that_has_no_case_yet_is_erased_and_is_not_put_back(backend, stream, desk_url, rng, arun):
    async def main():
        async with landed(backend, stream, desk_url, rng, b"key", b"ann") as (landing, _box, desk, shelf):
            assert [what for what, _ in await kept_bodies(desk)] == [ARRIVED]
            said = await erase(desk, shelf, "ann", ANN, why="asked for", secret=b"s", dry_run=True)
            assert (said.letters, len(await kept_bodies(desk))) == (1, 1)
            await erase(desk, shelf, "bob", ANN, why="asked for", secret=b"s", dry_run=False)
            assert len(await kept_bodies(desk)) == 1
            await erase(desk, shelf, "ann", ANN, why="asked for", secret=b"s", dry_run=False)
            assert await kept_bodies(desk) == [], "guard: what has no case yet is erased, too"
            assert await landing.restore() == 0
            assert [x async for x in shelf.letters()] == []

    arun(main())


def test_what_was_erased_does_not_come_back_when_it_is_read_again_at_its_broker(backend, stream, desk_url, rng, arun):
    async def main():
        async with landed(backend, stream, desk_url, rng, b"key", b"ann") as (landing, box, desk, shelf):
            [letter] = [x async for x in shelf.letters()]
            await desk.take_in([case_of(letter, shelf.stream)], ANN)
            await erase(desk, shelf, "ann", ANN, why="asked for", secret=b"s", dry_run=False)
            assert (await landing.sweep(), box.lying) == (1, []), "it is removed there as well"
            assert await kept_bodies(desk) == [], "guard: what was erased does not come back"
            assert [x async for x in shelf.letters()] == []

    arun(main())


def test_what_arrived_and_somebody_moved_who_did_not_ask_is_forgotten_in_time(backend, stream, desk_url, rng, arun):
    async def main():
        async with landed(backend, stream, desk_url, rng) as (_landing, _box, desk, shelf):
            [letter] = [x async for x in shelf.letters()]
            assert await clean_up(desk, 3_600_000) == 0, "it arrived a moment ago"
            await discard_by_hand(shelf, letter, by="ann", why="none of ours", events=ev.Events())
            await until(lambda: clean_up(desk, 0), "its time has come")
            assert await kept_bodies(desk) == []
            assert await desk.step(lambda c: c.execute(sa.select(tables.body)).all(), reads=True) == []

    arun(main())


def test_what_arrived_and_has_a_case_is_kept_as_long_as_that(backend, stream, desk_url, rng, arun):
    async def main():
        async with landed(backend, stream, desk_url, rng) as (_landing, _box, desk, shelf):
            [letter] = [x async for x in shelf.letters()]
            [case] = await desk.take_in([case_of(letter, shelf.stream)], ANN)
            assert await clean_up(desk, -60_000) == 0
            assert len(await kept_bodies(desk)) == 1, "guard: not what a case needs"
            await desk.move(case, "gone", ANN, what="gone")
            assert await clean_up(desk, -60_000) == 1
            assert await kept_bodies(desk) == []

    arun(main())
