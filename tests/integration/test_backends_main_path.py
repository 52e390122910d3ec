# SPDX-License-Identifier: Apache-2.0
"""The main path on every kind of server: publish, apply once, retry, bury, replay, take over, share partitions."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from holdfast import Message, Outgoing, Reject, Retry
from holdfast._base import events as ev
from holdfast.deadletters import Order, Replayer, open_shelf
from holdfast.streams.overview import lags, overview
from tests.support.ledger import Ledger
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


class Clerk:
    """A handler that does what the body says, the first time, and succeeds the second."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.done: list[str] = []
        self.free = asyncio.Event()

    async def __call__(self, message: Message, body: dict) -> None:
        self.tries[message.id] += 1
        first = self.tries[message.id] == 1
        if first and body["do"] == "retry":
            raise Retry(after=0.05)
        if first and body["do"] == "reject":
            raise Reject("asked to")
        if first and body["do"] == "hang":
            await self.free.wait()
        self.done.append(message.id)


async def settled(desk):
    await eventually(desk.pending_is_empty, "everything is settled")
    assert await desk.in_stream() == []


def test_publish_retry_bury_and_replay(backend, stream, arun):
    async def scenario():
        clerk = Clerk()
        service = Service(backend.url)
        service.consumer(stream, group=GROUP)(clerk)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"do": "apply"}, id="one", key="k", headers={"h": "v"})
            await service.hf.publish_many(stream, [Outgoing(value={"do": "retry"}, id=f"r{n}") for n in range(3)])
            await service.hf.publish(stream, {"do": "reject"}, id="bad")
            first = await service.hf.publish(stream, {"do": "apply"}, id="w", window_s=30)
            again = await service.hf.publish(stream, {"do": "apply"}, id="w", window_s=30)
            assert again.duplicate
            assert again.entry_id == first.entry_id
            soon = datetime.now(UTC) + timedelta(milliseconds=300)
            await service.hf.publish(stream, {"do": "apply"}, id="later", at=soon)
            await service.hf.publish(stream, {"do": "apply"}, id="never", delay_s=60)
            assert await service.hf.cancel(stream, "never")

            done = {"one", "r0", "r1", "r2", "w", "later"}
            await eventually(lambda: set(clerk.done) == done, "each came to its end")
            assert datetime.now(UTC) >= soon
            assert {i: clerk.tries[i] for i in sorted(done)} == {
                "later": 1, "one": 1, "r0": 2, "r1": 2, "r2": 2, "w": 1}
            (letter,) = await eventually(desk.letters, "the letter is there")
            assert (letter["x-dlq-original-message-id"], letter["x-dlq-failure-reason"]) == ("bad", "rejected")
            shelf = await open_shelf(desk.server, stream, GROUP)
            sent = await Replayer(shelf).one(letter["x-dlq-letter-id"], Order(by="test"))
            assert sent.outcome == "replayed"
            await eventually(lambda: "bad" in clerk.done, "the replay succeeded")
            await settled(desk)
            assert await desk.letters() == []
            (line,) = await overview(desk.server, stream)
            (lag,) = await lags(desk.server, stream)
            assert (line.length, line.groups, lag.pending, lag.dead) == (0, [GROUP], 0, 0)

    arun(scenario())


def test_what_a_dead_consumer_held_is_taken_over(backend, stream, arun):
    async def scenario():
        clerk, doomed = Clerk(), Service(backend.url)
        doomed.consumer(stream, group=GROUP)(clerk)
        await doomed.start()
        names = [f"m{n}" for n in range(5)]
        for name in names:
            await doomed.hf.publish(stream, {"do": "hang"}, id=name)
        await eventually(lambda: len(clerk.tries) == 5, "all are in its hands")
        await doomed.crash()
        heir = Service(backend.url)
        heir.consumer(stream, group=GROUP)(clerk)
        async with heir, desk_at(backend.url, stream) as desk:
            await eventually(lambda: sorted(clerk.done) == names, "the heir has done it all")
            assert sum(event.count for event in heir.told.of(ev.TakenOver)) == 5
            await settled(desk)

    arun(scenario())


def test_partitions_are_shared_and_effects_happen_once(backend, stream, ledger, arun):
    async def scenario():
        services = []
        for _ in range(2):
            service = Service(backend.url, sql=ledger.url)
            service.hf.stream(stream, partitions=4)
            service.consumer(stream, group=GROUP, once="sql", ordered=True, concurrency=4)(ledger.apply)
            services.append(await service.start())
        publisher, names = services[0].hf, [f"m{n}" for n in range(40)]
        await publisher.publish_many(stream, [Outgoing(value={}, id=name, key=f"k{n % 9}")
                                              for n, name in enumerate(names)])
        await eventually(lambda: len(ledger.applied()) == 40, "all are applied", 15)
        await eventually(lambda: [len(s.sources[0].inspect()) for s in services] == [2, 2], "they share", 15)
        await services.pop().crash()
        more = [f"m{n}" for n in range(40, 80)]
        await publisher.publish_many(stream, [Outgoing(value={}, id=name, key=f"k{n % 9}")
                                              for n, name in enumerate(more)])
        await eventually(lambda: len(ledger.applied()) == 80, "the survivor does the rest", 15)
        await services.pop().stop()
        verdict = ledger.verdict(names + more)
        assert verdict.ok, verdict.explain()

    arun(scenario())


def test_a_consumer_that_stops_hands_back_and_another_goes_on(backend, stream, arun):
    async def scenario():
        clerk, first = Clerk(), Service(backend.url, settings=FAST, drain_s=0.05)
        first.consumer(stream, group=GROUP, concurrency=1)(clerk)
        await first.start()
        for n in range(6):
            await first.hf.publish(stream, {"do": "hang"}, id=f"m{n}")
        await eventually(lambda: clerk.tries.total() == 1, "one runs, the others wait")
        await first.stop()
        clerk.free.set()
        second = Service(backend.url)
        second.consumer(stream, group=GROUP)(clerk)
        async with second, desk_at(backend.url, stream) as desk:
            await eventually(lambda: len(set(clerk.done)) == 6, "the second has done them all")
            assert second.told.of(ev.TakenOver) == []
            await settled(desk)

    arun(scenario())
