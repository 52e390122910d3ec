# SPDX-License-Identifier: Apache-2.0
"""Replay jobs over the console's API: run by the console, agreed to by a second person, taken up from the dead."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast import Holdfast, Reject
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import Plan, get, make
from holdfast.deadletters.service import DESK_GROUP
from holdfast.streams.settings import StreamSettings
from tests.support.consoles import scene
from tests.support.planted import GROUP, letter_id, plant


@pytest.fixture
def desk_url(tmp_path):
    return f"sqlite:///{tmp_path}/desk.db"


@pytest.fixture(params=["sqlite", "postgres"])
def either_desk(request, desk_url):
    return desk_url if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@asynccontextmanager
async def reader(backend, stream, *, fails=()):
    """A consumer of the group. Gives what it handled, in order."""
    handled: list[Any] = []
    hf = Holdfast(backend.url, settings=StreamSettings(lease_ms=1_000, sweep_ms=100, block_ms=50))

    @hf.consumer(stream, group=GROUP)
    async def handler(body: dict[str, Any]) -> None:
        if body["n"] in fails:
            raise Reject("still no use for it")
        handled.append(body["n"])

    await hf.open()
    running = asyncio.create_task(hf.run(drain_s=1.0))
    try:
        yield handled
    finally:
        hf.stop()
        await running
        await hf.close()


def ended(progress):
    return progress["job"]["state"] in {"done", "stopped", "cancelled"}


def test_a_job_that_is_started_is_run_and_its_letters_are_resolved(backend, stream, either_desk, arun):
    async def main():
        plant(backend.admin, stream, 30)
        async with scene(backend.url, either_desk) as at, reader(backend, stream, fails={7}) as handled:
            await at.until("groups", lambda groups: groups and groups[0]["count"] == 30)
            started = await at.operator.post("jobs", status=202, filter={"stream": stream}, within_s=20)
            (job,) = started["jobs"]
            assert (job["by"], job["state"], job["asked"], job["counts"]["waiting"]) == (
                "operator.o", "running", f"logical={stream}", 30)
            found = await at.until(f"jobs/{job['id']}", lambda p: ended(p) and not p["here"])
            assert (found["job"]["state"], found["ended"], found["chosen"]) == ("done", 30, 30)
            assert found["job"]["counts"]["handled"] == 29
            assert [(item["letter_id"], item["state"]) for item in found["not_through"]] == [(letter_id(7), "died")]
            assert sorted(handled) == [n for n in range(30) if n != 7]
            case = (await at.viewer.get(f"letters/{letter_id(3)}"))["case"]
            assert case["state"] == "resolved", "guard: without a service the job says what became of its letters"
            (step,) = await at.viewer.get("log", letter_id=letter_id(7), what="resolved")
            assert (step["result"], step["actor"]) == ("failed", "operator.o")
            open_ = await at.until("letters?open=true", lambda cases: len(cases) == 1)
            assert open_[0]["parent"] == letter_id(7), "what died again is another letter"

    arun(main())


def test_what_became_of_a_replay_is_a_services_to_say_where_one_lives(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 2)
        async with scene(backend.url, desk_url) as at, reader(backend, stream):
            await at.until("groups", bool)
            dead = GroupKeys("hf", stream, GROUP).dead.decode()
            backend.admin.zadd(GroupKeys("hf", dead, DESK_GROUP).leases, {"hf.somebody": 1 << 52})
            job = await at.operator.post(f"letters/{letter_id(1)}/replay", status=202)
            await at.until(f"jobs/{job['id']}", lambda p: ended(p) and not p["here"])
            case = (await at.viewer.get(f"letters/{letter_id(1)}"))["case"]
            assert case["state"] == "replayed", "guard: a service counts what it finds"

    arun(main())


def test_one_letter_is_replayed_with_its_edit(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 2)
        async with scene(backend.url, desk_url) as at, reader(backend, stream) as handled:
            await at.until("groups", bool)
            await at.operator.post(f"letters/{letter_id(1)}/edit", body='{"n": 4711}')
            job = await at.operator.post(f"letters/{letter_id(1)}/replay", status=202)
            await at.until(f"jobs/{job['id']}", ended)
            assert handled == [4711]
            await at.operator.post(f"letters/{letter_id(1)}/replay", status=409)
            await at.operator.post("letters/nobody/replay", status=404)

    arun(main())


def test_a_job_that_is_large_takes_a_second_person_who_may_approve(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with scene(backend.url, desk_url, approve_above=2) as at, reader(backend, stream) as handled:
            await at.until("groups", bool)
            ids = [letter_id(n) for n in range(3)]
            small = await at.operator.post("jobs", status=202, ids=ids[:2])
            assert small["jobs"][0]["state"] == "running"
            await at.until(f"jobs/{small['jobs'][0]['id']}", ended)
            asked = await at.approver.post("jobs", status=202, ids=[ids[2]], approval=True)
            job = asked["jobs"][0]["id"]
            assert asked["jobs"][0]["state"] == "waiting"
            await at.operator.post(f"jobs/{job}/approve", status=403)
            problem = await at.approver.post(f"jobs/{job}/approve", status=409)
            assert "second person" in problem["detail"], "guard: four eyes"
            await at.operator.post(f"jobs/{job}/resume", status=409)
            assert len(handled) == 2
            assert (await at.second.post(f"jobs/{job}/approve"))["approved_by"] == "approver.b"
            await at.until(f"jobs/{job}", ended)
            assert sorted(handled) == [0, 1, 2]
            await at.second.post(f"jobs/{job}/approve", status=409)

    arun(main())


def test_above_the_limit_every_job_waits(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        async with scene(backend.url, desk_url, approve_above=2) as at:
            await at.until("groups", lambda groups: groups and groups[0]["count"] == 3)
            asked = await at.operator.post("jobs", status=202, filter={"stream": stream})
            assert asked["jobs"][0]["state"] == "waiting", "guard: what is large takes a second person"

    arun(main())


def test_a_job_pauses_goes_on_and_is_cancelled(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 50)
        async with scene(backend.url, desk_url) as at, reader(backend, stream):
            await at.until("groups", lambda groups: groups and groups[0]["count"] == 50)
            started = await at.operator.post("jobs", status=202, filter={"stream": stream}, rate_per_s=5)
            job = started["jobs"][0]["id"]
            await at.until(f"jobs/{job}", lambda p: p["job"]["counts"]["handled"] > 0 and p["held"])
            assert (await at.operator.post(f"jobs/{job}/pause", why="tea"))["state"] == "paused"
            found = await at.until(f"jobs/{job}", lambda p: not p["here"] and not p["held"])
            assert (found["job"]["state"], found["job"]["why"]) == ("paused", "tea")
            assert (await at.other.post(f"jobs/{job}/resume"))["state"] == "running"
            await at.until(f"jobs/{job}", lambda p: p["held"])
            assert (await at.operator.post(f"jobs/{job}/cancel", why="enough"))["state"] == "cancelled"
            await at.until(f"jobs/{job}", lambda p: not p["here"])
            await at.operator.post(f"jobs/{job}/resume", status=409)
            steps = await at.viewer.get("log", letter_id=job)
            assert [(s["what"], s["actor"]) for s in steps if s["by_person"]] == [
                ("asked", "operator.o"), ("paused", "operator.o"), ("resumed", "operator.p"),
                ("cancelled", "operator.o")]
            assert [one["id"] for one in await at.viewer.get("jobs")] == [job]

    arun(main())


def test_jobs_are_made_for_each_stream_and_what_cannot_go_is_said(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 2)
        async with scene(backend.url, desk_url) as at, reader(backend, stream):
            await at.until("groups", bool)
            await at.operator.post(f"letters/{letter_id(0)}/discard")
            started = await at.operator.post("jobs", status=202, ids=[letter_id(0), letter_id(1), "nobody"])
            assert len(started["jobs"]) == 1
            assert [(r["letter_id"], r["state"]) for r in started["refused"]] == [
                (letter_id(0), "discarded"), ("nobody", "")]
            await at.until(f"jobs/{started['jobs'][0]['id']}", ended)
            await at.operator.post("jobs", status=409, filter={"stream": "no-such"})
            both = {"canary": True, "redirect_to": "elsewhere"}
            assert "no canary" in (await at.operator.post("jobs", status=422, ids=["x"], **both))["detail"]
            for wrong in ({}, {"ids": ["x"], "filter": {}}, {"ids": []}, {"ids": ["x"], "rate": 1},
                          {"filter": {"strm": stream}}):
                await at.operator.post("jobs", status=422, **wrong)

    arun(main())


def test_a_filter_without_a_known_field_chooses_nothing_rather_than_all(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        async with scene(backend.url, desk_url) as at:
            await at.viewer.get("letters?strm=x", status=422)
            await at.viewer.get("groups?fingerprnt=x", status=422)

    arun(main())


def test_a_job_is_let_go_by_a_console_that_ends_and_taken_up_by_the_next(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 20)
        async with reader(backend, stream) as handled:
            async with scene(backend.url, desk_url) as at:
                await at.until("groups", lambda groups: groups and groups[0]["count"] == 20)
                started = await at.operator.post("jobs", status=202, filter={"stream": stream}, rate_per_s=10)
                job = started["jobs"][0]["id"]
                await at.until(f"jobs/{job}", lambda p: p["job"]["counts"]["handled"] > 0)
            async with scene(backend.url, desk_url, allow_changes=False) as at:
                found = await at.viewer.get(f"jobs/{job}")
                assert (found["job"]["state"], found["held"]) == ("running", False)
                await asyncio.wait_for(at.console.running.take_up(), 5)
                assert not at.console.running.has(job), "guard: a read-only console runs nothing"
            async with scene(backend.url, desk_url) as at:
                await at.console.running.look()
                assert not at.console.running.has(job), "guard: whoever made it comes first"
                await at.console.running.look(adrift_ms=0)
                found = await at.until(f"jobs/{job}", ended)
                assert found["job"]["counts"]["handled"] == 20
                assert sorted(handled) == list(range(20))

    arun(main())


def test_a_job_of_the_command_line_is_taken_up_when_its_runner_died(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 5)
        server, desk = await open_server(backend.url), await Desk(desk_url).open()
        shelf = Shelf(server, stream, GROUP)
        made = await make(desk, shelf, shelf.letters(), Plan(within_s=20), Actor("ana", person=True), asked="all")
        async with reader(backend, stream) as handled, scene(backend.url, desk_url) as at:
            await at.console.running.look(adrift_ms=0)
            await at.until(f"jobs/{made.id}", ended)
            assert sorted(handled) == list(range(5))
            assert (await get(desk, made.id)).by == "ana"
        await desk.close()
        await server.close()

    arun(main())
