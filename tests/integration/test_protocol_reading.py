# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 4: what a read took is never lost with its reply, and nobody takes more than they can do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from holdfast._base.events import LostReplyRecovered
from holdfast.testing import Proxy
from tests.support.protocol import FAST, LONG_MS, Service, desk_at, eventually

#: A proxy stands before one node; the client of a cluster would walk around it.
one_node = pytest.mark.kinds("valkey", "redis62", "redis70")


@pytest.fixture
def proxy(backend):
    with Proxy(backend.masters[0].address) as proxy:
        yield proxy


async def _eat_a_read(proxy, source, then="cut"):
    """Eats the next reply with entries in it. The read that is out now was sent before, and would get through."""
    trap, out = proxy.eat_reply(to=b"XREADGROUP", then=then), source.read_number
    await eventually(lambda: source.read_number > out, "the next read is out")
    return trap


@one_node
@pytest.mark.parametrize("then", ["cut", "hang"])
def test_entries_whose_reply_was_eaten_are_found_and_run_once(backend, proxy, stream, arun, then):
    """They are pending to us and nobody knows them: ``>`` never returns them again, reading history raises counters."""

    async def scenario():
        service = Service(proxy.through(backend.url), settings=replace(FAST, lease_ms=5000))
        seen = []

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            seen.append(n)

        async with desk_at(backend.url, stream) as desk, service:
            source = await service.joined()
            trap = await _eat_a_read(proxy, source, then)
            for n in range(5):
                await desk.call("XADD", stream, "*", "body", str(n))
            await asyncio.to_thread(trap.wait)
            await eventually(lambda: sorted(seen) == list(range(5)), "found in the own pending list")
            await eventually(desk.pending_is_empty, "and settled")
            assert sum(event.count for event in service.told.of(LostReplyRecovered)) >= 1
            assert not source._lost.is_set()

    arun(scenario())


@one_node
def test_finding_a_lost_reply_raises_no_counter(backend, proxy, stream, arun):
    """Its counter is part of the fence, and says how often an entry was delivered."""

    async def scenario():
        service = Service(proxy.through(backend.url), settings=replace(FAST, lease_ms=5000))
        running, let = [], asyncio.Event()

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            running.append(n)
            await let.wait()

        async with desk_at(backend.url, stream) as desk, service:
            source = await service.joined()
            trap = await _eat_a_read(proxy, source)
            (entry,) = await desk.add()
            await asyncio.to_thread(trap.wait)
            await eventually(lambda: running, "it was found")
            assert await desk.pending() == {entry: (source.incarnation, 1)}
            let.set()

    arun(scenario())


@one_node
def test_a_settle_whose_reply_was_eaten_is_asked_again_and_counts_once(backend, proxy, stream, arun):
    async def scenario():
        service = Service(proxy.through(backend.url), settings=replace(FAST, lease_ms=5000))
        seen = []

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            seen.append(n)

        async with desk_at(backend.url, stream) as desk, service:
            await service.joined()
            await desk.add()
            await eventually(desk.pending_is_empty, "the script is known to the server")
            trap = proxy.eat_reply(to=lambda words: words[0].upper() == b"EVALSHA" and b"delete" in words)
            await desk.add()
            await asyncio.to_thread(trap.wait)
            await eventually(lambda: service.worker.consumers[0].held(service.source.main) == 0, "it is through")
            assert seen == [1, 1]
            assert await desk.pending() == {}
            settled = [event for event in service.told.all if type(event).__name__ == "Settled"]
            assert sum(event.acked for event in settled) == 2
            assert sum(event.refused for event in settled) == 0

    arun(scenario())


def test_nobody_reads_further_ahead_than_their_prefetch(backend, stream, arun):
    async def scenario():
        service = Service(backend.url, settings=replace(FAST, lease_ms=LONG_MS))
        let = asyncio.Event()

        @service.consumer(stream, group="billing", concurrency=4, prefetch_max=20)
        async def handle(n: int) -> None:
            await let.wait()

        async with desk_at(backend.url, stream) as desk:
            await desk.add(500)
            async with service:
                await service.joined()
                await eventually(desk.pending, "it reads")
                await eventually(lambda: service.source.read_ended > 0, "and has read")
                reads = service.source.read_number
                await asyncio.sleep(0.3)
                assert len(await desk.pending()) <= 4 + 20
                assert service.source.read_number - reads <= 1  # and waits for room without asking
                let.set()
                await eventually(desk.pending_is_empty, "all are done")

    arun(scenario())


def test_what_waits_longer_than_a_lease_goes_to_somebody_with_time(backend, stream, arun):
    async def scenario():
        busy, free = Service(backend.url), Service(backend.url)
        let, done = asyncio.Event(), []

        @busy.consumer(stream, group="billing", concurrency=1, prefetch_max=10)
        async def stuck(n: int) -> None:
            await let.wait()

        @free.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            done.append(n)

        async with desk_at(backend.url, stream) as desk:
            for n in range(3):
                await desk.call("XADD", stream, "*", "body", str(n))
            async with busy:
                await eventually(lambda: len(service_held(busy)) == 3, "one runs, two wait for it")
                async with free:
                    await eventually(lambda: sorted(done) == [1, 2], "the other two are handed back unstarted")
                let.set()

    arun(scenario())


def service_held(service):
    settlers = service.worker.consumers[0]._settlers
    return {entry for settler in settlers.values() for entry in settler.held}


def test_an_idle_consumer_costs_few_commands(backend, stream, arun):
    """Reading, sweeping and beating once a second each, and little besides; its first moments included."""

    async def scenario():
        service = Service(backend.url, settings=replace(FAST, lease_ms=3000, sweep_ms=1000, block_ms=1000))

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None: ...

        async with service:
            await service.joined()
            before, began = _processed(backend), time.monotonic()
            await asyncio.sleep(1.5)
            spent = time.monotonic() - began
            commands = _processed(backend) - before
        assert commands / spent < 8

    arun(scenario())


def _processed(backend):
    """Commands from clients, those of scripts and of this question left out."""
    total = 0
    for master in backend.masters:
        stats = master.admin.info("commandstats")
        total += sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "xreadgroup"))
    return total
