# SPDX-License-Identifier: Apache-2.0
"""Marks of outside effects whose server answers late, or not at all: what is not said yet still counts as running."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from holdfast._base import events as ev
from holdfast._base.clock import SystemClock
from holdfast._redis.keys import GroupKeys
from holdfast._redis.scripts import Script
from holdfast.consume.contract import Rider, Settled
from holdfast.errors import EffectBusy, LeaseLost, ServerRefused, ServerUnreachable
from holdfast.once import calls
from holdfast.once.calls import OutsideOnce
from holdfast.testing import wait_until_async
from tests.support.consuming import FakeOrigin, delivery


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(calls, "SAID_S", 0.02)
    monkeypatch.setattr(calls, "SAY_AGAIN_S", 0.01)


class Link:
    """Answers begin with ``first``, and resolve with ``resolved``, unless something else is in line."""

    def __init__(self) -> None:
        self.begins: deque[Any] = deque()
        self.ends: deque[Any] = deque()
        self.away = False
        self.said: list[str] = []
        self.waits: asyncio.Event | None = None

    def shared(self, _: bytes) -> Link:
        return self

    async def run(self, script: Script, _: Any, args: Any) -> Any:
        begins = script is calls._BEGIN
        if begins and self.waits is not None:
            await self.waits.wait()
        line = self.begins if begins else self.ends
        answer = line.popleft() if line else [b"first"] if begins else b"resolved"
        if self.away and not begins:
            raise ServerUnreachable("no answer")
        if isinstance(answer, Exception):
            raise answer
        if not begins:
            self.said.append(args[2])
        return answer


class Room:
    """An ``OutsideOnce`` on such a link."""

    def __init__(self, **how: Any) -> None:
        self.link = Link()
        self.told: list[ev.Event] = []
        self.effect = OutsideOnce(self.link, ev.Events(self.told.append), SystemClock(), **how)  # type: ignore[arg-type]
        self.effect._records.keys = lambda _: GroupKeys("hf", "orders", "billing")  # type: ignore[method-assign]

    async def run(self, handler: Callable[[Any], Any]) -> Any:
        return await self.effect.run(delivery(FakeOrigin(), 1), handler)


async def well(_: Any) -> str:
    return "well"


async def fails(_: Any) -> None:
    raise ValueError("no")


async def for_ever(_: Any) -> None:
    await asyncio.sleep(3600)


def test_a_mark_that_could_not_be_ended_yet_keeps_its_effect_busy(arun):
    async def scenario():
        room = Room()
        room.link.away = True
        with pytest.raises(ValueError, match="no"):
            await room.run(fails)  # nobody waits for long
        with pytest.raises(EffectBusy, match="in this process"):
            await room.run(well)
        room.link.away = False
        await wait_until_async(lambda: room.link.said == ["nothing"], 5, "it is said")
        assert isinstance(await room.run(well), Rider)

    arun(scenario())


def test_a_mark_that_may_not_be_ended_is_told(arun, caplog):
    async def scenario():
        room = Room()
        room.link.ends.append(ServerRefused("WRONGTYPE"))
        with pytest.raises(ValueError, match="no"):
            await room.run(fails)
        assert isinstance(await room.run(well), Rider)

    arun(scenario())
    assert "the mark of message m1 cannot be ended (nothing): WRONGTYPE" in caplog.text


def test_a_server_that_cannot_be_asked_is_not_the_message_s_fault(arun):
    """guard: it may be marked, and no handler will run"""
    async def scenario():
        room = Room(on_doubt="hold")
        room.link.begins.append(ServerUnreachable("no answer"))
        with pytest.raises(EffectBusy) as raised:
            await room.run(for_ever)
        assert room.effect.transient(raised.value)
        await wait_until_async(lambda: room.link.said == ["nothing"], 5, "what may be marked is taken back")

    arun(scenario())


def test_who_is_cut_off_while_it_is_marked_takes_it_back(arun):
    async def scenario():
        room = Room(on_doubt="hold")
        room.link.waits = asyncio.Event()
        task = asyncio.create_task(room.run(for_ever))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await wait_until_async(lambda: room.link.said == ["nothing"], 5, "what may be marked is taken back")

    arun(scenario())


@pytest.mark.parametrize(("answer", "said"), [
    (Settled.OK, []), (Settled.DUPLICATE, ["nothing"]), (Settled.OTHER, ["doubt"]), (Settled.GONE, ["doubt"]),
    (None, ["doubt"]),
])
def test_how_the_acknowledgement_was_answered_says_what_becomes_of_the_mark(arun, answer, said):
    async def scenario():
        room = Room(on_doubt="hold")
        rider = await room.run(well)
        with pytest.raises(EffectBusy):
            await room.run(well)
        rider.settled(answer)
        await wait_until_async(lambda: not room.effect._running, 5, "it is over")
        assert room.link.said == said
        assert [type(event) for event in room.told] == ([ev.EffectDoubted] if said == ["doubt"] else [])

    arun(scenario())


def test_a_rider_that_is_lost_on_its_way_leaves_the_effect_in_doubt(arun):
    async def scenario():
        room = Room()
        await room.run(well)
        gc.collect()
        await wait_until_async(lambda: room.link.said == ["again"], 5, "it is said")

    arun(scenario())


def test_a_lost_lock_around_it_proves_nothing(arun):
    async def scenario():
        room = Room(on_doubt="hold")

        async def handler(_: Any) -> None:
            raise LeaseLost

        with pytest.raises(LeaseLost):
            await room.run(handler)
        assert room.link.said == ["doubt"]

    arun(scenario())


@pytest.mark.filterwarnings("error")
def test_the_end_waits_for_nobody(arun):
    async def scenario():
        room = Room()
        rider = await room.run(well)
        room.link.away = True
        other = delivery(FakeOrigin(), 2)
        with pytest.raises(ValueError, match="no"):
            await room.effect.run(other, fails)
        await asyncio.wait_for(room.effect.close(), 5)
        rider.settled(None)
        assert not room.effect._saying

    arun(scenario())
