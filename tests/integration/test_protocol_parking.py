# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 8: a retry waits where no other group sees it, and is found whatever happens to its records."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from holdfast import Retry
from holdfast._base.events import ParkingReconciled
from holdfast.consume.contract import Note, Settled, Settlement, Verb
from holdfast.streams.sweeper import _LOW
from tests.support.protocol import FAST, Service, bury, desk_at, eventually, ids, park

PARKED = "hf.parked"


async def due(desk, lane, wanted=100):
    """What is due, as the due script hands it out: deliveries, missing, restored, stale."""
    found = await lane.claim_due(wanted, 0.0)
    return found.deliveries, found.missing, found.restored, found.stale


async def overdue(desk, *entry_ids):
    """Their time has come."""
    for entry_id in entry_ids:
        await desk.call("ZADD", desk.keys.due, 1, entry_id)


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_what_is_parked_waits_pending_with_its_note(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            note = Note(attempts=2, crashes=1, first_failed_ms=5, last_failed_ms=9, reason="timeout",
                        deaths=[["ValueError", "handle", 2, 5, 9]], links=["00-ab-cd-01"])
            await lane.settle([], [park(delivery, 40, note)])
            assert await desk.pending() == {delivery.entry_id: (PARKED, 1)}
            assert (await due(desk, lane))[0] == []

            async def come():
                return (await due(desk, lane))[0]

            (again,) = await eventually(come, "its time comes")
            assert (again.attempts, again.crashes, again.suspect) == (2, 1, False)
            assert again.note == note
            assert await desk.pending() == {delivery.entry_id: (lane.incarnation, 2)}
            assert await lane.settle([again], []) == []
            assert await desk.leftovers() == []

    arun(scenario())


def test_the_former_delivery_of_a_parked_entry_settles_nothing(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0)])
            (again,), *_ = await due(desk, lane)
            assert await lane.settle([delivery], []) == [(delivery, Settled.OTHER)]
            assert await desk.pending() == {again.entry_id: (lane.incarnation, 2)}

    arun(scenario())


def test_a_retry_is_seen_by_its_own_group_alone(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        seen = {"billing": [], "audit": []}

        @service.consumer(stream, group="billing", retry=Retry(attempts=3, after=0.02))
        async def bill(n: int) -> None:
            seen["billing"].append(n)
            if len(seen["billing"]) < 3:
                raise ValueError("not yet")

        @service.consumer(stream, group="audit")
        async def audit(n: int) -> None:
            seen["audit"].append(n)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, 7)
            await eventually(lambda: len(seen["billing"]) == 3, "two retries")
            await eventually(desk.pending_is_empty, "and settled")
            assert seen == {"billing": [7, 7, 7], "audit": [7]}

    arun(scenario())


def test_an_expired_incarnation_claims_nothing_that_is_due(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0)])
            await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            assert (await due(desk, lane))[0] == []
            assert await desk.pending() == {delivery.entry_id: (PARKED, 1)}

    arun(scenario())


def test_no_more_is_claimed_than_wanted(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(5)
            await lane.settle([], [park(d, 0) for d in deliveries])
            first, *_ = await due(desk, lane, 2)
            second, *_ = await due(desk, lane, 10)
            assert sorted(ids(first + second)) == sorted(ids(deliveries))
            assert len(first) == 2

    arun(scenario())


# -- records that were lost -------------------------------------------------------------------------------------------


def test_parked_entries_without_a_due_time_are_due_now(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(5)
            await lane.settle([], [park(d) for d in deliveries])
            await desk.call("DEL", desk.keys.due)
            _, _, undated, _ = await lane.reconcile(b"-", 0, 100)
            assert undated == 5
            assert sorted(ids((await due(desk, lane))[0])) == sorted(ids(deliveries))

    arun(scenario())


def test_reconciling_goes_page_by_page_and_leaves_the_dated_alone(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(7)
            await lane.settle([], [park(d) for d in deliveries])
            await desk.call("ZREM", desk.keys.due, *ids(deliveries[::2]))
            after, rank, found = b"-", 0, 0
            while True:
                after, rank, undated, _ = await lane.reconcile(after, rank, 3)
                found += undated
                if not after and not rank:
                    break
                after = after or b"+"
            assert found == 4
            assert sorted(ids((await due(desk, lane))[0])) == sorted(ids(deliveries[::2]))

    arun(scenario())


def test_the_reserved_consumer_was_deleted_and_its_entries_come_back(backend, stream, arun):
    """XGROUP DELCONSUMER drops what it holds beyond the reach of everything but XCLAIM FORCE."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(3)
            await lane.settle([], [park(d, note=Note(attempts=2)) for d in deliveries])
            await desk.call("XGROUP", "DELCONSUMER", stream, desk.group, PARKED)
            assert await desk.pending() == {}
            _, _, _, orphans = await lane.reconcile(b"-", 0, 100)
            assert orphans == 3
            back, missing, restored, _ = await due(desk, lane)
            assert (sorted(ids(back)), missing, restored) == (sorted(ids(deliveries)), [], 3)
            assert {d.attempts for d in back} == {2}
            assert await lane.settle(back, []) == []

    arun(scenario())


def test_a_running_consumer_restores_what_was_deleted_under_it(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        runs = []

        @service.consumer(stream, group="billing", retry=Retry(attempts=3, after=60))
        async def handle(n: int) -> None:
            runs.append(n)
            if len(runs) == 1:
                raise ValueError("not yet")

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, 7)
            await eventually(lambda: desk.call("EXISTS", desk.keys.due), "it is parked")
            await desk.call("XGROUP", "DELCONSUMER", stream, desk.group, PARKED)
            await eventually(lambda: runs == [7, 7], "it comes back at once")
            await eventually(lambda: service.told.of(ParkingReconciled), "and that is told")

    arun(scenario())


def test_nothing_is_trimmed_that_is_only_dated(backend, stream, arun):
    """Between the deletion of the reserved consumer and the restoring, no group's mark knows of what was parked."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (first, second) = await desk.got(2)
            await lane.settle([second], [park(first)])
            await desk.call("XGROUP", "DELCONSUMER", stream, desk.group, PARKED)
            low = (desk.key, desk.keys.low, desk.keys.door, desk.keys.dead, desk.keys.due)
            await desk.link.run(_LOW, low, (desk.group, "delete"))
            assert await desk.in_stream() == [first.entry_id]
            await lane.reconcile(b"-", 0, 100)
            (back,), *_ = await due(desk, lane)
            await lane.settle([back], [])
            await desk.link.run(_LOW, low, (desk.group, "delete"))
            assert await desk.in_stream() == []

    arun(scenario())


def test_what_was_settled_by_force_is_not_restored(backend, stream, arun):
    """Due, but neither pending nor in the stream any more."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0, Note(attempts=1))])
            await desk.call("XACK", stream, desk.group, delivery.entry_id)
            await desk.call("XDEL", stream, delivery.entry_id)
            assert await due(desk, lane) == ([], [], 0, 1)
            assert await desk.leftovers() == []

    arun(scenario())


def test_an_entry_the_group_has_yet_to_read_is_not_restored_before_it(backend, stream, arun):
    """A group made anew at its low-water mark reads its parked entries again: restored as well, one would run twice."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(2)
            await lane.settle([], [park(d, 0) for d in deliveries])
            await desk.call("XGROUP", "DESTROY", stream, desk.group)
            lane = await desk.join()
            assert (await due(desk, lane))[0] == []
            assert ids(await desk.read(lane)) == ids(deliveries)
            assert (await due(desk, lane))[0] == []

    arun(scenario())


def test_a_parked_entry_whose_payload_was_trimmed_is_named_and_stays_pending(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0)])
            await desk.call("XDEL", stream, delivery.entry_id)
            deliveries, (missing,), _, _ = await due(desk, lane)
            assert deliveries == []
            assert (missing.entry_id, missing.owner) == (delivery.entry_id, PARKED.encode())
            assert await desk.pending() == {delivery.entry_id: (PARKED, 1)}
            assert await lane.bury_missing(missing, [b"body", b""], "letter") is Settled.OK
            assert await desk.pending() == {}

    arun(scenario())


# -- strangers --------------------------------------------------------------------------------------------------------


def test_a_parked_entry_that_a_stranger_claimed_is_the_strangers(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [park(delivery, 0)])
            await desk.call("XAUTOCLAIM", stream, desk.group, "stranger", 0, "-")
            deliveries, missing, restored, stale = await due(desk, lane)
            assert (deliveries, missing, restored, stale) == ([], [], 0, 1)
            assert await desk.pending() == {delivery.entry_id: ("stranger", 2)}
            assert await desk.call("ZCARD", desk.keys.due) == 0

    arun(scenario())


def test_beside_strangers_what_is_parked_or_in_flight_looks_freshly_delivered(backend, stream, arun):
    """A claim with a time in the future is clamped to now: waiting entries grow idle, and strangers take those."""

    async def scenario():
        service = Service(backend.url)
        let = asyncio.Event()

        @service.consumer(stream, group="billing", retry=Retry(attempts=3, after=60))
        async def handle(n: int) -> None:
            if n == 1:
                raise ValueError("later")
            await let.wait()

        async with service, desk_at(backend.url, stream) as desk:
            await service.joined()
            await desk.call("XGROUP", "CREATECONSUMER", stream, desk.group, "stranger")
            await service.hf.publish_many(stream, [1, 2])
            await eventually(lambda: desk.call("EXISTS", desk.keys.due), "one is parked, one runs")
            loop = asyncio.get_running_loop()
            until = loop.time() + 1.5
            most = 0
            while loop.time() < until:
                rows = await desk.call("XPENDING", stream, desk.group, "-", "+", 10)
                most = max(most, *(row[2] for row in rows))
                await asyncio.sleep(0.02)
            assert most < 1200  # two leases
            let.set()

    arun(scenario())


# -- stowing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_what_is_parked_for_long_moves_beside_the_stream_and_trimming_goes_on(backend, stream, arun, groups):
    async def scenario():
        async with desk_at(backend.url, stream) as desk, desk_at(backend.url, stream, "audit") as audit:
            if groups == 2:
                await audit.join()
            lane = await desk.join(stow_ms=1000)
            await desk.call("XADD", stream, "*", "id", "order-7", "body", "{}", "h:who", "me")
            (delivery,) = await desk.read(lane)
            note = Note(attempts=3, reason="timeout")
            await lane.settle([], [park(delivery, 1001, note)])
            assert await desk.pending() == {}
            assert len(await desk.in_stream()) == groups - 1
            assert await desk.call("XLEN", desk.keys.parked) == 1

            (stowed,) = await desk.call("ZRANGE", desk.keys.parked_due, 0, -1)
            await desk.call("ZADD", desk.keys.parked_due, 1, stowed)
            await due(desk, lane)
            replay = desk.lane(lane.incarnation, replay=True, stow_ms=1000)
            (back,) = await desk.read(replay)
            assert back.message.id == "order-7"
            assert back.message.headers == {"who": "me"}
            assert (back.attempts, back.note.reason) == (3, "timeout")
            assert await desk.call("EXISTS", desk.keys.parked_due) == 0

            # Stowed again it carries its latest note, once.
            await replay.settle([], [Settlement(back, Verb.PARK, due_in_ms=5000, note=Note(attempts=4))])
            (entry,) = await desk.call("XRANGE", desk.keys.parked, "-", "+")
            assert entry[1][::2].count(b"hf:note") == 1
            assert entry[1][::2].count(b"id") == 1

    arun(scenario())


def test_what_is_parked_for_less_stays_where_it_is(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1, stow_ms=1000)
            await lane.settle([], [park(delivery, 1000)])
            assert await desk.pending() == {delivery.entry_id: (PARKED, 1)}

    arun(scenario())


def test_a_stowed_message_is_retried_with_its_attempts(backend, stream, arun):
    async def scenario():
        service = Service(backend.url, settings=replace(FAST, stow_ms=50))
        runs = []

        @service.consumer(stream, group="billing", retry=Retry(attempts=3, after=0.1))
        async def handle(body: bytes) -> None:
            runs.append(body)
            raise ValueError("never")

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, b"x")
            (letter,) = await eventually(desk.letters, "three attempts, then the dead letters")
            assert len(runs) == 3
            assert letter["x-dlq-attempts"] == "3"
            await eventually(lambda: _settled(desk), "nothing is left beside the stream")

    arun(scenario())


async def _settled(desk):
    lengths = [await desk.call("XLEN", key) for key in (desk.keys.parked, desk.keys.replay, desk.key)]
    return not any(lengths) and await desk.leftovers() in ([], [desk.keys.parked])


def test_a_repeated_burial_of_a_parked_entry_is_the_same_record(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await lane.settle([], [bury(delivery, "same")])
            await desk.call("XADD", stream, "*", "body", "{}")
            (other,) = await desk.read(lane)
            assert await lane.settle([], [bury(other, "same")]) == []
            assert len(await desk.letters()) == 1
            assert await desk.pending() == {}

    arun(scenario())
