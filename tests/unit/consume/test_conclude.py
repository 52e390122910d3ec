# SPDX-License-Identifier: Apache-2.0
"""From outcomes to settlements where an effect's store has a word in it, and notes of what was tried."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.events import AttemptFailed, Buried
from holdfast.consume.backoff import Fixed
from holdfast.consume.contract import Note, Verb
from holdfast.consume.policy import NEVER, RetryPolicy
from holdfast.testing import wait_until_async
from tests.support.consuming import FakeOrigin, consuming, delivery, suspect


class FakeEffect:
    """A store that runs the attempt, and answers as it is told."""

    def __init__(self, *, applied=False, busy=()):
        self.has, self.busy = applied, busy

    def provides(self):
        return ()

    async def open(self): ...

    async def close(self): ...

    async def run(self, delivery, attempt):
        await attempt(None)
        return True

    async def applied(self, deliveries):
        if isinstance(self.has, Exception):
            raise self.has
        return [self.has] * len(deliveries)

    def transient(self, error):
        return isinstance(error, self.busy)


async def fails(body: str) -> None:
    raise ValueError("no")


async def settled(origin):
    await wait_until_async(lambda: origin.acked or origin.others, 5, "it is settled")


def letter_of(settlement):
    fields = settlement.letter
    return {fields[i].decode(): fields[i + 1].decode() for i in range(0, len(fields), 2)}


def test_what_took_effect_is_acknowledged_instead_of_buried():
    """The commit went through and the process died before it could say so: the retry fails, and nothing is dead."""

    async def scenario():
        origin, told = FakeOrigin(), []
        async with consuming(fails, effect=FakeEffect(applied=True), policy=NEVER, told=told) as consumer:
            consumer.deliver([delivery(origin, 1)])
            await settled(origin)
            assert origin.acked == [b"1-0"]
            assert not [event for event in told if isinstance(event, Buried)]

    asyncio.run(scenario())


def test_a_crash_loop_that_took_effect_is_acknowledged_too():
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails, effect=FakeEffect(applied=True), policy=RetryPolicy(crash_limit=1)) as consumer:
            consumer.deliver([suspect(origin, 1, crashes=1)])
            await settled(origin)
            assert origin.acked == [b"1-0"]

    asyncio.run(scenario())


@pytest.mark.parametrize(("has", "says"), [(False, "no"), (ConnectionError("down"), "unknown")])
def test_a_letter_says_whether_the_effect_was_applied(has, says):
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails, effect=FakeEffect(applied=has), policy=NEVER) as consumer:
            consumer.deliver([delivery(origin, 1)])
            await settled(origin)
            assert letter_of(origin.others[0])["x-dlq-applied"] == says

    asyncio.run(scenario())


def test_without_an_effect_nobody_knows_whether_it_was_applied():
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails, policy=NEVER) as consumer:
            consumer.deliver([delivery(origin, 1)])
            await settled(origin)
            assert letter_of(origin.others[0])["x-dlq-applied"] == "unknown"

    asyncio.run(scenario())


def test_a_busy_store_uses_up_no_attempt():
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails, effect=FakeEffect(busy=(ValueError,)), policy=NEVER) as consumer:
            consumer.deliver([delivery(origin, 1, attempts=0)])
            await settled(origin)
            (settlement,) = origin.others
            assert settlement.verb is Verb.PARK
            assert settlement.note.attempts == 0
            assert settlement.note.deaths == []

    asyncio.run(scenario())


def test_the_same_death_again_is_counted_and_another_is_listed():
    async def scenario():
        origin, errors = FakeOrigin(), iter([ValueError("a"), ValueError("b"), KeyError("c")])

        async def handle(body: str) -> None:
            raise next(errors)

        note = None
        async with consuming(handle, policy=RetryPolicy(attempts=9, backoff=Fixed(1))) as consumer:
            for attempt in range(3):
                consumer.deliver([delivery(origin, 1, attempts=attempt, note=note)])
                await wait_until_async(lambda: len(origin.others) == attempt + 1, 5, "parked")  # noqa: B023
                note = origin.others[-1].note
        assert note.attempts == 3
        assert [row[:3] for row in note.deaths] == [["ValueError", "handle", 2], ["KeyError", "handle", 1]]
        assert 0 < note.first_failed_ms <= note.last_failed_ms

    asyncio.run(scenario())


def test_an_outcome_clears_the_suspicion_and_keeps_the_charges():
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails) as consumer:
            consumer.deliver([suspect(origin, 1, crashes=1)])
            await settled(origin)
            note = origin.others[0].note
            assert (note.suspect, note.crashes, note.attempts) == (False, 1, 1)

    asyncio.run(scenario())


def test_a_suspect_that_is_handed_back_stays_one():
    async def scenario():
        origin = FakeOrigin()
        async with consuming(fails, start=False) as consumer:
            consumer.deliver([suspect(origin, 1, crashes=1)])
            consumer.hand_back(origin)
            await settled(origin)
            (settlement,) = origin.others
            assert settlement.verb is Verb.RELEASE
            assert settlement.note == Note(crashes=1, suspect=True)

    asyncio.run(scenario())


def test_what_failed_is_told_without_its_payload():
    async def scenario():
        origin, told = FakeOrigin(), []
        async with consuming(fails, policy=NEVER, told=told) as consumer:
            consumer.deliver([delivery(origin, 1, "the secret payload")])
            await settled(origin)
            kinds = [event for event in told if isinstance(event, AttemptFailed | Buried)]
            assert {type(event) for event in kinds} == {AttemptFailed, Buried}
            assert "secret" not in repr(told)

    asyncio.run(scenario())
