# SPDX-License-Identifier: Apache-2.0
"""What the desk keeps of a letter on its way in, when the shelf's server has lost it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from holdfast._base.clock import SystemClock
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.brokers.letters import Kept
from holdfast.deadletters import Shelf
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.branch.landing import Landing
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.desk.arrived import uncased
from holdfast.deadletters.service.cases import case_of
from tests.support.letter_service import GROUP, sqlite

BODY = b"\x00\xffodd"


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return request.getfixturevalue("postgres").database()


class Box:
    """A broker with one letter, which removes it."""

    def __init__(self):
        self.lying = [Kept(place="1000-0", handles=(1,), fields=[
            b"x-dlq-spec-version", b"1", b"x-dlq-letter-id", b"L1", b"id", b"m-1", b"body", BODY])]

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
