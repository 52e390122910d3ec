# SPDX-License-Identifier: Apache-2.0
"""Replay jobs on SQLite and PostgreSQL, with consumers that handle what comes, and some that do not."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast import Delivery, Holdfast, Reject
from holdfast._base.events import Events
from holdfast._base.letter_lineage import lineage_of
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Choice, Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import JobRefused, Plan, Runner, clean_up, get, items, jobs, make, move, ramp, taking
from holdfast.deadletters.service.cases import case_of
from holdfast.errors import CaseMoved
from holdfast.streams.settings import StreamSettings
from tests.support.letter_service import until
from tests.support.planted import GROUP, plant

ANA, BO, DESK = Actor("ana", person=True), Actor("bo", person=True), Actor("desk-1")


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


@asynccontextmanager
async def opened(backend, stream, desk_url):
    server, desk = await open_server(backend.url), await Desk(desk_url).open()
    try:
        yield desk, Shelf(server, stream, GROUP)
    finally:
        await desk.close()
        await server.close()


@asynccontextmanager
async def reader(backend, stream, *, fails=lambda n: False):
    """A consumer of the group. Gives what it handled, in order."""
    handled = []
    hf = Holdfast(backend.url, settings=StreamSettings(lease_ms=1_000, sweep_ms=100, block_ms=50))

    @hf.consumer(stream, group=GROUP)
    async def handler(body: dict[str, Any], delivery: Delivery) -> None:
        if fails(body["n"]):
            raise Reject("still no use for it")
        handled.append((delivery.message.key, body["n"]))

    await hf.open()
    running = asyncio.create_task(hf.run(drain_s=1.0))
    try:
        yield handled
    finally:
        hf.stop()
        await running
        await hf.close()


async def asked(desk, shelf, plan=None, **more):
    return await make(desk, shelf, shelf.letters(more.pop("choice", None)), plan or Plan(within_s=20), ANA,
                      asked="all", **more)


def test_all_letters_go_back_and_are_handled(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 60, key=lambda n: f"k{n % 7}" if n % 2 else "")
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream) as handled:
            told = []
            job = await Runner(desk, shelf, ANA, told=told.append).run((await asked(desk, shelf)).id)
            assert (job.state, job.counts.handled, job.counts.chosen) == ("done", 60, 60)
            assert sorted(n for _, n in handled) == list(range(60))
            assert await shelf.count() == 0
            assert told[-1].counts.handled == 60
            steps = await desk.steps(job.id)
            assert [(s.what, s.actor, s.after) for s in steps] == [("asked", "ana", "running"), ("done", "ana", "done")]

    arun(main())


def test_a_key_keeps_its_order_though_its_letters_were_buried_in_another(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 40, key=lambda n: f"k{n % 4}", source=lambda n: 40 - n)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream) as handled:
            await Runner(desk, shelf, ANA).run((await asked(desk, shelf)).id)
            by_key = defaultdict(list)
            for key, n in handled:
                by_key[key].append(n)
            assert len(by_key) == 4
            for found in by_key.values():
                assert found == sorted(found, reverse=True), "guard: one of a key at a time"

    arun(main())


def test_what_comes_after_a_letter_that_died_again_is_held(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 6, key=lambda n: f"k{n % 2}")
        async with opened(backend, stream, desk_url) as (desk, shelf), \
                reader(backend, stream, fails=lambda n: n == 2) as handled:
            events, seen = Events(), Counter()
            events.subscribe(lambda event: seen.update({event.outcome: event.count}) if event.name == "job_letters"
                             else None)
            job = await Runner(desk, shelf, ANA, events=events).run((await asked(desk, shelf)).id)
            assert (job.state, job.counts.handled, job.counts.died, job.counts.held) == ("done", 4, 1, 1)
            assert seen == {"sent": 5, "handled": 4, "died": 1, "held": 1}
            assert ("k0", 4) not in handled, "guard: none overtakes one of its key that is dead"
            (held,) = await items(desk, job.id, states=["held"])
            assert "of its key comes first" in held.why
            assert await shelf.count() == 2

    arun(main())


def test_a_canary_stops_at_the_first_that_dies_again(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 50)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream, fails=lambda n: n >= 3):
            job = await asked(desk, shelf, Plan(canary=True, stop_at=0.2, within_s=20))
            job = await Runner(desk, shelf, ANA).run(job.id)
            assert job.state == "stopped", "guard: stop on failures"
            assert "died again: more than 20%" in job.why
            assert (job.counts.handled, job.counts.died, job.counts.waiting) == (3, 5, 42)
            assert (await desk.steps(job.id))[-1].what == "stopped"
            with pytest.raises(JobRefused, match="is stopped"):
                await Runner(desk, shelf, ANA).run(job.id)

    arun(main())


def test_a_job_that_needs_it_waits_for_a_second_person(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream):
            job = await asked(desk, shelf, approval=True)
            with pytest.raises(JobRefused, match="is waiting"):
                await Runner(desk, shelf, ANA).run(job.id)
            with pytest.raises(JobRefused, match="second person"):
                await move(desk, job, "running", ANA, what="approved")
            assert (await get(desk, job.id)).state == "waiting", "guard: four eyes"
            approved = await move(desk, job, "running", BO, what="approved")
            assert approved.approved_by == "bo"
            with pytest.raises(CaseMoved):
                await move(desk, job, "cancelled", ANA, what="cancelled")
            assert (await Runner(desk, shelf, ANA).run(job.id)).counts.handled == 3
            assert [(s.what, s.actor) for s in await desk.steps(job.id)] == [
                ("asked", "ana"), ("approved", "bo"), ("done", "ana")]

    arun(main())


async def _held(desk, job):
    return (await get(desk, job.id)).holder


async def _has_sent(desk, job, count):
    now = await get(desk, job.id)
    return now if now.counts.replayed >= count else None


def test_two_runners_do_not_run_one_job(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with opened(backend, stream, desk_url) as (desk, shelf):
            job = await asked(desk, shelf)
            one = Runner(desk, shelf, ANA)
            running = asyncio.create_task(one.run(job.id))
            await until(lambda: _held(desk, job), "a runner has it")
            with pytest.raises(JobRefused, match="is run by ana/"):
                await Runner(desk, shelf, BO).run(job.id)
            one.stop()
            paused = await running
            assert (paused.state, paused.why) == ("paused", "its runner was told to stop"), "guard: one runner a job"

    arun(main())


def test_a_paused_job_goes_on_where_it_was(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 40)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream) as handled:
            job = await asked(desk, shelf, Plan(rate_per_s=20, within_s=20))
            running = asyncio.create_task(Runner(desk, shelf, ANA).run(job.id))
            now = await until(lambda: _has_sent(desk, job, 3), "some are sent")
            await move(desk, now, "paused", BO, what="paused", why="lunch")
            paused = await running
            assert (paused.state, paused.why) == ("paused", "lunch")
            assert 3 <= paused.counts.replayed < 40
            await move(desk, paused, "running", BO, what="resumed")
            assert (await Runner(desk, shelf, BO).run(job.id)).counts.handled == 40
            assert sorted(n for _, n in handled) == list(range(40))

    arun(main())


def test_what_went_is_told_when_somebody_pauses_a_job_of_several_batches(backend, stream, desk_url, arun, monkeypatch):
    monkeypatch.setattr(ramp, "BATCH", 5)

    async def main():
        plant(backend.admin, stream, 2000)
        async with opened(backend, stream, desk_url) as (desk, shelf):
            job = await asked(desk, shelf, Plan(order="sent", wait=False))
            running = asyncio.create_task(Runner(desk, shelf, ANA).run(job.id))
            now = await until(lambda: _has_sent(desk, job, 10), "some are sent")
            await move(desk, now, "paused", BO, what="paused", why="lunch")
            paused = await running
            assert paused.state == "paused"
            sent = backend.admin.xlen(GroupKeys("hf", stream, GROUP).replay)
            assert (paused.counts.working, paused.counts.sent) == (0, sent), "guard: what went is told"
            assert sent + await shelf.count() == 2000

    arun(main())


def test_what_is_applied_refused_or_gone_is_said(backend, stream, desk_url, arun):
    async def main():
        ids = plant(backend.admin, stream, 4)
        keys = GroupKeys("hf", stream, GROUP)
        backend.admin.zadd(keys.done, {"m0": 1_700_000_000_000})
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream) as handled:
            job = await asked(desk, shelf, Plan(within_s=20, replays_max=0))
            job = await Runner(desk, shelf, ANA).run(job.id)
            assert (job.counts.applied, job.counts.refused) == (1, 3)
            job = await asked(desk, shelf)
            backend.admin.xdel(keys.dead, backend.admin.hget(keys.letters, ids[3]))
            job = await Runner(desk, shelf, ANA).run(job.id)
            assert (job.counts.applied, job.counts.handled, job.counts.gone) == (1, 2, 1)
            assert ids[0] == (await items(desk, job.id, states=["applied"]))[0].letter_id
            assert [n for _, n in handled] == [1, 2]

    arun(main())


def test_an_edited_body_and_a_redirect(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 2)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream) as handled:
            sha256 = await desk.keep_body(b'{"n":77}')
            job = await asked(desk, shelf, Plan(edited=sha256, within_s=20), choice=Choice(message_id="m0"))
            assert (await Runner(desk, shelf, ANA).run(job.id)).counts.handled == 1
            assert handled == [(None, 77)]
            job = await asked(desk, shelf, Plan(redirect_to=f"{stream}-other"))
            assert (await Runner(desk, shelf, ANA).run(job.id)).counts.sent == 1
            ((_, fields),) = backend.admin.xrange(f"{stream}-other")
            lineage, _ = lineage_of([part for pair in fields.items() for part in pair])
            assert (lineage["replay-job"], lineage["replayed-by"]) == (job.id, "ana")

    arun(main())


def test_cases_at_the_desk_go_along_and_what_another_is_at_is_left(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 4)
        async with opened(backend, stream, desk_url) as (desk, shelf), reader(backend, stream):
            cases = await desk.take_in([case_of(one, stream) async for one in shelf.letters()], DESK)
            mine = [await desk.move(one, "classified", DESK, what="classified") for one in cases[1:]]
            manual = await desk.move(mine[0], "manual", DESK, what="classified",
                                     edited=await desk.keep_body(b'{"n":55}'))
            busy = await desk.move(mine[1], "working", DESK, what="claimed", deed="replay", holder="desk-1",
                                   holder_until_ms=await desk.now_ms() + 60_000)
            thrown = await desk.move(mine[2], "discarded", DESK, what="discarded")
            job = await Runner(desk, shelf, ANA).run((await asked(desk, shelf)).id)
            assert (job.counts.handled, job.counts.refused) == (2, 2)
            assert (await desk.get(busy.letter_id)).state == "working", "guard: not what somebody else is at"
            assert (await desk.get(thrown.letter_id)).state == "discarded"
            assert {(await desk.get(one.letter_id)).state for one in (cases[0], manual)} == {"replayed"}
            assert [s.what for s in await desk.steps(cases[0].letter_id)] == [
                "taken_in", "classified", "claimed", "replayed"]

    arun(main())


def test_what_a_killed_run_had_taken_up_is_looked_for_on_its_shelf_first(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 5)
        async with opened(backend, stream, desk_url) as (desk, shelf):
            job = await asked(desk, shelf, Plan(wait=False, order="sent"))
            await desk.step(lambda connection: taking.take(connection, job.id, "dead/1", 3))
            await desk.step(lambda connection: taking.release(connection, job.id, "dead/1"))
            job = await Runner(desk, shelf, ANA).run(job.id)
            sent = backend.admin.xlen(GroupKeys("hf", stream, GROUP).replay)
            assert (job.counts.sent, sent, await shelf.count()) == (5, 5, 0), "guard: look at the outside first"

    arun(main())


def test_a_job_that_ended_long_ago_goes_with_its_letters_and_others_stay(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 7)
        async with opened(backend, stream, desk_url) as (desk, shelf):
            plan = Plan(wait=False, order="sent")
            done = await make(desk, shelf, shelf.letters(limit=5), plan, ANA, asked="some")
            await Runner(desk, shelf, ANA).run(done.id)
            waits = await asked(desk, shelf, approval=True)
            assert await clean_up(desk, 60_000) == 0, "it ended a moment ago"
            await asyncio.sleep(0.01)
            assert [await clean_up(desk, 0, limit=3) for _ in range(4)] == [3, 2, 1, 0]
            assert [job.id for job in await jobs(desk)] == [waits.id], "guard: only jobs that have ended"
            assert (await items(desk, done.id), await desk.steps(done.id)) == ([], [])
            assert len(await items(desk, waits.id)) == 2

    arun(main())
