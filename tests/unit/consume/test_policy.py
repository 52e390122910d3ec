# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holdfast._base.clock import WallMs
from holdfast.consume.backoff import Exponential, Fixed
from holdfast.consume.outcome import Retry
from holdfast.consume.policy import DEFAULT, NEVER, RetryPolicy, policy_of
from holdfast.errors import ConfigurationError


def test_nothing_asked_for_is_the_default():
    assert policy_of(None) is DEFAULT
    assert policy_of(Retry()) == DEFAULT
    assert DEFAULT.attempts == 5
    assert Exponential(1, 300, jitter="full") == DEFAULT.backoff


def test_a_retry_given_to_a_consumer_becomes_its_policy():
    until = datetime(2027, 1, 1, tzinfo=UTC)
    policy = policy_of(Retry(attempts=9, backoff=Fixed(3), max_age_s=60, until=until, on={KeyError: "bury"}))
    assert policy == RetryPolicy(attempts=9, backoff=Fixed(3), max_age_s=60, until=until, on=((KeyError, "bury"),))


def test_after_is_a_fixed_wait():
    assert policy_of(Retry(after=30)).backoff == Fixed(30)


def test_a_rule_may_be_written_as_a_retry_too():
    policy = policy_of(Retry(on={ConnectionError: Retry(attempts=20, after=1)}))
    assert policy.rule_for(ConnectionResetError()) == RetryPolicy(attempts=20, backoff=Fixed(1))


def test_the_rule_of_the_nearest_class_wins_whatever_the_order():
    rules = ((Exception, "retry"), (OSError, NEVER), (ConnectionError, "bury"))
    for order in (rules, rules[::-1]):
        policy = RetryPolicy(on=order)
        assert policy.rule_for(ConnectionResetError()) == "bury"
        assert policy.rule_for(FileNotFoundError()) is NEVER
        assert policy.rule_for(ValueError()) == "retry"
        assert policy.rule_for(KeyboardInterrupt()) is None


def test_time_left_is_the_shorter_of_age_and_date():
    policy = RetryPolicy(max_age_s=100, until=datetime.fromtimestamp(1_000, tz=UTC))
    assert policy.time_left_s(30, WallMs(0)) == 70
    assert policy.time_left_s(30, WallMs(990_000)) == 10
    assert DEFAULT.time_left_s(1e12, WallMs(10**15)) == float("inf")


@pytest.mark.parametrize(("wrong", "advice"), [
    ({"attempts": 0}, "give 1"), ({"attempts": True}, "whole number"), ({"attempts": 2.5}, "whole number"),
    ({"crash_limit": 0}, "from 1"), ({"crash_limit": None}, "from 1"), ({"backoff": 5}, "back-off"),
    ({"max_age_s": 0}, "above 0"), ({"until": datetime(2027, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the mistake
    ({"busy_s": 0}, "spin"), ({"on": ((int, "bury"),)}, "exception class"), ({"on": ((KeyError, "never"),)}, "neither"),
    ({"on": ((KeyError, "bury"), (KeyError, "retry"))}, "keep one"),
])
def test_a_policy_that_cannot_be_meant_is_refused_with_advice(wrong, advice):
    with pytest.raises(ConfigurationError, match=advice):
        RetryPolicy(**wrong)


def test_contradictions_in_a_retry_are_refused():
    with pytest.raises(ConfigurationError, match="not both"):
        policy_of(Retry(after=1, backoff=Fixed(2)))
    with pytest.raises(ConfigurationError, match="give Retry"):
        policy_of(5)
