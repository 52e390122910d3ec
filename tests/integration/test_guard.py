# SPDX-License-Identifier: Apache-2.0
"""Guarded calls of real processes on real stores: killed, frozen, slow, racing, forked, and on a full server."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from holdfast._redis.keys import GuardKeys
from holdfast._redis.open import open_server
from holdfast._sql import Database, Tables, create_all
from holdfast.errors import EffectBusy, ServerFull
from holdfast.once.guard.guard import Guard
from holdfast.once.guard.redis_store import RedisStore
from holdfast.once.guard.sql_store import SqlStore
from holdfast.testing import Worker, wait_until

SCRIPT = Path(__file__).with_name("guard_worker.py")
SOON_S = 20.0
LEASE_S = 1.0

SIDES = pytest.mark.parametrize("side", ["coroutine", "plain"])


@pytest.fixture(params=["valkey", "postgres", "sqlite"])
def url(request, tmp_path):
    """An empty store that processes share."""
    if request.param == "valkey":
        return request.getfixturevalue("_pool").get("valkey").url
    url = f"sqlite:///{tmp_path}/db" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    engine = Database(url).plain_engine
    with engine.begin() as connection:
        create_all(connection, Tables())
    engine.dispose()
    return url


@pytest.fixture
def start():
    """``start(url, key, …)``: a process that makes one guarded call."""
    with contextlib.ExitStack() as stack:

        def run(url, key="42", side="plain", *, work_s=0.0, lease_s=LEASE_S, wait_s=0.0):
            return stack.enter_context(Worker.script(SCRIPT, url, key, side, str(work_s), str(lease_s), str(wait_s)))

        yield run


def begun(worker):
    return worker.wait_line(lambda line: line["event"] == "begun", SOON_S)


def ended(worker):
    return worker.wait_line(lambda line: line["event"] in ("ended", "failed"), SOON_S)


def has_begun(worker):
    return any(line["event"] == "begun" for line in worker.lines)


@SIDES
def test_a_killed_holder_is_taken_over_after_its_lease(url, start, side):
    holder = start(url, side=side, work_s=600)
    begun(holder)
    holder.kill9()
    heir = start(url, side=side, wait_s=SOON_S)
    assert begun(heir)["taken_over"]
    assert ended(heir)["first"]


@SIDES
def test_a_slow_holder_is_renewed_and_not_taken_over(url, start, side):
    holder = start(url, side=side, work_s=3 * LEASE_S)
    begun(holder)
    other = start(url, side=side, wait_s=SOON_S)
    assert ended(holder)["first"]
    answer = ended(other)
    assert not answer["first"]
    assert answer["result"] == holder.pid
    assert not has_begun(other)


@SIDES
def test_a_frozen_holder_that_was_taken_over_does_not_pass_for_the_first(url, start, side):
    holder = start(url, side=side, work_s=2.0)
    begun(holder)
    holder.stop()
    heir = start(url, side=side, wait_s=SOON_S)
    assert ended(heir)["first"]
    holder.cont()
    assert ended(holder) == {"pid": holder.pid, "event": "failed", "error": "LeaseLost"}
    assert ended(start(url))["result"] == heir.pid


def test_of_processes_that_race_one_runs_and_all_have_its_result(url, start):
    racers = [start(url, side=side, work_s=0.3, wait_s=SOON_S) for side in ("plain", "coroutine") * 3]
    answers = [ended(racer) for racer in racers]
    first = [answer for answer in answers if answer["first"]]
    assert len(first) == 1
    assert {answer["result"] for answer in answers} == {first[0]["pid"]}


def test_a_forked_child_opens_connections_of_its_own(url, start):
    """As under a web server that loads the application, then forks its workers."""
    answer = ended(start(url, side="fork", wait_s=SOON_S))
    assert answer["event"] == "ended", answer
    assert answer["child"] == 0


@pytest.mark.everywhere
def test_records_go_by_themselves(backend, arun):
    async def main():
        server = await open_server(backend.url)
        store = RedisStore(server)
        guard = Guard(store, namespace="refunds", lease_s=1, retention_s=100)
        record = GuardKeys(server.prefix, "refunds", "42").record
        link = server.shared(record)
        left = []
        async with guard.once("42") as call:
            left.append(await link.call("PTTL", record))
            call.result = 1
        left.append(await link.call("PTTL", record))
        await store.close()
        await server.close()
        return left

    assert all(0 < left <= 100_000 for left in arun(main()))


@pytest.mark.everywhere
def test_a_full_server_takes_no_new_calls_and_forgets_no_old_ones(backend, arun):
    """Renewing and finishing go through at maxmemory: an effect that is in must not be repeated for want of memory."""

    async def main():
        server = await open_server(backend.url)
        store = RedisStore(server)
        guard = Guard(store, namespace="refunds", lease_s=0.6)
        async with guard.once("42") as call:
            full(backend, 1)
            with pytest.raises(ServerFull):
                await guard.once("43").__aenter__()
            await asyncio.sleep(0.8)  # past its first lease
            call.result = "x" * 100
        with pytest.raises(ServerFull):
            await guard.once("43").__aenter__()
        async with guard.once("42") as again:
            assert again.result == "x" * 100
        await store.close()
        await server.close()

    try:
        arun(main())
    finally:
        full(backend, 0)


def full(backend, maxmemory):
    for master in backend.masters:
        master.admin.config_set("maxmemory", maxmemory)


@pytest.mark.kinds("valkey")
def test_renewals_do_not_share_a_connection_with_other_calls(backend, arun):
    async def main():
        server = await open_server(backend.url)
        store = RedisStore(server)
        record = GuardKeys(server.prefix, "refunds", "42").record
        other = await open_server(backend.url)
        async with Guard(store, namespace="refunds", lease_s=0.15).once("42"):
            before = int(await server.shared(record).call("HGET", record, "until"))
            # Whoever holds up the shared connection holds up no renewal.
            stuck = asyncio.create_task(server.shared(record).call("BLPOP", "nothing", "0.6", timeout_s=5))
            with pytest.raises(EffectBusy):
                await Guard(RedisStore(other), namespace="refunds", wait_s=0.5).once("42").__aenter__()
            await stuck
            assert int(await server.shared(record).call("HGET", record, "until")) > before
        await store.close()
        await other.close()
        await server.close()

    arun(main())


def test_looking_finds_who_is_at_it(url, start):
    holder = start(url, work_s=600, lease_s=60)
    begun(holder)
    store = RedisStore(lambda: open_server(url)) if url.startswith("redis") else SqlStore(url)
    record = wait_until(lambda: store.plain().look("refunds", "42"), SOON_S, "the mark is seen")
    assert f"-{holder.pid}-" in record.owner
    store.plain().close()
