# SPDX-License-Identifier: Apache-2.0
"""Places in a line, and acquisitions that go with a session, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.lock import HoldState
from holdfast._base.reopening import Reopening
from holdfast._coord.node import segment
from holdfast._coord.tenure import Tenure
from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.locks.line import Displaced
from holdfast.locks.tied import Tied
from holdfast.locks.zookeeper import before
from holdfast.testing import ManualClock


def name(number, label="x", mark="f00d"):
    return f"{mark}-{label}-{number:010d}"


LINE = [name(4), name(7, "s"), name(8, "s"), name(12), name(13, "s"), "readme"]


@pytest.mark.parametrize(("own", "shared", "waits_for"), [
    (4, False, None), (7, True, 4), (8, True, 4), (12, False, 8), (13, True, 12)])
def test_a_reader_waits_for_the_nearest_writer_and_a_writer_for_whoever_is_before_it(own, shared, waits_for):
    mine = name(own, "s" if shared else "x")
    found = before(LINE[::-1], mine, shared)
    assert found == (None if waits_for is None else next(each for each in LINE if each.endswith(f"{waits_for:010d}")))


def test_whoever_is_not_in_the_line_has_no_turn():
    with pytest.raises(Displaced):
        before(LINE, name(5), False)


def test_the_order_is_that_of_the_numbers_whatever_the_names():
    assert before([name(9, mark="aaa"), name(2, mark="zzz")], name(9, mark="aaa"), False) == name(2, mark="zzz")


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_are_two_parts_of_a_path(one, other):
    for each in (segment(one), segment(other)):
        assert each not in {".", ".."}
        assert each.isascii()
        assert each.isprintable()
        assert "/" not in each
    assert (segment(one) == segment(other)) == (one == other)


def tied_to(session, clock, *, lease_ms=1000, renewed=True):
    held = Tied("nightly", "a1", lease_ms, clock, renewed=renewed)
    held.tie(session, 7)
    return held


def test_it_is_as_sure_as_its_session_by_the_local_clock(arun):
    async def main():
        clock = ManualClock()
        session = Tenure("here", 10.0, clock, clock.now())
        held = tied_to(session, clock)
        assert (held.state, held.fencing_token, held.deadline) == (HoldState.HELD, 7, session.deadline)
        clock.advance(5.1)
        assert held.state is HoldState.SUSPECT
        session.confirm(clock.now(), 10.0)
        assert (held.state, held.deadline) == (HoldState.HELD, session.deadline)
        clock.advance(9.9)  # the process was stopped: nobody was told of anything
        assert held.state is HoldState.LOST
        with pytest.raises(LeaseLost):
            held.check()
        assert held.let_go() is False, "guard: lost all the same"

    arun(main())


def test_what_the_server_ended_is_lost_before_anybody_was_told(arun):
    async def main():
        clock = ManualClock()
        session = Tenure("here", 10.0, clock, clock.now())
        held = tied_to(session, clock)
        session.lose("server")
        assert held.state is HoldState.LOST
        with pytest.raises(LeaseLost):
            held.check()
        assert held.let_go() is False
        assert held.cause == "server"

    arun(main())


def test_an_end_of_its_own_comes_before_the_sessions_and_is_told_once(arun):
    async def main():
        clock, told, ended = ManualClock(), [], []
        session = Tenure("here", 10.0, clock, clock.now())
        held = tied_to(session, clock, lease_ms=100, renewed=False)
        held.on_lost(told.append)
        held.on_end(lambda: ended.append(1))
        clock.advance(0.098)  # a hundredth and 2 ms less than the lease
        with pytest.raises(LeaseLost):
            held.check()
        await asyncio.sleep(0.2)
        assert (told, ended, held.state) == (["lease"], [1], HoldState.LOST)
        session.lose("server")
        assert held.cause == "lease"

    arun(main())


class Opened:
    """Something to open."""

    def __init__(self):
        self.over = self.closed = False

    async def close(self):
        self.closed = True


def test_one_is_opened_for_all_and_anew_when_it_is_over_and_a_cancelled_opening_is_not_left_behind(arun):
    made, begun, began = [], [], asyncio.Event()

    async def make():
        begun.append(1)
        began.set()
        await asyncio.sleep(0.01)
        made.append(Opened())
        return made[-1]

    async def main():
        doors = Reopening(make, lambda opened: opened.over)
        first = asyncio.create_task(doors.alive())
        await began.wait()
        first.cancel()
        await asyncio.wait((first,))
        assert await asyncio.gather(doors.alive(), doors.alive()) == [made[0]] * 2
        assert len(begun) == 1, "guard: opened all the same"
        made[0].over = True
        assert await doors.alive() is made[1]
        await doors.close()
        assert [each.closed for each in made] == [True, True]
        with pytest.raises(ConfigurationError, match="closed"):
            await doors.alive()

    arun(main())


def test_an_opening_that_fails_is_told_to_whoever_waits_and_tried_again(arun):
    tries = []

    async def make():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionRefusedError
        return Opened()

    async def main():
        doors = Reopening(make, lambda opened: opened.over)
        with pytest.raises(ConnectionRefusedError):
            await doors.alive()
        assert isinstance(await doors.alive(), Opened)
        await doors.close()

    arun(main())
