# SPDX-License-Identifier: Apache-2.0
"""taskiq's tasks under Holdfast: what is stuck or lost without it and is not with it. Real processes, killed."""

from __future__ import annotations

import asyncio
import json
import signal
from functools import partial
from pathlib import Path

import pytest

from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until
from tests.integration.adapters import seen
from tests.integration.adapters.seen import begun, billed, dead, replayed
from tests.support.children import import_path

APP = Path(__file__).with_name("taskiq_app.py")
TASKS = {"stream": "taskiq", "group": "taskiq"}
pending = partial(seen.pending, **TASKS)
pytestmark = pytest.mark.kinds("valkey")


def kick(url, way, *orders):
    """As an application does that only sends tasks."""
    code = ("import asyncio, taskiq_app as app\n"
            "async def main():\n"
            "    await app.broker.startup()\n"
            f"    for order in {orders!r}:\n"
            "        await app.bill.kiq(**order)\n"
            "    await app.broker.shutdown()\n"
            "asyncio.run(main())\n")
    with Worker.code(code, env=environment(url, way)) as sender:
        assert sender.wait() == 0, sender.stderr


def environment(url, way, seconds=0):
    return {**import_path(APP.parent), "APP_URL": url, "APP_WAY": way, "APP_SECONDS": str(seconds)}


def app(backend, way, seconds=0, points=""):
    worker = Worker.script(APP, backend.url, way, str(seconds), env={"HOLDFAST_POINTS": points})
    try:
        worker.wait_line(lambda line: line["event"] == "running", 60)
    except BaseException:
        worker.close()
        raise
    return worker


def letters(backend):
    return [{name.decode(): value.decode() for name, value in fields.items()} for fields in dead(backend, **TASKS)]


def killed_within(backend, way):
    """A worker of that way, killed while its task was at the order."""
    with app(backend, way, 600) as doomed:
        kick(backend.url, way, {"order_id": "o-1"})
        doomed.wait_line(begun("o-1"), 60)
        doomed.kill9()
    assert pending(backend) == 1


def test_plain_what_a_killed_worker_held_is_stuck_as_long_as_nothing_new_comes(backend):
    killed_within(backend, "plain")
    with app(backend, "plain") as successor:
        # Idle times rise in its own clock; it looks at them only after a read that brought something.
        wait_until(lambda: idle_ms(backend) > 4000, 30, "four times as long as it may lie idle")
        assert pending(backend) == 1
        assert billed(backend) == []
        kick(backend.url, "plain", {"order_id": "o-2"})
        wait_until(lambda: len(billed(backend)) == 2, 60, "new traffic brings it out")
        assert successor.lines.count({"began": "o-1"}) == 1


def idle_ms(backend):
    (entry,) = backend.admin.xpending_range("taskiq", "taskiq", "-", "+", 1)
    return entry["time_since_delivered"]


def test_held_what_a_killed_worker_held_is_done_exactly_once_though_nothing_new_comes(backend):
    killed_within(backend, "held")
    with app(backend, "held") as successor:
        successor.wait_line(begun("o-1"), 60)
        wait_until(lambda: not pending(backend), 60, "it is settled")
    assert billed(backend) == ["o-1"]
    assert letters(backend) == []


@pytest.mark.parametrize("point", ["handler.after", "apply.after"])
def test_held_wherever_it_dies_around_its_effect_the_effect_is_there_once(backend, point):
    with app(backend, "held", points=f"{point}:kill") as doomed:
        kick(backend.url, "held", {"order_id": "o-1"})
        assert doomed.wait(60) == -signal.SIGKILL
    with app(backend, "held"):
        wait_until(lambda: "o-1" in billed(backend) and not pending(backend), 60, "all is settled")
    assert billed(backend) == ["o-1"]


def test_held_one_that_was_frozen_and_comes_back_has_no_second_effect(backend):
    with app(backend, "held", 3) as frozen:
        kick(backend.url, "held", {"order_id": "o-1"})
        frozen.wait_line(begun("o-1"), 60)
        frozen.stop()
        with app(backend, "held") as successor:
            successor.wait_line(begun("o-1"), 60)
            wait_until(lambda: not pending(backend), 60, "somebody else has done it")
            frozen.cont()
            kick(backend.url, "held", {"order_id": "o-2"}, {"order_id": "o-3"})
            wait_until(lambda: {"o-2", "o-3"} <= set(billed(backend)) and not pending(backend), 60, "it goes on")
    assert sorted(billed(backend)) == ["o-1", "o-2", "o-3"]


def test_held_what_plain_had_left_stuck_is_taken_over_too(backend):
    killed_within(backend, "plain")
    with app(backend, "held"):
        wait_until(lambda: billed(backend) == ["o-1"] and not pending(backend), 60, "it is done")


def test_plain_a_task_that_fails_is_gone(backend):
    with app(backend, "plain") as worker:
        kick(backend.url, "plain", {"order_id": "o-1", "bad": True}, {"order_id": "o-2"})
        wait_until(lambda: billed(backend) == ["o-2"] and not pending(backend), 60, "both are acknowledged")
        assert worker.lines.count({"began": "o-1"}) == 1


def test_held_a_task_that_fails_is_tried_by_policy_and_then_a_dead_letter_that_can_be_replayed(backend):
    with app(backend, "held") as worker:
        kick(backend.url, "held", {"order_id": "o-1", "bad": True}, {"order_id": "o-2"})
        wait_until(lambda: letters(backend), 60, "it has died")
        wait_until(lambda: not pending(backend), 60, "nothing is left")
        assert worker.lines.count({"began": "o-1"}) == 2
        assert billed(backend) == ["o-2"]
        (letter,) = letters(backend)
        assert letter["x-dlq-failure-reason"] == "max_attempts"
        assert letter["x-dlq-exception-type"] == "ValueError"
        assert letter["type"] == "bill"
        message = json.loads(letter["body"])
        assert message["kwargs"] == {"order_id": "o-1", "bad": True}
        assert message["task_id"] == letter["id"]
        assert message["labels"] == {}, "and nothing of ours has been left in it"

        asyncio.run(replayed(backend.url, **TASKS))
        wait_until(lambda: worker.lines.count({"began": "o-1"}) == 4, 60, "the task runs as it was sent")


def test_held_taskiqs_own_worker_runs_it_gives_results_and_stops_in_good_order(backend):
    flags = ["worker", "taskiq_app:broker", "--workers", "1", "--max-async-tasks", "5", "--wait-tasks-timeout", "20"]
    with Worker.module("taskiq", *flags, env=environment(backend.url, "held", 1), cwd=APP.parent) as worker:
        kick(backend.url, "held", {"order_id": "o-1"})
        worker.wait_line(begun("o-1"), 60)
        worker.signal(signal.SIGTERM)
        assert worker.wait(40) == 0, worker.stderr
    assert billed(backend) == ["o-1"]
    assert not pending(backend)
    results = [backend.admin.get(key) for key in backend.admin.keys("*") if backend.admin.type(key) == b"string"]
    assert [b"billed o-1" in result for result in results] == [True]
