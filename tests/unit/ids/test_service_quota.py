# SPDX-License-Identifier: Apache-2.0
"""How many ids somebody may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.ids.service.quota import CLIENTS_MAX, Bucket, Quota, Quotas


def test_a_bucket_gives_its_burst_and_then_its_rate():
    bucket = Bucket(Quota(rate=10, burst=30), now=100.0)
    assert bucket.take(30, 100.0) == 0
    assert bucket.take(5, 100.0) == pytest.approx(0.5), "guard: no more than the quota"
    assert bucket.take(5, 100.4) == pytest.approx(0.1)
    assert bucket.take(5, 100.5) == 0
    assert bucket.take(30, 1000.0) == 0
    assert bucket.take(1, 1000.0) == pytest.approx(0.1), "a rest fills it to its burst, not beyond"


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 40)), max_size=60), st.floats(0.1, 50), st.integers(1, 40))
def test_never_more_than_burst_and_rate(steps, rate, burst):
    bucket, now, given_out = Bucket(Quota(rate, burst), now=0.0), 0.0, 0
    for pause, count in steps:
        now += pause
        if not bucket.take(count, now):
            given_out += count
    assert given_out <= burst + rate * now + 1e-6, "guard: no more than the quota"


def test_whoever_waits_as_long_as_was_said_has_them():
    bucket = Bucket(Quota(rate=3, burst=10), now=0.0)
    bucket.take(10, 0.0)
    wait_s = bucket.take(7, 0.0)
    assert bucket.take(7, wait_s + 1e-9) == 0


def test_a_clock_that_stands_or_goes_back_fills_nothing():
    bucket = Bucket(Quota(rate=10, burst=10), now=5.0)
    assert bucket.take(10, 5.0) == 0
    assert bucket.take(1, 4.0) > 0


def test_clients_have_each_their_own_and_all_of_them_the_tags():
    quotas = Quotas(Quota(rate=1, burst=10), Quota(rate=1, burst=6), now=0.0)
    assert quotas.most == 6
    assert quotas.take("ana", 6, 0.0) == 0
    assert quotas.take("ana", 1, 0.0) == pytest.approx(1)
    assert quotas.take("ben", 6, 0.0) == pytest.approx(2), "the tag has 4 left"
    assert quotas.take("ben", 4, 0.0) == 0
    assert quotas.take("ben", 2, 0.0) > 0


def test_a_refusal_takes_from_nobody():
    quotas = Quotas(Quota(rate=1, burst=10), Quota(rate=1, burst=8), now=0.0)
    assert quotas.take("ana", 8, 0.0) == 0
    assert quotas.take("ben", 8, 0.0) > 0
    assert quotas.take("ben", 2, 0.0) == 0
    assert quotas.take("ben", 6, 4.0) == pytest.approx(2)
    assert quotas.take("ben", 8, 6.0) == pytest.approx(2), "guard: from both or from none"


def test_what_was_not_made_is_given_back():
    quotas = Quotas(Quota(rate=1, burst=10), Quota(rate=1, burst=8), now=0.0)
    quotas.take("ana", 8, 0.0)
    quotas.give_back("ana", 8, 0.0)
    assert quotas.take("ana", 8, 0.0) == 0
    assert quotas.take("ben", 2, 0.0) == 0
    assert quotas.take("ben", 1, 0.0) > 0


def test_made_up_names_do_not_fill_memory():
    quotas = Quotas(None, Quota(rate=1, burst=1), now=0.0)
    for n in range(CLIENTS_MAX + 10):
        assert quotas.take(f"client-{n}", 1, 0.0) == 0
    assert len(quotas._clients) == CLIENTS_MAX
    assert quotas.take(f"client-{CLIENTS_MAX}", 1, 0.0) > 0


def test_without_quotas_nothing_is_counted():
    quotas = Quotas(None, None, now=0.0)
    assert quotas.most is None
    assert quotas.take("ana", 10**9, 0.0) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_a_quota_of_nothing_is_a_mistake(rate, burst):
    with pytest.raises(ConfigurationError, match="both have to be above 0"):
        Quota(rate, burst)
