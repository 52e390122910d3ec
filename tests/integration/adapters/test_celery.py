# SPDX-License-Identifier: Apache-2.0
"""Celery's dead tasks become letters: sent by Celery itself, its worker killed, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from holdfast import Holdfast
from holdfast._redis.keys import CeleryKeys
from holdfast.adapters.celery import Counts, Importer, importing, restored
from holdfast.deadletters import Order, Replayer, Shelf, discard
from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until, wait_until_async
from tests.support.children import import_path

HERE = Path(__file__).parent
pytestmark = pytest.mark.kinds("valkey")


@pytest.fixture
def theirs(backend, monkeypatch):
    """Celery's own broker: another database of the same server."""
    return backend.url.removesuffix("/0") + "/1"


@pytest.fixture
def broker(theirs):
    import redis

    with redis.Redis.from_url(theirs) as client:
        client.flushdb()
        yield client


def celery(theirs, *words, code=None):
    env = {**import_path(HERE), "CELERY_URL": theirs, "PYTHONWARNINGS": "ignore"}
    return Worker.code(code, env=env) if code else Worker.module("celery", *words, env=env, cwd=HERE)


def sent(theirs, *calls):
    """Sends tasks as Celery does: pairs of arguments for ``apply_async``."""
    code = "import celery_app\n" + "".join(f"celery_app.bill.apply_async({args!r}, {kwargs!r}, **{how!r})\n"
                                           for args, kwargs, how in calls)
    with celery(theirs, code=code) as sender:
        assert sender.wait() == 0, sender.stderr


def worker(theirs, *flags):
    return celery(theirs, "-A", "celery_app", "worker", "--pool", "solo", "--concurrency", "1", "--without-gossip",
                  "--without-mingle", "--without-heartbeat", *flags)


async def imported(url, theirs, work):
    """What ``work(importer)`` answers, and all letters then."""
    async with Holdfast(url) as hf:
        shelf = Shelf(await hf.open(), "bills", "celery")
        async with importing(theirs, shelf) as importer:
            counts = await work(importer)
        return counts, [letter async for letter in shelf.letters()]


def test_a_list_that_nobody_consumes_is_taken_in_whole_and_can_be_given_back(backend, theirs, broker, arun):
    sent(theirs, (["o-1"], {}, {"queue": "failed"}), (["o-2"], {"seconds": 1.5}, {"queue": "failed", "priority": 9}),
         *[(["o-3"], {}, {"queue": "failed", "task_id": "bill-o-3"})] * 2)
    before = [json.loads(raw) for key in broker.keys("failed*") for raw in broker.lrange(key, 0, -1)]
    assert len(before) == 4

    counts, letters = arun(imported(backend.url, theirs, lambda found: found.queues(["failed"])))
    assert counts == Counts(taken=4)
    assert not broker.keys("failed*")
    assert not broker.exists(CeleryKeys("hf").taken)
    assert {letter.metadata["failure-reason"] for letter in letters} == {"manual"}
    assert [letter.message_id for letter in letters].count("bill-o-3") == 2, "published twice: two tasks"
    after = [restored(letter.fields) for letter in letters]
    assert sorted(map(json.dumps, map(ordered, after))) == sorted(map(json.dumps, map(ordered, before)))


def ordered(envelope):
    return json.loads(json.dumps(envelope, sort_keys=True))


def test_what_a_killed_worker_had_is_taken_in_and_what_a_living_one_has_is_left_alone(backend, theirs, broker, arun):
    sent(theirs, (["o-1"], {"seconds": 600}, {}))
    with worker(theirs) as doomed:
        wait_until(lambda: "began o-1" in doomed.stderr, 60, "it is at work")
        counts, letters = arun(imported(backend.url, theirs, lambda found: found.unacked(older_than_s=3600)))
        assert (counts, letters) == (Counts(waiting=1), [])
        assert broker.hlen("unacked") == 1
        doomed.kill9()
    counts, (letter,) = arun(imported(backend.url, theirs, lambda found: found.unacked(older_than_s=0)))
    assert counts == Counts(taken=1)
    assert letter.metadata["failure-reason"] == "crash_loop"
    assert letter.metadata["error-category"] == "transient"
    assert json.loads(dict(zip(letter.fields[::2], letter.fields[1::2], strict=True))[b"body"])[:2] == [
        ["o-1"], {"seconds": 600}]
    assert (broker.hlen("unacked"), broker.zcard("unacked_index")) == (0, 0)


def test_a_task_that_failed_is_taken_in_with_its_error_and_replayed_once(backend, theirs, broker, arun):
    sent(theirs, (["o-1"], {"bad": True}, {}), (["o-2"], {}, {}))
    with worker(theirs) as running:
        wait_until(lambda: len(broker.keys("celery-task-meta-*")) == 2, 60, "both have ended")
        running.kill9()
    counts, (letter,) = arun(imported(backend.url, theirs, Importer.results))
    assert counts == Counts(taken=1)
    assert letter.metadata["exception-type"] in {"LookupError", "builtins.LookupError"}
    assert letter.metadata["exception-message"] == "no account for o-1"
    assert letter.metadata["original-routing-key"] == "celery"
    assert letter.metadata["message-type"] == "shop.bill"

    async def replay_and_again():
        billed = []
        async with Holdfast(backend.url) as hf:
            @hf.consumer("bills", group="celery", type="shop.bill")
            async def bill(call: tuple[list[str], dict[str, bool], dict[str, str]]) -> None:
                billed.append(call)

            shelf = Shelf(await hf.open(), "bills", "celery")
            await Replayer(shelf).one(letter.id, Order(by="ana"))
            run = asyncio.create_task(hf.run(drain_s=1))
            await wait_until_async(lambda: billed, 60, "it was replayed")
            hf.stop()
            await run
        return billed

    assert arun(replay_and_again()) == [(["o-1"], {"bad": True}, {})]
    counts, letters = arun(imported(backend.url, theirs, Importer.results))
    assert (counts, letters) == (Counts(known=1), []), "what was replayed does not come back"


def test_a_task_in_a_list_knows_its_error_from_its_result(backend, theirs, broker, arun):
    broker.lpush("failed", json.dumps(envelope("t-1", retries=2)))
    broker.set("celery-task-meta-t-1", json.dumps({
        "status": "FAILURE", "task_id": "t-1", "date_done": "2026-11-27T10:00:00.123456", "traceback": "Traceback …",
        "result": {"exc_type": "CardRefused", "exc_message": ["by the bank"], "exc_module": "shop.errors"}}))
    counts, (letter,) = arun(imported(backend.url, theirs, lambda found: found.queues(["failed"])))
    assert counts == Counts(taken=1)
    assert letter.metadata["failure-reason"] == "max_attempts"
    assert letter.metadata["exception-type"] == "shop.errors.CardRefused"
    assert letter.metadata["attempts"] == "3"
    assert letter.metadata["failure-timestamp"] == "2026-11-27T10:00:00.123Z"


def envelope(task_id, retries=0, **headers):
    return {"body": "W1sxXSwge30sIHt9XQ==", "content-type": "application/json", "content-encoding": "utf-8",
            "headers": {"id": task_id, "task": "shop.bill", "retries": retries, "root_id": "r-1", **headers},
            "properties": {"delivery_tag": f"tag-{task_id}", "body_encoding": "base64",
                           "delivery_info": {"exchange": "", "routing_key": "failed"}}}


@pytest.mark.parametrize("dies_at", ["before the letter", "before it is removed"])
def test_an_import_that_is_cut_off_loses_nothing_and_doubles_nothing(backend, theirs, broker, arun, dies_at):
    for n in range(3):
        broker.lpush("failed", json.dumps(envelope(f"t-{n}")))

    async def cut_off(found):
        real = found._link.call

        async def call(*words):
            # A process that dies there: what was done is done, what comes next is not.
            if words[0] == ("LINDEX" if dies_at == "before the letter" else "LREM"):
                raise ConnectionResetError("cut off")
            return await real(*words)

        found._link.call = call
        await found.queues(["failed"])

    if dies_at == "before the letter":
        broker.lmove("failed", CeleryKeys("hf").taken, "RIGHT", "RIGHT")
    with pytest.raises(ConnectionResetError):
        arun(imported(backend.url, theirs, cut_off))
    assert broker.llen(CeleryKeys("hf").taken) == 1
    counts, letters = arun(imported(backend.url, theirs, lambda found: found.queues(["failed"])))
    assert sorted(letter.message_id for letter in letters) == ["t-0", "t-1", "t-2"]
    assert counts == (Counts(taken=3) if dies_at == "before the letter" else Counts(taken=2, known=1))
    assert not broker.keys("*")


def test_what_celery_has_back_by_itself_stays_celerys(backend, theirs, broker, arun):
    value = json.dumps([envelope("t-1"), "", "celery"])
    broker.hset("unacked", "tag-1", value)
    broker.zadd("unacked_index", {"tag-1": 1.0})

    async def restored_meanwhile(found):
        real = found._link.time_ms

        async def time_ms():
            # As Celery's restore_by_tag does, between our look and our step.
            broker.zrem("unacked_index", "tag-1")
            broker.hdel("unacked", "tag-1")
            broker.rpush("celery", json.dumps(envelope("t-1")))
            return await real()

        found._link.time_ms = time_ms
        return await found.unacked(older_than_s=10)

    counts, letters = arun(imported(backend.url, theirs, restored_meanwhile))
    assert (counts, letters) == (Counts(), [])
    assert broker.llen("celery") == 1


def test_what_is_no_task_is_a_letter_as_it_was(backend, theirs, broker, arun):
    broker.lpush("failed", b"\x80\x04pickled", b'{"body": 7}', json.dumps(envelope("t-1")))
    counts, letters = arun(imported(backend.url, theirs, lambda found: found.queues(["failed"])))
    assert counts == Counts(taken=3, unread=2)
    odd = [letter for letter in letters if letter.metadata["failure-reason"] == "decode_error"]
    bodies = {dict(zip(letter.fields[::2], letter.fields[1::2], strict=True))[b"body"] for letter in odd}
    assert bodies == {b"\x80\x04pickled", b'{"body": 7}'}


def test_a_letter_that_was_discarded_does_not_come_back(backend, theirs, broker, arun):
    async def take_and_discard():
        async with Holdfast(backend.url) as hf:
            shelf = Shelf(await hf.open(), "bills", "celery")
            async with importing(theirs, shelf) as found:
                await found.queues(["failed"])
                [letter] = [letter async for letter in shelf.letters()]
                await discard(shelf, letter, by="ana", why="never mind")

    task = json.dumps(envelope("t-1"))
    broker.lpush("failed", task)
    arun(take_and_discard())
    broker.lpush("failed", task)
    counts, letters = arun(imported(backend.url, theirs, lambda found: found.queues(["failed"])))
    assert (counts, letters) == (Counts(known=1), [])
