# SPDX-License-Identifier: Apache-2.0
"""Delivery, sections 5 and 9: who is dead, what of theirs is taken, and which message is to blame."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from holdfast._base.events import Buried, TakenOver
from holdfast.consume.contract import Note, Settled
from tests.support.protocol import Service, desk_at, eventually, ids, park

# -- who is dead ------------------------------------------------------------------------------------------------------


def test_a_live_consumer_is_left_alone_however_idle(backend, stream, arun):
    """Liveness decides, not idleness: a slow handler is never robbed."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            live, held = await desk.got(3)
            for delivery in held:
                await desk.call("XCLAIM", stream, desk.group, live.incarnation, 0, delivery.entry_id,
                                "IDLE", 86_400_000, "JUSTID")
            watcher = await desk.join()
            assert (await desk.sweep(watcher)).taken == []
            assert await live.settle(held, []) == []

    arun(scenario())


@pytest.mark.parametrize("how", ["lease ran out", "no lease"])
def test_what_the_dead_held_is_taken_over_as_another_delivery(backend, stream, arun, how):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(3)
            if how == "no lease":
                await desk.call("ZREM", desk.keys.leases, dead.incarnation)
            else:
                await desk.expire(dead)
            heir = await desk.join()
            swept = await desk.sweep(heir)
            assert ids(swept.taken) == ids(held)
            assert swept.dead == [(dead.incarnation, 3)]
            assert {d.fence.count for d in swept.taken} == {2}
            assert all(d.suspect for d in swept.taken)
            assert await desk.lease_ms(dead) is None  # from here on it stays dead
            assert set((await desk.pending()).values()) == {(heir.incarnation, 2)}

    arun(scenario())


@pytest.mark.parametrize("name", ["stranger", "host-12-worker", "hf0123456789", "host-12-hf012345678", "orders-7"])
def test_names_that_are_not_ours_are_left_alone(backend, stream, arun, name):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            heir = await desk.join()
            await desk.add(2)
            await desk.call("XREADGROUP", "GROUP", desk.group, name, "COUNT", 1, "STREAMS", stream, ">")
            swept = await desk.sweep(heir)
            assert (swept.taken, swept.dead, swept.reaped) == ([], [], [])
            assert [owner for owner, _ in (await desk.pending()).values()] == [name]

    arun(scenario())


def test_strangers_are_taken_over_when_asked_for_and_idle_for_so_long(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            heir = await desk.join()
            old, new = await desk.add(2)
            for _ in (old, new):
                await desk.call("XREADGROUP", "GROUP", desk.group, "stranger", "COUNT", 1, "STREAMS", stream, ">")
                await desk.call("XCLAIM", stream, desk.group, "stranger", 0, old, "IDLE", 5000, "JUSTID")
            swept = await desk.sweep(heir, foreign_idle_ms=4000)
            assert ids(swept.taken) == [old]
            assert (await desk.pending())[new][0] == "stranger"

    arun(scenario())


def test_who_may_take_nothing_only_looks(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(3)
            await desk.expire(dead)
            watcher = await desk.join()
            swept = await desk.sweep(watcher, wanted=0)
            assert (swept.taken, swept.reaped) == ([], [])
            assert {owner for owner, _ in (await desk.pending()).values()} == {dead.incarnation}
            assert await dead.settle(held, []) == []

    arun(scenario())


def test_a_newcomer_leaves_expired_leases_alone_but_not_those_without_any(backend, stream, arun):
    """It has seen no clock before: perhaps it jumped, and who is alive has yet to say so."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            expired, one = await desk.got(1)
            gone, two = await desk.got(1)
            await desk.expire(expired)
            await desk.call("ZREM", desk.keys.leases, gone.incarnation)
            newcomer = await desk.join()
            swept = await desk.sweep(newcomer, newcomer=True)
            assert ids(swept.taken) == ids(two)
            assert await expired.settle(one, []) == []

    arun(scenario())


def test_the_reserved_consumer_is_never_removed_or_taken_over(backend, stream, arun):
    """Deleting it would drop what it holds beyond the reach of everything but XCLAIM FORCE."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0)])
            assert (await desk.sweep(lane)).taken == []
            (again,) = (await lane.claim_due(10, 0.0)).deliveries
            await lane.settle([again], [])
            swept = await desk.sweep(lane)
            assert swept.reaped == []
            assert "hf.parked" in [row[0] for row in swept.consumers]

    arun(scenario())


def test_a_live_consumer_that_holds_nothing_is_not_removed(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            live, held = await desk.got(1)
            await live.settle(held, [])
            other = await desk.join()
            assert (await desk.sweep(other)).reaped == []
            await desk.call("ZREM", desk.keys.leases, live.incarnation)
            assert (await desk.sweep(other)).reaped == [live.incarnation]

    arun(scenario())


def test_a_note_that_cannot_be_read_counts_as_none(backend, stream, arun):
    """It is advice. Were it more, one bad note would keep a dead consumer's work from everybody."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, held = await desk.got(4)
            bad = [b"", b"garbage", b"\xc1", msgspec.msgpack.encode(7)]
            for delivery, note in zip(held, bad, strict=True):
                await desk.call("HSET", desk.keys.notes, delivery.entry_id, note)
            await desk.expire(dead)
            heir = await desk.join()
            taken = (await desk.sweep(heir)).taken
            assert ids(taken) == ids(held)
            assert [(d.suspect, d.crashes, d.attempts) for d in taken] == [(True, 0, 0)] * 4

    arun(scenario())


# -- who is to blame --------------------------------------------------------------------------------------------------


def test_a_crash_is_charged_to_whom_its_owner_had_marked_and_to_nobody_else(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, _ = await desk.got(3)
            await desk.expire(dead)
            heir = await desk.join()
            taken = (await desk.sweep(heir)).taken
            assert {d.crashes for d in taken} == {0}  # nothing was marked: all three had merely been prefetched

            assert await heir.mark_started(taken[1])
            await desk.expire(heir)
            second = await desk.join()
            again = (await desk.sweep(second)).taken
            assert [d.crashes for d in again] == [0, 1, 0]
            assert await desk.call("HLEN", desk.keys.marks) == 0

            await desk.expire(second)
            third = await desk.join()
            assert [d.crashes for d in (await desk.sweep(third)).taken] == [0, 1, 0]  # and charged once

    arun(scenario())


def test_a_mark_of_another_incarnation_charges_nobody(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, (delivery,) = await desk.got(1)
            await desk.call("HSET", desk.keys.marks, delivery.entry_id, "host-1-hf0123456789")
            await desk.expire(dead)
            (taken,) = (await desk.sweep(await desk.join())).taken
            assert taken.crashes == 0

    arun(scenario())


def test_an_outcome_takes_its_mark_away(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, held = await desk.got(2)
            for delivery in held:
                assert await lane.mark_started(delivery)
            await lane.settle([held[0]], [park(held[1], note=Note(attempts=1))])
            assert await desk.call("HLEN", desk.keys.marks) == 0

    arun(scenario())


def test_only_the_owner_of_this_very_delivery_marks_it(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two, three) = await desk.got(3)
            await desk.call("XCLAIM", stream, desk.group, "somebody", 0, one.entry_id, "JUSTID")
            await desk.call("XCLAIM", stream, desk.group, lane.incarnation, 0, two.entry_id)
            assert [await lane.mark_started(d) for d in (one, two, three)] == [False, False, True]
            await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            assert not await lane.mark_started(three)

    arun(scenario())


def test_one_poison_among_a_hundred_prefetched_four_crashes_one_letter(backend, stream, arun):
    """The server's own counter is raised for every one of them, so it would convict the innocent."""

    async def scenario():
        applied = []
        dying = asyncio.Event()

        def service():
            made = Service(backend.url)

            @made.consumer(stream, group="billing", concurrency=100)
            async def handle(n: int) -> None:
                if n == 50:
                    dying.set()
                    await asyncio.Event().wait()
                if len(made.lives) == 1:  # in the first life everything is still running when the process dies
                    await asyncio.Event().wait()
                applied.append(n)

            made.lives = lives
            return made

        lives = []
        async with desk_at(backend.url, stream) as desk:
            for n in range(100):
                await desk.call("XADD", stream, "*", "body", str(n))
            for crash in range(4):
                lives.append(crash)
                dying.clear()
                victim = await service().start()
                await asyncio.wait_for(dying.wait(), 8)
                await victim.crash()
            lives.append("last")
            async with service() as last:
                (letter,) = await eventually(desk.letters, "one letter")
                await eventually(desk.pending_is_empty, "and nothing else is left")
            assert letter["x-dlq-failure-reason"] == "crash_loop"
            assert letter["body"] == "50"
            assert len(await desk.letters()) == 1
            assert sorted(applied) == [n for n in range(100) if n != 50]
            assert [event.reason for event in last.told.of(Buried)] == ["crash_loop"]
            assert await desk.leftovers() == []

    arun(scenario())


# -- what is left of it -----------------------------------------------------------------------------------------------


def test_a_payload_that_was_trimmed_while_pending_ends_in_a_letter(backend, stream, arun):
    """Valkey 9 erases such an entry when it is claimed, Redis 6.2 answers nil: both without trace."""

    async def scenario():
        service = Service(backend.url)
        seen = []

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            seen.append(n)

        async with desk_at(backend.url, stream) as desk:
            dead, (gone, there) = await desk.got(2)
            await desk.call("XDEL", stream, gone.entry_id)
            await desk.call("ZREM", desk.keys.leases, dead.incarnation)
            async with service:
                (letter,) = await eventually(desk.letters, "the letter is written")
                await eventually(desk.pending_is_empty, "and both are settled")
            assert letter["x-dlq-failure-reason"] == "payload_missing"
            assert letter["x-dlq-original-offset"] == gone.entry_id.decode()
            assert len(await desk.letters()) == 1
            assert service.told.of(TakenOver)
            assert there.entry_id not in await desk.in_stream()

    arun(scenario())


def test_of_two_who_bury_the_same_missing_payload_one_does(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            dead, (gone,) = await desk.got(1)
            await desk.call("XDEL", stream, gone.entry_id)
            await desk.expire(dead)
            one, two = await desk.join(), await desk.join()
            (first,), (second,) = (await desk.sweep(one)).missing, (await desk.sweep(two)).missing
            assert await one.bury_missing(first, [b"body", b""], "same") is Settled.OK
            assert await two.bury_missing(second, [b"body", b""], "same") is Settled.GONE
            assert len(await desk.letters()) == 1

    arun(scenario())


def test_who_died_before_it_read_anything_leaves_no_lease_behind(backend, stream, arun):
    """It is no consumer of the group yet: only its lease tells of it, and would for ever."""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            unborn, heir = await desk.join(), await desk.join()
            await desk.expire(unborn)
            await desk.sweep(heir, newcomer=True)
            assert await desk.lease_ms(unborn) is not None, "to a newcomer it is in doubt"
            await desk.sweep(heir)
            assert await desk.lease_ms(unborn) is None
            assert await desk.lease_ms(heir) is not None

    arun(scenario())
