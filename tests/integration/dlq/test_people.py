# SPDX-License-Identifier: Apache-2.0
"""People and their letters, on SQLite and PostgreSQL: whose they are, what is changed, undone, looked at and erased."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk, keep, kept_of, tables
from holdfast.deadletters.desk.kept import ENTRY
from holdfast.deadletters.jobs import Plan, make
from holdfast.deadletters.people import (
    assign,
    comment,
    comments,
    discard,
    edit,
    erase,
    queue,
    taken_in,
    undo,
    view,
)
from holdfast.errors import LetterError
from tests.support.planted import GROUP, plant

ANA, BO = Actor("ana", person=True), Actor("bo", person=True)
MARKER = "planted-marker-4711"


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


@asynccontextmanager
async def opened(backend, stream, desk_url):
    server, desk = await open_server(backend.url), await Desk(desk_url).open()
    try:
        shelf = Shelf(server, stream, GROUP)
        yield desk, shelf, [await taken_in(desk, one, stream, ANA) async for one in shelf.letters()]
    finally:
        await desk.close()
        await server.close()


async def whats(desk, case):
    return [(step.what, step.actor) for step in await desk.steps(case.letter_id)][3:]


def test_letters_are_given_to_people_and_spoken_about(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with opened(backend, stream, desk_url) as (desk, _, cases):
            mine = await assign(desk, cases[1], "ana", BO)
            await comment(desk, mine, "the bank's fault", BO)
            assert [c.letter_id for c in await queue(desk, assignee="ana")] == [mine.letter_id]
            assert [c.letter_id for c in await queue(desk, assignee="")] == [cases[0].letter_id, cases[2].letter_id]
            assert len(await queue(desk)) == 3
            assert [(by, words) for _, by, words in await comments(desk, mine.letter_id)] == [
                ("bo", "the bank's fault")]
            assert await whats(desk, mine) == [("assigned", "bo"), ("commented", "bo")]
            mine = await discard(desk, mine, ANA, undo_ms=60_000)
            with pytest.raises(LetterError, match="is discarded: only one that waits"):
                await assign(desk, mine, "bo", ANA)

    arun(main())


def test_a_discard_can_be_undone_once_and_the_letter_never_left(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with opened(backend, stream, desk_url) as (desk, shelf, (case,)):
            thrown = await discard(desk, case, ANA, undo_ms=60_000)
            assert (thrown.state, thrown.action) == ("discarded", "discard")
            assert await desk.now_ms() + 50_000 < thrown.due_ms
            assert await shelf.count() == 1
            back = await undo(desk, thrown, BO)
            assert (back.state, back.due_ms) == ("manual", 0)
            with pytest.raises(LetterError, match="nothing to undo"):  # guard: only before it is taken off its shelf
                await undo(desk, back, BO)
            working = await desk.move(await discard(desk, back, ANA, undo_ms=1), "working", ANA, what="claimed")
            with pytest.raises(LetterError, match="too late"):
                await undo(desk, working, BO)

    arun(main())


def test_an_edit_is_kept_beside_the_original_until_it_is_undone(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with opened(backend, stream, desk_url) as (desk, shelf, (case,)):
            letter = await shelf.get(case.letter_id)
            with pytest.raises(LetterError, match="the new body is none"):
                await edit(desk, case, letter, b"{", ANA)
            edited = await edit(desk, case, letter, b'{"n":5}', ANA)
            assert await desk.body(edited.edited) == b'{"n":5}'
            assert {what: await desk.body(sha256) for what, sha256 in await kept_of(desk, case.letter_id)} == {
                "original": b'{"n":0}', "sent": b'{"n":5}'}
            assert (await undo(desk, edited, BO)).edited == ""
            assert (await shelf.get(case.letter_id)).raw == letter.raw
            assert await whats(desk, case) == [("edited", "ana"), ("undone", "bo")]

    arun(main())


def test_who_looked_is_recorded(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with opened(backend, stream, desk_url) as (desk, shelf, (case,)):
            text = await view(desk, await shelf.get(case.letter_id), BO, role="viewer", rules=[])
            assert '"n": 0' in text
            assert await whats(desk, case) == [("viewed", "bo")], "guard: no look without a record"

    arun(main())


def test_an_erasure_leaves_no_trace_of_what_was_planted(backend, stream, desk_url, arun, tmp_path):
    async def main():
        plant(backend.admin, stream, 4, key=lambda n: f"key-{MARKER}" if n < 2 else "other", error=f"no {MARKER}",
              body=lambda n: b'{"who":"%s"}' % (MARKER.encode() if n < 2 else b"else"))
        keys = GroupKeys("hf", stream, GROUP)
        async with opened(backend, stream, desk_url) as (desk, shelf, cases):
            for case in cases[2:]:  # whose words happen to hold it, too: not of this key
                backend.admin.xdel(keys.dead, case.entry_id)
                await desk.move(case, "gone", ANA, what="gone")
            letter = await shelf.get(cases[0].letter_id)
            case = await edit(desk, cases[0], letter, b'{"who":"%s!"}' % MARKER.encode(), ANA)
            await comment(desk, case, f"it is {MARKER}", ANA)
            await keep(desk, case.letter_id, ENTRY, MARKER.encode())
            await make(desk, shelf, shelf.letters(), Plan(), ANA, asked="all", approval=True)
            found = await erase(desk, shelf, f"key-{MARKER}", BO, why="asked for", secret=b"s", dry_run=True)
            assert (found.letters, found.cases, found.done, await shelf.count()) == (2, 2, False, 2)
            found = await erase(desk, shelf, f"key-{MARKER}", BO, why="asked for", secret=b"s", dry_run=False)
            assert (found.letters, found.cases, found.busy, await shelf.count()) == (2, 2, [], 0)
            again = await erase(desk, shelf, f"key-{MARKER}", BO, why="asked for", secret=b"s", dry_run=False)
            assert (again.mark, again.cases) == (found.mark, 0), "the same secret gives the same mark"
            now = await desk.get(case.letter_id)
            assert (now.state, now.key, now.error, now.edited) == ("gone", found.mark, found.mark, "")
            assert await kept_of(desk, case.letter_id) == []
            assert [s.what for s in await desk.steps(case.letter_id)][-1] == "erased"
            others = tables.case.c.letter_id.in_([case.letter_id for case in cases[2:]])
            await desk.step(lambda connection: connection.execute(tables.case.delete().where(others)))
            await erase(desk, shelf, f"key-{MARKER}", BO, why="asked for", secret=b"s", dry_run=False)
            rows = await desk.step(_everything)
            assert MARKER not in rows, "guard: nothing of it is left at the desk"
        assert not any(MARKER.encode() in (backend.admin.dump(name) or b"") for name in backend.admin.keys("*"))

    arun(main())
    for path in Path(tmp_path).glob("desk.db*"):
        assert MARKER.encode() not in path.read_bytes(), "nothing of it is left in the file"


def _everything(connection):
    return "".join(repr(row) for table in tables.metadata.sorted_tables for row in connection.execute(sa.select(table)))


def test_what_is_in_somebodys_hand_is_not_erased_and_said(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 2, key=lambda n: "ana-key")
        async with opened(backend, stream, desk_url) as (desk, shelf, cases):
            await desk.move(cases[0], "working", ANA, what="claimed", deed="replay", holder="x",
                            holder_until_ms=await desk.now_ms() + 60_000)
            found = await erase(desk, shelf, "ana-key", BO, why="asked for", secret=b"s", dry_run=False)
            assert (found.letters, found.cases, found.busy) == (1, 1, [cases[0].letter_id]), \
                "guard: not what is in a hand"
            assert await shelf.count() == 1

    arun(main())
