# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 11: partitions, shared by lease and fenced by epoch."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Outgoing
from holdfast._base.events import PartitionAcquired, PartitionReleased
from holdfast.consume.contract import Settled
from holdfast.errors import PartitionMismatch
from holdfast.streams.producer import partition_of
from holdfast.streams.settings import StreamSettings
from holdfast.testing import Proxy
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually

COUNT = 4


def sharing(url, stream, handle, *, settings=FAST, count=COUNT):
    """A service that takes its share of a partitioned stream."""
    service = Service(url, settings=settings)
    service.hf.stream(stream, partitions=count)
    service.consumer(stream, group=GROUP)(handle)
    return service


def owned(service):
    """Partitions this service owns now."""
    return {state.stream for source in service.sources for state in source.inspect()}


def test_a_key_always_goes_to_the_same_partition():
    """The hash is documented for writers in other languages: these values are for ever."""
    assert [partition_of(key, 16) for key in ("", "order-1", "order-2", "schlüssel")] == [0, 15, 5, 6]


def test_members_share_and_a_leaver_is_replaced(backend, stream, arun):
    seen: list[int] = []

    async def handle(body: dict) -> None:
        seen.append(body["n"])

    async def scenario():
        one = await sharing(backend.url, stream, handle).start()
        await eventually(lambda: len(owned(one)) == COUNT, "the only member owns all")
        two = await sharing(backend.url, stream, handle).start()
        await eventually(lambda: len(owned(one)) == len(owned(two)) == COUNT // 2, "two members share")
        assert not owned(one) & owned(two)
        await one.hf.publish_many(stream, [Outgoing(value={"n": n}, key=str(n)) for n in range(40)])
        await eventually(lambda: sorted(seen) == list(range(40)), "everything ran once")
        moved = [e for e in one.told.of(PartitionReleased) if e.cause == "moved"]
        assert len(moved) == COUNT // 2
        await one.stop()
        await eventually(lambda: len(owned(two)) == COUNT, "what was released is taken", 3)
        await two.stop()

    arun(scenario())


def test_a_released_partition_is_taken_without_waiting_out_a_lease(backend, stream, arun):
    slow = StreamSettings(lease_ms=20_000, sweep_ms=100, block_ms=100)

    async def handle(body: dict) -> None:
        return None

    async def scenario():
        first = await sharing(backend.url, stream, handle, settings=slow).start()
        await eventually(lambda: len(owned(first)) == COUNT, "it owns all")
        await first.stop()
        async with sharing(backend.url, stream, handle, settings=slow) as second:
            await eventually(lambda: len(owned(second)) == COUNT, "no lease had to run out", 5)

    arun(scenario())


def test_a_dead_owner_is_followed_under_a_higher_epoch(backend, stream, arun):
    async def handle(body: dict) -> None:
        return None

    async def scenario():
        one = await sharing(backend.url, stream, handle).start()
        await eventually(lambda: len(owned(one)) == COUNT, "it owns all")
        await one.crash()
        async with sharing(backend.url, stream, handle) as two:
            await eventually(lambda: len(owned(two)) == COUNT, "the heir owns all")
            before = {e.partition: e.epoch for e in one.told.of(PartitionAcquired)}
            after = {e.partition: e.epoch for e in two.told.of(PartitionAcquired)}
            assert all(after[p] > before[p] for p in before)

    arun(scenario())


def test_a_settle_of_a_former_epoch_is_refused(backend, stream, arun):
    """guard: epoch in settle.lua"""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            lane.become(lane.incarnation, 1)
            await desk.call("HSET", desk.keys.owner, "consumer", lane.incarnation, "epoch", 1)
            await desk.add(2)
            one, two = await desk.read(lane)
            assert await lane.settle([one], []) == []
            await desk.call("HSET", desk.keys.owner, "consumer", "somebody else", "epoch", 2)
            assert await lane.settle([two], []) == [(two, Settled.EPOCH)]
            assert list(await desk.pending()) == [two.entry_id]

    arun(scenario())


@pytest.mark.kinds("valkey", "redis62", "redis70")
def test_at_its_deadline_an_owner_stops_by_itself(backend, stream, arun):
    """It cannot reach the server, nobody tells it anything, and still it ends: by its own clock.

    guard: local deadline in source._deadline
    """
    cancelled: list[float] = []
    began = asyncio.Event()

    async def handle(body: dict) -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(asyncio.get_running_loop().time())
            raise

    async def scenario():
        with Proxy(backend.masters[0].address) as proxy:
            service = await sharing(f"redis://{proxy.address[0]}:{proxy.address[1]}/0", stream, handle, count=1).start()
            await service.hf.publish(stream, {"n": 1}, key="a")
            await asyncio.wait_for(began.wait(), 5)
            cut_off = asyncio.get_running_loop().time()
            proxy.stall()
            await eventually(lambda: cancelled, "the handler was cancelled")
            assert cancelled[0] - cut_off < FAST.lease_ms / 1000 + 0.5
            proxy.resume()
            await service.stop(0.1)

    arun(scenario())


def test_a_publisher_with_another_number_is_refused(backend, stream, arun):
    async def handle(body: dict) -> None:
        return None

    async def scenario():
        async with sharing(backend.url, stream, handle) as service:
            await service.hf.publish(stream, {"n": 1}, key="a")
            other = Service(backend.url)
            other.hf.stream(stream, partitions=COUNT + 1)
            with pytest.raises(PartitionMismatch, match="would change its partition"):
                await other.hf.publish(stream, {"n": 1}, key="a")
            await other.hf.close()

    arun(scenario())
