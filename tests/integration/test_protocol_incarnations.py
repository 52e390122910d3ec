# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 3: an incarnation declared dead stays dead, whoever owned the name, whatever it still does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from holdfast._base.events import ConsumerStarted, IncarnationLost
from holdfast._redis.heart import _BEAT
from holdfast.consume.contract import Settled
from tests.support.protocol import LONG_MS, Service, desk_at, eventually, ids

#: A server clock that steps by half a minute.
STEPS = [30_000, -30_000]


async def beat(desk, lane, *, left_ms=LONG_MS, lease_ms=LONG_MS, since_ms=0):
    """One beat of the heart, as its thread sends it: (alive, ms by which the clock jumped)."""
    alive, _, jumped = await desk.link.run(_BEAT, (desk.keys.leases, desk.keys.door),
                                           (lane.incarnation, left_ms, lease_ms, since_ms))
    return alive, int(jumped)


# -- beats ------------------------------------------------------------------------------------------------------------


def test_a_beat_extends_a_lease_that_is_there(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(lease_ms=1000)
            assert await beat(desk, lane, left_ms=5000) == (1, 0)
            assert 4000 < await desk.lease_ms(lane) <= 5000

    arun(scenario())


def test_a_beat_revives_nobody(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            assert await beat(desk, lane) == (0, 0)
            assert await desk.lease_ms(lane) is None

    arun(scenario())


def test_a_lease_that_ran_out_is_not_extended(backend, stream, arun):
    """Its process counted the time itself: a lease or more has gone by since its last beat."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(lease_ms=1000)
            await desk.expire(lane)
            assert await beat(desk, lane, lease_ms=1000, since_ms=1000) == (0, 0)
            assert await desk.lease_ms(lane) < 0

    arun(scenario())


def test_a_lease_that_only_the_clock_ended_is_given_back_to_everybody(backend, stream, arun):
    """The server says it is over, and for its process hardly any time has passed: the clock jumped, for all alike."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lanes = [await desk.join() for _ in range(3)]
            for lane in lanes:
                await desk.expire(lane)
            alive, jumped = await beat(desk, lanes[0], lease_ms=10_000, left_ms=9_000, since_ms=100)
            assert alive == 1
            assert 900 < jumped < 5000
            assert [8_000 < await desk.lease_ms(lane) <= 10_000 for lane in lanes] == [True] * 3

    arun(scenario())


def test_a_loop_that_stands_still_is_not_kept_alive(backend, stream, arun):
    """A beat is worth what the loop's last turn is worth."""

    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None: ...

        async with service, desk_at(backend.url, stream) as desk:
            source = await service.joined()
            lane = desk.lane(source.incarnation)
            service.heart._tick = lambda: None  # the loop has stopped turning, as far as the heart can see
            service.heart._ticker.cancel()

            async def over():
                return (await desk.lease_ms(lane) or 0) <= 0

            await eventually(over, "its lease runs out", 3)

    arun(scenario())


# -- the dead who come back -------------------------------------------------------------------------------------------


def test_a_removed_consumer_that_is_handed_an_entry_cannot_settle_it(backend, stream, arun):
    """A read that blocked while others removed its consumer is served all the same, under the old name."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk, desk_at(backend.url, stream) as frozen:
            old, first = await frozen.got(1)
            await old.settle(first, [])
            blocked = asyncio.create_task(_blocked_read(frozen, old))
            await eventually(lambda: _is_blocked(desk), "it waits for an entry")
            await desk.expire(old)
            heir = await desk.join()
            swept = await desk.sweep(heir)
            assert swept.reaped == [old.incarnation]
            await desk.add()
            (delivery,) = await blocked
            assert await old.settle([delivery], []) == [(delivery, Settled.OTHER)]
            assert (await beat(desk, old))[0] == 0
            (again,) = (await desk.sweep(heir)).taken
            assert await heir.settle([again], []) == []

    arun(scenario())


async def _blocked_read(desk, lane):
    link = await desk.server.link(desk.key)
    reply = await link.call("XREADGROUP", "GROUP", desk.group, lane.incarnation, "BLOCK", 10_000,
                            "STREAMS", lane.key, ">", timeout_s=12)
    await link.close()
    return lane.fresh(reply[0][1], 0.0)


async def _is_blocked(desk):
    info = await desk.call("INFO", "clients")
    return b"blocked_clients:1" in info


def test_a_lost_incarnation_comes_back_under_another_name(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        started, let = [], asyncio.Event()

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            started.append(n)
            await let.wait()

        async with service, desk_at(backend.url, stream) as desk:
            source = await service.joined()
            old = source.incarnation
            await service.hf.publish(stream, 1)
            await eventually(lambda: started == [1], "it runs")
            await desk.call("ZREM", desk.keys.leases, old)
            (lost,) = await eventually(lambda: service.told.of(IncarnationLost), "the next beat says so")
            assert (lost.consumer, lost.dropped) == (old, 1)
            await eventually(lambda: started == [1, 1], "cancelled, taken over by its successor, and run again")
            let.set()
            await eventually(desk.pending_is_empty, "and settled once")
            names = [event.consumer for event in service.told.of(ConsumerStarted)]
            assert names == [old, source.incarnation]
            assert len(set(names)) == 2
            assert await desk.in_stream() == []

    arun(scenario())


def test_after_losing_its_name_a_process_does_not_run_beside_itself(backend, stream, arun):
    """A thread cannot be cancelled: what comes back under the new name waits for the old attempt to end."""

    async def scenario():
        service = Service(backend.url)
        running, most, runs, let = [], [], [], threading.Event()

        @service.consumer(stream, group="billing")
        def handle(n: int) -> None:
            runs.append(n)
            running.append(n)
            most.append(len(running))
            if len(runs) == 1:
                let.wait(10)
            running.remove(n)

        async with service, desk_at(backend.url, stream) as desk:
            source = await service.joined()
            old = source.incarnation
            await service.hf.publish(stream, 1)
            await eventually(lambda: runs == [1], "it runs")
            await desk.call("ZREM", desk.keys.leases, old)

            async def taken():
                return {owner for owner, _ in (await desk.pending()).values()} == {source.incarnation} != {old}

            await eventually(taken, "its successor has taken the entry over")
            let.set()
            await eventually(desk.pending_is_empty, "it ran again, and was settled")
            assert runs == [1, 1]
            assert most == [1, 1]

    arun(scenario())


# -- clocks that step -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ms", STEPS)
def test_after_a_step_of_the_clock_leases_start_anew_before_anybody_is_judged(backend, stream, arun, step_ms):
    """For who looks, one second passed; for the server, another half minute: every lease looks over, or endless."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            live, held = await desk.got(2)
            watcher = await desk.join()
            await desk.call("ZADD", desk.keys.leases, await desk.now_ms() - step_ms, live.incarnation)
            seen_ms = await desk.now_ms() - 1000 - step_ms
            swept = await desk.sweep(watcher, seen_ms=seen_ms, elapsed_ms=1000, slack_ms=600)
            assert abs(swept.jumped_ms - step_ms) < 600
            assert swept.taken == []
            assert LONG_MS - 2000 < await desk.lease_ms(live) <= LONG_MS
            assert await live.settle(held, []) == []

    arun(scenario())


def test_within_the_slack_nothing_is_reset(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(2)
            watcher = await desk.join()
            await desk.expire(dead)
            swept = await desk.sweep(watcher, seen_ms=await desk.now_ms() - 1300, elapsed_ms=1000, slack_ms=600)
            assert swept.jumped_ms == 0
            assert ids(swept.taken) == ids(held)

    arun(scenario())


def test_another_server_is_taken_for_a_step(backend, stream, arun):
    """After a failover leases may have lost beats that were not replicated yet."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            live, held = await desk.got(2)
            watcher = await desk.join()
            await desk.expire(live)
            swept = await desk.sweep(watcher, other_server=True)
            assert swept.jumped_ms != 0
            assert swept.taken == []
            assert await live.settle(held, []) == []

    arun(scenario())
