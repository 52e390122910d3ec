# SPDX-License-Identifier: Apache-2.0
"""How many ids a client of the id service has in hand, and when it asks for more."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ids.remote.stock import Stock


def stock(*, ahead_s=10.0, lag_s=None, least=10, most=10_000):
    return Stock(ahead_s=ahead_s, lag_s=lag_s, least=least, most=most, now=0.0)


def test_ids_are_handed_out_in_their_order_and_once():
    made = stock()
    made.add([1, 2, 3], 0.0)
    made.add([10, 11], 0.0)
    assert made.take(2, 0.0) == [1, 2]
    assert made.take(2, 0.0) == [3, 10]
    assert made.take(9, 0.0) == [11]
    assert made.take(1, 0.0) == []
    assert made.left == 0


@given(st.lists(st.integers(0, 20), max_size=20), st.lists(st.integers(1, 30), max_size=30))
def test_nothing_is_handed_out_twice_or_forgotten(batches, draws):
    made, first, got = stock(), 0, []
    for size in batches:
        made.add(range(first, first + size), 0.0)
        first += size
    for count in draws:
        got += made.take(count, 0.0)
    assert got == list(range(min(first, sum(draws))))
    assert made.left == first - len(got)


def test_as_many_are_kept_as_are_used_in_ahead_s():
    made, now = stock(ahead_s=10.0), 0.0
    for _ in range(600):  # a minute at a hundred a second
        wanted = made.wanted(now)
        made.add(range(wanted), now)
        made.take(10, now)
        now += 0.1
    assert 900 <= made.left <= 1600, "a steady rate of 100 a second, and ten seconds of it"


def test_a_service_that_is_away_is_bridged_for_ahead_s():
    made, now = stock(ahead_s=5.0), 0.0
    for _ in range(600):
        made.add(range(made.wanted(now)), now)
        made.take(20, now)
        now += 0.1
    began = now
    while made.take(20, now):
        now += 0.1
    assert now - began >= 5.0, "guard: ahead_s of the present rate"


def test_a_little_is_kept_however_little_is_used():
    made = stock(least=10)
    assert made.wanted(0.0) == 15
    made.add(range(15), 0.0)
    assert made.wanted(1e6) == 0
    made.take(6, 1e6)
    assert made.wanted(1e6) == 6


def test_no_more_than_most_are_kept_however_many_are_used():
    made = stock(most=100)
    made.add(range(1000), 0.0)
    made.take(950, 0.0)
    assert made.wanted(0.0) == 50, "guard: memory"
    made.missing = 300
    assert made.wanted(0.0) == 350


def test_what_is_waited_for_is_asked_for_on_top():
    made = stock(least=10)
    made.missing = 500
    assert made.wanted(0.0) == 515
    made.add(range(515), 0.0)
    assert made.wanted(0.0) == 0


def test_a_burst_is_remembered_and_forgotten():
    made = stock(ahead_s=10.0, least=10)
    made.add(range(1000), 0.0)
    made.take(1000, 0.0)
    assert 1400 <= made.wanted(0.0) <= 1502
    assert made.wanted(10.0) < 600
    assert made.wanted(100.0) == 15


def test_what_lies_too_long_is_thrown_away_and_asked_for_anew():
    made = stock(lag_s=30.0)
    made.add([1, 2], 0.0)
    made.add([3, 4], 20.0)
    assert made.due_s(10.0) == 20.0
    assert made.take(1, 30.0) == [1]
    assert made.take(5, 30.1) == [3, 4], "guard: none that is older than lag_s"
    made.add([5], 31.0)
    assert made.wanted(61.1) >= 10
    assert made.left == 0


def test_numbers_without_an_age_are_kept():
    made = stock(lag_s=None)
    made.add([1], 0.0)
    assert made.due_s(1e9) == math.inf
    assert made.take(1, 1e9) == [1]
