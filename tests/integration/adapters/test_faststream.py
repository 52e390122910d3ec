# SPDX-License-Identifier: Apache-2.0
"""FastStream's handlers under Holdfast: what is stuck without it and is not with it. Real processes, killed."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until
from tests.integration.adapters import seen
from tests.integration.adapters.seen import begun, billed, dead, replayed

APP = Path(__file__).with_name("faststream_app.py")
BILLING = {"stream": "orders", "group": "billing"}
pending = partial(seen.pending, **BILLING)
pytestmark = pytest.mark.kinds("valkey")


def publish(url, *orders):
    """As a FastStream application does."""
    from faststream.redis import RedisBroker

    async def send():
        async with RedisBroker(url) as broker:
            for order in orders:
                await broker.publish(order, stream="orders")

    asyncio.run(send())


def alive(worker):
    assert worker.alive, worker.stderr
    return True


def app(backend, way, seconds=0, points=""):
    """Returns when its group is there: FastStream's begin with what comes from then on."""
    worker = Worker.script(APP, backend.url, way, str(seconds), env={"HOLDFAST_POINTS": points})
    try:
        wait_until(lambda: not worker.alive or grouped(backend), 60, "its group is there")
    except BaseException:
        worker.close()
        raise
    return worker


def grouped(backend):
    return backend.admin.exists("orders") and backend.admin.xinfo_groups("orders")


def killed_within(backend, way):
    """An application of that way, killed while its handler was at the order."""
    with app(backend, way, 600) as doomed:
        publish(backend.url, {"id": "o-1"})
        doomed.wait_line(begun("o-1"), 60)
        doomed.kill9()
    assert pending(backend) == 1


def letters(backend):
    return [{name.decode(): value.decode(errors="replace") for name, value in fields.items()}
            for fields in dead(backend, **BILLING)]


def test_plain_what_a_killed_application_held_is_stuck(backend):
    killed_within(backend, "plain")
    with app(backend, "plain") as successor:
        publish(backend.url, {"id": "o-2"}, {"id": "o-3"})
        wait_until(lambda: alive(successor) and billed(backend) == ["o-2", "o-3"], 60, "new messages go on")
        wait_until(lambda: pending(backend) < 2, 60, "what was handled is acknowledged")
        assert pending(backend) == 1
        assert {"began": "o-1"} not in successor.lines


def test_held_what_a_killed_application_held_is_done_exactly_once(backend):
    killed_within(backend, "held")
    with app(backend, "held") as successor:
        successor.wait_line(begun("o-1"), 60)
        wait_until(lambda: not pending(backend), 60, "it is settled")
        publish(backend.url, {"id": "o-2"})
        wait_until(lambda: "o-2" in billed(backend), 60, "new messages go on")
    assert billed(backend) == ["o-1", "o-2"]
    assert letters(backend) == []


@pytest.mark.parametrize("point", ["handler.after", "apply.before", "apply.after"])
def test_held_wherever_it_dies_around_its_effect_the_effect_is_there_once(backend, point):
    with app(backend, "held", points=f"{point}:kill") as doomed:
        publish(backend.url, {"id": "o-1"})
        assert doomed.wait(60) == -signal.SIGKILL
    with app(backend, "held"):
        publish(backend.url, {"id": "o-2"})
        wait_until(lambda: "o-2" in billed(backend) and not pending(backend), 60, "all is settled")
    assert sorted(billed(backend)) == ["o-1", "o-2"]


def test_held_one_that_was_frozen_and_comes_back_has_no_second_effect(backend):
    with app(backend, "held", 3) as frozen:
        publish(backend.url, {"id": "o-1"})
        frozen.wait_line(begun("o-1"), 60)
        frozen.stop()
        with app(backend, "held") as successor:
            successor.wait_line(begun("o-1"), 60)
            wait_until(lambda: not pending(backend), 60, "somebody else has done it")
            frozen.cont()
            publish(backend.url, {"id": "o-2"}, {"id": "o-3"})
            wait_until(lambda: {"o-2", "o-3"} <= set(billed(backend)) and not pending(backend), 60, "it goes on")
            frozen.signal(signal.SIGTERM)
            assert frozen.wait(60) == 0
    assert sorted(billed(backend)) == ["o-1", "o-2", "o-3"]


def test_held_what_plain_had_left_stuck_is_taken_over_too(backend):
    killed_within(backend, "plain")
    with app(backend, "held"):
        wait_until(lambda: billed(backend) == ["o-1"] and not pending(backend), 60, "it is done")


def test_plain_a_message_that_fails_is_stuck(backend):
    with app(backend, "plain") as worker:
        publish(backend.url, {"id": "o-1", "bad": True}, {"id": "o-2"})
        wait_until(lambda: billed(backend) == ["o-2"], 60, "the next one goes on")
        assert worker.lines.count({"began": "o-1"}) == 1
        assert pending(backend) == 1


def test_held_a_message_that_fails_is_tried_by_policy_and_then_a_dead_letter_that_can_be_replayed(backend):
    with app(backend, "held") as worker:
        publish(backend.url, {"id": "o-1", "bad": True}, {"id": "o-2"})
        wait_until(lambda: letters(backend), 60, "it has died")
        wait_until(lambda: not pending(backend), 60, "nothing is left")
        assert worker.lines.count({"began": "o-1"}) == 2
        assert billed(backend) == ["o-2"]
        (letter,) = letters(backend)
        assert letter["x-dlq-failure-reason"] == "max_attempts"
        assert letter["x-dlq-exception-type"] == "ValueError"
        assert letter["x-dlq-handler"] == "__main__:bill"

        asyncio.run(replayed(backend.url, **BILLING))
        wait_until(lambda: worker.lines.count({"began": "o-1"}) == 4, 60, "FastStream reads it as it was published")


def test_held_a_message_that_does_not_fit_dies_at_once_and_its_values_are_not_told(backend):
    with app(backend, "held") as worker:
        publish(backend.url, {"identity": "o-1", "bad": "secret-word"})
        wait_until(lambda: letters(backend), 60, "it has died")
        (letter,) = letters(backend)
        assert letter["x-dlq-failure-reason"] == "schema_invalid"
        assert "order.id" in letter["x-dlq-exception-message"]
        assert "secret-word" not in letter["x-dlq-exception-message"] + letter["x-dlq-exception-stacktrace"]
        assert not [line for line in worker.lines if isinstance(line, dict)], "the handler was not called"


def test_held_an_application_that_is_told_to_stop_finishes_what_it_has_begun(backend):
    with app(backend, "held", 0.5) as worker:
        publish(backend.url, {"id": "o-1"})
        worker.wait_line(begun("o-1"), 60)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert billed(backend) == ["o-1"]
    assert not pending(backend)
