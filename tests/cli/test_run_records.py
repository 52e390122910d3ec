# SPDX-License-Identifier: Apache-2.0
"""``holdfast run --records``: effects of another broker's messages, and ``holdfast once`` where they are recorded."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest

from holdfast import Holdfast
from holdfast._redis.keys import GroupKeys
from holdfast.cli.plan import Plan, find
from holdfast.testing import wait_until
from tests.cli.conftest import COMMAND, environment

MODULE = """
from holdfast import Holdfast
from holdfast.once import IdempotencyKey, outside
hf = Holdfast()

@hf.consumer({stream!r}, group="billing", once=outside(on_doubt="hold", hold_s=0.2))
async def bill(order: dict, key: IdempotencyKey) -> None:
    pass
"""


async def published(url, stream, *ids):
    async with Holdfast(url) as hf:
        for message_id in ids:
            await hf.publish(stream, {"id": message_id}, id=message_id)


@pytest.fixture(params=["option", "environment"])
def named(request, backend):
    """Words and variables that name the server of records."""
    return (["--records", backend.url], {}) if request.param == "option" else ([], {"HOLDFAST_RECORDS": backend.url})


@pytest.fixture
def folder(tmp_path, stream):
    """Where the module of a consumer lies."""
    (tmp_path / "billing.py").write_text(MODULE.format(stream=stream))
    return tmp_path


def test_a_doubt_at_rabbitmq_is_seen_and_resolved_at_the_server_of_records(  # noqa: PLR0917 - fixtures
        rabbitmq, backend, stream, folder, holdfast, named):
    more, env = named
    once = ["--group", "billing", "--url", backend.url, "--json"]
    backend.admin.hset(GroupKeys("hf", stream, "billing").begun, "m-1", "dead-1-hf0123456789 1000")
    with (folder / "err").open("wb") as err:
        process = subprocess.Popen([*COMMAND, "run", "billing:hf", "--url", rabbitmq.url, *more], cwd=folder,
                                   stderr=err, env=environment(**env), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: "consumer_started" in (folder / "err").read_text(), 30, "it runs")
        asyncio.run(published(rabbitmq.url, stream, "m-1", "m-2"))
        wait_until(lambda: holdfast("once", "show", stream, "m-2", *once).code == 0, 30, "the other one is done")
        wait_until(lambda: "effect_doubted" in (folder / "err").read_text(), 30, "it is in doubt")
        doubts = holdfast("once", "doubts", stream, *once)
        assert (doubts.code, [(d["id"], d["kind"]) for d in doubts.json]) == (1, [("m-1", "in doubt")])
        assert holdfast("once", "resolve", stream, "m-1", "--applied", *once).json == [
            {"id": "m-1", "outcome": "resolved"}]
        assert holdfast("once", "doubts", stream, *once).code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    said = (folder / "err").read_text()
    assert "RabbitMQ: records of effects lie at the server of `records`" in said


def test_of_an_environment_only_services_at_other_brokers_take_the_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "on_redis_here.py").write_text("from holdfast import Holdfast\nhf = Holdfast('redis://localhost')\n")
    (tmp_path / "on_rabbit_here.py").write_text("from holdfast import Holdfast\nhf = Holdfast('amqp://localhost')\n"
                                                "said = Holdfast('amqp://localhost', records='redis://own')\n")
    told = {"records": "redis://shared"}
    assert find(Plan(app="on_redis_here:hf", unless=told)).records is None
    assert find(Plan(app="on_rabbit_here:hf", unless=told)).records == "redis://shared"
    assert find(Plan(app="on_rabbit_here:said", unless=told)).records == "redis://own"
    assert find(Plan(app="on_rabbit_here:said", over=told)).records == "redis://shared"
