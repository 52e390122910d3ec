# SPDX-License-Identifier: Apache-2.0
"""On a cluster: links follow their slot, also while it is moved key by key, and nothing is done twice."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import RedisCluster

from holdfast._redis.doctor import examine
from holdfast._redis.open import open_server
from holdfast._redis.scripts import Script
from holdfast._redis.slots import slot_of
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.testing.servers import Cluster
from holdfast.testing.waiting import wait_until_async

SUM = Script.of("sum", b"return redis.call('GET', KEYS[1]) + redis.call('GET', KEYS[2])")
BUMP = Script.of("bump", b"return redis.call('INCR', KEYS[1])")


@pytest.fixture(scope="module")
def started():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started):
    started.mend()
    for node in started.masters:
        node.admin.flushall()
    return started


def another(cluster, key):
    """A master that does not own the slot of ``key``."""
    owner = cluster.owner_of_key(key)
    return next(node for node in cluster.masters if node is not owner)


def test_every_key_finds_its_node_from_any_of_them(cluster, arun):
    async def go(url):
        server = await open_server(url)
        assert (server.kind, server.clustered) == ("cluster", True)
        for n in range(60):
            key = b"key%d" % n
            assert await server.shared(key).call("INCR", key) == 1
            await server.shared(key).call("DEL", key)
        nodes = {server.shared(b"key%d" % n).endpoint for n in range(60)}
        await server.close()
        return nodes

    assert len(arun(go(cluster.url))) == 3
    assert len(arun(go(f"redis://127.0.0.1:{cluster.nodes[0].port}"))) == 3, "one node is enough of a URL"


def test_a_cluster_has_one_database(cluster, arun):
    with pytest.raises(ConfigurationError, match="only database 0"):
        arun(open_server(cluster.url + "/1"))


def test_links_follow_a_slot_that_has_moved(cluster, arun):
    key = b"moved"

    async def go():
        server = await open_server(cluster.url)
        link, shared, sync = await server.link(key), server.shared(key), server.sync_link(key)
        assert await asyncio.to_thread(sync.call, "INCR", key) == 1
        assert await shared.call("INCR", key) == 2
        before = link.endpoint
        await asyncio.to_thread(cluster.move_slot, slot_of(key), another(cluster, key))
        assert await link.call("INCR", key) == 3
        assert await shared.run(BUMP, [key]) == 4
        assert await asyncio.to_thread(sync.run, BUMP, [key]) == 5
        assert await link.pipeline([("INCR", key), ("WAIT", 0, 0), ("GET", key)]) == [6, 0, b"6"]
        assert link.endpoint != before
        sync.close()
        await server.close()

    arun(go())


def test_while_a_slot_is_in_two_places_each_key_is_found(cluster, arun):
    keys = [b"{half}%d" % n for n in range(6)]

    async def go():
        server = await open_server(cluster.url)
        link, sync = await server.link(b"{half}"), server.sync_link(b"{half}", timeout_s=0.5)
        await link.pipeline([("SET", key, n) for n, key in enumerate(keys)])
        moving = cluster.moving(slot_of(b"half"), another(cluster, b"half"), batch=1)
        gone = [next(moving) for _ in range(3)]
        stays = [key for key in keys if key not in gone]
        for _ in range(2):
            assert await link.pipeline([("GET", key) for key in keys]) == [b"%d" % n for n in range(6)]
        assert await asyncio.to_thread(sync.call, "GET", gone[0]) is not None
        assert await link.run(BUMP, [gone[0]]) == int(await link.call("GET", gone[0]))
        with pytest.raises(ServerUnreachable, match="TRYAGAIN") as caught:
            await link.run(SUM, [gone[0], stays[0]], timeout_s=0.3)
        assert not caught.value.maybe_done
        waiting = asyncio.create_task(link.run(SUM, [gone[0], stays[0]], timeout_s=20))
        await asyncio.to_thread(list, moving)
        assert isinstance(await waiting, int)
        sync.close()
        await server.close()

    arun(go())


def test_counters_are_raised_once_while_their_slot_moves_under_load(cluster, arun):
    keys = [b"{load}%d" % n for n in range(40)]

    async def go():
        server = await open_server(cluster.url)
        moved = asyncio.Event()
        raised = dict.fromkeys(keys, 0)

        async def raise_them(link):
            while not moved.is_set():
                for key in keys:
                    await link.call("INCR", key, timeout_s=20)
                    raised[key] += 1

        pinned = [await server.link(b"{load}") for _ in range(2)]
        users = [asyncio.create_task(raise_them(link)) for link in (*pinned, server.shared(b"{load}"))]
        await wait_until_async(lambda: min(raised.values()) > 3, 10, "the load runs")
        for _ in range(2):
            await asyncio.to_thread(cluster.move_slot, slot_of(b"load"), another(cluster, b"load"))
        moved.set()
        await asyncio.gather(*users)
        got = await pinned[0].pipeline([("GET", key) for key in keys])
        await server.close()
        return {key: int(value) for key, value in zip(keys, got, strict=True)}, raised

    stored, raised = arun(go())
    assert stored == raised


def test_a_blocked_group_read_goes_on_where_the_stream_has_moved(cluster, arun):
    key = b"blocked"

    async def go():
        server = await open_server(cluster.url)
        reader, writer = await server.link(key), server.shared(key)
        await writer.call("XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
        read = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", 30_000, "STREAMS", key, ">")
        blocked = asyncio.create_task(reader.call(*read, timeout_s=40))
        owner = cluster.owner_of_key(key)
        await wait_until_async(lambda: owner.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks")
        await asyncio.to_thread(cluster.move_slot, slot_of(key), another(cluster, key))
        entry = await writer.call("XADD", key, "*", "f", "v")
        reply = await blocked
        await server.close()
        return entry, reply

    entry, reply = arun(go())
    assert reply == [[key, [[entry, [b"f", b"v"]]]]]


def test_an_adopted_cluster_client(cluster, arun):
    async def go():
        client = RedisCluster(host="127.0.0.1", port=cluster.nodes[1].port)
        server = await open_server(client=client)
        for n in range(12):
            key = b"a%d" % n
            await server.shared(key).call("SET", key, n)
        await server.close()
        assert await client.get("a7") == b"7"
        await client.aclose()

    arun(go())


def test_the_doctor_sees_every_master(cluster, arun):
    async def go():
        server = await open_server(cluster.url)
        report = await examine(server, streams=("orders",))
        abilities = await server.abilities()
        await server.close()
        return report, abilities

    report, abilities = arun(go())
    assert len({node.where for node in report.nodes}) == 3
    assert abilities.cluster
    assert {f.level for node in report.nodes for f in node.findings if f.topic == "rights"} == {"ok"}


def test_a_failed_over_master_is_found(arun):
    with Cluster(replicas=1) as cluster:

        async def go():
            server = await open_server(cluster.url)
            link, sync = await server.link(b"k"), server.sync_link(b"k", timeout_s=20)
            await asyncio.to_thread(sync.call, "PING")
            await asyncio.to_thread(cluster.owner_of_key(b"k").kill)
            raised = link.call("INCR", "k", timeout_s=20), asyncio.to_thread(sync.call, "INCR", "k")
            answers = await asyncio.gather(*raised)
            sync.close()
            await server.close()
            return answers

        assert sorted(arun(go())) == [1, 2]
