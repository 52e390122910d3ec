# SPDX-License-Identifier: Apache-2.0
"""Several instances, deeds without their doer, breakers that are shared, groups that come later, and odd letters."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Order, Replayer
from holdfast.deadletters.desk import Actor, Desk, Filter, clean_up, keep, kept_of
from holdfast.deadletters.desk.tells import taken, to_tell
from holdfast.deadletters.service import Wanted, Whose
from holdfast.deadletters.service.entries import packed
from holdfast.deadletters.service.groups import group_of, there
from holdfast.deadletters.service.outside import OneShelf, Outside
from holdfast.deadletters.service.pauses import TRUSTED_S, pauses
from holdfast.sinks.logs import LogSink
from holdfast.sinks.prometheus import PrometheusSink
from tests.support.dying import bury
from tests.support.letter_service import GROUP, Bank, Told, serving, sqlite, until

AT_ONCE = {"rules": [{"name": "again", "category": "transient", "retry": {"strategy": "immediate", "max": 3}}]}
GONE = Actor("desk-gone")


@pytest.fixture
def desk_url(tmp_path):
    return sqlite(tmp_path)


async def found(desk, state, count):
    cases = await desk.find(Filter(states=(state,)), limit=1000)
    return cases if len(cases) == count else None


async def dead(bank, backend, stream, *bodies):
    await bank.publish(*bodies)
    key = GroupKeys("hf", stream, GROUP).dead
    await until(lambda: backend.admin.xlen(key) == len(bodies), "they are dead")


# -- deeds without their doer


async def left_by_another(desk, deed, **more):
    """A case in the hand of an instance that is not heard of, whose deadline has passed."""
    (case,) = await desk.find(Filter())
    now = await desk.move(case, "classified", GONE, what="classified", category="transient", rule="again",
                          action="retry" if deed == "replay" else "archive")
    return await desk.move(now, "working", GONE, what="claimed", deed=deed, holder=GONE.name, tries=1, **more,
                           holder_until_ms=await desk.now_ms() - 1, due_ms=0)


async def taken_in(backend, stream, desk_url):
    """One case that nobody has judged yet."""
    async with serving(backend, stream, desk_url, {"rules": []}) as (service, desk, _):
        service._engine.stopping = True
        await until(lambda: found(desk, "new", 1), "it is taken in")


@pytest.mark.parametrize("moved", [False, True], ids=["on its shelf", "gone"])
def test_a_replay_without_its_doer_is_done_once(backend, stream, desk_url, arun, moved):
    async def main():
        async with Bank(backend.url, stream) as bank:
            await dead(bank, backend, stream, {"id": 1, "fails": 1})
            await taken_in(backend, stream, desk_url)
            desk = await Desk(desk_url).open()
            case = await left_by_another(desk, "replay")
            if moved:
                shelf = OneShelf(await bank.hf.open(), stream, GROUP, prefix="x-dlq-")
                await Replayer(shelf).one(case.letter_id, Order(by=GONE.name))
                await until(lambda: bank.handled[1], "it is handled")
            async with serving(backend, stream, desk_url, AT_ONCE) as (_, _d, _t):
                await until(lambda: found(desk, "resolved", 1), "guard: look at the outside first")
            assert bank.handled[1] == 1
            log = await desk.steps(case.letter_id)
            assert [step.what for step in log].count("replayed") == 1
            assert ("recovered" in [step.what for step in log]) is not moved
            assert (await desk.get(case.letter_id)).tries == 1, "a try that was not made does not count"
            await desk.close()

    arun(main())


@pytest.mark.parametrize("moved", ["no", "kept", "lost"])
def test_an_archive_without_its_doer_is_done_once(backend, stream, desk_url, arun, moved):
    """Lost: somebody removed it by hand, and nothing was kept."""
    async def main():
        async with Bank(backend.url, stream) as bank:
            await dead(bank, backend, stream, {"id": 1, "fails": -1})
            await taken_in(backend, stream, desk_url)
            desk = await Desk(desk_url).open()
            case = await left_by_another(desk, "archive")
            outside = Outside(await bank.hf.open(), "holdfast-desk", "x-dlq-")
            letter = await outside.letter(case)
            if moved == "kept":
                await keep(desk, case.letter_id, "entry", packed(letter))
            if moved != "no":
                assert await outside.remove(case, letter)
            rules = {"rules": [{"name": "again", "category": "permanent", "action": "archive"}]}
            async with serving(backend, stream, desk_url, rules) as (_, _d, _t):
                await until(lambda: found(desk, "gone" if moved == "lost" else "archived", 1), "it is over")
            assert len(await kept_of(desk, case.letter_id)) == (moved != "lost")
            await desk.close()

    arun(main())


def test_a_holder_that_was_only_slow_comes_too_late_and_moves_nothing_twice(backend, stream, desk_url, arun):
    """Its deed is taken over while it is about to begin: of two replays one finds the letter gone."""
    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, AT_ONCE, name="slow", deed_s=0.3) as (slow, desk, _), serving(
                backend, stream, desk_url, AT_ONCE, name="quick", deed_s=0.3) as (quick, _d, _t):
            for service in (slow, quick):
                _delay_claims(service, 1.0 if service is slow else 0.0)
            quick._engine.stopping = True
            await dead(bank, backend, stream, {"id": 1, "fails": 1})
            await until(lambda: found(desk, "working", 1), "the slow one has it")
            quick._engine.stopping = False
            (case,) = await until(lambda: found(desk, "resolved", 1), "it is resolved")
            await asyncio.sleep(1.0)  # the slow one wakes up by now
            assert bank.handled[1] == 1
            log = await desk.steps(case.letter_id)
            assert [(step.what, step.actor) for step in log if step.what == "replayed"] == [("replayed", "quick")]

    arun(main())


@pytest.mark.parametrize(("deed", "end"), [("replay", "resolved"), ("archive", "archived")])
def test_what_a_slow_holder_does_after_all_is_no_strangers_deed(backend, stream, desk_url, arun, deed, end):  # noqa: PLR0917
    """It was taken for dead, and moves the letter when another has it in hand: the case ends as what was done."""
    async def main():
        async with Bank(backend.url, stream) as bank:
            await dead(bank, backend, stream, {"id": 1, "fails": 1})
            await taken_in(backend, stream, desk_url)
            desk = await Desk(desk_url).open()
            case = await left_by_another(desk, deed)
            outside = Outside(await bank.hf.open(), "holdfast-desk", "x-dlq-")

            async def wakes_up():
                if deed == "replay":
                    await Replayer(outside.shelf(case)).one(case.entry_id, Order(by="slow"))
                    await until(lambda: bank.handled[1] == 1, "its message is handled")
                    await until(lambda: backend.admin.xlen(GroupKeys("hf", stream, GROUP).replay) == 0, "and settled")
                else:
                    letter = await outside.letter(case)
                    await keep(desk, case.letter_id, "entry", packed(letter))
                    assert await outside.remove(case, letter)

            rules = {"rules": [{"name": "again", "category": "transient",
                                "action": "retry" if deed == "replay" else "archive"}]}
            async with serving(backend, stream, desk_url, rules) as (service, _d, _t):
                _after_claims(service, wakes_up)
                await until(lambda: found(desk, end, 1), "guard: it is not taken for gone")
            assert bank.handled[1] == (1 if deed == "replay" else 0)
            assert [step.what for step in await desk.steps(case.letter_id)].count("recovered") == 1
            await desk.close()

    arun(main())


def test_a_try_of_a_slow_holder_counts_when_its_message_dies_again(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank:
            await dead(bank, backend, stream, {"id": 1, "fails": 2})
            await taken_in(backend, stream, desk_url)
            desk = await Desk(desk_url).open()
            case = await left_by_another(desk, "replay")
            await desk.move(case, "scheduled", GONE, what="recovered", tries=0, due_ms=await desk.now_ms() + 60_000)
            outside = Outside(await bank.hf.open(), "holdfast-desk", "x-dlq-")
            await Replayer(outside.shelf(case)).one(case.entry_id, Order(by="slow"))
            rules = {"rules": [{"name": "again", "category": "permanent"}]}
            async with serving(backend, stream, desk_url, rules):
                (child,) = await until(lambda: found(desk, "manual", 1), "it died again")
                assert child.tries == 1, "guard: a slow holder's try counts"
            await desk.close()

    arun(main())


def _delay_claims(service, seconds):
    _after_claims(service, lambda: asyncio.sleep(seconds))


def _after_claims(service, wait):
    hand, claim = service.hand, service.hand.claim

    class Slow:
        def __getattr__(self, name):
            return getattr(hand, name)

        async def claim(self, *args, **more):
            claimed = await claim(*args, **more)
            await wait()
            return claimed

    service._engine._deeds._hand = Slow()


def test_instances_share_the_work_and_do_each_thing_once(backend, stream, postgres, arun):
    desk_url = postgres.database()

    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, AT_ONCE, name="one") as (_, desk, told), serving(
                backend, stream, desk_url, AT_ONCE, name="two", told=Told()) as (_, _d, _t):
            await bank.publish(*({"id": n, "fails": 1} for n in range(80)))
            await until(lambda: found(desk, "resolved", 80), "all are resolved", 40)
            assert set(bank.handled.values()) == {1}
            log = [step for case in await desk.find(Filter(), limit=100) for step in await desk.steps(case.letter_id)]
            assert sum(step.what == "replayed" for step in log) == 80
            assert {step.actor for step in log} == {"one", "two"}, "both have worked"
            assert told.of(ev.LetterHandled)

    arun(main())


# -- the breaker


def test_replays_of_a_category_pause_while_its_downstream_fails_and_go_on_with_a_probe(backend, stream, desk_url, arun):
    rules = {"breaker": {"ratio": 0.5, "min": 4, "pause": "400ms", "pause_max": "400ms"},
             "rules": [{"name": "again", "match": {"chain": "ConnectionError"}, "category": "transient",
                        "retry": {"strategy": "immediate", "max": 50}}]}

    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, rules, name="one", replays_max=100) as (_, desk, told), serving(
                backend, stream, desk_url, rules, name="two", told=Told(), replays_max=100) as (_, _d, _t):
            bank.down = True
            await bank.publish(*({"id": n} for n in range(20)))
            await until(lambda: told.of(ev.ReplaysPaused) or _t.of(ev.ReplaysPaused), "replays pause")
            (name, breaker), = (await pauses(desk)).items()
            assert name == f"transient {stream}/{GROUP}"
            assert breaker.state != "closed"
            await asyncio.sleep(2 * TRUSTED_S)  # the other one goes on for so long, and with what it had asked for
            before = sum(bank.failed.values())
            await asyncio.sleep(1.6)
            assert sum(bank.failed.values()) - before <= 10, "guard: paused, but for a probe now and then"
            bank.down = False
            await until(lambda: len(bank.handled) == 20, "guard: it goes on by itself", 40)
            assert set(bank.handled.values()) == {1}
            await until(lambda: _ended_paused(told, _t), "it says that it goes on")
            kinds = {kind for kind, _, _ in [*told.tales, *_t.tales]}
            assert {"paused", "resumed"} <= kinds
            assert not await desk.find(Filter(states=("manual",))), "no letter was lost to the pause"

    arun(main())


def _ended_paused(*told):
    return {event.paused for one in told for event in one.of(ev.ReplaysPaused)} == {True, False}


# -- whose letters


def test_groups_and_partitions_that_come_later_are_taken_in_too(backend, stream, desk_url, arun):
    async def main():
        async with serving(backend, stream, desk_url, wanted=Wanted()) as (service, desk, _):
            assert service.inspect()["takes_in"] == []
            await bury(backend.url, stream, "mail", [{"n": 1}])
            await until(lambda: found(desk, "manual", 1), "a group that was not there")
            await bury(backend.url, f"{stream}-p", GROUP, [{"n": n} for n in range(8)], partitions=3,
                       keys=[f"k{n}" for n in range(8)])
            cases = await until(lambda: found(desk, "manual", 9), "partitions that were not there")
            assert {case.logical for case in cases} == {stream, f"{stream}-p"}
            assert len({case.stream for case in cases}) > 2
            assert not [name for name in service.inspect()["takes_in"] if "holdfast-desk" in name]

    arun(main())


def test_only_what_is_wanted_is_taken(backend, stream, arun):
    async def main():
        for name, group in ((stream, "a"), (stream, "b"), (f"{stream}:{{x}}", "a"), (f"{stream}2", "b")):
            await bury(backend.url, name, group, [{"n": 1}])
        server = await open_server(backend.url)
        try:
            async def seen(*wanted):
                return [(whose.logical, whose.group) for whose in await there(server, Wanted(*wanted), "holdfast-desk")]

            odd = f"{stream}:{{x}}"
            assert sorted(await seen()) == sorted([(stream, "a"), (stream, "b"), (odd, "a"), (f"{stream}2", "b")])
            assert await seen((stream,), ("a",)) == [(stream, "a")]
            assert await seen((stream,)) == [(stream, "a"), (stream, "b")]
            assert sorted(await seen((), ("b",))) == [(stream, "b"), (f"{stream}2", "b")]
            assert await seen((stream, odd), ("a", "nobody")) == [(stream, "a"), (odd, "a")]
        finally:
            await server.close()

    arun(main())


def test_a_key_of_dead_letters_says_whose_it_is():
    for stream, group in (("orders", "billing"), ("a:b{c}%d", "g:h"), ("{orders}:7", "dead")):
        assert group_of(GroupKeys("hf", stream, group).dead.decode(), "hf") == (stream, group)
    for odd in ("hf:{x}:y:dead", "other:{orders}:orders:billing:dead", "hf:{orders}:orders:billing:dead:dead", "dead"):
        assert group_of(odd, "hf") is None
    assert Whose("a", "a.1", "g") < Whose("b", "a", "g")


# -- odd letters


def test_letters_that_others_wrote_oddly_are_taken_in_all_the_same(backend, stream, postgres, arun):
    """NUL, which PostgreSQL cannot keep; names longer than a column; bytes that are no text; nothing at all."""
    desk_url = postgres.database()
    key = GroupKeys("hf", stream, GROUP).dead

    async def main():
        async with Bank(backend.url, stream):
            for fields in ({"x-dlq-exception-message": "a\0b", "x-dlq-original-message-id": "m" * 5_000},
                           {b"x-dlq-letter-id": b"\xff\x00\xfe", b"body": b"\xff"}, {"x": "y"},
                           {"x-dlq-attempts": "9" * 30, "x-dlq-reprocess-count": "-4",
                            "x-dlq-failure-reason": "r" * 300},
                           {"x-dlq-exception-type-chain": "[1,{}]", "x-dlq-error-category": "business"}):
                backend.admin.xadd(key, fields)
            async with serving(backend, stream, desk_url) as (_, desk, _t):
                await until(lambda: found(desk, "manual", 5), "all of them wait for a person")
                await until(lambda: backend.admin.xpending(key, "holdfast-desk")["pending"] == 0, "none is left")

    arun(main())


def test_a_letter_of_somebody_else_is_followed_through_its_replay(backend, stream, desk_url, arun):
    """It has no id of its own, and is known by its entry."""
    key = GroupKeys("hf", stream, GROUP).dead

    async def main():
        async with Bank(backend.url, stream) as bank:
            backend.admin.xadd(key, {"body": b'{"id": 1, "fails": 1}', "content_type": "application/json"})
            async with serving(backend, stream, desk_url, AT_ONCE) as (_, desk, _t):
                await until(lambda: found(desk, "resolved", 2), "it died again, and then it was handled")
                first, second = sorted(await desk.find(Filter()), key=lambda case: case.dead_ms)
                assert (second.parent, second.tries, bank.handled[1]) == (first.letter_id, 2, 1)

    arun(main())


def test_a_payload_is_nowhere_but_in_its_letter(backend, stream, desk_url, arun, caplog):
    marker = "4242-planted-4242"

    class Raises:
        def check(self, name, options):
            return None

        async def mend(self, letter, repairs):
            raise ValueError(marker)

    rules = {"rules": [{"name": "mend", "match": {"payload": {"/mend": True}}, "action": "repair",
                        "category": "permanent",
                        "repairs": [{"name": "x"}]},
                       {"name": "pattern", "match": {"payload": {"/card": {"pattern": marker}}}, "action": "archive",
                        "category": "permanent"}]}

    async def main():
        sink = PrometheusSink()
        told = Told()
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, rules, mender=Raises(), told=told) as (service, desk, _):
            service._events.subscribe(sink)
            service._events.subscribe(LogSink())
            await bank.publish({"id": 1, "fails": -1, "card": marker},
                               {"id": 2, "fails": -1, "card": marker, "mend": True})
            await until(lambda: found(desk, "archived", 1), "one is archived")
            await until(lambda: found(desk, "manual", 1), "one is a person's")
            await until(lambda: told.tales, "who is told")
            log = [step for case in await desk.find(Filter()) for step in await desk.steps(case.letter_id)]
            for what, said in (("the log of steps", msgspec.json.encode(log).decode()), ("metrics", sink.text()),
                               ("events", str(told.events)), ("tales", str(told.tales)), ("logs", caplog.text),
                               ("cases", str(await desk.find(Filter())))):
                assert marker not in said, f"guard: no payload in {what}"

    caplog.set_level(logging.DEBUG)
    arun(main())


# -- telling, gauges, clean-up


def test_what_could_not_be_told_is_told_again(backend, stream, desk_url, arun):
    class Deaf(Told):
        async def tell(self, kind, case, why):
            self.tales.append((kind, case.letter_id, why))
            if len(self.tales) == 1:
                raise OSError("no way out")

    async def main():
        told = Deaf()
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, {"rules": []}, told=told) as (_, desk, _):
            await bank.publish({"id": 1, "fails": -1, "error": "bug"})
            await until(lambda: len(told.tales) == 2, "guard: told until it was told")
            (case,) = await desk.find(Filter())
            await until(lambda: _noted(desk, case.letter_id), "once it was, it is recorded")

    arun(main())


async def _noted(desk, letter_id):
    return [step.what for step in await desk.steps(letter_id)].count("notified") == 1


def test_one_of_several_that_look_at_once_tells(postgres, arun):
    async def main():
        url = postgres.database()
        desks = [await Desk(url).open() for _ in range(4)]
        for n in range(25):
            await desks[0].step(lambda connection, n=n: to_tell(connection, f"L{n}", "manual", "why"))
            found = await asyncio.gather(*(taken(desk, 1, 60_000) for desk in desks))
            assert sum(map(len, found)) == 1, "guard: one of the instances tells"
        for desk in desks:
            await desk.close()

    arun(main())


def test_gauges_are_those_of_the_shelf_and_the_desk(backend, stream, desk_url, arun):
    async def main():
        async with Bank(backend.url, stream) as bank, serving(
                backend, stream, desk_url, {"rules": []}) as (service, desk, told):
            await bank.publish(*({"id": n, "fails": -1, "error": "bug"} for n in range(3)))
            await until(lambda: found(desk, "manual", 3), "three wait")
            await service._measure()
            stood = told.of(ev.DeskStood)[-1]
            assert (stood.stream, stood.length, stood.open, stood.manual, stood.pending) == (stream, 3, 3, 3, 0)
            assert 0 <= stood.oldest_s < 60

    arun(main())


def test_what_ended_long_ago_goes_with_all_that_is_its_own(backend, stream, desk_url, arun):
    rules = {"rules": [{"name": "old", "match": {"payload": {"/old": True}}, "category": "permanent",
                        "action": "archive"}]}

    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, rules) as (_, desk, _t):
            await bank.publish({"id": 1, "fails": -1, "old": True}, {"id": 2, "fails": -1, "error": "bug"})
            (old,) = await until(lambda: found(desk, "archived", 1), "one is archived")
            (open_,) = await until(lambda: found(desk, "manual", 1), "one is open")
            ((_, sha256),) = await kept_of(desk, old.letter_id)
            assert await clean_up(desk, 60_000) == 0, "it ended a moment ago"
            await asyncio.sleep(0.01)
            assert await clean_up(desk, 0) == 1
            assert await desk.find(Filter()) == [open_], "guard: only what has ended"
            assert (await desk.steps(old.letter_id), await desk.body(sha256)) == ([], None)
            assert await desk.steps(open_.letter_id)

    arun(main())


def test_a_body_that_two_letters_share_stays_for_the_other(desk_url, arun):
    async def main():
        desk = await Desk(desk_url).open()
        one = await keep(desk, "L1", "entry", b"the same")
        assert await keep(desk, "L2", "original", b"the same") == one
        assert await keep(desk, "L1", "entry", b"the same") == one
        assert await kept_of(desk, "L1") == [("entry", one)]
        await desk.close()

    arun(main())


def test_a_death_that_is_not_read_yet_is_not_taken_for_a_success(backend, stream, desk_url, arun):
    """The message has left its way, and its new letter lies unread: nothing is known yet."""
    key = GroupKeys("hf", stream, GROUP).dead

    async def main():
        async with Bank(backend.url, stream) as bank, serving(backend, stream, desk_url, AT_ONCE) as (service, desk, _):
            await bank.publish({"id": 1, "fails": 1})
            await until(lambda: found(desk, "resolved", 1), "letters are taken in")
            (feed,) = service._feeds.values()
            read, write = asyncio.Event(), feed.intake._write

            async def late(batch):
                if any(b"x-dlq-replayed-from" in (d.message.raw or d.message.fields) for d in batch):
                    await read.wait()
                await write(batch)

            feed.intake._write = late
            await bank.publish({"id": 2, "fails": 2})
            await until(lambda: bank.failed[2] == 2 and backend.admin.xlen(key) == 1, "it has died again")
            (case,) = await until(lambda: found(desk, "replayed", 1), "the desk knows of its replay")
            await asyncio.sleep(0.5)  # ten looks
            assert (await desk.get(case.letter_id)).state == "replayed", (
                "guard: everything that died is known before anything is said to be handled")
            read.set()
            await until(lambda: found(desk, "resolved", 3), "all are resolved")
            assert [step.result for step in await desk.steps(case.letter_id)][-1] == "failed"

    arun(main())
