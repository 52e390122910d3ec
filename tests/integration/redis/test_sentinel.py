# SPDX-License-Identifier: Apache-2.0
"""Through Sentinels: a failover costs time and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.sentinel import Sentinel as SentinelClient

from holdfast._redis.doctor import examine
from holdfast._redis.open import open_server
from holdfast.errors import ServerUnreachable
from holdfast.testing.servers import Sentinel
from holdfast.testing.waiting import wait_until_async


@pytest.fixture(scope="module")
def sentinels():
    with Sentinel() as started:
        yield started


@pytest.fixture
def watched(sentinels):
    sentinels.mend()
    sentinels.admin.flushall()
    return sentinels


def test_links_follow_the_master_and_a_read_that_blocked_on_the_dead_one_is_in_doubt(watched, arun):
    async def go():
        server = await open_server(watched.url)
        assert server.kind == "sentinel"
        link, shared, sync = await server.link(b"k"), server.shared(b"k"), server.sync_link(b"k", timeout_s=15)
        await shared.call("SET", "k", "v")
        assert await asyncio.to_thread(sync.call, "GET", "k") == b"v"
        before, run_id = link.endpoint, link.run_id
        reader = await server.link(b"q")
        blocked = asyncio.create_task(reader.call("BLPOP", "q", 0, timeout_s=30))
        await wait_until_async(lambda: watched.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks")
        await asyncio.to_thread(watched.master.kill)
        with pytest.raises(ServerUnreachable) as caught:
            await blocked
        assert caught.value.maybe_done
        answers = await asyncio.gather(
            link.call("INCR", "n", timeout_s=15),
            shared.call("INCR", "n", timeout_s=15),
            asyncio.to_thread(sync.call, "INCR", "n"),
        )
        assert sorted(answers) == [1, 2, 3]
        assert link.endpoint != before
        assert run_id not in ("", link.run_id)
        sync.close()
        await server.close()

    arun(go())
    watched.wait_failover()


def test_an_adopted_sentinel_client(watched, arun):
    async def go():
        manager = SentinelClient([node.address for node in watched.sentinels])
        client = manager.master_for("mymaster")
        server = await open_server(client=client)
        assert await server.shared(b"k").call("SET", "k", "v") == b"OK"
        assert await client.get("k") == b"v"
        await server.close()
        await client.aclose()
        await manager.aclose()

    arun(go())


def test_sentinels_that_know_no_such_service(watched, arun):
    async def go():
        server = await open_server(watched.url.replace("mymaster", "other"))
        await server.shared(b"k").call("PING", timeout_s=0.5)

    with pytest.raises(ServerUnreachable, match="knows no service 'other'"):
        arun(go())


def test_the_doctor_says_what_a_failover_may_lose(watched, arun):
    async def go():
        server = await open_server(watched.url)
        report = await examine(server)
        await server.close()
        return report

    (found,) = [finding for finding in arun(go()).nodes[0].findings if finding.topic == "replication"]
    assert (found.level, found.what) == ("warn", "1 connected, none required")
