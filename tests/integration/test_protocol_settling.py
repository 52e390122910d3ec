# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 7: one script settles many deliveries, each with its own outcome, and refuses what is not ours."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from holdfast._base.events import BuryFailed
from holdfast.consume.contract import Note, Settled, Settlement, Verb
from holdfast.consume.policy import NEVER
from holdfast.errors import ServerFull, ServerRefused
from tests.support.protocol import Service, bury, desk_at, eventually, ids, park

#: A stream that holds this id takes no further entry.
LAST_ID = "18446744073709551615-18446744073709551615"


def refused(answers):
    return {d.entry_id: answer for d, answer in answers}


# -- who may settle ---------------------------------------------------------------------------------------------------


def test_what_is_ours_is_acknowledged_and_leaves_nothing(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(10)
            assert await lane.settle(deliveries, []) == []
            assert await desk.pending() == {}
            assert await desk.in_stream() == []
            assert await desk.leftovers() == []

    arun(scenario())


def test_a_settle_by_another_than_the_owner_is_refused_and_changes_nothing(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(3)
            thief = await desk.join()
            stolen = deliveries[1].entry_id
            await desk.call("XCLAIM", stream, desk.group, thief.incarnation, 0, stolen, "JUSTID")  # its count stays
            assert refused(await lane.settle(list(deliveries), [])) == {stolen: Settled.OTHER}
            assert await desk.pending() == {stolen: (thief.incarnation, 1)}
            assert await desk.in_stream() == [stolen]

    arun(scenario())


@pytest.mark.parametrize("verb", [Verb.ACK, Verb.PARK, Verb.BURY, Verb.RELEASE])
def test_an_entry_claimed_away_and_back_is_another_delivery(backend, stream, arun, verb):
    """Same owner, same id: only the delivery count tells the two apart."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            for owner in ("somebody", lane.incarnation):
                await desk.call("XCLAIM", stream, desk.group, owner, 0, delivery.entry_id)
            answers = await lane.settle(*_asked(delivery, verb))
            assert refused(answers) == {delivery.entry_id: Settled.OTHER}
            assert await desk.pending() == {delivery.entry_id: (lane.incarnation, 3)}
            assert await desk.letters() == []

    arun(scenario())


def _asked(delivery, verb):
    if verb is Verb.ACK:
        return [delivery], []
    return [], [bury(delivery) if verb is Verb.BURY else Settlement(delivery, verb)]


@pytest.mark.parametrize("verb", [Verb.ACK, Verb.PARK, Verb.BURY, Verb.RELEASE])
def test_an_incarnation_without_a_lease_settles_nothing(backend, stream, arun, verb):
    """It may still own entries: nobody has taken them over yet."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(1)
            await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            assert refused(await lane.settle(*_asked(delivery, verb))) == {delivery.entry_id: Settled.OTHER}
            assert await desk.pending() == {delivery.entry_id: (lane.incarnation, 1)}
            assert await desk.lease_ms(lane) is None  # a refused settle does not revive it

    arun(scenario())


@pytest.mark.parametrize("alive", [True, False])
def test_a_batch_of_several_incarnations_is_settled_by_each_of_them(backend, stream, arun, alive):
    """Deliveries made before and after a change of name may meet in one batch; each is fenced by its own."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, old = await desk.got(3)
            new_name = (await desk.join()).incarnation
            if not alive:
                await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            lane.become(new_name)
            await desk.add(3)
            new = await desk.read(lane)
            both = [d for pair in zip(old, new, strict=True) for d in pair]
            left = [] if alive else ids(old)
            assert refused(await lane.settle(both, [])) == dict.fromkeys(left, Settled.OTHER)
            assert set(await desk.pending()) == set(left)

    arun(scenario())


def test_a_repeated_settle_says_gone(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(4)
            await lane.settle(deliveries[:3], [bury(deliveries[3], "a")])
            again = refused(await lane.settle(deliveries[:3], [bury(deliveries[3], "a")]))
            assert again == dict.fromkeys(ids(deliveries), Settled.GONE)
            assert len(await desk.letters()) == 1

    arun(scenario())


# -- every id is found ------------------------------------------------------------------------------------------------


def test_ids_are_ordered_as_numbers(backend, stream, arun):
    """As text -100 sorts before -99: a range from text order is empty, and whole batches look lost."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            for n in (1, 2, 9, 10, 11, 99, 100, 101):
                await desk.call("XADD", stream, f"7-{n}", "body", "{}")
            await desk.call("XADD", stream, "8-0", "body", "{}")
            await desk.call("XADD", stream, "10-5", "body", "{}")
            deliveries = await desk.read(lane)
            assert await lane.settle(deliveries[5:7][::-1], []) == []
            assert await lane.settle([*deliveries[:5], *deliveries[7:]], []) == []
            assert await desk.pending() == {}

    arun(scenario())


def test_own_entries_in_between_do_not_hide_what_is_settled(backend, stream, arun):
    """The range of the batch is asked with its own COUNT, which entries in between use up: misses are asked alone."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(400)
            batch = [deliveries[0], deliveries[200], deliveries[-1]]
            assert await lane.settle(batch, []) == []
            assert len(await desk.pending()) == 397

    arun(scenario())


def test_ten_thousand_are_settled_in_one_call(backend, stream, arun):
    """Lua's unpack fails near 8,000 values."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            for _ in range(10):
                await desk.link.pipeline([("XADD", stream, "*", "body", "{}")] * 1000)
            deliveries = await desk.read(lane, 10_000)
            assert len(deliveries) == 10_000
            assert await lane.settle(deliveries[:9000], [Settlement(d, Verb.RELEASE) for d in deliveries[9000:]]) == []
            assert {owner for owner, _ in (await desk.pending()).values()} == {"hf.parked"}
            assert len(await desk.in_stream()) == 1000

    arun(scenario())


def test_outcomes_are_mixed_in_one_call(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, d = await desk.got(5)
            await desk.call("XACK", stream, desk.group, d[4].entry_id)
            answers = await lane.settle([d[0], d[4]], [park(d[1], 5000, Note(attempts=2)), bury(d[2]),
                                                       Settlement(d[3], Verb.RELEASE)])
            assert refused(answers) == {d[4].entry_id: Settled.GONE}
            assert set(await desk.pending()) == {d[1].entry_id, d[3].entry_id}
            assert len(await desk.letters()) == 1
            dues = await desk.call("ZRANGE", desk.keys.due, 0, -1)
            assert dues == [d[3].entry_id, d[1].entry_id]  # what was handed back is due first

    arun(scenario())


# -- several groups ---------------------------------------------------------------------------------------------------


def test_what_another_group_has_not_read_is_not_deleted(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk, desk_at(backend.url, stream, "audit") as other:
            await other.join()
            lane, deliveries = await desk.got(5)
            await lane.settle(deliveries, [])
            assert len(await desk.in_stream()) == 5

    arun(scenario())


def test_a_stream_that_is_kept_is_kept(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(5, keep=True)
            await lane.settle(deliveries, [])
            assert len(await desk.in_stream()) == 5
            assert await desk.pending() == {}

    arun(scenario())


# -- what the server refuses ------------------------------------------------------------------------------------------


def test_a_lost_group_is_noticed_before_anything_is_written(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(3)
            await desk.call("XGROUP", "DESTROY", stream, desk.group)
            with pytest.raises(ServerRefused) as caught:
                await lane.settle(deliveries[:2], [bury(deliveries[2])])
            assert caught.value.code == "NOGROUP"
            assert await desk.letters() == []
            assert len(await desk.in_stream()) == 3

    arun(scenario())


def test_a_burial_that_is_refused_leaves_the_entry_pending_and_the_others_settled(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, deliveries = await desk.got(4)
            await desk.call("XADD", desk.keys.dead, LAST_ID, "body", "x")
            answers = await lane.settle(deliveries[:2], [bury(deliveries[2]), park(deliveries[3])])
            assert refused(answers) == {deliveries[2].entry_id: Settled.FAILED}
            assert await desk.pending() == {deliveries[2].entry_id: (lane.incarnation, 1),
                                            deliveries[3].entry_id: ("hf.parked", 1)}

    arun(scenario())


def test_a_refused_burial_is_told_and_tried_again(backend, stream, arun, monkeypatch):
    async def scenario():
        monkeypatch.setattr("holdfast.consume.conclude.BURY_AGAIN_MS", 50)
        service = Service(backend.url)

        @service.consumer(stream, group="billing", retry=NEVER)
        async def handle(body: bytes) -> None:
            raise ValueError("no")

        async with service, desk_at(backend.url, stream) as desk:
            await desk.call("XADD", desk.keys.dead, LAST_ID, "body", "x")
            await desk.add()
            await eventually(lambda: service.told.of(BuryFailed), "it is told")
            assert len(await desk.pending()) == 1
            await desk.call("DEL", desk.keys.dead)
            await eventually(desk.letters, "the letter is written after all")
            await eventually(desk.pending_is_empty, "and the entry settled")
            assert len(await desk.letters()) == 1

    arun(scenario())


@contextmanager
def full(backend):
    """Every master is at its memory limit and evicts nothing."""
    try:
        for master in backend.masters:
            master.admin.config_set("maxmemory-policy", "noeviction")
            master.admin.config_set("maxmemory", 1)
        yield
    finally:
        for master in backend.masters:
            master.admin.config_set("maxmemory", 0)


def test_at_the_memory_limit_everything_still_settles(backend, stream, arun):
    """Otherwise nothing could be settled, and memory never be freed."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, d = await desk.got(5, stow_ms=30_000)
            with full(backend):
                with pytest.raises(ServerFull):
                    await desk.call("XADD", stream, "*", "body", "{}")
                assert await lane.settle([d[0]], []) == []
                assert await lane.settle([], [park(d[1], 1000, Note(attempts=1))]) == []
                assert await lane.settle([], [bury(d[2])]) == []
                assert await lane.settle([], [Settlement(d[3], Verb.RELEASE)]) == []
                assert await lane.settle([], [park(d[4], 60_000)]) == []
            assert {i: owner for i, (owner, _) in (await desk.pending()).items()} == {
                d[1].entry_id: "hf.parked", d[3].entry_id: "hf.parked"}
            assert len(await desk.letters()) == 1
            assert await desk.call("XLEN", desk.keys.parked) == 1

    arun(scenario())


def test_at_the_memory_limit_a_consumer_lives_on_and_a_publisher_is_told(backend, stream, arun):
    """Heartbeat, take-over, due claims, start marks: what a consumer does goes on."""

    async def scenario():
        service = Service(backend.url)
        seen = []

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            seen.append(n)

        async with desk_at(backend.url, stream) as desk:
            await desk.call("XADD", stream, "*", "body", "7")
            slow = await desk.join()
            await desk.read(slow)
            await service.start()
            source = await service.joined()
            await service.hf.publish(stream, 0)
            await eventually(lambda: seen == [0], "it reads")
            with full(backend):
                await desk.call("ZREM", desk.keys.leases, slow.incarnation)
                with pytest.raises(ServerFull):
                    await service.hf.publish(stream, 1)
                before = source.pulse.confirmed_at
                await eventually(lambda: seen == [0, 7], "what the dead one left is taken over, marked and run")
                await eventually(lambda: source.pulse.confirmed_at > before + 0.3, "the heart beats")
                await eventually(desk.pending_is_empty, "and it is settled")
            assert not source._lost.is_set()
            await service.stop()

    arun(scenario())
