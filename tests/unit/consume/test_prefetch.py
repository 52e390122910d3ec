# SPDX-License-Identifier: Apache-2.0
"""How far is read ahead: so many seconds of work, whatever a message takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consume.prefetch import Prefetch

LOOK_S = 0.05


def run(prefetch, per_s, seconds):
    """Looks twenty times a second at work that gets so many messages a second done."""
    for look in range(int(seconds / LOOK_S)):
        prefetch.measured(int(look * LOOK_S * per_s), look * LOOK_S)


@pytest.mark.parametrize(("per_s", "expected"), [(10_000, 1000), (400, 400), (100, 100), (20, 20), (2, 2), (0.5, 2)])
def test_one_second_of_work_is_read_ahead(per_s, expected):
    """Between two a task and the ceiling. Slow work ends in few looks, and is not fast for that."""
    prefetch = Prefetch(1, 1.0, 1000)
    run(prefetch, per_s, 60)
    assert prefetch.target == pytest.approx(expected, rel=0.15)


def test_it_starts_at_two_a_task():
    prefetch = Prefetch(10, 1.0, 1000)
    assert prefetch.room(0) == 20


def test_the_ceiling_holds_from_the_start():
    assert Prefetch(100, 1.0, 50).room(0) == 50


def test_an_idle_time_lowers_the_rate_once():
    prefetch = Prefetch(1, 1.0, 1000)
    run(prefetch, 400, 10)
    done, now = 4000, 9.95 + LOOK_S
    prefetch.measured(done, now)
    for _ in range(1000):
        now += LOOK_S
        prefetch.measured(done, now)
    assert prefetch.target > 380
    prefetch.measured(done + 20, now + LOOK_S)
    assert prefetch.target > 300


def test_there_is_no_room_until_half_is_used_up():
    """Reads stay large."""
    prefetch = Prefetch(10, 1.0, 1000)
    assert [prefetch.room(waiting) for waiting in (20, 15, 11, 10, 3)] == [0, 0, 0, 10, 17]


@given(st.integers(1, 500), st.floats(0.01, 10), st.integers(1, 5000),
       st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1)), max_size=30))
def test_what_waits_never_exceeds_the_ceiling(concurrency, seconds, most, looks):
    prefetch, done, now = Prefetch(concurrency, seconds, most), 0, 0.0
    waiting = 0
    for finished, passed in looks:
        waiting += max(0, prefetch.room(waiting))
        assert waiting <= most
        done, now = done + finished, now + passed
        waiting = max(0, waiting - finished)
        prefetch.measured(done, now)
        assert 0 < prefetch.target <= most
