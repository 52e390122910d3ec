# SPDX-License-Identifier: Apache-2.0
"""A cluster's slots move key by key under load. (A master's death needs replicas: ``tests/integration/redis``.)

While a slot is in two places a step that needs several of its keys is refused with TRYAGAIN, and ours all do: the
slot's streams stand still until the move is through, which is said, and nothing else happens to them.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast import Reject, Retry, StreamSettings
from holdfast._base import events as ev
from holdfast._redis.keys import StreamKeys
from holdfast._redis.slots import slot_of
from holdfast.deadletters import Order, Replayer, open_shelf
from holdfast.errors import InDoubt, ServerUnreachable
from holdfast.streams.producer import physical
from holdfast.testing import Cluster
from tests.support.ledger import Ledger
from tests.support.protocol import GROUP, Service, desk_at, eventually

SETTINGS = StreamSettings(lease_ms=1_200, sweep_ms=200, block_ms=200)
LEASE_S = 1.2


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


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


class Load:
    """Two consumers with effects in SQL, and a publisher that notes what was accepted and what is in doubt."""

    def __init__(self, url, stream, ledger, partitions=0):
        self.stream, self.ledger = stream, ledger
        self.published: list[str] = []
        self.in_doubt: list[str] = []
        self.longest_s = 0.0
        self._enough = asyncio.Event()
        self.refusals: list[str] = []
        self.workers = [Service(url, settings=SETTINGS, sql=ledger.url) for _ in range(2)]
        for worker in self.workers:
            if partitions:
                worker.hf.stream(stream, partitions=partitions)
            worker.consumer(stream, group=GROUP, once="sql", concurrency=4)(ledger.apply)

    async def __aenter__(self):
        for worker in self.workers:
            await worker.start()
        self._publishing = asyncio.create_task(self._publish())
        await self.goes_on()
        return self

    async def _publish(self):
        n = 0
        while not self._enough.is_set():
            n += 1
            began = time.monotonic()
            try:
                await self.workers[0].hf.publish(self.stream, {}, id=f"m{n}", key=f"k{n % 7}")
                self.published.append(f"m{n}")
            except InDoubt as error:
                self.in_doubt.extend(error.message_ids)
            except ServerUnreachable as error:
                self.refusals.append(str(error))
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            await asyncio.sleep(0.005)

    async def goes_on(self, deadline_s=20):
        seen = len(self.ledger.applied())
        await eventually(lambda: len(self.ledger.applied()) > seen + 15, "messages are applied", deadline_s)

    async def __aexit__(self, *_):
        self._enough.set()
        await self._publishing
        try:
            await eventually(lambda: set(self.published) <= self.ledger.applied().keys(), "all is applied", 20)
        finally:
            for worker in self.workers:
                await worker.stop()
        verdict = self.ledger.verdict(self.published, in_doubt=self.in_doubt)
        assert verdict.ok, verdict.explain()

    def told(self, kind):
        return [event for worker in self.workers for event in worker.told.of(kind)]


def elsewhere(cluster, slot):
    owner = cluster.owner_of(slot)
    return next(node for node in cluster.masters if node is not owner)


@pytest.mark.parametrize("partitions", [0, 3], ids=["plain", "partitioned"])
def test_slots_that_move_key_by_key_lose_nothing_and_repeat_nothing(cluster, stream, ledger, partitions, arun):
    async def scenario():
        async with Load(cluster.url, stream, ledger, partitions) as load:
            slots = {slot_of(physical(stream, n, partitions).encode()) for n in range(partitions or 1)}
            moved = 0
            for slot in (*slots, *slots):
                moved += await asyncio.to_thread(cluster.move_slot, slot, elsewhere(cluster, slot),
                                                 lambda _: time.sleep(0.03))
                await load.goes_on()
            assert moved >= 2 * len(slots) * 3, "streams with what lies beside them were moved"
            assert load.longest_s < 5.0

    arun(scenario())


def test_a_slot_half_moved_for_longer_than_a_lease_stands_still_and_robs_nobody(cluster, stream, ledger, arun, caplog):
    """Nobody can beat, read or settle there, nobody dies of it, and the log says TRYAGAIN."""

    async def scenario():
        async with Load(cluster.url, stream, ledger) as load:
            names = [load_worker.source.incarnation for load_worker in load.workers]
            slot = slot_of(stream.encode())
            moving = cluster.moving(slot, elsewhere(cluster, slot), batch=1)
            await asyncio.to_thread(next, moving)
            await asyncio.sleep(2.5 * LEASE_S)  # how long the move takes is what is tried
            began = time.monotonic()
            await asyncio.to_thread(list, moving)
            await load.goes_on()
            assert time.monotonic() - began < 5.0, "the work goes on soon after the move"
            assert [worker.source.incarnation for worker in load.workers] == names
            assert load.told(ev.TakenOver) == load.told(ev.IncarnationLost) == []

    arun(scenario())
    assert "TRYAGAIN" in caplog.text


ODD = ["a{b}c", "a}b", "x{}y", "{", "}{", "{}{a}", "a b:c%d", "ünï\N{SNOWMAN}", "-", "{a}{b}"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_of_streams_are_served_on_every_node(cluster, odd, arun):
    """What lies beside a stream lies in its slot, whatever braces the name has: publish, retry, die, replay."""
    tries: list[str] = []

    async def handler(body: dict) -> None:
        tries.append(body["do"])
        if body["do"] == "retry" and tries.count("retry") == 1:
            raise Retry(after=0.05)
        if body["do"] == "die" and tries.count("die") == 1:
            raise Reject("asked to")

    async def scenario():
        async with desk_at(cluster.url, odd) as desk:
            service = Service(cluster.url, settings=SETTINGS)
            service.consumer(odd, group=GROUP)(handler)
            async with service:
                for what in ("plain", "retry", "die"):
                    await service.hf.publish(odd, {"do": what})
                await eventually(lambda: sorted(tries) == ["die", "plain", "retry", "retry"], "all had their turn")
                await eventually(desk.letters, "the letter is written")
                shelf = await open_shelf(desk.server, odd, GROUP)
                (letter,) = [letter async for letter in shelf.letters()]
                await Replayer(shelf).one(letter.id, Order(by="test"))
                await eventually(lambda: tries.count("die") == 2, "the replay arrives")
                await eventually(desk.pending_is_empty, "all is settled")
        beside = (desk.keys.dead, desk.keys.replay, desk.keys.leases, StreamKeys("hf", odd).meta)
        assert {slot_of(key) for key in beside} == {slot_of(odd.encode())}

    arun(scenario())
