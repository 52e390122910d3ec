# SPDX-License-Identifier: Apache-2.0
"""Jobs over the console's API that redirect letters to another broker: run where it is known, refused elsewhere."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast._kafka.look import read_through
from holdfast._kafka.urls import parse_url
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.branch.origin import shown
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import JobRefused, Plan, Runner, get, jobs, make
from tests.support.consoles import scene
from tests.support.letter_service import sqlite
from tests.support.planted import GROUP, letter_id, plant

UNKNOWN = "amqp://rabbit:5672/"


def ended(progress):
    return progress["job"]["state"] == "done" and not progress["here"]


def records(kafka, topic):
    return sorted(record.value for record in read_through(parse_url(kafka.url).config, topic))


async def made(backend, stream, url, plan, **how):
    """A job as `dlq job start` makes it; nobody runs it."""
    desk, server = await Desk(url).open(), await open_server(backend.url)
    shelf = Shelf(server, stream, GROUP)
    try:
        return await make(desk, shelf, shelf.letters(), plan, Actor("ann", person=True), asked="all", **how)
    finally:
        await desk.close()
        await server.close()


def test_a_job_that_redirects_to_a_broker_of_this_console_is_run_by_it(backend, kafka, stream, tmp_path, arun):
    async def main():
        plant(backend.admin, stream, 3)
        topic, broker = f"returns-{stream}", shown(kafka.url)
        kafka.create(topic, 1)
        async with scene(backend.url, sqlite(tmp_path), brokers=[Secret(kafka.url)], approve_above=2) as at:
            await at.until("groups", bool)
            # What somebody types as a password is neither needed nor kept.
            typed = f"{topic}@{kafka.url.replace('kafka://', 'kafka://ann:secret@')}"
            started = await at.operator.post("jobs", status=202, ids=[letter_id(1)], redirect_to=typed)
            (job,) = started["jobs"]
            assert job["plan"]["redirect_to"] == f"{topic}@{broker}", "guard: no credentials at the desk"
            found = await at.until(f"jobs/{job['id']}", ended)
            assert found["job"]["counts"]["sent"] == 1
            assert len(records(kafka, topic)) == 1
            waits = await made(backend, stream, sqlite(tmp_path), Plan(redirect_to=f"{topic}@{broker}"), approval=True)
            await at.approver.post(f"jobs/{waits.id}/approve")
            await at.until(f"jobs/{waits.id}", ended)
            assert len(records(kafka, topic)) == 3
            adrift = await made(backend, stream, sqlite(tmp_path), Plan(redirect_to=f"{topic}@{broker}"))
            await at.console.running.look(adrift_ms=0)
            await at.until(f"jobs/{adrift.id}", ended)
        assert "secret" not in str(backend.admin.keys("*secret*"))

    arun(main())


def test_a_job_that_redirects_to_any_other_broker_is_refused_with_the_command_that_does_it(backend, stream, tmp_path,
                                                                                          arun):
    async def main():
        plant(backend.admin, stream, 3)
        url, to = sqlite(tmp_path), Origin(UNKNOWN, "returns", "any").name
        async with scene(backend.url, url) as at:
            await at.until("groups", bool)
            refused = await at.operator.post("jobs", status=409, ids=[letter_id(1)], redirect_to=to)
            assert f"`holdfast dlq job start … --redirect STREAM --redirect-url {UNKNOWN}`" in refused["detail"]
            await at.operator.post("jobs", status=404, ids=[letter_id(1)], redirect_to="@amqp://h")
            desk = await at.console.desk()
            assert await jobs(desk) == [], "guard: no job is made that nobody here can run"
            waits = await made(backend, stream, url, Plan(redirect_to=to), approval=True)
            refused = await at.approver.post(f"jobs/{waits.id}/approve", status=409)
            then = f"`holdfast dlq job resume {waits.id} --redirect-url {UNKNOWN}` runs it"
            assert f"`holdfast dlq job approve {waits.id}` and then {then}" in refused["detail"]
            assert (await get(desk, waits.id)).state == "waiting", "guard: none is set running that nobody can run"
            paused = await made(backend, stream, url, Plan(redirect_to=to))
            await at.operator.post(f"jobs/{paused.id}/pause")
            refused = await at.operator.post(f"jobs/{paused.id}/resume", status=409)
            assert f"`holdfast dlq job resume {paused.id} --redirect-url {UNKNOWN}` runs it" in refused["detail"]
            assert (await get(desk, paused.id)).state == "paused"
            adrift = await made(backend, stream, url, Plan(redirect_to=to))
            await at.console.running.look(adrift_ms=0)
            assert not at.console.running.has(adrift.id), "it is left to whoever has the URL"
            with pytest.raises(JobRefused, match="with --redirect-url"):  # guard: not to a stream of that name here
                await Runner(desk, await at.console.shelf(stream, GROUP), Actor("ann", person=True)).run(adrift.id)

    arun(main())
