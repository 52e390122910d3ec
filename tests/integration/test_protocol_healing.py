# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 12: groups and streams that vanish, and trimming that takes nothing anybody needs."""

from __future__ import annotations

import pytest

from holdfast import Retry
from holdfast._base.events import EntriesMissing, GroupHealed, GroupUnseen
from holdfast.streams.settings import StreamSettings
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually, ids, low_water


def counting(url, stream, seen, *, group=GROUP, settings=FAST, **how):
    service = Service(url, settings=settings)

    async def handle(body: dict) -> None:
        seen.append(body["n"])

    service.consumer(stream, group=group, **how)(handle)
    return service


def test_a_lost_group_begins_at_the_low_water_mark(backend, stream, arun):
    """From the high-water mark everything pending would be lost.

    guard: low water in join.lua
    """
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(keep=True)
            added = await desk.add(5)
            got = await desk.read(lane)
            await lane.settle([got[0], got[1]], [])
            await low_water(desk)
            await desk.call("XGROUP", "DESTROY", desk.key, GROUP)
            heir = await desk.join(keep=True)
            assert desk.joined[3] == b"group lost"
            assert ids(await desk.read(heir)) == added[2:]

    arun(scenario())


def test_a_stream_made_anew_is_read_from_its_beginning(backend, stream, arun):
    """Its ids may begin below the mark; the mark belongs to a stream that is no more."""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            await desk.add(3)
            await lane.settle(await desk.read(lane), [])
            await low_water(desk)
            await desk.call("DEL", desk.key)
            await desk.call("XADD", desk.key, "1-1", "body", "{}")
            heir = await desk.join()
            assert desk.joined[3] == b"stream made anew"
            assert ids(await desk.read(heir)) == [b"1-1"]

    arun(scenario())


def test_a_running_consumer_heals_a_deleted_group_and_a_deleted_stream(backend, stream, arun):
    seen: list[int] = []

    async def scenario():
        async with counting(backend.url, stream, seen) as service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"n": 1})
            await eventually(lambda: seen == [1], "it works")
            await desk.call("XGROUP", "DESTROY", desk.key, GROUP)
            await eventually(lambda: service.told.of(GroupHealed), "the group was made anew")
            await service.hf.publish(stream, {"n": 2})
            await eventually(lambda: 2 in seen, "it works again")
            await desk.call("DEL", desk.key)
            await eventually(lambda: len(service.told.of(GroupHealed)) == 2, "the stream was made anew")
            await service.hf.publish(stream, {"n": 3})
            await eventually(lambda: 3 in seen, "and again")
            assert sorted(set(seen)) == [1, 2, 3]

    arun(scenario())


def test_what_was_parked_when_the_group_was_lost_is_run_again(backend, stream, arun):
    tried: list[int] = []

    async def handle(body: dict) -> None:
        tried.append(body["n"])
        if len(tried) == 1:
            raise ValueError("parked")

    async def scenario():
        service = Service(backend.url)
        service.consumer(stream, group=GROUP, retry=Retry(attempts=5, after=60))(handle)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"n": 1})
            await eventually(lambda: parked(desk), "it was parked")
            await desk.call("XGROUP", "DESTROY", desk.key, GROUP)
            await eventually(lambda: len(tried) == 2, "it came back with the group")

    async def parked(desk):
        return any(owner == "hf.parked" for owner, _ in (await desk.pending()).values())

    arun(scenario())


def test_trimming_never_passes_what_another_group_needs(backend, stream, arun):
    """guard: lowest mark of all groups in low.lua"""
    async def scenario():
        async with desk_at(backend.url, stream) as fast, desk_at(backend.url, stream, "slow") as slow:
            ahead, behind = await fast.join(), await slow.join()
            added = await fast.add(10)
            await ahead.settle(await fast.read(ahead), [])
            assert await fast.in_stream() == added, "one group is done, the other is not"
            got = await slow.read(behind, 4)
            await behind.settle(got[:3], [])
            await low_water(fast, trim=True)
            assert await fast.in_stream() == added[3:], "the fourth is still pending to the slow group"
            await behind.settle([got[3], *await slow.read(behind)], [])
            await low_water(fast, trim=True)
            assert await fast.in_stream() == []

    arun(scenario())


def test_one_group_deletes_as_it_acknowledges_unless_told_to_keep(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            added = await desk.add(3)
            got = await desk.read(lane)
            await lane.settle(got[:2], [])
            assert await desk.in_stream() == added[2:]
            keeping = desk.lane(lane.incarnation, keep=True)
            keeping.become(lane.incarnation)
            await keeping.settle(got[2:], [])
            assert await desk.in_stream() == added[2:]

    arun(scenario())


# 6.2 does not count what was added; to 7.0, what was trimmed is still waiting.
@pytest.mark.kinds("valkey", "cluster", "sentinel")
def test_entries_that_others_trimmed_before_delivery_are_counted(backend, stream, arun):
    """What is gone is gone, but not silently."""
    seen: list[int] = []

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            async with counting(backend.url, stream, seen) as service:
                await service.hf.publish(stream, {"n": 1})
                await eventually(lambda: seen == [1], "it works")
                assert not service.told.of(EntriesMissing)
            await desk.add(5, body='{"n": 2}')
            await desk.call("XTRIM", desk.key, "MAXLEN", 2)
            async with counting(backend.url, stream, seen) as service:
                await eventually(lambda: service.told.of(EntriesMissing), "it was told")
                assert [e.count for e in service.told.of(EntriesMissing)] == [3]
                await eventually(lambda: seen == [1, 2, 2], "what is left is handled")

    arun(scenario())


def test_a_group_without_anybody_is_reported(backend, stream, arun):
    """It holds back trimming, and only a person knows whether it is still wanted."""
    async def scenario():
        async with desk_at(backend.url, stream, "forgotten") as forgotten:
            await forgotten.call("XGROUP", "CREATE", forgotten.key, "forgotten", "0", "MKSTREAM")
            async with counting(backend.url, stream, []) as service:
                await eventually(lambda: service.told.of(GroupUnseen), "it was told")
                assert {e.group for e in service.told.of(GroupUnseen)} == {"forgotten"}

    arun(scenario())


def test_letters_are_kept_by_number(backend, stream, arun):
    async def handle(body: dict) -> None:
        raise ValueError("no good")

    async def scenario():
        few = StreamSettings(lease_ms=600, sweep_ms=50, block_ms=100, letters_max=3)
        service = Service(backend.url, settings=few)
        service.consumer(stream, group=GROUP, retry=Retry(attempts=1))(handle)
        async with service, desk_at(backend.url, stream) as desk:
            for n in range(8):
                await service.hf.publish(stream, {"n": n})
            await eventually(lambda: kept(desk), "only the newest three are kept")
            assert len(await desk.call("HKEYS", desk.keys.letters)) == 3

    async def kept(desk):
        return not await desk.pending() and len(await desk.letters()) == 3

    arun(scenario())
