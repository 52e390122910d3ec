# SPDX-License-Identifier: Apache-2.0
"""Servers whose clocks disagree: a failover, or a step of the running server, by half a minute either way.

Leases and due times lie on the server in its own time. After such a step they mean something else, and nobody may be
robbed for it; who is really dead is found one lease later than usual, which is the bound that the documentation states.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from holdfast import Retry, StreamSettings
from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast.testing import Sentinel, Single
from tests.support.protocol import GROUP, Desk, Service, desk_at, eventually

SETTINGS = StreamSettings(lease_ms=2_000, sweep_ms=400, block_ms=200)
LEASE_S, SWEEP_S = 2.0, 0.4
#: Outlasts the failover, which takes some 2 s.
LONGER = StreamSettings(lease_ms=5_000, sweep_ms=400, block_ms=200)
STEPS_S = [30.0, -30.0]


def stepping(offset_s: float) -> Sentinel:
    return Sentinel(faketime_offset_s=(0.0, offset_s))


@pytest.fixture(scope="module")
def stepped():
    """A server whose clock can be set while it runs."""
    with Single(faketime_offset_s=0.0) as server:
        yield server


@pytest.fixture
def server(stepped):
    stepped.step_clock(0.0)
    stepped.admin.flushall()
    return stepped


class Handlers:
    """Handlers that sleep until they are let go, and what ran beside what."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.starts: list[str] = []
        self.running: list[str] = []
        self.beside: list[str] = []
        self.done: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, body: dict) -> None:
        name = body["name"]
        self.starts.append(name)
        self.beside += [name] if name in self.running else []
        self.running.append(name)
        try:
            await self.free.wait()
            self.done.append(name)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.running.remove(name)


@asynccontextmanager
async def workers(url, stream, handlers, *, count=2, partitions=0, settings=SETTINGS, **how):
    """Several processes' worth of one consumer."""
    services = []
    for _ in range(count):
        service = Service(url, settings=settings, drain_s=1.0)
        if partitions:
            service.hf.stream(stream, partitions=partitions)
        service.consumer(stream, group=GROUP, concurrency=20, prefetch_max=4, **how)(handlers)
        services.append(await service.start())
    try:
        yield services
    finally:
        for service in services:
            await service.stop()


def told(services, kind):
    return [event for service in services for event in service.told.of(kind)]


async def publish(service, stream, names):
    for name in names:
        await service.hf.publish(stream, {"name": name}, key=name, id=name)


async def busy(services, stream, handlers, count):
    """Each message is in a handler, and each service has some."""
    names = [f"m{n}" for n in range(count)]
    await publish(services[0], stream, names)
    await eventually(lambda: sorted(handlers.running) == sorted(names), "all messages are being handled", 20)
    return names


async def rejoined(services, sweeps=3):
    """Every service has looked around several times since now."""
    since = {id(s): sum(source.sweeper._round for source in s.sources) for s in services}
    await eventually(lambda: all(sum(source.sweeper._round for source in s.sources) >= since[id(s)] + sweeps
                                 for s in services), "everybody sweeps again", 20)


async def failover(sentinel):
    began = time.monotonic()
    await asyncio.to_thread(sentinel.failover)
    return time.monotonic() - began


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_a_failover_to_another_clock_robs_nobody_and_the_dead_are_still_found(offset_s, stream, arun):
    async def scenario(sentinel):
        handlers = Handlers()
        async with workers(sentinel.url, stream, handlers, count=3, settings=LONGER) as services:
            names = await busy(services, stream, handlers, 12)
            *living, doomed = services
            assert await asyncio.to_thread(sentinel.master.admin.wait, 1, 5000) >= 1
            await failover(sentinel)
            await rejoined(living)
            assert told(living, ev.TakenOver) == told(living, ev.IncarnationLost) == []
            assert sorted(handlers.starts) == sorted(names), "nobody started what another runs"
            steps = told(services, ev.ClockStepped)
            assert steps
            assert all(abs(step.by_ms - offset_s * 1000) < 8_000 for step in steps[:1]), steps

            (name,) = {source.incarnation for source in doomed.sources}
            await doomed.crash()
            died, theirs = time.monotonic(), len(handlers.cancelled)
            assert theirs
            await eventually(lambda: sum(event.count for event in told(living, ev.TakenOver)) == theirs,
                             "what the dead one had is taken over", 20)
            assert time.monotonic() - died < LONGER.lease_ms / 1000 + SWEEP_S + 2
            assert {event.from_consumer for event in told(living, ev.TakenOver)} == {name}
            assert handlers.beside == []
            handlers.free.set()
            await eventually(lambda: sorted(handlers.done) == sorted(names), "all are done, each once", 15)
            async with desk_at(sentinel.url, stream) as desk:
                await eventually(desk.pending_is_empty, "and settled", 10)

    with stepping(offset_s) as sentinel:
        arun(scenario(sentinel))


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_a_step_of_the_running_server_robs_nobody_and_the_dead_are_still_found(offset_s, server, stream, arun):
    async def scenario():
        handlers = Handlers()
        async with workers(server.url, stream, handlers) as services:
            names = await busy(services, stream, handlers, 8)
            living, doomed = services
            server.step_clock(offset_s)
            await rejoined([living, doomed])
            assert told(services, ev.TakenOver) == told(services, ev.IncarnationLost) == []
            assert sorted(handlers.starts) == sorted(names)
            steps = told(services, ev.ClockStepped)
            assert {round(step.by_ms / 1000) for step in steps} == {round(offset_s)}, steps
            assert {step.new_server for step in steps} == {False}
            await doomed.crash()
            died = time.monotonic()
            await eventually(lambda: told([living], ev.TakenOver), "what the dead one had is taken over", 20)
            assert time.monotonic() - died < LEASE_S + SWEEP_S + 1
            handlers.free.set()
            await eventually(lambda: sorted(handlers.done) == sorted(names), "all are done, each once", 15)

    arun(scenario())


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_the_dead_are_found_in_bounded_time_when_the_clock_steps_after_their_death(offset_s, server, stream, arun):
    """A step back: a dead one's lease would look good for half a minute; survivors give all leases anew."""

    async def scenario():
        handlers = Handlers()
        async with workers(server.url, stream, handlers) as (living, doomed):
            await busy([living, doomed], stream, handlers, 8)
            await doomed.crash()
            server.step_clock(offset_s)
            stepped_at = time.monotonic()
            await eventually(lambda: told([living], ev.TakenOver), "what the dead one had is taken over", 20)
            assert time.monotonic() - stepped_at < LEASE_S + 2 * SWEEP_S + 1
            handlers.free.set()

    arun(scenario())


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_partitions_stay_with_their_owners_and_those_of_the_dead_are_shared_anew(offset_s, server, stream, arun):
    async def scenario():
        handlers = Handlers()
        async with workers(server.url, stream, handlers, partitions=4) as services:
            await eventually(lambda: [owned(s) for s in services] == [2, 2], "each has its share", 20)
            names = await busy(services, stream, handlers, 16)
            living, doomed = services
            for service in services:
                service.told.all.clear()
            server.step_clock(offset_s)
            await asyncio.sleep(LEASE_S / 2)  # nothing to wait for: that nothing happens is the claim
            assert [owned(s) for s in services] == [2, 2]
            assert told(services, ev.TakenOver) == told(services, ev.PartitionReleased) == []
            assert sorted(handlers.starts) == sorted(names)
            assert {round(step.by_ms / 1000) for step in told(services, ev.ClockStepped)} == {round(offset_s)}
            await doomed.crash()
            died = time.monotonic()
            handlers.free.set()
            await eventually(lambda: owned(living) == 4, "the survivor owns all partitions", 40)
            assert time.monotonic() - died < LEASE_S + 2 * SWEEP_S + 2
            await eventually(lambda: sorted(handlers.done) == sorted(names), "all are done, each once", 15)

    arun(scenario())


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_partitions_of_the_dead_come_free_when_the_clock_steps_after_their_death(offset_s, server, stream, arun):
    """As a member, too, the dead one must not count for as long as the clock went back: its share would lie idle."""

    async def scenario():
        handlers = Handlers()
        handlers.free.set()
        async with workers(server.url, stream, handlers, partitions=4) as (living, doomed):
            await eventually(lambda: [owned(living), owned(doomed)] == [2, 2], "each has its share", 20)
            await doomed.crash()
            server.step_clock(offset_s)
            stepped_at = time.monotonic()
            await eventually(lambda: owned(living) == 4, "the survivor owns all partitions", 40)
            assert time.monotonic() - stepped_at < LEASE_S + 2 * SWEEP_S + 2

    arun(scenario())


def owned(service):
    (shared,) = service.sources
    return sum(1 for p in shared._partitions if p.source is not None)


@pytest.mark.parametrize("offset_s", STEPS_S)
def test_a_parked_retry_waits_no_longer_than_its_time_and_the_step(offset_s, server, stream, arun):
    async def scenario():
        tries: list[float] = []

        async def failing_once(body: dict) -> None:
            tries.append(time.monotonic())
            if len(tries) == 1:
                raise Retry(after=3)

        async with workers(server.url, stream, failing_once, count=1) as (service,), \
                desk_at(server.url, stream) as desk:
            await publish(service, stream, ["m0"])
            await eventually(lambda: parked(desk), "it is parked", 10)
            server.step_clock(offset_s)
            (due_ms,) = await parked(desk)
            wait_s = (due_ms - await desk.now_ms()) / 1000
            assert wait_s <= 3 + max(0.0, -offset_s)
            await eventually(lambda: told([service], ev.ClockStepped), "the step is reported", 5)
            if offset_s < 0:
                assert len(tries) == 1
                server.step_clock(0.0)  # or this test would take half a minute
            await eventually(lambda: len(tries) == 2, "it is tried again", 10)

    arun(scenario())


async def parked(desk: Desk) -> list[int]:
    """When what is parked is due, in server ms."""
    rows = await desk.call("ZRANGE", GroupKeys("hf", desk.stream, GROUP).due, 0, -1, "WITHSCORES")
    return [int(float(score)) for score in rows[1::2]]


def test_small_steps_and_slow_answers_are_no_steps(server, stream, arun):
    """What a sweep cannot tell from a slow network is not reported, and nobody's lease is touched for it."""

    async def scenario():
        handlers = Handlers()
        async with workers(server.url, stream, handlers) as services:
            await busy(services, stream, handlers, 4)
            server.step_clock(0.2)
            await rejoined(services)
            server.pause()
            await asyncio.sleep(2.0)  # the silence itself is what is tried
            server.resume()
            await rejoined(services)
            assert told(services, ev.ClockStepped) == []
            assert told(services, ev.TakenOver) == []
            handlers.free.set()

    arun(scenario())
