# SPDX-License-Identifier: Apache-2.0
"""The bench's arithmetic, without a server."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.drain import in_turn
from benchmarks.figures import medians, percentile, ratios, spread
from benchmarks.job import BODY_BYTES, order


@pytest.mark.parametrize("number", [0, 7, 49_999, 999_999])
def test_a_message_is_two_hundred_bytes_of_json(number):
    assert len(msgspec.json.encode(order(number))) == BODY_BYTES
    assert len(msgspec.json.encode(order(number, sent_ns=123_456_789_012_345))) == BODY_BYTES


@pytest.mark.parametrize(("p", "value"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_percentiles_are_values_that_occurred(p, value):
    assert percentile(list(range(1, 101)), p) == value


def test_nothing_measured_has_no_percentile():
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)


def test_rounds_take_everybody_in_another_order():
    names = ["a", "b", "c"]
    orders = [in_turn(names, number) for number in range(6)]
    assert all(sorted(order) == names for order in orders)
    assert len({tuple(order) for order in orders[:4]}) == 4
    assert {order[0] for order in orders} == set(names)


def test_ratios_are_of_medians_and_leave_ourselves_out():
    runs = {"holdfast": [{"per_s": 50.0}, {"per_s": 90.0}, {"per_s": 60.0}], "bare": [{"per_s": 100.0}]}
    assert medians(runs, "per_s") == {"holdfast": 60.0, "bare": 100.0}
    assert ratios(medians(runs, "per_s"), ("holdfast", "holdfast-batch")) == {"holdfast": {"bare": 0.6}}


def test_a_spread_names_the_worst_run_too():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "lowest": 1.0, "highest": 3.0}
