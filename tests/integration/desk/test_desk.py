# SPDX-License-Identifier: Apache-2.0
"""Cases on SQLite and PostgreSQL: taken in once, moved by whoever looked last, recorded with each move."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from holdfast.deadletters.desk import Actor, Case, Desk, Filter, Step
from holdfast.errors import CaseMoved, LetterNotFound

ONE, OTHER, ANA = Actor("desk-1"), Actor("desk-2"), Actor("ana", person=True)


def case(n, **given):
    values = {
        "letter_id": f"L{n:05}", "stream": "orders", "logical": "orders", "group": "billing",
        "entry_id": f"{1000 + n}-0", "reason": "max_attempts",
        "stage": "handle", "error_type": "ValueError", "error": f"no such order {n}",
        "fingerprint": "v1:aa", "attempts": 5, "source_stream": "orders", "source_id": f"{n}-0", "message_id": f"m{n}",
        "key": f"k{n % 3}", "dead_ms": 1000 + n, "failed_at": "2026-11-26T00:00:00.000Z", "applied": "no", "replays": 0}
    return Case(**{**values, **given})


@pytest.fixture(params=["sqlite", "postgres"])
def source(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
def opened(source):
    """Runs a coroutine function with an open desk."""
    def run(main):
        async def whole():
            desk = await Desk(source).open()
            try:
                await main(desk)
            finally:
                await desk.close()

        asyncio.run(whole())

    return run


def test_a_letter_is_taken_in_once_however_many_see_it(opened, source):
    async def main(desk):
        other = await Desk(source).open()
        try:
            cases = [case(n) for n in range(20)]
            places = ((desk, ONE), (other, OTHER)) * 3
            found = await asyncio.gather(*(where.take_in(cases, who) for where, who in places))
            assert {one.letter_id for mine in found for one in mine} == {one.letter_id for one in cases}
            assert await desk.count(Filter()) == 20
            assert [step.what for step in await desk.steps("L00003")] == ["taken_in"], "guard: taken in once"
        finally:
            await other.close()

    opened(main)


def test_of_two_who_move_a_case_one_comes_too_late(opened):
    async def main(desk):
        (new,) = await desk.take_in([case(1)], ONE)
        moved = await desk.move(new, "classified", ONE, what="classified", category="transient", rule="timeouts")
        with pytest.raises(CaseMoved, match="was new when you looked and is classified now") as late:
            await desk.move(new, "classified", OTHER, what="classified", category="permanent")
        assert late.value.state == "classified", "guard: compare and set"
        assert await desk.get("L00001") == moved
        steps = await desk.steps("L00001")
        assert [(s.what, s.actor, s.before, s.after, s.category, s.rule) for s in steps] == [
            ("taken_in", "desk-1", "", "new", "", ""),
            ("classified", "desk-1", "new", "classified", "transient", "timeouts")]

    opened(main)


def test_every_move_is_recorded_with_who_and_how(opened):
    async def main(desk):
        (now,) = await desk.take_in([case(1)], ONE)
        now = await desk.move(now, "classified", ONE, what="classified", action="replay")
        now = await desk.move(now, "working", ONE, what="replaying", deed="replay", holder="desk-1", holder_until_ms=10)
        assert (now.deed, now.holder, now.holder_until_ms) == ("replay", "desk-1", 10)
        said = Step(letter_id="", what="", actor="", result="failed", duration_ms=12, detail='{"why":"no answer"}')
        now = await desk.move(now, "manual", ANA, what="failed", said=said)
        assert (now.deed, now.holder, now.holder_until_ms) == ("", "", 0), "nobody holds what nobody works at"
        last = (await desk.steps("L00001"))[-1]
        assert (last.actor, last.by_person, last.result, last.duration_ms, last.before, last.after) == (
            "ana", True, "failed", 12, "working", "manual")
        with pytest.raises(ValueError, match="a letter that is manual cannot become new"):
            await desk.move(now, "new", ANA, what="undone")

    opened(main)


def test_what_is_due_and_what_was_left_by_its_holder_is_given_oldest_first(opened):
    async def main(desk):
        now_ms = await desk.now_ms()
        cases = await desk.take_in([case(n) for n in range(4)], ONE)
        assert {one.letter_id for one in await desk.due(10)} == {"L00000", "L00001", "L00002", "L00003"}
        classified = [await desk.move(one, "classified", ONE, what="classified") for one in cases]
        await desk.move(classified[0], "scheduled", ONE, what="scheduled", due_ms=now_ms + 60_000)
        await desk.move(classified[1], "working", ONE, what="replaying", deed="replay", holder="x",
                        holder_until_ms=now_ms + 60_000)
        await desk.move(classified[2], "working", ONE, what="replaying", deed="replay", holder="x",
                        holder_until_ms=now_ms - 1)
        assert [one.letter_id for one in await desk.due(10)] == ["L00002", "L00003"], "guard: a holder's deadline"

    opened(main)


def test_cases_are_found_page_by_page_and_gathered(opened):
    async def main(desk):
        cases = [case(n, fingerprint="v1:bb" if n % 4 == 0 else "v1:aa") for n in range(40)]
        await desk.take_in(cases, ONE)
        seen, after = [], ""
        while page := await desk.find(Filter(group="billing"), limit=7, after=after):
            seen += [one.letter_id for one in page]
            after = seen[-1]
        assert seen == [one.letter_id for one in reversed(cases)]
        big, small = await desk.groups(Filter(open=True))
        assert (big.fingerprint, big.count, small.fingerprint, small.count) == ("v1:aa", 30, "v1:bb", 10)
        assert (big.first_ms, big.last_ms, big.example, big.fresh) == (1001, 1039, "L00039", True)
        assert [one.letter_id for one in await desk.find(Filter(text="order 17"))] == ["L00017"]
        assert await desk.count(Filter(key="k1", since_ms=1020)) == sum(n % 3 == 1 for n in range(20, 40))
        assert await desk.find(Filter(text="100%")) == []

    opened(main)


def test_what_is_said_of_a_group_is_said_of_those_of_its_letters_that_are_wanted(opened):
    async def main(desk):
        cases = await desk.take_in([case(n, dead_ms=1000 + n // 3, error=f"no such order {n}") for n in range(8)], ONE)
        for one in cases[:4]:
            await desk.move(one, "classified", ONE, what="classified", category="transient")
        (group,) = await desk.groups(Filter(category="transient"))
        assert (group.count, group.first_ms, group.last_ms) == (4, 1000, 1001)
        assert (group.example, group.error) == ("L00003", "no such order 3"), "guard: an example is wanted itself"
        assert group.fresh
        (group,) = await desk.groups(Filter(states=("new",)))
        assert (group.count, group.example, group.fresh) == (4, "L00007", False)
        assert await desk.groups(Filter(category="permanent")) == []

    opened(main)


def test_a_new_error_is_known_by_its_first_letter(opened):
    async def main(desk):
        found = await desk.take_in([case(1), case(2), case(3, fingerprint="v1:bb"), case(4, group="mail")], ONE)
        assert [one.fresh for one in found] == [True, False, True, True]

    opened(main)


def test_bodies_are_kept_by_their_hash(opened):
    async def main(desk):
        sha256 = await desk.keep_body(b"\0 a body")
        assert await desk.keep_body(b"\0 a body") == sha256
        assert await desk.body(sha256) == b"\0 a body"
        assert await desk.body("0" * 64) is None
        with pytest.raises(LetterNotFound, match="the desk has no letter nowhere"):
            await desk.get("nowhere")

    opened(main)


def test_a_record_comes_back_as_it_was_put_in(opened):
    async def main(desk):
        odd = case(1, error="ü \U0001f600 'quoted' %", key="Ключ", error_type="a" * 3000)
        (there,) = await desk.take_in([odd], ONE)
        there = await desk.get(there.letter_id)
        assert msgspec.structs.replace(there, due_ms=0, changed_ms=0, fresh=False) == odd

    opened(main)
