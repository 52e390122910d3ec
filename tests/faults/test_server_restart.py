# SPDX-License-Identifier: Apache-2.0
"""A server that is away, restarted or emptied of scripts while publishers and consumers are at work."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from holdfast import Message, StreamSettings
from holdfast._base import events as ev
from holdfast.errors import InDoubt, ServerUnreachable
from holdfast.testing import Proxy, Single
from tests.support.ledger import Ledger
from tests.support.protocol import GROUP, Service, desk_at, eventually

SETTINGS = StreamSettings(lease_ms=1_200, sweep_ms=200, block_ms=200)
LEASE_S = 1.2
#: Nothing acknowledged is lost when such a server is killed.
DURABLE = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture
def server():
    with Single(config=DURABLE) as server:
        yield server


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def test_who_lives_through_a_servers_absence_of_two_leases_keeps_its_work(server, stream, arun):
    """Nobody could say that he lives, and nobody could find him dead: no handler is started a second time."""
    let_go = threading.Event()
    starts: list[str] = []

    def plain(message: Message) -> None:
        starts.append(message.id)
        let_go.wait(30)

    async def scenario(proxy):
        services = [Service(url, settings=SETTINGS) for url in (proxy.through(server.url), server.url)]
        for service in services:
            service.consumer(stream, group=GROUP, concurrency=4, prefetch_max=4)(plain)
            await service.start()
        names = [f"m{n}" for n in range(8)]
        for name in names:
            await services[0].hf.publish(stream, {}, id=name)
        await eventually(lambda: sorted(starts) == names, "all are being handled")
        server.kill()
        proxy.refuse()
        await asyncio.sleep(2 * LEASE_S)  # the absence itself is what is tried
        rounds = [service.source.sweeper._round for service in services]
        gone_ms = time.time() * 1000
        server.start()
        await eventually(lambda: services[1].source.sweeper.last.now_ms > gone_ms, "one is back and has looked", 15)
        proxy.accept()  # the other comes a moment later, all its leases expired
        await eventually(lambda: all(s.source.sweeper._round > r + 10 for s, r in zip(services, rounds, strict=True)),
                         "both have looked around for more than a lease", 15)
        for kind in (ev.TakenOver, ev.IncarnationLost):
            assert [event for service in services for event in service.told.of(kind)] == []
        assert any(step.new_server for service in services for step in service.told.of(ev.ClockStepped))
        assert sorted(starts) == names
        let_go.set()
        async with desk_at(server.url, stream) as desk:
            await eventually(desk.pending_is_empty, "all are settled")
        assert sorted(starts) == names, "each was started once"
        for service in services:
            await service.stop()

    with Proxy(server.address) as proxy:
        arun(scenario(proxy))


@pytest.mark.parametrize("partitions", [0, 3], ids=["plain", "partitioned"])
def test_restarts_and_script_flushes_under_load_lose_nothing_and_repeat_nothing(server, stream, ledger, partitions,
                                                                                 arun):
    """Scripts are gone after a restart as after a flush: NOSCRIPT brings their text, and nobody notices."""

    async def scenario():
        workers = []
        for _ in range(2):
            worker = Service(server.url, settings=SETTINGS, sql=ledger.url)
            if partitions:
                worker.hf.stream(stream, partitions=partitions)
            worker.consumer(stream, group=GROUP, once="sql", concurrency=4)(ledger.apply)
            workers.append(await worker.start())
        published, in_doubt, stop = [], [], asyncio.Event()

        async def publish():
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    await workers[0].hf.publish(stream, {}, id=f"m{n}", key=f"k{n % 7}")
                    published.append(f"m{n}")
                except InDoubt as error:
                    in_doubt.extend(error.message_ids)
                except ServerUnreachable:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.002)

        publishing = asyncio.create_task(publish())
        for _ in range(3):
            seen = len(ledger.applied())
            await eventually(lambda seen=seen: len(ledger.applied()) > seen + 20, "the work goes on", 20)
            await asyncio.to_thread(server.admin.script_flush)
            seen = len(ledger.applied())
            await eventually(lambda seen=seen: len(ledger.applied()) > seen + 20, "after the flush, too", 20)
            await asyncio.to_thread(server.restart)
        stop.set()
        await publishing
        await eventually(lambda: set(published) <= ledger.applied().keys(), "everything is applied", 20)
        for worker in workers:
            await worker.stop()
        verdict = ledger.verdict(published, in_doubt=in_doubt)
        assert verdict.ok, verdict.explain()

    arun(scenario())
