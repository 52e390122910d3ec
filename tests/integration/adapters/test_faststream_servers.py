# SPDX-License-Identifier: Apache-2.0
"""FastStream's brokers of other topologies: the same handlers under Sentinel, over a failover, and on a Cluster."""

from __future__ import annotations

import asyncio

import pytest
from faststream.redis import StreamSub

from holdfast import Holdfast, StreamSettings
from holdfast.adapters.faststream import HoldfastClusterBroker, HoldfastSentinelBroker, how
from holdfast.testing.sentinel import MASTER_NAME
from holdfast.testing.waiting import wait_until_async

QUICK = StreamSettings(lease_ms=2000, sweep_ms=200)


def handled_by(broker, stream):
    """What its handler has seen, as it comes."""
    seen = []

    @broker.subscriber(stream=StreamSub(stream, group="g", consumer="any", last_id="0"))
    @how(once="redis")
    async def handle(body: dict) -> None:
        seen.append(body["n"])

    return seen


@pytest.mark.everywhere
@pytest.mark.kinds("cluster")
def test_on_a_cluster(backend, stream, arun):
    hf = Holdfast(backend.url, settings=QUICK)
    broker = HoldfastClusterBroker(hf, backend.masters[0].url.removesuffix("/0"), graceful_timeout=2)
    seen = handled_by(broker, stream)

    async def live():
        await broker.start()
        for n in range(3):
            await broker.publish({"n": n}, stream=stream)
        await wait_until_async(lambda: len(seen) == 3, 60, "all came")
        await wait_until_async(lambda: backend.admin.xpending(stream, "g")["pending"] == 0, 60, "all are settled")
        await broker.stop()

    arun(live())
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.everywhere
@pytest.mark.kinds("sentinel")
def test_under_sentinel_and_over_a_failover(backend, stream, arun):
    hosts = [("127.0.0.1", sentinel.port) for sentinel in backend.server.sentinels]
    broker = HoldfastSentinelBroker(Holdfast(backend.url, settings=QUICK), "redis://localhost", sentinels=hosts,
                                    sentinel_master_name=MASTER_NAME, graceful_timeout=2)
    seen = handled_by(broker, stream)

    async def live():
        await broker.start()
        await broker.publish({"n": 1}, stream=stream)
        await wait_until_async(lambda: 1 in seen, 60, "the first came")
        await asyncio.to_thread(backend.server.failover)
        await broker.publish({"n": 2}, stream=stream)
        await wait_until_async(lambda: 2 in seen, 30, "the second came, from another server")
        manager = broker._connection.connection_pool.sentinel_manager
        await broker.stop()
        for asked in manager.sentinels:  # FastStream leaves them open
            await asked.aclose()

    arun(live())
    assert seen[-1] == 2
