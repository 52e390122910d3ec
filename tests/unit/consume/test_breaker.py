# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast.consume.breaker import Breaker, BreakerSettings, State, result_of
from holdfast.consume.decide import ACK, Ack, Bury, HandBack, RetryAt
from holdfast.consume.outcome import Retry
from holdfast.errors import ConfigurationError

QUICK = BreakerSettings(ratio=0.5, min_calls=4, window_s=10, open_s=5, open_s_max=20, probes=2)


def run(breaker: Breaker, now: float, *results: str) -> None:
    for result in results:
        ticket = breaker.admits(now)
        assert ticket
        breaker.on(result, now, ticket)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(QUICK)
    run(breaker, at, *["failed"] * 4)
    assert breaker.state is State.OPEN
    return breaker


def test_it_opens_at_the_ratio_once_there_were_enough_calls():
    breaker = Breaker(QUICK)
    run(breaker, 0, "failed", "failed", "failed")
    assert breaker.state is State.CLOSED
    run(breaker, 0, "ok")
    assert breaker.state is State.CLOSED, "a success never opens it"
    run(breaker, 0, "failed")
    assert breaker.state is State.OPEN
    assert breaker.next_probe_at == 5


def test_below_the_ratio_it_stays_closed():
    breaker = Breaker(QUICK)
    run(breaker, 0, *["ok", "ok", "failed"] * 50)
    assert breaker.state is State.CLOSED


def test_only_the_last_window_counts():
    breaker = Breaker(QUICK)
    run(breaker, 0, *["ok"] * 100)
    run(breaker, 11, *["failed"] * 4)
    assert breaker.state is State.OPEN
    breaker = Breaker(QUICK)
    run(breaker, 0, *["failed"] * 3)
    run(breaker, 11, "failed")
    assert breaker.state is State.CLOSED


def test_what_says_nothing_about_the_dependency_is_not_counted():
    breaker = Breaker(QUICK)
    run(breaker, 0, *["ignored"] * 100, *["failed"] * 3)
    assert breaker.state is State.CLOSED


def test_open_it_admits_nothing_until_the_first_probe():
    breaker = opened()
    assert breaker.admits(4.99) == 0
    assert breaker.admits(5) > 0
    assert breaker.state is State.HALF_OPEN


def test_half_open_it_admits_no_more_than_the_probes():
    breaker = opened()
    assert [breaker.admits(5) > 0 for _ in range(4)] == [True, True, False, False]


def test_it_closes_when_all_probes_succeeded():
    breaker = opened()
    tickets = [breaker.admits(5), breaker.admits(5)]
    assert breaker.on("ok", 6, tickets[0]) is State.HALF_OPEN
    assert breaker.admits(6) == 0, "one good probe does not open the flood"
    assert breaker.on("ok", 6, tickets[1]) is State.CLOSED
    assert breaker.next_probe_at is None
    run(breaker, 6, *["failed"] * 3)
    assert breaker.state is State.CLOSED, "what was before is forgotten"


def test_a_failed_probe_opens_it_for_longer_up_to_a_limit():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(5):
        pauses.append(breaker.next_probe_at - now)
        now = breaker.next_probe_at
        breaker.on("failed", now, breaker.admits(now))
    assert pauses == [5, 10, 20, 20, 20]


def test_after_it_closed_the_pause_is_short_again():
    breaker = opened()
    breaker.on("failed", 5, breaker.admits(5))
    run(breaker, 15, "ok", "ok")
    run(breaker, 16, *["failed"] * 4)
    assert breaker.next_probe_at == 21


def test_what_comes_back_late_is_no_probe():
    breaker = Breaker(QUICK)
    late = breaker.admits(0)
    run(breaker, 0, *["failed"] * 4)
    breaker.on("ok", 1, late)
    probe = breaker.admits(5)
    assert breaker.on("failed", 5, late) is State.HALF_OPEN
    assert breaker.on("ok", 5, late) is State.HALF_OPEN
    assert breaker.on("ok", 5, probe) is State.HALF_OPEN


def test_an_ignored_probe_gives_its_place_back():
    breaker = opened()
    tickets = [breaker.admits(5), breaker.admits(5)]
    breaker.on("ignored", 5, tickets[0])
    assert breaker.admits(5) > 0
    assert breaker.admits(5) == 0


def test_a_probe_that_never_answers_does_not_block_for_ever():
    breaker = opened()
    breaker.admits(5), breaker.admits(5)
    assert breaker.admits(24) == 0
    assert breaker.admits(25.1) > 0


@given(st.lists(st.tuples(st.floats(0, 8), st.sampled_from(["ok", "failed", "ignored", "lost"])), max_size=150))
def test_half_open_never_lets_more_out_than_probes_and_open_lets_out_none(script):
    breaker, now, out = Breaker(QUICK), 0.0, []
    for gap, result in script:
        now += gap
        was, due = breaker.state, breaker.next_probe_at
        ticket = breaker.admits(now)
        if was is State.OPEN and now < due:
            assert ticket == 0
        if ticket and breaker.state is State.HALF_OPEN:
            out = [t for t in out if t[0] == ticket and now - t[1] <= QUICK.open_s_max]
            out.append((ticket, now))
            assert len(out) <= QUICK.probes
        if ticket and result != "lost":
            breaker.on(result, now, ticket)
            out = [t for t in out if t != (ticket, now)]


@pytest.mark.parametrize(("decision", "result"), [
    (ACK, "ok"), (Ack(duplicate=True), "ignored"), (Ack(dropped="x"), "ignored"), (HandBack("shutdown"), "ignored"),
    (RetryAt(1, True, "handler_error", kind="transient", error=ConnectionError()), "failed"),
    (RetryAt(1, False, "busy", kind="busy", error=ValueError()), "failed"),
    (RetryAt(1, True, "handler_error", kind="unknown", error=ValueError()), "ignored"),
    (RetryAt(1, True, "asked", kind="transient", error=Retry()), "ignored"),
    (Bury("timeout", kind="transient", error=errors.HandlerTimeout()), "failed"),
    (Bury("schema_invalid", kind="permanent", error=errors.ValidationFailed()), "ignored"),
])
def test_only_the_worlds_failures_count(decision, result):
    assert result_of(decision) == result


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": 1.1}, {"min_calls": 0}, {"probes": 0}, {"window_s": 0},
                                   {"open_s": 0}, {"open_s": 90}])
def test_settings_that_make_no_breaker_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        BreakerSettings(**wrong)
