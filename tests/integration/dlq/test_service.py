# SPDX-License-Identifier: Apache-2.0
"""Each category's path through the service: from its death to where it ends, with a consumer that is really there."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters import Order, Replayer
from holdfast.deadletters.desk import Actor, Filter, kept_of
from holdfast.deadletters.handling import Mended
from holdfast.deadletters.service.entries import body_of, unpacked
from holdfast.deadletters.service.outside import OneShelf
from tests.support.letter_service import GROUP, Bank, serving, sqlite, until

AT_ONCE = {"rules": [{"name": "again", "match": {"said": "transient"}, "category": "transient",
                      "retry": {"strategy": "immediate", "max": 3}}]}


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return request.getfixturevalue("postgres").database()


def shelf_length(backend, stream):
    return backend.admin.xlen(GroupKeys("hf", stream, GROUP).dead)


async def states(desk, **wanted):
    return sorted(case.state for case in await desk.find(Filter(**wanted)))


def test_a_transient_error_is_sent_back_until_it_is_handled(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, AT_ONCE) as (_, desk, told):
            await bank.publish({"id": 1, "fails": 2})
            await until(lambda: bank.handled[1] == 1, "it is handled after two deaths")
            await until(lambda: _all_resolved(desk, 2), "both deaths are resolved")
            first, second = sorted(await desk.find(Filter()), key=lambda case: case.dead_ms)
            assert (second.parent, first.tries, second.tries) == (first.letter_id, 1, 2)
            assert [step.what for step in await desk.steps(first.letter_id)] == [
                "taken_in", "classified", "claimed", "replayed", "resolved"]
            assert (await desk.steps(first.letter_id))[-1].result == "failed"
            assert (await desk.steps(second.letter_id))[-1].result == "ok"
            assert [one.result for one in told.of(ev.LetterHandled)] == ["died_again", "handled"]
            assert shelf_length(backend, stream) == 0

    arun(main())


async def _all_resolved(desk, count):
    return await states(desk) == ["resolved"] * count


RULES = {
    "rules": [
        {"name": "limit", "match": {"code": "credit.limit"}, "category": "business", "action": "manual",
         "severity": "warning"},
        {"name": "old", "match": {"payload": {"/old": True}}, "category": "permanent", "action": "archive"},
        {"name": "junk", "match": {"payload": {"kind": {"in": ["junk", "spam"]}}}, "category": "permanent",
         "action": "discard"},
        {"name": "currency", "match": {"error_type": "ValueError", "payload": {"currency": {"exists": False}}},
         "category": "permanent", "action": "repair", "repairs": [{"name": "default", "path": "/currency"}]},
        {"name": "quiet", "match": {"payload": {"quiet": True}}, "category": "unknown", "notify": False,
         "severity": "info"},
        {"name": "again", "match": {"said": "transient"}, "category": "transient",
         "retry": {"strategy": "immediate", "max": 2}}]}


def test_what_fails_for_good_waits_for_a_person_who_is_told(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, RULES) as (_, desk, told):
            await bank.publish({"id": 1, "fails": -1, "error": "business:credit.limit"},
                               {"id": 2, "fails": -1, "error": "bug", "currency": "EUR"},
                               {"id": 3, "fails": -1, "error": "bug", "currency": "EUR", "quiet": True})
            await until(lambda: _all(desk, "manual", 3), "they wait for a person")
            await until(lambda: len(told.tales) == 2, "two are told of")
            found = {case.rule: case for case in await desk.find(Filter())}
            assert set(found) == {"limit", "quiet", "(none)"}
            assert (found["limit"].category, found["limit"].severity) == ("business:credit.limit", "warning")
            assert found["(none)"].category == "unknown"
            assert {letter for _, letter, _ in told.tales} == {found["limit"].letter_id, found["(none)"].letter_id}
            assert shelf_length(backend, stream) == 3, "letters stay where they are until somebody decides"
            await until(lambda: _noted(desk, found["limit"].letter_id), "the telling is recorded")

    arun(main())


async def _noted(desk, letter_id):
    return [step.what for step in await desk.steps(letter_id)][-1] == "notified"


async def _all(desk, state, count):
    found = await desk.find(Filter(states=(state,)))
    return found if len(found) == count else None


def test_after_so_many_tries_it_is_a_persons(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, RULES) as (_, desk, told):
            await bank.publish({"id": 1, "fails": -1})
            (case,) = await until(lambda: _all(desk, "manual", 1), "it is given up")
            assert (case.tries, bank.failed[1]) == (2, 3), "guard: so many and no more"
            await until(lambda: told.tales, "somebody is told")
            assert [kind for kind, _, _ in told.tales] == ["exhausted"]

    arun(main())


def test_a_deadline_is_not_put_off_by_another_death(backend, stream, desk_url, arun):
    async def main():
        rules = {"rules": [{"name": "again", "category": "transient",
                            "retry": {"strategy": "fixed", "wait": "300ms", "until": "1500ms", "max": 100}}]}
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, rules) as (_, desk, told):
            await bank.publish({"id": 1, "fails": -1})
            (case,) = await until(lambda: _all(desk, "manual", 1), "guard: a deadline is not put off by a death")
            first = min(case.dead_ms for case in await desk.find(Filter()))
            assert case.dead_ms <= first + 5_000, "the last try begins in time, and may take its own"
            await until(lambda: told.tales, "somebody is told")
            assert told.tales[0][0] == "exhausted"

    arun(main())


def test_an_archived_letter_is_kept_whole_and_off_its_shelf(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, RULES) as (_, desk, _t):
            await bank.publish({"id": 1, "fails": -1, "old": True})
            (case,) = await until(lambda: _all(desk, "archived", 1), "it is archived")
            ((what, sha256),) = await kept_of(desk, case.letter_id)
            line = await desk.body(sha256)
            assert (what, shelf_length(backend, stream)) == ("entry", 0)
            fields = unpacked(line)
            assert b'"old":true' in fields[fields.index(b"body") + 1], "guard: kept before it is removed"
            assert hashlib.sha256(line).hexdigest() == sha256

    arun(main())


def test_a_discarded_letter_can_be_had_back_until_its_time_is_over(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, RULES, undo_s=1.5) as (_, desk, _t):
            await bank.publish({"id": 1, "fails": -1, "kind": "junk"}, {"id": 2, "fails": -1, "kind": "spam"})
            one, two = await until(lambda: _all(desk, "discarded", 2), "both are discarded")
            assert shelf_length(backend, stream) == 2
            await desk.move(one, "manual", Actor("ana", person=True), what="undone", due_ms=0)
            await until(lambda: _all(desk, "archived", 1), "the other one goes for good")
            assert shelf_length(backend, stream) == 1
            assert (await desk.get(one.letter_id)).state == "manual"
            assert await kept_of(desk, two.letter_id)

    arun(main())


class AddsCurrency:
    """A mender that counts what it was asked."""

    def __init__(self):
        self.asked = 0

    def check(self, name, options):
        return None

    async def mend(self, letter, repairs):
        self.asked += 1
        body = msgspec.json.decode(body_of(letter))
        if body.get("hopeless"):
            return None
        if body.get("breaks"):
            raise RuntimeError("secret of the payload")
        return Mended(msgspec.json.encode({**body, "currency": repairs[0].options.get("value", "EUR"), "fails": 0}),
                      why="currency was missing")


def test_a_mended_letter_is_sent_and_its_original_is_kept(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, RULES, mender=AddsCurrency()) as (_, desk, told):
            await bank.publish({"id": 1, "fails": -1, "error": "bug"},
                               {"id": 2, "fails": -1, "error": "bug", "hopeless": True},
                               {"id": 3, "fails": -1, "error": "bug", "breaks": True})
            await until(lambda: bank.handled[1] == 1, "the mended message is handled")
            assert bank.bodies[1]["currency"] == "EUR"
            (case,) = await until(lambda: _all(desk, "resolved", 1), "its case is resolved")
            kept = dict(await kept_of(desk, case.letter_id))
            assert msgspec.json.decode(await desk.body(kept["original"])) == {"id": 1, "fails": -1, "error": "bug"}
            assert case.edited == kept["sent"]
            assert [step.what for step in await desk.steps(case.letter_id)] == [
                "taken_in", "classified", "claimed", "repaired", "claimed", "replayed", "resolved"]
            assert len(await until(lambda: _all(desk, "manual", 2), "the others are a person's")) == 2
            await until(lambda: len(told.tales) == 2, "who is told")
            assert {kind for kind, _, _ in told.tales} == {"unmended"}
            assert "secret" not in str(told.tales), "a repair's own words may hold payload"

    arun(main())


def test_what_was_moved_by_hand_before_it_was_taken_in_ends_acknowledged(backend, stream, desk_url, arun):
    """Handed to an instance that died with it, then replayed: acknowledged, and no letter about a letter."""
    keys = GroupKeys("hf", stream, GROUP)

    async def main():
        async with Bank(backend.url, stream) as bank:
            await bank.publish({"id": 1, "fails": 1}, {"id": 2, "fails": -1, "error": "bug", "currency": "EUR"})
            await until(lambda: shelf_length(backend, stream) == 2, "they are dead")
            backend.admin.xgroup_create(keys.dead, "holdfast-desk", "0")
            dead = "host-1-hf0000000000"
            first = backend.admin.xreadgroup("holdfast-desk", dead, {keys.dead: ">"}, count=1)[0][1][0]
            shelf = OneShelf(await bank.hf.open(), stream, GROUP, prefix="x-dlq-")
            letters = [letter async for letter in shelf.letters()]
            assert letters[0].entry_id == first[0].decode()
            await Replayer(shelf).one(letters[0].id, Order(by="ana"))
            async with serving(backend, stream, desk_url, RULES) as (_, desk, told):
                await until(lambda: _all(desk, "manual", 1), "the other one is taken in")
                pending = lambda: backend.admin.xpending(keys.dead, "holdfast-desk")["pending"]  # noqa: E731
                await until(lambda: pending() == 0, "guard: what others dealt with is no death")
                assert backend.admin.xlen(GroupKeys("hf", keys.dead.decode(), "holdfast-desk").dead) == 0
                assert not told.of(ev.Buried)
                assert not told.of(ev.EntriesMissing)

    arun(main())


def test_what_is_moved_by_hand_afterwards_is_gone(backend, stream, desk_url, arun):
    async def main():
        rules = {"rules": [{"name": "later", "category": "transient",
                            "retry": {"strategy": "fixed", "wait": "1s", "max": 1}}]}
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, rules) as (_, desk, _t):
            await bank.publish({"id": 1, "fails": 1})
            (case,) = await until(lambda: _all(desk, "scheduled", 1), "it is scheduled")
            shelf = OneShelf(await bank.hf.open(), stream, GROUP, prefix="x-dlq-")
            await Replayer(shelf).one(case.letter_id, Order(by="ana"))
            await until(lambda: _all(desk, "gone", 1), "the desk sees it")
            assert bank.handled[1] == 1

    arun(main())


def test_what_took_effect_is_not_sent_again(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank:
            await bank.publish({"id": 1, "fails": -1})
            await until(lambda: shelf_length(backend, stream) == 1, "it is dead")
            shelf = OneShelf(await bank.hf.open(), stream, GROUP, prefix="x-dlq-")
            (letter,) = [letter async for letter in shelf.letters()]
            backend.admin.zadd(GroupKeys("hf", stream, GROUP).done, {letter.identity: 1_700_000_000_000})
            async with serving(backend, stream, desk_url, AT_ONCE) as (_, desk, told):
                (case,) = await until(lambda: _all(desk, "resolved", 1), "it is resolved")
                assert "exists already" in (await desk.steps(case.letter_id))[-1].detail
                assert [one.result for one in told.of(ev.LetterHandled)] == ["applied"]
                assert shelf_length(backend, stream) == 0
                assert bank.failed[1] == 1

    arun(main())


def test_a_message_that_comes_back_too_often_is_refused(backend, stream, desk_url, arun):
    async def main():
        rules = {"rules": [{"name": "again", "category": "transient", "retry": {"strategy": "immediate", "max": 50}}]}
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, rules, replays_max=2) as (_, desk, told):
            await bank.publish({"id": 1, "fails": -1})
            await until(lambda: _all(desk, "manual", 1), "it is refused")
            await until(lambda: told.tales, "somebody is told")
            assert told.tales[0][0] == "refused"
            assert bank.failed[1] == 3, "guard: loop"

    arun(main())
