# SPDX-License-Identifier: Apache-2.0
"""In any stretch of time no more passes than the burst and the rate allow, whoever asks under however many names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.buckets import Bucket, Limiter, Limits

steps = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 30)), max_size=80)


@given(st.floats(0.1, 100), st.floats(1, 50), steps)
def test_a_bucket_never_gives_more_than_its_rate(rate, burst, asked):
    bucket, now, given_at = Bucket(rate, burst, 0.0), 0.0, []
    for pause, tokens in asked:
        now += pause
        if bucket.take(tokens, now):
            given_at.append((now, tokens))
    for first in range(len(given_at)):
        total = 0.0
        for at, tokens in given_at[first:]:
            total += tokens
            assert total <= burst + rate * (at - given_at[first][0]) + 1e-6


def test_a_bucket_fills_to_its_burst_and_no_further():
    bucket = Bucket(2.0, 10.0, 0.0)
    assert bucket.take(10, 0.0)
    assert not bucket.take(1, 0.0)
    assert bucket.take(1, 0.5)
    assert bucket.level(1_000.0) == 10.0


def test_a_clock_that_stands_still_or_goes_back_fills_nothing():
    bucket = Bucket(1.0, 1.0, 100.0)
    assert bucket.take(1, 100.0)
    assert not bucket.take(1, 50.0)
    assert not bucket.take(1, 100.0)


def test_a_debt_has_a_bound():
    bucket = Bucket(1.0, 5.0, 0.0)
    bucket.force(1e9, 0.0)
    assert bucket.level(0.0) == -5.0
    assert bucket.take(1, 6.0)


def limiter(**changed):
    settings = {"message_bytes_max": 100, "peer_messages_s": 2, "peer_bytes_s": 200, "all_messages_s": 5,
                "all_bytes_s": 1_000, "burst_s": 1.0, "peers_max": 3}
    return Limiter(Limits(**{**settings, **changed}))


def test_a_peer_is_refused_and_another_one_is_not():
    limits = limiter()
    assert [limits.take("a", 10, 0.0) for _ in range(3)] == [None, None, "peer rate"]
    assert limits.take("b", 10, 0.0) is None


def test_bytes_are_counted_too():
    limits = limiter(peer_messages_s=100)
    assert [limits.take("a", 100, 0.0) for _ in range(3)] == [None, None, "peer bytes"]


def test_what_is_too_large_takes_nothing():
    limits = limiter()
    assert [limits.take("a", 101, 0.0) for _ in range(5)] == ["large"] * 5
    assert limits.take("a", 100, 0.0) is None


def test_all_together_have_a_bucket_and_a_refusal_costs_the_peer_nothing():
    limits = limiter(peers_max=100)
    taken = [limits.take(f"p{number}", 10, 0.0) for number in range(7)]
    assert taken == [None] * 5 + ["all rate"] * 2
    # Had the refused one paid, it would have one message less now.
    assert [limits.take("p6", 10, 1.0) for _ in range(3)] == [None, None, "peer rate"]


def test_names_bring_no_new_buckets_where_there_is_no_place():
    limits = limiter(all_messages_s=1_000, all_bytes_s=100_000)
    for name in "abc":
        assert limits.take(name, 10, 0.0) is None
    passed = sum(limits.take(f"sybil-{number}", 10, 0.0) is None for number in range(100))
    assert passed == 2  # one bucket for all of them
    assert len(limits) == 3


def test_a_peer_that_has_been_quiet_makes_room():
    limits = limiter()
    for name in "abc":
        limits.take(name, 10, 0.0)
    assert limits.take("d", 10, 10.0) is None
    assert len(limits) == 3


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.integers(0, 120)), max_size=100))
def test_neither_a_peer_nor_all_get_more_than_their_share(asked):
    limits, now, passed = limiter(peers_max=4), 0.0, []
    for pause, peer, size in asked:
        now += pause
        if limits.take(str(peer), size, now) is None:
            passed.append((now, peer, size))
    assert len(passed) <= 5 + 5 * now + 1e-6
    assert sum(size for *_, size in passed) <= 1_000 + 1_000 * now + 1e-6
    for each in range(10):
        assert sum(peer == each for _, peer, _ in passed) <= 2 * (2 + 2 * now) + 1e-6  # its own, and the strangers'


def test_limits_of_nothing_are_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        Limits(peer_messages_s=0)
