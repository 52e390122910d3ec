# SPDX-License-Identifier: Apache-2.0
"""Everything that is done with letters of Redis, done with letters of RabbitMQ and of Kafka: people are told of them,
change what is sent, throw them away and take them back; jobs wait for consent and keep order; they are erased, and
forgotten in time."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import msgspec
import pytest
import sqlalchemy as sa

from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.branch import broker_of
from holdfast.deadletters.desk import Actor, Filter, clean_up, kept_of, tables
from holdfast.deadletters.desk.kept import ARRIVED, ENTRY, kept
from holdfast.deadletters.jobs import JobRefused, Plan, Runner, make, move
from holdfast.deadletters.notify import Notifier, Post, plan_of
from holdfast.deadletters.people import discard, edit, erase, undo
from holdfast.streams.entry import Outgoing
from tests.support.letter_service import GROUP, serving, sqlite, until
from tests.support.providers import Providers
from tests.support.shops import kafka_shop, rabbit_shop

ANN, BO = Actor("ann", person=True), Actor("bo", person=True)
MARKER = "planted-marker-4711"
ASK = {"rules": [{"name": "ask", "match": {"error_type": "ConnectionError"}, "category": "transient",
                  "severity": "error", "action": "manual"}]}


@pytest.fixture(params=["rabbitmq", "kafka"])
def shop(request, stream):
    made = rabbit_shop if request.param == "rabbitmq" else kafka_shop
    return made(request.getfixturevalue(request.param), stream)


@asynccontextmanager
async def office(shop, backend, folder, rules=None, **how):
    """A consumer that fails, and the service. Gives the desk, and the letters' shelf."""
    async with shop.open(), serving(backend, shop.stream, sqlite(folder), rules or ASK, also=[shop.origin], land_s=0.1,
                                    **{"watch_s": 1.0, "look_s": 60.0, **how}) as (_, desk, _told):
        server = await open_server(backend.url)
        try:
            yield desk, Shelf(server, shop.origin.name, GROUP)
        finally:
            await server.close()


async def died(shop, desk, *orders):
    """Publishes (body, key), and gives the cases of their letters in that order."""
    await shop.hf.publish_many(shop.stream, [Outgoing(value=body, key=key) for body, key in orders])
    found = await until(lambda: in_state(desk, "manual", len(orders)), "they wait for a person", 30.0)
    by_key = {case.key: case for case in found}
    return [by_key[key] for _, key in orders] if len(by_key) == len(orders) else found


async def in_state(desk, state, count=1):
    found = await desk.find(Filter(states=(state,)), newest_first=False)
    return found if len(found) == count else None


async def goes_back(desk, case):
    """A person sends it back."""
    return await desk.move(case, "scheduled", ANN, what="scheduled", action="retry", due_ms=await desk.now_ms())


async def bodies(desk):
    """All that the desk keeps."""
    return await desk.step(lambda c: [bytes(row.body) for row in c.execute(sa.select(tables.body.c.body))], reads=True)


def test_people_are_told_by_the_route_of_the_stream_and_the_link_finds_the_letters(shop, backend, tmp_path, arun):
    async def main():
        async with office(shop, backend, tmp_path) as (desk, _shelf):
            with Providers() as providers:
                plan = plan_of({
                    "channels": {"hook": providers.channel("webhook"), "chat": providers.channel("slack")},
                    "routes": [{"name": "mine", "stream": [shop.stream], "to": ["hook"]},
                               {"name": "in-full", "stream": [shop.origin.name], "to": ["chat"]},
                               {"name": "others", "stream": ["another"], "to": ["chat"]}],
                    "console": "https://desk.example/letters?stream=$stream&group=$group"})
                [case] = await died(shop, desk, ({"id": 1, "fails": 1}, MARKER))
                notifier = Notifier(desk, lambda: plan, post=Post(None), events=ev.Events(), name="n1")
                await notifier.tell("manual", case, "rule ask")
                assert await notifier.round() == 2, "guard: a stream is that stream wherever it is"
                await notifier.close()
                [told], [said] = providers.taken["webhook"], providers.taken["slack"]
                assert shop.origin.name in said["text"]
                assert MARKER not in str(told) + str(said)
                escaped = shop.origin.name.replace("@", "%40").replace(":", "%3A").replace("/", "%2F")
                assert f"https://desk.example/letters?stream={escaped}&group={GROUP}" in str(told)

    arun(main())


def test_a_body_that_somebody_has_changed_is_what_its_broker_is_given(shop, backend, tmp_path, arun):
    async def main():
        async with office(shop, backend, tmp_path) as (desk, shelf):
            [case] = await died(shop, desk, ({"id": 1, "fails": -1}, "k"))
            letter = await shelf.get(case.letter_id)
            case = await edit(desk, case, letter, b'{"id": 7, "fails": 0}', ANN)
            await goes_back(desk, case)
            await until(lambda: shop.handled[7] == 1, "the changed one is handled")
            await until(lambda: in_state(desk, "resolved"), "it is over")
            assert shop.handled == Counter([7])
            assert {"original", "sent", ARRIVED} <= {what for what, _ in await kept_of(desk, case.letter_id)}

    arun(main())


def test_a_letter_is_thrown_away_taken_back_and_thrown_away_for_good(shop, backend, tmp_path, arun):
    async def main():
        async with office(shop, backend, tmp_path) as (desk, shelf):
            [case] = await died(shop, desk, ({"id": 1, "fails": -1}, "k"))
            case = await discard(desk, case, ANN, undo_ms=60_000)
            case = await undo(desk, case, ANN)
            assert (case.state, await shelf.exists(), len([x async for x in shelf.letters()])) == ("manual", True, 1)
            await discard(desk, case, ANN, undo_ms=1)
            await until(lambda: in_state(desk, "archived"), "it is off its shelf")
            assert [x async for x in shelf.letters()] == []
            assert ENTRY in {what for what, _ in await kept_of(desk, case.letter_id)}
            assert await shop.left() == [], "nor at its broker"

    arun(main())


def test_a_job_waits_for_a_second_person_and_holds_what_comes_behind_one_that_dies_again(shop, backend, tmp_path,
                                                                                        arun):
    async def main():
        async with office(shop, backend, tmp_path, watch_s=3.0) as (desk, shelf):
            await died(shop, desk, ({"id": 1, "fails": -1}, "same"), ({"id": 2, "fails": 1}, "same"),
                       ({"id": 3, "fails": 1}, "other"))
            job = await make(desk, shelf, shelf.letters(), Plan(within_s=60.0), ANN, asked="all", approval=True)
            with pytest.raises(JobRefused, match="is waiting"):
                await Runner(desk, shelf, ANN).run(job.id)
            with pytest.raises(JobRefused, match="second person"):
                await move(desk, job, "running", ANN, what="approved")
            await move(desk, job, "running", BO, what="approved")
            ended = await Runner(desk, shelf, ANN).run(job.id)
            assert (ended.state, ended.counts.handled, ended.counts.died, ended.counts.held) == ("done", 1, 1, 1)
            assert shop.handled == Counter([3]), "guard: what comes behind one that died again is held"

    arun(main())


def test_what_is_erased_is_nowhere_and_does_not_come_back_with_a_restart(shop, backend, tmp_path, arun):
    async def main():
        async with office(shop, backend, tmp_path) as (desk, shelf):
            gone, stays = await died(shop, desk, ({"id": 1, "fails": -1, "name": MARKER}, MARKER),
                                     ({"id": 2, "fails": -1}, "bob"))
            assert any(MARKER.encode() in body for body in await bodies(desk))
            done = await erase(desk, shelf, MARKER, ANN, why="asked for", secret=b"s" * 32, dry_run=False)
            assert (done.letters, done.cases, done.busy) == (1, 1, [])
            assert (await desk.get(gone.letter_id)).state == "gone"
        async with office(shop, backend, tmp_path ) as (desk, shelf):
            await until(lambda: in_state(desk, "manual"), "the other one waits on")
            assert [x.id async for x in shelf.letters()] == [stays.letter_id]
            assert not any(MARKER.encode() in body for body in await bodies(desk))
        assert MARKER.encode() not in (tmp_path / "desk.db").read_bytes()

    arun(main())


def test_what_is_over_is_forgotten_with_all_that_was_kept_of_it(shop, backend, tmp_path, arun):
    async def main():
        async with office(shop, backend, tmp_path) as (desk, _shelf):
            [case] = await died(shop, desk, ({"id": 1, "fails": 1}, "k"))
            assert await clean_up(desk, 0) == 0, "it waits"
            await goes_back(desk, case)
            await until(lambda: in_state(desk, "resolved"), "it is over")
            await until(lambda: clean_up(desk, 0), "its time has come")
            assert await bodies(desk) == []
            assert await desk.step(lambda c: c.execute(sa.select(kept)).all(), reads=True) == []
            keys = GroupKeys("hf", shop.origin.name, GROUP)
            assert backend.admin.xlen(keys.dead) == backend.admin.xlen(keys.replay) == 0

    arun(main())


def test_a_rule_that_archives_keeps_the_letter_as_its_broker_had_it(shop, backend, tmp_path, arun):
    rule = {"name": "old", "category": "permanent", "action": "archive",
            "match": {"stream": shop.stream, "broker": broker_of(shop.origin.name), "payload": {"/id": 1}}}

    async def main():
        async with office(shop, backend, tmp_path, {"rules": [rule]}) as (desk, _shelf):
            await shop.publish({"id": 1, "fails": -1, "text": "as it was"})
            [case] = await until(lambda: in_state(desk, "archived"), "it is archived", 30.0)
            found = dict(await kept_of(desk, case.letter_id))
            entry, came = [msgspec.json.decode(await desk.body(found[what])) for what in (ENTRY, ARRIVED)]
            assert entry["fields"] == came["fields"]
            body = dict(came["fields"])["body"]
            assert msgspec.json.decode(body) == {"id": 1, "fails": -1, "text": "as it was"}

    arun(main())
