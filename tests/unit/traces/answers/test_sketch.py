# SPDX-License-Identifier: Apache-2.0
"""Sketches: off by what they say at most, and the same however they were merged."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces.answers.percentiles import percentile
from holdfast.traces.answers.sketch import Sketch, merged

VALUES = st.lists(st.one_of(st.integers(0, 100), st.integers(0, 2 ** 62)), max_size=60)


def sketch(values, relative_error=0.01):
    found = Sketch(relative_error)
    for value in values:
        found.add(value)
    return found


@settings(max_examples=300, deadline=None)
@given(VALUES.filter(bool), st.integers(0, 1000), st.sampled_from([0.002, 0.01, 0.05]))
def test_a_percentile_is_off_by_the_stated_error_at_most(values, share, relative_error):
    exact = percentile(sorted(values), share)
    assert abs(sketch(values, relative_error).percentile(share) - exact) <= relative_error * exact * (1 + 1e-9) + 1


@given(VALUES)
def test_counts_sums_and_ends_are_exact(values):
    found = sketch(values)
    assert (found.count, found.total) == (len(values), min(sum(values), 2 ** 63 - 1))
    if values:
        assert (found.min, found.max, found.percentile(0), found.percentile(1000)) == (min(values), max(values)) * 2


@given(VALUES, VALUES, VALUES)
def test_merging_gives_the_sketch_of_all_values_in_any_order_and_grouping(one, two, three):
    all_of_them = sketch([*one, *two, *three])
    a, b, c = map(sketch, (one, two, three))
    assert merged([a, b, c]) == merged([c, a, b]) == merged([merged([a, b]), c]) == merged([a, merged([b, c])]) \
        == all_of_them
    assert (a, b, c) == tuple(map(sketch, (one, two, three))), "what was merged is left as it was"


def test_what_both_have_is_added():
    assert merged([sketch([5, 7]), sketch([5])]).buckets == sketch([5, 5, 7]).buckets
    assert sum(merged([sketch([5, 7]), sketch([5])]).buckets.values()) == 3


def test_sketches_of_different_errors_do_not_merge():
    with pytest.raises(ValueError, match="do not merge"):
        merged([Sketch(0.01), Sketch(0.02)])


def test_nothing_has_no_percentiles():
    assert Sketch().percentile(990) == merged([]).percentile(500) == 0


@given(VALUES)
def test_it_is_the_same_after_it_was_written_and_read(values):
    found = sketch(values)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Sketch) == found


def test_values_of_all_sizes_take_some_thousand_buckets():
    found = Sketch()
    for power in range(63 * 64):
        found.add(int(2 ** (power / 64)))
    assert len(found.buckets) <= 2_185
