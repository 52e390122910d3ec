# SPDX-License-Identifier: Apache-2.0
"""One acquisition: what its holder is told, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.lock import HoldState
from holdfast.errors import LeaseLost
from holdfast.locks import Acquisition
from holdfast.testing import ManualClock


def granted(clock: ManualClock) -> Acquisition:
    held = Acquisition("nightly", "a1", 1000, clock, renewed=True)
    held.granted(7, clock.now())
    return held


def test_it_is_certain_up_to_its_deadline_and_suspect_from_half_a_lease(arun):
    async def main():
        clock = ManualClock()
        held = granted(clock)
        assert (held.state, held.fencing_token) == (HoldState.HELD, 7)
        clock.advance(0.5)
        assert held.state is HoldState.SUSPECT
        clock.advance(0.487)
        held.check()
        clock.advance(0.002)
        assert held.state is HoldState.LOST
        with pytest.raises(LeaseLost):
            held.check()
        held.let_go()

    arun(main())


def test_an_answer_that_comes_behind_the_deadline_revives_nothing(arun):
    async def main():
        clock = ManualClock()
        held = granted(clock)
        clock.advance(0.9)
        asked_at = clock.now()
        clock.advance(0.2)
        held.confirm(asked_at, 1000)
        assert held.state is HoldState.LOST, "guard: what was lost stays lost"
        held.let_go()

    arun(main())


def test_an_answer_in_time_moves_the_deadline(arun):
    async def main():
        clock = ManualClock()
        held = granted(clock)
        clock.advance(0.9)
        held.confirm(clock.now(), 1000)
        clock.advance(0.4)
        assert held.state is HoldState.HELD
        held.let_go()
        assert held.state is HoldState.RELEASED
        await asyncio.sleep(0)

    arun(main())
