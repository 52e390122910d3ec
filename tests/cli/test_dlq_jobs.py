# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq job`` and what people do with letters, as an operator and a script use them."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.people import taken_in
from tests.support.planted import GROUP, plant


@pytest.fixture
def desk(tmp_path):
    return f"sqlite:///{tmp_path}/desk.db"


def start(at, stream, desk, *more):
    return at("dlq", "job", "start", stream, "--group", GROUP, "--desk", desk, "--json", *more)


def test_a_job_is_started_shown_and_listed(at, backend, stream, desk):
    plant(backend.admin, stream, 12)
    said = start(at, stream, desk, "--all", "--no-wait", "--order", "sent", "--by", "ana")
    assert (said.code, said.json["state"], said.json["counts"]["sent"]) == (0, "done", 12)
    assert backend.admin.xlen(GroupKeys("hf", stream, GROUP).replay) == 12
    job_id = said.json["id"]
    (listed,) = at("dlq", "job", "ls", "--desk", desk, "--json").json
    assert (listed["id"], listed["by"]) == (job_id, "ana")
    shown = at("dlq", "job", "show", job_id, "--desk", desk, "--json").json
    assert (shown["job"]["counts"]["sent"], shown["not_through"]) == (12, [])
    assert at("dlq", "job", "resume", job_id, "--desk", desk).code == 1


def test_a_job_waits_for_a_second_person(at, backend, stream, desk):
    plant(backend.admin, stream, 2)
    said = start(at, stream, desk, "--all", "--approval", "--by", "ana", "--no-wait", "--order", "sent")
    job_id = said.json["id"]
    assert (said.code, said.json["state"]) == (0, "waiting")
    assert at("dlq", "job", "resume", job_id, "--desk", desk, "--by", "bo").code == 1
    said = at("dlq", "job", "approve", job_id, "--desk", desk, "--by", "ana")
    assert (said.code, "a second person has to approve it" in said.err) == (1, True)
    assert at("dlq", "job", "approve", job_id, "--desk", desk, "--by", "bo", "--json").json["approved_by"] == "bo"
    assert at("dlq", "job", "approve", job_id, "--desk", desk, "--by", "cy").code == 1
    said = at("dlq", "job", "resume", job_id, "--desk", desk, "--by", "ana", "--json")
    assert (said.code, said.json["counts"]["sent"]) == (0, 2)


def test_a_bare_start_touches_nothing(at, backend, stream, desk):
    plant(backend.admin, stream, 1)
    assert start(at, stream, desk).code == 2
    assert start(at, stream, desk, "--all", "--redirect", "x", "--canary").code == 2
    job_id = start(at, stream, desk, "--all", "--approval").json["id"]
    assert at("dlq", "job", "cancel", job_id, "--desk", desk, "--json").json["state"] == "cancelled"
    assert at("dlq", "job", "pause", job_id, "--desk", desk).code == 1
    assert at("dlq", "job", "show", "nonsense", "--desk", desk).code == 1


@pytest.fixture
def letter(backend, stream, desk):
    """A letter that waits for a person."""
    plant(backend.admin, stream, 1, key=lambda n: "ana-key", body=lambda n: b'{"n":1,"iban":"DE1"}')

    async def take():
        server, opened = await open_server(backend.url), await Desk(desk).open()
        async for one in Shelf(server, stream, GROUP).letters():
            await taken_in(opened, one, stream, Actor("desk-1"))
            found = one.id
        await opened.close()
        await server.close()
        return found

    return asyncio.run(take())


def test_people_deal_with_a_letter(at, desk, letter, tmp_path):
    def do(command, *more):
        return at("dlq", command, *more, "--desk", desk)

    assert do("assign", letter, "--to", "ana").code == 0
    assert do("assign", letter, "nonsense", "--to", "ana").code == 1
    assert [c["letter_id"] for c in do("queue", "--mine", "--by", "ana", "--json").json] == [letter]
    assert do("queue", "--unassigned", "--json").json == []
    assert do("comment", letter, "--say", "hm").code == 0
    (tmp_path / "body.json").write_text('{"n":2,"iban":"DE2"}')
    (tmp_path / "fields.toml").write_text('[[fields]]\nfield = "iban"\n')
    fields = ("--fields", tmp_path / "fields.toml")
    said = do("edit", letter, "--body-file", tmp_path / "body.json", *fields)
    assert (said.code, '+  "n": 2' in said.out, "DE" in said.out) == (0, True, False)
    seen = do("view", letter, "--json", *fields).json
    assert ('"n": 1' in seen["body"], "DE" in str(seen), seen["comments"][0]["words"]) == (True, False, "hm")
    assert do("undo", letter).code == 0
    assert do("throw-away", letter, "--undo-within", "2h").code == 0
    assert do("queue", "--json").json == []
    assert do("undo", letter).code == 0
    assert do("undo", letter).code == 1
    assert "viewed" in [step["what"] for step in do("log", "--letter", letter, "--json").json]


def test_an_erasure_wants_to_be_said_twice(at, backend, stream, desk, letter):
    erase = ("dlq", "erase", "--key", "ana-key", "--stream", stream, "--group", GROUP, "--desk", desk, "--by", "bo",
             "--json", "--why")
    said = at(*erase, "she asked")
    assert (said.code, said.json["letters"], said.json["done"], "say --yes" in said.err) == (0, 1, False, True)
    assert backend.admin.xlen(GroupKeys("hf", stream, GROUP).dead) == 1
    assert at(*erase, "ana-key asked").code == 2
    said = at(*erase, "she asked", "--yes")
    assert (said.code, said.json["cases"], said.json["done"]) == (0, 1, True)
    assert backend.admin.xlen(GroupKeys("hf", stream, GROUP).dead) == 0
