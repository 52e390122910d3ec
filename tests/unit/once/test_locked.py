# SPDX-License-Identifier: Apache-2.0
"""A turn under a lock, with a lock and a record in memory: whatever happens, the lock is given back, and when."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdfast._base import events as ev
from holdfast._base.clock import Instant, SystemClock
from holdfast._base.lock import Held, HoldState
from holdfast.consume.contract import Rider, Settled
from holdfast.consume.outcome import Drop, Reject, Retry
from holdfast.errors import ConfigurationError, EffectBusy, LeaseLost, ServerRefused, ServerUnreachable
from holdfast.once import in_redis, locked
from holdfast.once.done import State
from holdfast.once.ending import Ending
from holdfast.once.under_lock import LockedOnce
from holdfast.testing import wait_until_async
from tests.support.consuming import FakeOrigin, delivery


class Bolt:
    """A lock of somebody else's making: ``lose`` ends the hold under its body."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.busy = False
        self.fencing_token = 0
        self.state = HoldState.RELEASED
        self.deadline = Instant(0.0)
        self.refuses: BaseException | None = None
        self.fails: Exception | None = None
        self.body: asyncio.Task[Any] | None = None

    def check(self) -> None:
        if self.state is not HoldState.HELD:
            raise LeaseLost

    def lose(self) -> None:
        self.state = HoldState.LOST
        assert self.body is not None
        self.body.cancel()

    @asynccontextmanager
    async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Held]:
        if self.refuses is not None:
            raise self.refuses
        if self.busy:
            raise TimeoutError
        self.fencing_token += 1
        self.state, self.body = HoldState.HELD, asyncio.current_task()
        self.told.append("locked")
        try:
            yield self
        finally:
            self.told.append("unlocked")
            if self.fails is not None:
                raise self.fails


class Room:
    """A ``LockedOnce`` whose done-records are a set."""

    def __init__(self, **how: Any) -> None:
        self.told: list[str] = []
        self.events: list[ev.Event] = []
        self.bolt = Bolt(self.told)
        self.done: set[str] = set()
        self.effect = LockedOnce(None, ev.Events(self.events.append), SystemClock(),  # type: ignore[arg-type]
                                 lambda _: self.bolt, **how)
        self.effect._records.state = self._state  # type: ignore[method-assign]
        self.effect._records.keys = lambda _: None  # type: ignore[method-assign, assignment, return-value]
        self.delivery = delivery(FakeOrigin(), 1)
        self.away: Exception | None = None

    async def _state(self, _: Any, identity: str) -> State:
        self.told.append("looked")
        if self.away is not None:
            raise self.away
        return State(identity in self.done, "", begun=False)

    async def run(self, handler: Callable[[Any], Any]) -> Any:
        return await self.effect.run(self.delivery, handler)

    def running(self, handler: Callable[[Any], Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(self.run(handler))

    async def given_back(self) -> None:
        await wait_until_async(lambda: self.told[-1:] == ["unlocked"] and not self.effect._turns, 5, "it is given back")

    def released(self) -> list[bool]:
        return [event.lost for event in self.events if isinstance(event, ev.LockReleased)]


async def well(_: Any) -> str:
    return "well"


async def for_ever(_: Any) -> None:
    await asyncio.sleep(3600)


async def stubborn(_: Any) -> str:
    """Goes on in spite of its cancellation, and answers."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
    return "stubborn"


def test_it_looks_locks_looks_again_and_unlocks_after_the_acknowledgement(arun):
    async def scenario():
        room = Room()

        async def handler(context: Any) -> str:
            room.told.append(f"handled with token {context.provide(Held).fencing_token}")
            return "paid"

        rider = await room.run(handler)
        assert isinstance(rider, Rider)
        assert (rider.identity, rider.result) == ("m1", b'"paid"')
        await asyncio.sleep(0.02)
        assert room.told == ["looked", "locked", "looked", "handled with token 1"]
        rider.settled(Settled.OK)
        await room.given_back()
        assert room.released() == [False]

    arun(scenario())


def test_what_is_done_takes_no_lock(arun):
    async def scenario():
        room = Room()
        room.done.add("m1")
        assert await room.run(for_ever) is False
        assert room.told == ["looked"]

    arun(scenario())


def test_what_was_done_before_the_lock_was_ours_is_not_done_again(arun):
    """guard: the second look"""
    async def scenario():
        room = Room()
        room.bolt.told = Between(room)
        assert await room.run(well) is False
        await room.given_back()

    arun(scenario())


class Between(list[str]):
    """Somebody else did it and was through just before the lock was ours."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room

    def append(self, what: str) -> None:
        self.room.done.add("m1")
        self.room.told.append(what)


@pytest.mark.parametrize("answer", [Settled.OK, Settled.OTHER, Settled.GONE, None])
def test_whatever_the_acknowledgement_comes_to_the_lock_is_given_back(arun, answer):
    async def scenario():
        room = Room()
        rider = await room.run(well)
        rider.settled(answer)
        await room.given_back()

    arun(scenario())


def test_a_rider_that_is_lost_on_its_way_ends_the_hold(arun):
    """As in middleware that answers something of its own."""
    async def scenario():
        room = Room()
        await room.run(well)  # and nobody takes the answer
        gc.collect()
        await room.given_back()

    arun(scenario())


@pytest.mark.parametrize("said", [Retry(after=1), Reject("no"), Drop("no")], ids=lambda said: type(said).__name__)
@pytest.mark.parametrize("how", ["raised", "returned"])
def test_a_directive_gives_it_back(arun, said, how):
    async def scenario():
        room = Room()

        async def handler(_: Any) -> Any:
            if how == "raised":
                raise said
            return said

        if how == "raised":
            with pytest.raises(type(said)):
                await room.run(handler)
        else:
            assert await room.run(handler) is True
        await room.given_back()

    arun(scenario())


def test_an_error_passes_through_and_gives_it_back(arun):
    async def scenario():
        room = Room()

        async def handler(_: Any) -> None:
            raise TimeoutError("the callee")

        with pytest.raises(TimeoutError, match="the callee"):
            await room.run(handler)
        await room.given_back()
        assert not any(isinstance(event, ev.LockBusy) for event in room.events)

    arun(scenario())


def test_who_is_cut_off_gives_it_back_before_anybody_hears_of_it(arun):
    async def scenario():
        room = Room()
        task = room.running(for_ever)
        await wait_until_async(lambda: room.told[-1:] == ["looked"] and "locked" in room.told, 5, "it runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert room.told[-1] == "unlocked"

    arun(scenario())


def test_a_handler_that_answers_although_it_was_cut_off_has_answered(arun):
    async def scenario():
        room = Room()
        task = room.running(stubborn)
        await wait_until_async(lambda: room.told.count("looked") == 2, 5, "it runs")
        task.cancel()
        rider = await asyncio.wait_for(task, 5)
        assert rider.result == b'"stubborn"'
        rider.settled(Settled.OK)
        await room.given_back()

    arun(scenario())


def test_who_is_cut_off_in_the_moment_after_the_answer_has_answered(arun):
    async def scenario():
        room = Room()
        over = asyncio.Event()

        async def handler(_: Any) -> str:
            asyncio.get_running_loop().call_soon(task.cancel)
            over.set()
            return "well"

        task = room.running(handler)
        rider = await asyncio.wait_for(task, 5)
        assert over.is_set()
        await asyncio.sleep(0.02)
        assert room.told[-1] != "unlocked", "it waits for the acknowledgement as any other"
        rider.settled(Settled.OK)
        await room.given_back()

    arun(scenario())


def test_a_stubborn_handler_that_is_given_up_leaves_no_lock_behind(arun):
    """It is cut off twice: nobody is left to settle what it answers in the end."""
    async def scenario():
        room = Room()
        ended = asyncio.Event()

        async def handler(_: Any) -> str:
            for _ in range(3):
                try:
                    await asyncio.wait_for(ended.wait(), 3600)
                except asyncio.CancelledError:
                    continue
            return "at last"

        task = room.running(handler)
        await wait_until_async(lambda: room.told.count("looked") == 2, 5, "it runs")
        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.set()
        await room.given_back()

    arun(scenario())


@pytest.mark.parametrize("handler", [for_ever, stubborn, well])
def test_at_the_end_nothing_is_held_any_more(arun, handler):
    async def scenario():
        room = Room()
        task = room.running(handler)
        await wait_until_async(lambda: room.told.count("looked") == 2, 5, "it runs")
        await asyncio.sleep(0.01)
        await asyncio.wait_for(room.effect.close(), 5)
        assert room.told[-1] == "unlocked"
        await asyncio.gather(task, return_exceptions=True)

    arun(scenario())


@pytest.mark.parametrize("handler", [for_ever, stubborn])
def test_a_lock_that_is_lost_makes_whatever_the_handler_does_worth_nothing(arun, handler):
    async def scenario():
        room = Room()
        task = room.running(handler)
        await wait_until_async(lambda: room.told.count("looked") == 2, 5, "it runs")
        room.bolt.lose()
        with pytest.raises(LeaseLost):
            await task
        assert room.released() == [True]

    arun(scenario())


@pytest.mark.parametrize("said", [ValueError("refused"), Reject("no"), None])
def test_neither_errors_nor_directives_count_once_the_lock_is_lost(arun, said):
    async def scenario():
        room = Room()

        async def handler(_: Any) -> None:
            room.bolt.state = HoldState.LOST
            if said is not None:
                raise said

        with pytest.raises(LeaseLost):
            await room.run(handler)

    arun(scenario())


class Ledger:
    """An effect that records itself. Commits what its handler did."""

    def __init__(self) -> None:
        self.committed = 0

    async def applied(self, deliveries: Any) -> list[bool]:
        return [False for _ in deliveries]

    async def run(self, _: Any, attempt: Callable[[Any], Any]) -> bool:
        await attempt(None)
        self.committed += 1
        return True


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_done_without_the_lock_is_not_committed(arun, lost):
    async def scenario():
        ledger = Ledger()
        room = Room(inner=ledger)

        async def handler(_: Any) -> None:
            room.bolt.state = HoldState.LOST if lost else HoldState.HELD

        if lost:
            with pytest.raises(LeaseLost):
                await room.run(handler)
        else:
            rider = await room.run(handler)
            assert rider.identity == "", "it is recorded already"
            rider.settled(Settled.OK)
        await room.given_back()
        assert ledger.committed == (not lost)

    arun(scenario())


def test_a_plain_handler_is_waited_for_when_the_lock_is_lost(arun):
    """Its thread cannot be cancelled, and no second attempt may start beside it."""
    async def scenario():
        room, let, ended = Room(plain=True), threading.Event(), threading.Event()

        def work() -> None:
            let.wait(10)
            ended.set()

        async def handler(_: Any) -> None:
            await asyncio.get_running_loop().run_in_executor(None, work)

        task = room.running(handler)
        await wait_until_async(lambda: room.told.count("looked") == 2, 5, "it runs")
        room.bolt.lose()
        await asyncio.sleep(0.05)
        assert not task.done()
        let.set()
        with pytest.raises(LeaseLost):
            await task
        assert ended.is_set()

    arun(scenario())


@pytest.mark.parametrize("why", ["busy", "away", "away before"])
def test_a_lock_that_cannot_be_had_is_not_the_message_s_fault(arun, why):
    async def scenario():
        room = Room()
        room.bolt.busy = why == "busy"
        if why == "away":
            room.bolt.refuses = ServerUnreachable("no answer")
        if why == "away before":
            room.away = ServerUnreachable("no answer")
        with pytest.raises(EffectBusy) as raised:
            await room.run(for_ever)
        assert room.effect.transient(raised.value)
        assert [type(event) for event in room.events] == ([ev.LockBusy] if why == "busy" else [])

    arun(scenario())


def test_a_lock_that_is_refused_for_good_says_why(arun):
    async def scenario():
        room = Room()
        room.bolt.refuses = ServerRefused("WRONGTYPE")
        with pytest.raises(ServerRefused):
            await room.run(for_ever)

    arun(scenario())


def test_a_lock_that_cannot_be_given_back_is_told_and_stops_nothing(arun, caplog):
    async def scenario():
        room = Room()
        room.bolt.fails = ServerUnreachable("no answer")
        rider = await room.run(well)
        rider.settled(Settled.OK)
        await room.given_back()

    arun(scenario())
    assert "the lock could not be given back: no answer" in caplog.text


def test_the_lock_is_on_what_the_record_knows_the_effect_by():
    def by(body: Any) -> str:
        return str(body)

    assert locked(inner="sql", by=by).identity.by is by
    assert locked(inner=in_redis(by=by)).identity.by is by
    assert locked(by=by).identity.by is by
    assert locked().identity.told_by_id
    with pytest.raises(ConfigurationError):
        locked(by=by, missing="guess")  # type: ignore[arg-type]


def test_an_ending_comes_once_by_a_call_or_by_being_dropped(arun):
    async def scenario():
        told: list[Any] = []
        ending = Ending(told.append, None)
        ending(Settled.OK)
        ending(Settled.OTHER)
        del ending
        Ending(told.append)
        await asyncio.to_thread(Ending.__del__, Kept(told))
        await asyncio.sleep(0)
        await wait_until_async(lambda: len(told) == 3, 5, "all have come")
        assert told == [Settled.OK, None, None]

    class Kept(Ending):
        """One that the collector finds in another thread."""

        def __init__(self, told: list[Any]) -> None:
            super().__init__(told.append)

        def __del__(self) -> None:
            """Only by hand."""

    arun(scenario())
