# SPDX-License-Identifier: Apache-2.0
"""Intervals of a median: what a coin says, and how often they are right."""

from __future__ import annotations

import random

import pytest

from holdfast.propagation.analyse import Summary
from holdfast.propagation.analysis.seeds import MEASURES, across, interval


@pytest.mark.parametrize(("runs", "low", "high", "sure"), [
    (1, 1, 1, 0.0), (3, 1, 3, 0.75), (5, 1, 5, 0.9375), (6, 1, 6, 0.9688), (9, 2, 8, 0.9609), (20, 6, 15, 0.9586)])
def test_of_so_many_runs_these_two_enclose_the_median_with_that_confidence(runs, low, high, sure):
    found = interval([float(one) for one in range(runs, 0, -1)])
    assert (found.low, found.high, found.confidence, found.runs) == (low, high, sure, runs)
    assert found.median == (runs + 1) / 2


def test_a_run_that_never_got_there_is_the_latest_and_spoils_nothing_else():
    found = interval([3.0, None, 1.0, 2.0, 4.0])
    assert (found.low, found.median, found.high) == (1.0, 3.0, None)
    assert interval([None, None, 1.0]).median is None


def test_an_interval_holds_the_true_median_as_often_as_it_says():
    chance = random.Random(1)
    held = 0
    for _ in range(2000):
        found = interval([chance.lognormvariate(0, 1) for _ in range(9)])
        held += found.low <= 1.0 <= found.high
    assert held / 2000 == pytest.approx(0.9609, abs=0.015)


def test_no_run_is_no_interval():
    with pytest.raises(ValueError, match="one run or more"):
        interval([])


def test_every_measure_of_a_summary_but_its_seed_and_size_gets_an_interval():
    runs = [Summary(10, seed, 10, 1.0 * seed, 2.0, 3.0, None, 1.0, 300.0, 2.0) for seed in (1, 2, 3)]
    found = across(runs)
    assert set(found) == set(MEASURES) == set(Summary.__dataclass_fields__) - {"nodes", "seed"}
    assert (found["t50_s"].low, found["t50_s"].median, found["t50_s"].high) == (1.0, 2.0, 3.0)
    assert found["t100_s"].median is None
