# SPDX-License-Identifier: Apache-2.0
"""A session as this process counts it: what moves its deadline, and what ends it."""

from __future__ import annotations

import asyncio
import os
import warnings

import pytest

from holdfast._base.clock import SystemClock
from holdfast._coord.session import SessionState, span_s
from holdfast._coord.tenure import Tenure, keep
from holdfast.errors import LeaseLost, ServerUnreachable
from holdfast.testing import ManualClock

CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST


def tenure(clock, ttl_s=10.0):
    return Tenure("a store", ttl_s, clock, clock.now())


def states_of(one):
    states = []
    one.on_change(states.append)
    return states


def test_it_is_suspended_after_half_a_ttl_and_lost_a_little_before_its_end(arun):
    async def body():
        clock = ManualClock()
        one = tenure(clock)
        clock.advance(4.99)
        assert one.state is CONNECTED
        clock.advance(0.01)
        assert one.state is SUSPENDED
        one.check()
        clock.advance(4.9 - 0.002)
        assert one.state is LOST
        with pytest.raises(LeaseLost, match="deadline has passed"):
            one.check()

    arun(body())
    assert span_s(10.0) == pytest.approx(9.898)


def test_a_deadline_counts_from_when_the_request_was_sent(arun):
    async def body():
        clock = ManualClock()
        one = tenure(clock)
        clock.advance(3)
        sent_at = clock.now()
        clock.advance(2)
        one.confirm(sent_at, 10.0)
        assert one.deadline == pytest.approx(sent_at + 9.898)

    arun(body())


def test_what_was_lost_stays_lost_whatever_answers_late(arun):
    async def body():
        clock = ManualClock()
        one = tenure(clock)
        clock.advance(9)
        sent_at = clock.now()
        clock.advance(1)
        one.confirm(sent_at, 10.0)
        assert one.state is LOST
        assert one.lost.is_set()
        assert one.cause == "unreachable"

    arun(body())


def test_each_change_is_told_once_and_the_first_cause_is_kept(arun):
    async def body():
        clock = ManualClock()
        one = tenure(clock)
        states = states_of(one)
        for _ in range(3):
            one.confirm(clock.now(), 10.0)
        clock.advance(6)
        one.suspend()
        one.suspend()
        await asyncio.sleep(0)
        one.confirm(clock.now(), 10.0)
        one.lose("server")
        one.lose("closed")
        await one.lost.wait()
        await asyncio.sleep(0)
        assert states == [SUSPENDED, CONNECTED, LOST]
        assert one.cause == "server"

    arun(body())


def test_a_timer_tells_of_the_end_when_nobody_else_does(arun):
    async def body():
        one = tenure(SystemClock(), 0.2)
        states = states_of(one)
        async with asyncio.timeout(5):
            await one.lost.wait()
        assert states == [SUSPENDED, LOST]

    arun(body())


def test_one_renewal_that_is_not_answered_moves_no_deadline(arun):
    async def body():
        one = tenure(SystemClock(), 0.3)
        asked = []

        async def renew(timeout_s):
            asked.append(timeout_s)
            raise ServerUnreachable

        before = one.deadline
        async with asyncio.timeout(5):
            await keep(one, renew)
        assert one.deadline == before
        assert len(asked) > 1
        assert asked[0] == pytest.approx(0.05)

    arun(body())


def test_renewals_keep_it_until_the_store_knows_it_no_more(arun):
    async def body():
        one = tenure(SystemClock(), 0.3)
        answers = [0.3] * 6 + [None]

        async def renew(_):
            return answers.pop(0)

        states = states_of(one)
        async with asyncio.timeout(5):
            await keep(one, renew)
            await one.lost.wait()
        assert not answers
        assert one.cause == "server"
        assert states == [LOST]

    arun(body())


def test_whoever_waits_is_told_that_the_session_ended(arun):
    async def body():
        one = tenure(SystemClock(), 30.0)
        stopped = asyncio.Event()

        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        waiting = asyncio.create_task(one.unless_lost(work()))
        await asyncio.sleep(0)
        one.lose("server")
        with pytest.raises(LeaseLost):
            await waiting
        assert stopped.is_set()
        assert await tenure(SystemClock()).unless_lost(asyncio.sleep(0, "done")) == "done"

    arun(body())


def test_who_is_woken_after_the_end_has_won_nothing(arun):
    async def body():
        clock = ManualClock()
        one = tenure(clock)

        async def work():
            clock.advance(10)

        with pytest.raises(LeaseLost):
            await one.unless_lost(work())

    arun(body())


def test_a_child_process_has_no_session(arun):
    async def body():
        one = tenure(SystemClock(), 30.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
            child = os.fork()
        if not child:
            os._exit(0 if one.state is LOST and one.cause == "forked" else 1)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
        one.check()

    arun(body())
