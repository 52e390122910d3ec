# SPDX-License-Identifier: Apache-2.0
"""An effect that is recorded apart from its broker: what becomes of its rider, and of outages of the record server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from holdfast._base import events as ev
from holdfast._base.clock import SystemClock
from holdfast._redis.keys import GroupKeys
from holdfast.consume.contract import Rider, Settled
from holdfast.errors import EffectBusy, EffectFailed, NotAuthorized, ReadsChanged, ServerUnreachable
from holdfast.once import apart
from holdfast.once.apart import Apart
from holdfast.once.seat import Seat

DELIVERY = SimpleNamespace(origin=SimpleNamespace(stream="s", group="g"), message=SimpleNamespace(id="m-1"))


class Server:
    """Answers each step with the next of ``answers``; the last one for ever."""

    prefix = "hf"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def shared(self, _key):
        return self

    async def run(self, _script, _keys, _args):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Inner:
    """An effect that gives a rider, or raises."""

    strategy = "redis"

    def __init__(self, answer):
        self.answer = answer

    async def run(self, _delivery, attempt):
        said = await attempt(None)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if said is None else said

    def transient(self, error):
        return isinstance(error, ReadsChanged)


async def quiet(_context):
    return None


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(apart, "RECORD_S", 0.2)
    monkeypatch.setattr(apart, "AGAIN_S", 0.01)


def told_rider(told):
    return Rider("m-1", settled=told.append)


def run(effect, attempt=quiet):
    return asyncio.run(effect.run(DELIVERY, attempt))


def test_what_was_recorded_goes_on_as_a_rider_that_only_gives_back():
    told, server = [], Server(b"")
    rider = run(Apart(Inner(told_rider(told)), server, ev.Events(), kept_days=30))
    assert (rider.identity, rider.writes) == ("", ())
    assert (server.asked, told) == (1, [])
    rider.settled(Settled.OK)
    assert told == [Settled.OK]


def test_what_was_in_before_is_a_duplicate_and_gives_back_at_once():
    told = []
    assert run(Apart(Inner(told_rider(told)), Server(b"in"), ev.Events(), kept_days=30)) is False
    assert told == [Settled.DUPLICATE]


def test_a_step_whose_answer_was_lost_is_asked_again_and_what_it_did_is_ours():
    told, server = [], Server(ServerUnreachable("no answer", maybe_done=True), b"in")
    assert run(Apart(Inner(told_rider(told)), server, ev.Events(), kept_days=30)).identity == ""
    assert server.asked == 2


@pytest.mark.parametrize("error", [ServerUnreachable("away"), NotAuthorized("no more")], ids=["away", "refused"])
def test_what_cannot_be_recorded_is_parked_uncounted_and_gives_back(error):
    told = []
    effect = Apart(Inner(told_rider(told)), Server(error), ev.Events(), kept_days=30)
    with pytest.raises(EffectBusy, match="the effect of message m-1 could not be recorded") as busy:
        run(effect)
    assert effect.transient(busy.value)
    assert told == [None]


@pytest.mark.parametrize(("answer", "raised", "event"), [
    (b"changed", ReadsChanged, ev.EffectConflict), (b"1|2|WRONGTYPE", EffectFailed, ev.EffectHalfDone)])
def test_what_the_step_refuses_is_told_and_raised(answer, raised, event):
    events, said, told = ev.Events(), [], []
    events.subscribe(said.append)
    with pytest.raises(raised):
        run(Apart(Inner(told_rider(told)), Server(answer), events, kept_days=30))
    assert [type(one) for one in said] == [event]
    assert told == [None]


def test_what_the_handler_met_itself_is_its_own_failure_and_no_outage_of_records():
    async def publishes(_context):
        raise ServerUnreachable("the broker is away")

    with pytest.raises(ServerUnreachable):
        run(Apart(Inner(Rider("m-1")), Server(b""), ev.Events(), kept_days=30), publishes)
    with pytest.raises(EffectBusy, match="could not be asked"):
        run(Apart(Inner(ServerUnreachable("away")), Server(b""), ev.Events(), kept_days=30))


def test_what_records_itself_elsewhere_asks_nothing():
    server = Server(b"")
    assert run(Apart(Inner(Rider("")), server, ev.Events(), kept_days=30)).identity == ""
    assert run(Apart(Inner(False), server, ev.Events(), kept_days=30)) is False
    assert server.asked == 0


def test_nothing_is_begun_under_a_lease_that_was_lost():
    class Heart:
        def add(self, _leases, _door, member, _lease_ms, on_lost):
            self.on_lost = on_lost
            self.pulse = SimpleNamespace(lost=False, member=member, deadline=float("inf"), joined=lambda *_: None)
            return self.pulse

        def remove(self, _pulse):
            pass

    async def claim():
        heart, server, names = Heart(), Server(0), iter(["first", "second"])
        server.run_id = "r"
        server.call = quiet_call
        seat = Seat(server, heart, GroupKeys("hf", "s", "g"), lease_ms=60_000, clock=SystemClock(),
                    name=lambda: next(names))
        with pytest.raises(EffectBusy):
            assert seat.incarnation
        await seat.open()
        assert seat.incarnation == "first"
        heart.pulse.lost = True
        with pytest.raises(EffectBusy, match="was lost, and is not back yet"):
            assert seat.incarnation
        heart.on_lost("server")
        async with asyncio.timeout(10):
            while heart.pulse.lost:  # noqa: ASYNC110 - the seat is taken anew by a task of its own
                await asyncio.sleep(0.01)
        assert seat.incarnation == "second"
        heart.pulse.deadline = 0.0
        with pytest.raises(EffectBusy):
            assert seat.incarnation
        await seat.close()

    asyncio.run(claim())


async def quiet_call(*_words):
    return []
