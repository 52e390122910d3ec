# SPDX-License-Identifier: Apache-2.0
"""Differences that are more than chance, and how often chance is taken for one."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces.answers.significance import adjusted, mann_whitney, two_proportions


def exact(before, after):
    """All ways to deal the values out, and the share of them in which the ranks lie as far from the middle."""
    values = [*before, *after]

    def distance(chosen):
        rest = [values[n] for n in range(len(values)) if n not in chosen]
        above = sum((a > b) + (a == b) / 2 for a in (values[n] for n in chosen) for b in rest)
        return abs(above - len(chosen) * len(rest) / 2)

    said = distance(set(range(len(before), len(values))))
    found = [distance(set(chosen)) >= said - 1e-9 for chosen in itertools.combinations(range(len(values)), len(after))]
    return sum(found) / len(found)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_near_the_exact_test_even_for_few_values(seed):
    chance = random.Random(seed)
    before = [chance.randrange(12) for _ in range(7)]
    after = [chance.randrange(12) + seed for _ in range(8)]
    assert mann_whitney(before, after) == pytest.approx(exact(before, after), abs=0.03)


def test_chance_is_taken_for_a_difference_as_often_as_it_says():
    chance = random.Random(1)
    draws = [mann_whitney(*([chance.lognormvariate(0, 1) for _ in range(size)] for size in (30, 40)))
             for _ in range(1_000)]
    assert 0.03 < sum(p < 0.05 for p in draws) / len(draws) < 0.07


def test_a_shift_by_half_its_spread_is_seen_in_two_hundred_traces():
    chance = random.Random(2)
    before = [chance.lognormvariate(0, 1) for _ in range(200)]
    assert mann_whitney(before, [value * 1.65 for value in before]) < 1e-4


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_sides_may_be_swapped_and_p_is_a_share(before, after):
    p = mann_whitney(before, after)
    assert 0 <= p <= 1
    assert p == pytest.approx(mann_whitney(after, before))


def test_nothing_is_said_where_there_is_nothing_to_compare():
    assert mann_whitney([], [1, 2]) == mann_whitney([3, 3], [3]) == two_proportions(0, 0, 1, 1) == 1
    assert two_proportions(0, 50, 0, 50) == two_proportions(50, 50, 50, 50) == 1


def test_shares_are_compared_by_the_pooled_spread():
    assert two_proportions(10, 100, 25, 100) == pytest.approx(0.005247, abs=1e-6), "z is 2.7914"


def test_many_p_values_are_corrected_together():
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert adjusted([]) == []
