# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast._base.clock import WallMs
from holdfast.consume.answer import outcome_of_error
from holdfast.consume.backoff import Exponential, Fixed, Schedule
from holdfast.consume.decide import ACK, Ack, Bury, HandBack, RetryAt, before_start, decide
from holdfast.consume.outcome import DONE, Done, Drop, Failed, Interrupted, Reject, Retry
from holdfast.consume.policy import DEFAULT, NEVER, RetryPolicy

NOW = WallMs(1_000_000)
STEADY = RetryPolicy(attempts=3, backoff=Fixed(10))


class MovedError(Exception):
    """As redis-py names a slot move."""


MovedError.__module__ = "redis.exceptions"

BUSY = MovedError("MOVED 1 host")
BUG = KeyError("x")


def settle(outcome, *, attempts=0, crashes=0, age_s=0.0, policy=STEADY, **more):
    return decide(outcome, attempts=attempts, crashes=crashes, age_s=age_s, policy=policy, now=NOW,
                  chance=random.Random(1), **more)


# -- the table of delivery.md section 6 ------------------------------------------------------------------------------


def test_success_is_acknowledged_and_says_whether_it_was_one():
    assert settle(DONE) is ACK
    assert settle(Done(duplicate=True)) == Ack(duplicate=True)
    assert settle(Drop("superseded")) == Ack(dropped="superseded")


def test_a_failure_is_tried_again_after_the_policys_wait():
    assert settle(Failed(BUG)) == RetryAt(10, True, "handler_error", "handle", "unknown", BUG)


@pytest.mark.parametrize(("attempts", "buried"), [(0, False), (1, False), (2, True), (7, True)])
def test_attempts_are_counted_with_the_first_one(attempts, buried):
    decision = settle(Failed(BUG), attempts=attempts)
    assert isinstance(decision, Bury) is buried
    if buried:
        assert decision == Bury("max_attempts", "handle", "unknown", BUG)


def test_a_charged_crash_was_a_run():
    assert isinstance(settle(Failed(BUG), attempts=1, crashes=1), Bury)
    assert isinstance(settle(Failed(BUG), attempts=1, crashes=0), RetryAt)


def test_without_a_limit_it_never_ends():
    assert isinstance(settle(Failed(BUG), attempts=10**6, policy=RetryPolicy(attempts=None)), RetryAt)


def test_never_buries_the_first_failure():
    assert settle(Failed(BUG), policy=NEVER).reason == "max_attempts"


def test_a_permanent_error_is_buried_at_once():
    error = errors.ValidationFailed()
    assert settle(Failed(error, "validate")) == Bury("schema_invalid", "validate", "permanent", error)
    assert settle(Failed(errors.DecodeError(), "decode")).reason == "decode_error"


def test_reject_buries_with_the_handlers_own_words():
    decision = settle(Reject("no such customer", code="customer.unknown"))
    assert decision == Bury("rejected", detail="no such customer", code="customer.unknown")
    assert decision.category == "business"


def test_a_last_attempt_that_ran_out_of_time_says_so():
    assert settle(Failed(errors.HandlerTimeout()), attempts=2).reason == "timeout"


def test_a_busy_store_uses_up_nothing_however_often():
    decision = settle(Failed(BUSY), attempts=99, crashes=99)
    assert isinstance(decision, RetryAt)
    assert (decision.counts, decision.reason, decision.kind) == (False, "busy", "busy")
    assert STEADY.busy_s * 0.5 <= decision.in_s < STEADY.busy_s * 1.5


def test_the_effects_store_may_say_that_it_was_busy_whatever_the_error():
    decision = settle(Failed(errors.ValidationFailed(), "commit"), attempts=99, effect_transient=True)
    assert isinstance(decision, RetryAt)
    assert not decision.counts
    assert decision.stage == "commit"


def test_shutdown_and_a_lost_lease_hand_back():
    assert settle(Interrupted("shutdown"), attempts=99) == HandBack("shutdown")
    assert isinstance(settle(Failed(errors.LeaseLost()), attempts=99), HandBack)


@pytest.mark.parametrize("error", [errors.UnknownType(), errors.UnknownVersion()])
def test_what_nobody_here_knows_is_parked_and_not_buried(error):
    policy = RetryPolicy(attempts=1, max_age_s=1, unknown_s=60)
    decision = settle(Failed(error, "decode"), attempts=99, age_s=10**6, policy=policy)
    assert decision == RetryAt(60, False, "unknown_type", "decode", "unserved", error)


def test_retry_as_asked():
    asked = Retry(after=30, reason="not yet shipped")
    assert settle(asked) == RetryAt(30, True, "not yet shipped", kind="transient", error=asked)
    assert settle(Retry()).in_s == 10
    assert settle(Retry(after=-5)).in_s == 0
    assert settle(Retry(after=float("nan"))).in_s == 10
    assert settle(Retry(after=float("inf"))).in_s == 10


def test_asking_for_ever_ends_at_the_last_attempt_unless_it_does_not_count():
    assert settle(Retry(), attempts=2).reason == "max_attempts"
    assert settle(Retry(counts=False), attempts=99).counts is False


def test_a_rule_for_a_class_overrules_its_kind():
    policy = RetryPolicy(attempts=3, backoff=Fixed(10), on=(
        (KeyError, "bury"), (errors.ValidationFailed, "retry"),
        (ConnectionError, RetryPolicy(attempts=20, backoff=Fixed(1)))))
    assert settle(Failed(BUG), policy=policy) == Bury("handler_error", "handle", "permanent", BUG)
    assert settle(Failed(errors.ValidationFailed()), policy=policy).in_s == 10
    assert settle(Failed(ConnectionResetError()), attempts=10, policy=policy).in_s == 1
    assert isinstance(settle(Failed(ValueError()), attempts=10, policy=policy), Bury)


def test_users_classifiers_are_heard():
    assert isinstance(settle(Failed(BUG), classifiers=(lambda e: "permanent",)), Bury)
    assert settle(Failed(BUG), attempts=99, classifiers=(lambda e: "busy",)).counts is False


def test_no_attempt_starts_after_the_messages_age_has_run_out():
    policy = RetryPolicy(attempts=None, backoff=Fixed(10), max_age_s=100)
    assert isinstance(settle(Failed(BUG), age_s=90, policy=policy), RetryAt)
    assert settle(Failed(BUG), age_s=90.5, policy=policy) == Bury("max_age", "handle", "unknown", BUG)
    assert settle(Retry(counts=False, after=20), age_s=90, policy=policy).reason == "max_age"
    assert settle(Failed(BUSY), age_s=101, policy=policy).reason == "max_age"


def test_no_attempt_starts_after_the_date():
    policy = RetryPolicy(backoff=Fixed(10), until=datetime.fromtimestamp(NOW / 1000 + 9, tz=UTC))
    assert settle(Failed(BUG), policy=policy).reason == "max_age"


def test_a_rules_own_age_limits_too_and_does_not_lift_the_consumers():
    inner = RetryPolicy(backoff=Fixed(10), max_age_s=50)
    policy = RetryPolicy(max_age_s=100, on=((KeyError, inner), (ValueError, RetryPolicy(backoff=Fixed(10)))))
    assert settle(Failed(BUG), age_s=60, policy=policy).reason == "max_age"
    assert settle(Failed(ValueError()), age_s=95, policy=policy).reason == "max_age"
    assert isinstance(settle(Failed(ValueError()), age_s=60, policy=policy), RetryAt)


def test_crashes_bury_before_the_handler_starts():
    assert before_start(2, DEFAULT) is None
    assert before_start(3, DEFAULT) == Bury("crash_loop", ran=False)
    assert before_start(1, RetryPolicy(crash_limit=1)) == Bury("crash_loop", ran=False)


# -- properties ------------------------------------------------------------------------------------------------------

counted = st.sampled_from([KeyError(), ConnectionError(), errors.HandlerTimeout(), Retry(), Retry(after=1)])
uncounted = st.sampled_from([BUSY, Retry(counts=False), errors.UnknownType()])
final = st.sampled_from([errors.DecodeError(), DONE, Drop("x"), Reject("x"), Interrupted("x")])
outcomes = st.one_of(counted, uncounted, final)
jitters = st.sampled_from(["full", "equal", "none"])
backoffs = st.one_of(
    st.builds(Fixed, st.floats(0, 60)), st.builds(Schedule, st.tuples(st.floats(0, 60))),
    st.builds(Exponential, st.floats(0, 60), st.just(60.0), st.floats(1, 5), jitters))
policies = st.builds(RetryPolicy, attempts=st.integers(1, 9), backoff=backoffs)


def wrapped(outcome):
    return outcome_of_error(outcome) if isinstance(outcome, Exception) else outcome


@given(st.lists(outcomes, max_size=40), policies, st.randoms())
def test_a_message_never_gets_more_counted_attempts_than_its_policy_allows(script, policy, chance):
    attempts = 0
    for outcome in script:
        decision = decide(wrapped(outcome), attempts=attempts, age_s=0, policy=policy, now=NOW, chance=chance)
        if isinstance(decision, RetryAt):
            attempts += decision.counts
        elif not isinstance(decision, HandBack):
            break
        assert attempts < policy.attempts


@given(uncounted, policies, st.integers(0, 10**9), st.integers(0, 10**9), st.randoms())
def test_what_does_not_count_is_never_buried_by_counting(outcome, policy, attempts, crashes, chance):
    decision = decide(wrapped(outcome), attempts=attempts, crashes=crashes, age_s=0, policy=policy, now=NOW,
                      chance=chance)
    assert isinstance(decision, RetryAt)
    assert not decision.counts


@given(counted, policies, st.integers(0, 20), st.randoms())
def test_waits_stay_within_the_cap(outcome, policy, attempts, chance):
    decision = decide(wrapped(outcome), attempts=attempts, age_s=0, policy=policy, now=NOW, chance=chance)
    if isinstance(decision, RetryAt):
        assert 0 <= decision.in_s <= 60


@given(outcomes, policies, st.integers(0, 20), st.integers(0, 99))
def test_the_same_chance_gives_the_same_decision(outcome, policy, attempts, seed):
    first, second = (decide(wrapped(outcome), attempts=attempts, age_s=1, policy=policy, now=NOW,
                            chance=random.Random(seed)) for _ in range(2))
    assert first == second
