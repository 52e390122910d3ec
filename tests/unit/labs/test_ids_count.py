# SPDX-License-Identifier: Apache-2.0
"""What is read off ids: duplicates, order, what a stranger can tell; each by ids whose answer is known."""

from __future__ import annotations

import random

import pytest

from holdfast.labs import ids_count
from holdfast.labs.ids_count import (
    LONG,
    SHORT,
    Call,
    counted,
    guessed,
    out_of_order,
    packed,
    percentile,
    shuffled_together,
    step_of,
    tells,
    unpacked,
)


@pytest.fixture(params=["numpy", "set"])
def by(request, monkeypatch):
    """Both ways to compare."""
    if request.param == "set":
        monkeypatch.setattr(ids_count, "library", lambda: None)
    elif ids_count.library() is None:
        pytest.skip("NumPy is not installed")


@pytest.mark.parametrize("width", [SHORT, LONG])
def test_an_id_that_is_there_before_is_counted_wherever_it_was_made(by, width):
    top = 8 * width - 1
    one, other = [5, 1, (1 << top) - 1], [2, 1, 5, 5]
    assert counted([packed(one, width), packed(other, width)], width) == (7, 3), \
        "guard: every one that is there before is counted"
    assert counted([packed(one, width)], width) == (3, 0)
    assert counted([], width) == (0, 0)


def test_long_ids_that_differ_in_one_half_alone_are_not_the_same(by):
    assert counted([packed([1, 1 | 1 << 64, 1 << 64, 2 << 64], LONG)], LONG) == (4, 0)


@pytest.mark.parametrize("width", [SHORT, LONG])
def test_what_was_written_down_is_read_again(width, rng):
    ids = [rng.getrandbits(8 * width - 1) for _ in range(50)]
    assert unpacked(packed(ids, width), width) == ids


def test_a_later_call_with_a_smaller_id_is_out_of_order_and_one_at_the_same_time_is_not():
    first = Call(0, 10, 7)
    assert out_of_order([first, Call(11, 12, 8)]) == 0
    assert out_of_order([first, Call(11, 12, 6)]) == 0.5
    assert out_of_order([first, Call(9, 12, 6)]) == 0, "they overlap"
    assert out_of_order([first, Call(10, 12, 6)]) == 0, "one may have begun before the other had ended"
    assert out_of_order([]) == 0


def test_the_largest_id_before_counts_and_not_the_last():
    calls = [Call(0, 1, 100), Call(2, 3, 5), Call(4, 5, 50)]
    assert out_of_order(calls) == pytest.approx(2 / 3)
    assert out_of_order(list(reversed(calls))) == pytest.approx(2 / 3), "the order in which they are looked at is none"


def test_a_counter_is_guessed_and_chance_is_not(rng):
    counter, chance = list(range(10, 200, 5)), [rng.getrandbits(122) for _ in range(100)]
    assert guessed(counter) == 1
    assert guessed(chance) == guessed(chance, 1000) == 0
    assert guessed([1, 2]) == 0, "too few"


def test_a_stranger_with_more_tries_finds_ids_that_are_further_away():
    skips = [0, 5, 10, 40, 45, 100_000]
    assert guessed(skips) == 0.5
    assert guessed(skips, 1000) == 0.75


def test_two_numbers_of_a_counter_tell_how_many_were_made_in_between(rng):
    assert step_of([3, 9, 6, 12]) == 6
    assert tells(100, 150, made=10, step=5)
    assert not tells(100, 200, made=10, step=5)
    chance = sorted(rng.getrandbits(122) for _ in range(20))
    assert not tells(chance[0], chance[-1], made=19, step=step_of(chance))
    assert not tells(1, 2, made=1, step=0)
    assert not tells(100, 151, made=10, step=5), "near, by chance: they are no steps apart"


def test_streams_that_are_written_side_by_side_keep_their_own_order():
    lot = random.Random(1)
    found = shuffled_together([[1, 2, 3], [10, 20], []], lot.randrange, 10)
    assert sorted(found) == [1, 2, 3, 10, 20]
    assert [one for one in found if one < 10] == [1, 2, 3]
    assert [one for one in found if one >= 10] == [10, 20]
    assert len(shuffled_together([[1, 2, 3], [10, 20]], lot.randrange, 4)) == 4


def test_a_percentile_that_too_few_calls_lie_behind_is_none():
    values = list(range(1000))
    assert percentile(values, 0.5) == 500
    assert percentile(values, 0.99) == 990
    assert percentile(values, 0.999) is None
    assert percentile(values, 0.999, beyond=1) == 999
    assert percentile([], 0.5) is None
