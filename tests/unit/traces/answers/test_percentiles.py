# SPDX-License-Identifier: Apache-2.0
"""Percentiles have one definition: linear interpolation, rounded down."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces.answers.percentiles import percentile


def test_between_two_values_it_is_in_proportion():
    assert [percentile([10, 20], q) for q in (0, 250, 500, 990, 1000)] == [10, 12, 15, 19, 20]


def test_of_nothing_it_is_nothing():
    assert percentile([], 500) == 0


@given(st.lists(st.integers(0, 10**9), min_size=2))
def test_it_is_the_inclusive_quantile_of_the_standard_library(values):
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    for hundredths in (50, 90, 99):
        assert percentile(sorted(values), hundredths * 10) == pytest.approx(cuts[hundredths - 1], abs=1.001)


@given(st.lists(st.integers(0, 10**6), min_size=1), st.integers(0, 999))
def test_it_grows_with_the_share_and_stays_within_the_values(values, share):
    ordered = sorted(values)
    assert ordered[0] <= percentile(ordered, share) <= percentile(ordered, share + 1) <= ordered[-1]
