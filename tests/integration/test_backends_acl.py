# SPDX-License-Identifier: Apache-2.0
"""A user with the rights of the printed line and no others can do everything; one without is told what is missing."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._redis.acl import NEEDED, acl_line
from holdfast._redis.doctor import examine
from holdfast._redis.open import open_server
from holdfast.errors import NotAuthorized
from holdfast.once import Writes
from tests.support.mainpath import walk
from tests.support.protocol import GROUP, Service, desk_at, eventually

pytestmark = [pytest.mark.kinds("valkey", "redis62", "redis70"), pytest.mark.usefixtures("dismissed")]


def admit(backend, line):
    """Makes the user of the line and returns a URL of theirs."""
    words = line.split(" ")
    backend.admin.execute_command(*words)
    return backend.url.replace("redis://", f"redis://{words[2]}:secret@")


@pytest.fixture
def dismissed(backend):
    yield
    backend.admin.acl_deluser("holdfast")


@pytest.mark.parametrize("useful", [True, False], ids=["with-useful", "needed-alone"])
def test_the_smallest_line_is_enough_for_the_main_path(backend, stream, arun, useful):
    url = admit(backend, acl_line([f"{stream}*"], password="secret", useful=useful))
    arun(walk(stream, url))
    if useful:
        report = arun(examined(url, stream))
        assert [f for node in report.nodes for f in node.findings if f.topic == "rights" and f.level != "ok"] == []


async def examined(url, stream):
    server = await open_server(url)
    try:
        return await examine(server, streams=(stream,))
    finally:
        await server.close()


@pytest.mark.parametrize("missing", ["xreadgroup", "evalsha", "xclaim", "xack", "zadd", "xdel"])
@pytest.mark.parametrize("partitions", [0, 2], ids=["plain", "partitioned"])
def test_a_consumer_without_a_right_is_told_which_and_has_touched_nothing(backend, stream, arun, missing, partitions):
    """On the way in: one that can read and cannot settle would handle the same messages for ever."""
    url = admit(backend, acl_line([f"{stream}*"], password="secret") + f" -{missing}")
    seen: list[object] = []

    async def handler(body: dict) -> None:
        seen.append(body)

    def consumer(url):
        service = Service(url)
        if partitions:
            service.hf.stream(stream, partitions=partitions)
        service.consumer(stream, group=GROUP)(handler)
        return service

    async def scenario():
        publisher = consumer(backend.url)
        for n in range(4):
            await publisher.hf.publish(stream, {"n": n}, key=f"k{n}")
        service = await consumer(url).start()
        with pytest.raises(NotAuthorized, match=missing.upper() + ".*holdfast doctor"):
            await asyncio.wait_for(service.running_to_its_end(), 8)
        await service.stop()
        assert seen == []
        await asyncio.to_thread(backend.admin.execute_command, "ACL", "SETUSER", "holdfast", f"+{missing}")
        async with consumer(url):
            await eventually(lambda: len(seen) == 4, "everything is handled once the right is there")
        await publisher.hf.close()

    arun(scenario())


def test_a_consumer_that_may_not_keep_records_is_told_so_before_it_reads(backend, stream, arun):
    url = admit(backend, acl_line([stream], password="secret", useful=False))
    service = Service(url)

    @service.consumer(stream, group=GROUP, once="redis")
    async def handle(body: dict, writes: Writes) -> None: ...

    async def scenario():
        with pytest.raises(NotAuthorized, match=r"ZMSCORE, HLEN, HVALS.*once=.redis"):
            await service.hf.run()
        await service.hf.close()

    arun(scenario())


def test_a_right_that_is_taken_away_meanwhile_holds_settles_up_and_repeats_nothing(backend, stream, arun):
    url = admit(backend, acl_line([stream], password="secret"))
    seen: list[int] = []

    async def handler(body: dict) -> None:
        seen.append(body["n"])

    async def scenario():
        service = Service(url)
        service.consumer(stream, group=GROUP)(handler)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"n": 0})
            await eventually(lambda: seen == [0], "the work goes on")
            await eventually(desk.pending_is_empty, "it is settled")
            backend.admin.execute_command("ACL", "SETUSER", "holdfast", "-xack")
            for n in (1, 2):
                await service.hf.publish(stream, {"n": n})
            await eventually(lambda: seen == [0, 1, 2], "the others are handled")
            rounds = service.source.sweeper._round
            await eventually(lambda: service.source.sweeper._round > rounds + 5, "it has looked around")
            assert seen == [0, 1, 2]
            assert len(await desk.pending()) == 2
            backend.admin.execute_command("ACL", "SETUSER", "holdfast", "+xack")
            await eventually(desk.pending_is_empty, "they are settled once the right is back")
            assert seen == [0, 1, 2]

    arun(scenario())


def test_a_publisher_without_a_right_or_a_key_is_told_so(backend, stream, arun):
    url = admit(backend, acl_line([stream], password="secret") + " -xadd")

    async def publish(where):
        async with Service(url).hf as hf:
            await hf.publish(where, {})

    with pytest.raises(NotAuthorized, match="XADD"):
        arun(publish(stream))
    admit(backend, acl_line([stream], password="secret"))
    with pytest.raises(NotAuthorized, match="XADD"):
        arun(publish("somebody-elses"))


def test_a_wrong_password_is_told_at_once(backend, arun):
    with pytest.raises(NotAuthorized):
        arun(open_server(backend.url.replace("redis://", "redis://nobody:wrong@")))


def test_the_line_asks_for_nothing_dangerous():
    assert not {"flushall", "flushdb", "keys", "config|set", "debug", "shutdown", "script|flush"} & set(NEEDED)
