# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq import celery``: what it moves, what it says, and how it ends."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.kinds("valkey")


def task(task_id):
    return json.dumps({"body": "[[1], {}, {}]", "content-type": "application/json", "headers": {
        "id": task_id, "task": "shop.bill"}, "properties": {"delivery_tag": task_id}})


@pytest.fixture
def take(at, backend):
    def run(*flags):
        return at("dlq", "import", "celery", "bills", "--group", "celery", "--from", backend.url, *flags)

    return run


def test_tasks_of_a_list_are_letters_afterwards_and_are_listed_as_such(take, at, backend):
    backend.admin.lpush("failed", task("t-1"), task("t-2"))
    said = take("--queue", "failed")
    assert (said.code, said.err) == (0, "2 taken in, 0 known already\n")
    letters = at("dlq", "ls", "bills", "--group", "celery", "--json").json
    assert [(letter["message_id"], letter["reason"]) for letter in letters] == [("t-1", "manual"), ("t-2", "manual")]


def test_what_cannot_be_read_lies_there_as_it_was_and_the_answer_is_1(take, backend):
    backend.admin.lpush("failed", b"\xff", task("t-1"))
    said = take("--queue", "failed", "--json")
    assert said.code == 1
    assert said.json == {"taken": 2, "known": 0, "unread": 1, "waiting": 0, "unnamed": 0}


def test_what_living_workers_have_is_left_alone_and_counted(take, backend):
    backend.admin.hset("unacked", "tag", json.dumps([json.loads(task("t-1")), "", "celery"]))
    backend.admin.zadd("unacked_index", {"tag": backend.admin.time()[0] - 600})
    said = take("--unacked")
    assert said.code == 0
    assert said.err.splitlines() == ["0 taken in, 0 known already",
                                     "1 unacknowledged for less than --older-than, left alone"]
    assert take("--unacked", "--older-than", "5m").err == "1 taken in, 0 known already\n"
    assert not backend.admin.exists("unacked")


def test_who_does_not_say_what_is_told_what_to_say(take):
    said = take()
    assert said.code == 2
    assert "--queue NAME, --unacked or --results" in said.err


def test_a_broker_that_is_away_is_3(at):
    assert at("dlq", "import", "celery", "bills", "--group", "celery", "--from", "redis://127.0.0.1:1/0", "--queue",
              "failed").code == 3
