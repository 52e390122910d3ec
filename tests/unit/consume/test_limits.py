# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consume.budget import RetryBudget
from holdfast.consume.limits import Bucket, KeyedBuckets, Slots
from holdfast.errors import ConfigurationError

# -- token buckets ---------------------------------------------------------------------------------------------------


def test_a_burst_passes_and_then_the_rate():
    bucket = Bucket(10, burst=3)
    assert [bucket.take(0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0
    assert bucket.take(0.1) == pytest.approx(0.1)


def test_waiting_takes_nothing():
    bucket = Bucket(1, burst=1)
    bucket.take(0)
    assert [bucket.take(0) for _ in range(5)] == [1] * 5


def test_no_more_is_saved_up_than_the_burst():
    bucket = Bucket(10, burst=2)
    assert [bucket.take(1000) > 0 for _ in range(3)] == [False, False, True]


def test_a_batch_above_the_burst_passes_when_full_and_is_paid_for_afterwards():
    bucket = Bucket(10, burst=2)
    assert bucket.take(0, 5) == 0
    assert bucket.take(0, 1) == pytest.approx(0.4)


def test_new_numbers_hold_from_now_on():
    bucket = Bucket(1, burst=1)
    bucket.take(0)
    bucket.set(100, burst=100)
    assert bucket.take(0) == pytest.approx(0.01)
    assert bucket.take(1.0) == 0


calls = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 4)), max_size=60)


@given(calls, st.floats(0.5, 50), st.integers(4, 20))
def test_no_span_of_time_lets_more_through_than_burst_plus_rate(script, rate, burst):
    bucket, now, taken = Bucket(rate, burst), 0.0, []
    for gap, n in script:
        now += gap
        if bucket.take(now, n) == 0:
            taken.append((now, n))
    for i, (start, _) in enumerate(taken):
        for j in range(i, len(taken)):
            through = sum(n for _, n in taken[i:j + 1])
            assert through <= burst + rate * (taken[j][0] - start) + 1e-6


@given(calls, st.floats(0.5, 50), st.integers(4, 20))
def test_who_waits_as_told_gets_through(script, rate, burst):
    bucket, now = Bucket(rate, burst), 0.0
    for gap, n in script:
        now += gap
        wait = bucket.take(now, n)
        if wait:
            now += wait + 1e-6
            assert bucket.take(now, n) == 0


def test_keys_are_limited_apart():
    buckets = KeyedBuckets(1, burst=1)
    assert buckets.take("a", 0) == 0
    assert buckets.take("a", 0) > 0
    assert buckets.take("b", 0) == 0
    assert [buckets.take(None, 0) for _ in range(5)] == [0] * 5


def test_full_buckets_are_forgotten_and_the_number_of_keys_is_bounded():
    buckets = KeyedBuckets(1, burst=1, keys_max=10)
    for key in range(10):
        buckets.take(str(key), 0)
    assert buckets.take("new", 0) == 0
    assert buckets.take("newer", 0) > 0, "beyond the bound keys share one bucket"
    assert len(buckets) == 10
    assert buckets.take("late", 100) == 0
    assert len(buckets) == 1


@pytest.mark.parametrize("make", [lambda: Bucket(0), lambda: Bucket(float("inf")), lambda: Bucket(1, 0.5),
                                  lambda: KeyedBuckets(-1), lambda: Slots(0), lambda: Slots(1, 0)])
def test_limits_that_let_nothing_through_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


# -- slots -----------------------------------------------------------------------------------------------------------


def test_slots_limit_in_all_and_per_key():
    slots = Slots(limit=3, per_key=1)
    assert slots.enter("a")
    assert not slots.enter("a")
    assert slots.enter("b")
    assert slots.enter(None)
    assert not slots.enter("c")
    slots.leave("a")
    assert slots.enter("a")
    assert slots.running == 3


def test_a_refused_entry_takes_no_slot():
    slots = Slots(limit=1, per_key=5)
    slots.enter("a")
    assert not slots.enter("b")
    slots.leave("a")
    assert slots.running == 0
    assert slots.enter("b")


@given(st.lists(st.sampled_from("abc"), max_size=50))
def test_slots_come_back_and_keys_are_forgotten(keys):
    slots = Slots(limit=4, per_key=2)
    inside: list[str] = []
    for key in keys:
        if slots.enter(key):
            inside.append(key)
            assert len(inside) <= 4
            assert inside.count(key) <= 2
        elif inside:
            slots.leave(inside.pop(0))
    for key in inside:
        slots.leave(key)
    assert slots.running == 0
    assert not slots._by_key


# -- retry budget ----------------------------------------------------------------------------------------------------


def test_a_full_budget_delays_nothing():
    budget = RetryBudget(ratio=0.1, min_per_s=1, saved_s=10)
    assert [budget.take(0) for _ in range(10)] == [0] * 10
    assert budget.exhausted


def test_beyond_the_budget_retries_are_put_off_in_order_and_never_refused():
    budget = RetryBudget(ratio=0, min_per_s=2, saved_s=1)
    waits = [budget.take(0) for _ in range(6)]
    assert waits == pytest.approx([0, 0, 0.5, 1, 1.5, 2])


def test_success_earns_retries():
    budget = RetryBudget(ratio=0.5, min_per_s=1, saved_s=1)
    budget.take(0)
    assert budget.take(0) == 1
    budget.succeeded(0, 4)
    assert budget.take(0) == 0
    assert not RetryBudget().exhausted


def test_no_retry_is_put_off_beyond_the_limit():
    budget = RetryBudget(ratio=0, min_per_s=1, saved_s=1, wait_s_max=30)
    assert max(budget.take(0) for _ in range(1000)) == 30
    assert budget.take(29) == pytest.approx(2), "the debt is bounded too, so recovery is felt at once"


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200), st.floats(0, 1), st.floats(0.1, 20))
def test_retries_never_exceed_ratio_and_minimum(script, ratio, per_s):
    budget = RetryBudget(ratio, per_s, saved_s=5, wait_s_max=1e9)
    now, successes, starts = 0.0, 0, []
    for gap, success in script:
        now += gap
        if success:
            budget.succeeded(now)
            successes += 1
        else:
            starts.append(now + budget.take(now))
    saved = max(1, per_s * 5)
    for at in starts:
        assert sum(s <= at for s in starts) <= saved + per_s * at + ratio * successes + 1e-6


@pytest.mark.parametrize("wrong", [{"ratio": -1}, {"ratio": float("nan")}, {"min_per_s": 0}])
def test_a_budget_that_never_recovers_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        RetryBudget(**wrong)
