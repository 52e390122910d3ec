# SPDX-License-Identifier: Apache-2.0
"""Settling in batches: nothing is settled twice, nothing forgotten, and what was refused is said."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from holdfast._base.chance import system_chance
from holdfast._base.events import Events, Settled, SettleFailed
from holdfast.consume import settler as room
from holdfast.consume.contract import Settled as Answer
from holdfast.consume.contract import Settlement, Verb
from holdfast.consume.settler import Settler
from holdfast.errors import ServerRefused, ServerUnreachable
from holdfast.testing import wait_until_async
from tests.support.consuming import FakeOrigin, delivery

SOON_S = 5.0


@asynccontextmanager
async def settling(origin, on_settled=None):
    refused, told = [], []
    settler = Settler(origin, Events(told.append), system_chance(), lambda *args: refused.append(args), on_settled)
    settler.refused, settler.told = refused, told
    task = asyncio.create_task(settler.run())
    try:
        yield settler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def made(origin, *numbers):
    return [delivery(origin, n) for n in numbers]


def hand(settler, deliveries):
    settler.held.update(d.entry_id for d in deliveries)
    for each in deliveries:
        settler.ack(each)


async def reached(condition):
    await wait_until_async(condition, SOON_S, "the condition")


def test_what_came_together_goes_together():
    async def scenario():
        origin = FakeOrigin()
        async with settling(origin) as settler:
            deliveries = made(origin, *range(1, 101))
            hand(settler, deliveries)
            settler.add(Settlement(deliveries[0], Verb.PARK))
            assert await settler.flushed(SOON_S)
            assert len(origin.calls) == 1
            assert settler.held == set()

    asyncio.run(scenario())


def test_a_batch_has_its_limit():
    async def scenario():
        origin = FakeOrigin()
        async with settling(origin) as settler:
            hand(settler, made(origin, *range(1, 2 * room.BATCH + 2)))
            assert await settler.flushed(SOON_S)
            assert [len(acks) for acks, _ in origin.calls] == [room.BATCH, room.BATCH, 1]

    asyncio.run(scenario())


def test_while_one_is_under_way_the_rest_piles_up():
    async def scenario():
        origin = FakeOrigin()
        origin.let = asyncio.Event()
        async with settling(origin) as settler:
            hand(settler, made(origin, 1))
            await reached(lambda: origin.calls)
            for n in range(2, 12):
                hand(settler, made(origin, n))
                await asyncio.sleep(0)
            assert len(origin.calls) == 1
            assert b"1-0" in settler.held  # held until the answer is there
            origin.let.set()
            assert await settler.flushed(SOON_S)
            assert [len(acks) for acks, _ in origin.calls] == [1, 10]

    asyncio.run(scenario())


def test_without_an_answer_the_same_is_asked_again():
    async def scenario():
        origin = FakeOrigin()
        origin.answers.extend([ServerUnreachable("gone", maybe_done=True), ServerUnreachable("still")])
        async with settling(origin) as settler:
            hand(settler, made(origin, 1, 2))
            assert await settler.flushed(SOON_S)
            assert origin.calls == [([b"1-0", b"2-0"], [])] * 3
            assert settler.refused == []
            assert settler.failing_since is None
            assert [e.why for e in settler.told if isinstance(e, SettleFailed)] == ["unreachable"] * 2

    asyncio.run(scenario())


def test_gone_is_success_after_a_lost_answer_and_a_refusal_otherwise():
    async def scenario():
        for lost, refusals in ((True, 0), (False, 1)):
            origin = FakeOrigin()
            async with settling(origin) as settler:
                deliveries = made(origin, 1, 2)
                if lost:
                    origin.answers.append(ServerUnreachable("gone", maybe_done=True))
                origin.answers.append([(deliveries[0], Answer.GONE)])
                hand(settler, deliveries)
                assert await settler.flushed(SOON_S)
                assert len(settler.refused) == refusals
                (event,) = [e for e in settler.told if isinstance(e, Settled)]
                assert (event.acked, event.refused) == (2 - refusals, refusals)

    asyncio.run(scenario())


def test_a_call_that_is_refused_as_a_whole_leaves_everything_to_be_found():
    async def scenario():
        origin = FakeOrigin()
        origin.answers.append(ServerRefused("no such group", code="NOGROUP"))
        async with settling(origin) as settler:
            deliveries = made(origin, 1, 2)
            hand(settler, deliveries[:1])
            settler.add(Settlement(deliveries[1], Verb.BURY))
            assert await settler.flushed(SOON_S)
            assert [answer for _, _, answer in settler.refused] == [Answer.OTHER, Answer.OTHER]
            assert settler.held == set()
            (event,) = [e for e in settler.told if isinstance(e, Settled)]
            assert (event.acked, event.buried, event.refused) == (0, 0, 2)
            assert [e.why for e in settler.told if isinstance(e, SettleFailed)] == ["refused"]

    asyncio.run(scenario())


def test_what_is_asked_instead_is_still_held():
    async def scenario():
        held = []

        class Asked(FakeOrigin):
            async def settle(self, acks, others):
                held.append(set(settler.held))
                return await super().settle(acks, others)

        origin = Asked()
        (d,) = made(origin, 1)
        async with settling(origin) as settler:
            settler._on_refused = lambda delivery, settlement, answer: settler.again(Settlement(delivery, Verb.PARK))
            origin.answers.append([(d, Answer.FAILED)])
            settler.held.add(d.entry_id)
            settler.add(Settlement(d, Verb.BURY))
            await reached(lambda: origin.verbs() == [(b"1-0", Verb.PARK)])
            assert await settler.flushed(SOON_S)
            assert held == [{b"1-0"}, {b"1-0"}]
            assert settler.held == set()

    asyncio.run(scenario())


def test_what_was_revoked_is_not_asked_again():
    async def scenario():
        origin = FakeOrigin()
        origin.answers.extend([ServerUnreachable("gone")] * 100)
        async with settling(origin) as settler:
            hand(settler, made(origin, 1, 2))
            await reached(lambda: origin.calls)
            assert settler.revoke() == 2
            origin.answers.clear()
            hand(settler, made(origin, 3))
            assert await settler.flushed(SOON_S)
            assert origin.acked == [b"3-0"]

    asyncio.run(scenario())


def test_an_answer_that_comes_after_the_revocation_speaks_of_nobody_here():
    """The same entry may have been delivered anew meanwhile: that delivery is held, and stays so."""

    async def scenario():
        origin = FakeOrigin()
        origin.let = asyncio.Event()
        async with settling(origin) as settler:
            old, new = delivery(origin, 1), delivery(origin, 1, fence=2)
            origin.answers.append([(old, Answer.MISSING)])
            hand(settler, [old])
            await reached(lambda: origin.calls)
            settler.revoke()
            settler.held.add(new.entry_id)
            origin.let.set()
            assert await settler.flushed(SOON_S)
            assert settler.held == {new.entry_id}
            assert settler.refused == []

    asyncio.run(scenario())


def test_flushed_says_when_it_was_not():
    async def scenario():
        origin = FakeOrigin()
        origin.let = asyncio.Event()
        async with settling(origin) as settler:
            hand(settler, made(origin, 1))
            assert not await settler.flushed(0.02)
            origin.let.set()
            assert await settler.flushed(SOON_S)

    asyncio.run(scenario())


def test_an_ordered_consumer_hears_of_what_went_through_alone():
    async def scenario():
        origin, heard = FakeOrigin(), []
        async with settling(origin, lambda d, verb: heard.append((d.entry_id, verb))) as settler:
            one, two, three = made(origin, 1, 2, 3)
            origin.answers.append([(one, Answer.OTHER), (three, Answer.GONE)])
            hand(settler, [one, two])
            settler.add(Settlement(three, Verb.BURY))
            assert await settler.flushed(SOON_S)
            assert sorted(heard) == [(b"2-0", Verb.ACK), (b"3-0", Verb.BURY)]

    asyncio.run(scenario())
