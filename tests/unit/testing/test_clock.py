# SPDX-License-Identifier: Apache-2.0
"""Time moves when told, chance answers what was decided."""

from __future__ import annotations

import pytest

from holdfast.testing.clock import FakeChance, ManualClock


def test_time_stands_until_it_is_told_otherwise():
    clock = ManualClock()
    assert clock.now() == clock.now()
    assert clock.wall_ms() == clock.wall_ms()


def test_advancing_moves_both_clocks():
    clock = ManualClock(now_s=5.0, wall_ms=1_000)
    clock.advance(2.5)
    assert (clock.now(), clock.wall_ms()) == (7.5, 3_500)


def test_small_steps_add_up():
    clock = ManualClock(wall_ms=0)
    for _ in range(1_000):
        clock.advance(0.0004)
    assert clock.wall_ms() in (399, 400)


def test_a_stepped_wall_clock_leaves_elapsed_time_alone():
    clock = ManualClock(now_s=5.0, wall_ms=10_000)
    clock.step_wall(-3_000)
    assert (clock.now(), clock.wall_ms()) == (5.0, 7_000)


def test_instants_never_go_back():
    with pytest.raises(ValueError, match="step_wall"):
        ManualClock().advance(-1)


def test_chance_answers_in_order_and_then_refuses():
    chance = FakeChance([0.25, 0.5], bits=[0b1011])
    assert [chance.random(), chance.random()] == [0.25, 0.5]
    assert chance.getrandbits(2) == 0b11
    with pytest.raises(IndexError):
        chance.random()
