# SPDX-License-Identifier: Apache-2.0
"""Distances, fits and growth, beside what can be computed by hand or is known of the distribution."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.propagation.analysis.shapes import REFERENCES, beside, by_chance, distance, growth, log_normal


@pytest.mark.parametrize(("a", "b", "apart"), [
    ([1, 2, 3], [1, 2, 3], 0.0), ([1, 2], [3, 4], 1.0), ([1, 2, 3, 4], [3, 4, 5, 6], 0.5),
    ([1, 1, 1, 5], [1, 5, 5, 5], 0.5), ([1.0, math.inf], [1.0, 2.0], 0.5), ([math.inf], [math.inf], 0.0)])
def test_how_far_two_samples_are_apart(a, b, apart):
    assert distance(a, b) == distance(b, a) == apart


def test_samples_of_one_distribution_are_apart_by_chance_and_of_two_are_not():
    chance = random.Random(2)
    a, b = ([chance.gauss(0, 1) for _ in range(400)] for _ in range(2))
    c = [chance.gauss(0.5, 1) for _ in range(400)]
    assert by_chance(distance(a, b), 400, 400) > 0.05
    assert by_chance(distance(a, c), 400, 400) < 1e-6
    # Smirnov's table: with 5 % chance two samples of 10,000 are 1.358 √(2/10,000) = 0.0192 apart.
    assert by_chance(0.0192, 10_000, 10_000) == pytest.approx(0.05, abs=0.002)
    assert by_chance(0.0, 100, 100) == 1.0


def test_a_log_normal_sample_gives_its_numbers_back_and_another_shape_shows():
    chance = random.Random(3)
    fit = log_normal([0.0, math.inf, *(chance.lognormvariate(0.7, 0.4) for _ in range(5000))])
    assert (fit.mu, fit.sigma) == (pytest.approx(0.7, abs=0.02), pytest.approx(0.4, abs=0.02))
    assert fit.ks < 0.02
    two_humps = log_normal([chance.lognormvariate(mu, 0.1) for mu in (0, 3) for _ in range(1000)])
    assert two_humps.ks > 0.2


@pytest.mark.parametrize("times", [[], [1.0], [2.0, 2.0], [0.0, math.inf]], ids=["none", "one", "alike", "no times"])
def test_what_has_no_spread_has_no_fit(times):
    assert log_normal(times) is None


def test_a_run_that_is_the_table_is_at_the_table_and_one_at_half_its_pace_differs_in_pace_alone():
    reference = REFERENCES["bitcoin-tx-2014-11"]
    parts = sorted(reference.percentiles.items())

    def at(part):
        """The table, with straight lines between."""
        before = [(0.0, 0.0), *parts]
        (low, early), (high, late) = next(pair for pair in zip(before, parts, strict=False) if part <= pair[1][0])
        return early + (late - early) * (part - low) / (high - low)

    times = [at((one + 0.5) / 1000 * 0.99) for one in range(990)] + [60.0] * 10
    found = beside(times, "bitcoin-tx-2014-11")
    assert found.apart < 0.02
    slower = beside([2 * time for time in times], "bitcoin-tx-2014-11")
    assert slower.apart > 0.2
    assert slower.shape == pytest.approx(found.shape, abs=0.005)
    # Through the quantiles of 50, 75, 90 and 95 %, by hand: the median is near the table's.
    assert math.exp(found.mu) == pytest.approx(0.798, rel=0.1)
    assert found.sigma == pytest.approx(1.13, abs=0.03)


def test_a_run_of_which_half_never_had_it_has_no_shape():
    assert beside([1.0, math.inf, math.inf], "bitcoin-tx-2014-03").shape is None


@pytest.mark.parametrize(("how", "shape"), [
    (math.log, "log N"), (math.sqrt, "√N"), (float, "N"), (lambda size: math.log(size) + 0.01 * (size % 7), "log N")],
    ids=["log", "root", "line", "log with noise"])
def test_growth_is_told_by_its_shape(how, shape):
    found = growth({size: how(size) for size in (100, 300, 1000, 3000, 10_000)})
    assert found.shape == shape
    assert found.logarithmic == (shape == "log N")


def test_growth_says_what_ten_times_as_many_add():
    found = growth({10: 1.0, 100: 1.5, 1000: 2.0})
    assert found.each_tenfold == pytest.approx(0.5)
    assert growth({10: 1.0, 1000: 10.0}).exponent == pytest.approx(0.5)


def test_two_sizes_and_equal_values_have_no_shape():
    assert growth({10: 1.0, 100: 2.0}).shape is None
    assert growth({10: 1.0, 100: 1.0, 1000: 1.0}).shape is None


@pytest.mark.parametrize("values", [{10: 1.0}, {10: 1.0, 100: 0.0}, {0: 1.0, 1: 2.0}], ids=["one", "zero", "no nodes"])
def test_growth_of_what_has_none_is_refused(values):
    with pytest.raises(ValueError, match="two sizes or more"):
        growth(values)


def test_the_distance_is_nothing_between_equals_and_all_between_strangers():
    assert distance([1.0, 2.0, 3.0], [3.0, 1.0, 2.0]) == pytest.approx(0)
    assert distance([1.0, 2.0], [1.0, 1.0, 2.0, 2.0]) == pytest.approx(0)
    assert distance([1.0, 2.0], [3.0, 4.0]) == pytest.approx(1)
    assert distance([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0]) == pytest.approx(0.5)


def test_samples_of_one_distribution_are_near_and_of_two_are_not():
    chance = random.Random(1)
    ours, same = ([chance.expovariate(1.0) for _ in range(2000)] for _ in range(2))
    assert distance(ours, same) < 0.05
    assert distance(ours, [2 * when for when in same]) > 0.2


def test_no_sample_has_no_distance():
    with pytest.raises(ValueError, match="one value or more"):
        distance([], [1.0])
