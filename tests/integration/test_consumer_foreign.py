# SPDX-License-Identifier: Apache-2.0
"""Consumers of other make in the same group: what a bare loop with redis-py may do beside us, and what it may not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Retry
from holdfast._base import events as ev
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually, park

SWEEP_MS = FAST.sweep_ms
#: What the documentation tells foreign consumers to use at least.
MIN_IDLE_MS = 3 * SWEEP_MS


class Stranger:
    """The loop from a tutorial: claims what looks abandoned, and acknowledges it."""

    def __init__(self, admin: Any, stream: str) -> None:
        self.admin, self.stream = admin, stream
        self.claimed: list[bytes] = []
        self.rounds = 0
        self._stop = threading.Event()

    def run(self) -> None:
        while not self._stop.wait(SWEEP_MS / 4000):
            _, claimed, *_ = self.admin.execute_command(
                "XAUTOCLAIM", self.stream, GROUP, "stranger", MIN_IDLE_MS, "0-0", "COUNT", 100)
            self.claimed += [entry[0] for entry in claimed]
            for entry_id in self.claimed:
                self.admin.execute_command("XACK", self.stream, GROUP, entry_id)
            self.rounds += 1

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def working(stranger: Stranger) -> AsyncIterator[Stranger]:
    task = asyncio.create_task(asyncio.to_thread(stranger.run))
    try:
        yield stranger
    finally:
        stranger.stop()
        await task


def test_a_stranger_that_claims_by_idle_time_robs_us_of_nothing(backend, stream, arun):
    """One entry in flight and one parked, for many times the stranger's least idle time."""

    async def scenario():
        service, let, done = Service(backend.url, settings=replace(FAST, lease_ms=2000)), asyncio.Event(), []

        @service.consumer(stream, group=GROUP)
        async def handle(body: str) -> None:
            if body == "parked" and body not in done:
                done.append(body)
                raise Retry(after=2.0)
            if body == "running":
                await let.wait()
            done.append(body)

        async with service, desk_at(backend.url, stream) as desk:
            await service.joined()
            await desk.call("XGROUP", "CREATECONSUMER", stream, GROUP, "stranger")
            for body in ("running", "parked"):
                await service.hf.publish(stream, body)
            await eventually(lambda: done == ["parked"], "one is parked, one runs")
            seen = service.source.sweeper._round
            await eventually(lambda: service.source.sweeper._round > seen + 1, "the stranger was seen")
            async with working(Stranger(backend.admin, stream)) as stranger:
                began = await desk.now_ms()

                async def long_enough():
                    return await desk.now_ms() - began > 4 * MIN_IDLE_MS

                await eventually(long_enough, "the stranger has had its chances")
                assert stranger.rounds > 5
                assert stranger.claimed == []
                let.set()
                await eventually(lambda: sorted(done) == ["parked", "parked", "running"], "both end with us")
                await eventually(desk.is_through, "and are acknowledged")
                assert stranger.claimed == []

    arun(scenario())


def test_many_parked_entries_are_all_kept_fresh(backend, stream, arun):
    """More than one page of them: those at the end age as little as those at the beginning."""

    async def scenario():
        settings, count = replace(FAST, lease_ms=5000, sweep_ms=400), 6_000
        service = Service(backend.url, settings=settings)

        @service.consumer(stream, group=GROUP)
        async def handle(body: bytes) -> None: ...

        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            for _ in range(count // 500):
                await desk.link.pipeline([("XADD", desk.key, "*", "body", "x")] * 500)
            found = await desk.read(lane, count)
            await lane.settle([], [park(d) for d in found])
            await desk.call("XGROUP", "CREATECONSUMER", stream, GROUP, "stranger")
            async with service:
                await service.joined()
                seen = service.source.sweeper._round
                await eventually(lambda: service.source.sweeper._round > seen + 3, "some sweeps")

                async def all_fresh():
                    rows = await desk.call("XPENDING", desk.key, GROUP, "-", "+", count, "hf.parked")
                    return len(rows) == count and max(row[2] for row in rows) < 3 * settings.sweep_ms

                await eventually(all_fresh, "all are fresh at the same time")

    arun(scenario())


def test_many_parked_entries_keep_a_consumer_from_nothing_else(backend, stream, arun):
    """So many that the first look idle again before the last have had their turn: sweeping goes on all the same."""

    async def scenario():
        service, seen, count = Service(backend.url, settings=replace(FAST, lease_ms=2000, sweep_ms=1)), [], 4_000

        @service.consumer(stream, group=GROUP)
        async def handle(body: bytes) -> None:
            seen.append(body)

        async with desk_at(backend.url, stream) as desk:
            dead = await desk.join()
            for _ in range(count // 500):
                await desk.link.pipeline([("XADD", desk.key, "*", "body", "x")] * 500)
            found = await desk.read(dead, count)
            await dead.settle([], [park(d) for d in found])
            await desk.call("XGROUP", "CREATECONSUMER", stream, GROUP, "stranger")
            async with service:
                await service.joined()
                await eventually(lambda: service.source.sweeper._round > 3, "it sweeps among them", 20)
                await desk.add(body="left behind")
                await desk.read(dead)
                await desk.call("ZREM", desk.keys.leases, dead.incarnation)
                await eventually(lambda: seen == [b"left behind"], "what a dead one held is taken over", 20)

    arun(scenario())


@pytest.mark.parametrize("foreign_idle_ms", [0, 300])
def test_a_strangers_entries_are_left_alone_unless_told_otherwise(backend, stream, arun, foreign_idle_ms):
    async def scenario():
        service = Service(backend.url, settings=replace(FAST, foreign_idle_ms=foreign_idle_ms))
        seen = []

        @service.consumer(stream, group=GROUP)
        async def handle(body: bytes) -> None:
            seen.append(body)

        async with desk_at(backend.url, stream) as desk:
            await desk.join()
            await desk.add(body="theirs")
            await desk.call("XREADGROUP", "GROUP", GROUP, "stranger", "STREAMS", stream, ">")
            async with service:
                began = await desk.now_ms()
                if foreign_idle_ms:
                    await eventually(lambda: seen == [b"theirs"], "it is taken over")
                    assert await desk.now_ms() - began >= foreign_idle_ms - 200
                    assert [e.from_consumer for e in service.told.of(ev.TakenOver)] == ["stranger"]
                    await eventually(desk.is_through, "and settled")
                else:
                    async def many_sweeps():
                        return await desk.now_ms() - began > 10 * SWEEP_MS

                    await eventually(many_sweeps, "many sweeps later")
                    assert seen == []
                    assert [owner for owner, _ in (await desk.pending()).values()] == ["stranger"]

    arun(scenario())


def test_what_a_stranger_wrote_and_what_it_settled_for_us_is_no_trouble(backend, stream, arun):
    """It acknowledges by force what we are at: our own settle finds it gone, and nothing is run again."""

    async def scenario():
        service, let, runs = Service(backend.url), asyncio.Event(), []

        @service.consumer(stream, group=GROUP)
        async def handle(body: dict) -> None:
            runs.append(body)
            await let.wait()

        async with service, desk_at(backend.url, stream) as desk:
            await service.joined()
            (entry,) = await desk.add(amount="7", currency="EUR")
            await eventually(lambda: runs, "it runs")
            await desk.call("XACK", stream, GROUP, entry)
            let.set()
            await eventually(lambda: sum(e.refused for e in service.told.of(ev.Settled)) == 1, "the settle is refused")
            seen = service.source.sweeper._round
            await eventually(lambda: service.source.sweeper._round > seen + 5, "several sweeps later")
        assert runs == [{"amount": "7", "currency": "EUR"}]

    arun(scenario())
