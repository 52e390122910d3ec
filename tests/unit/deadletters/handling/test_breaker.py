# SPDX-License-Identifier: Apache-2.0
"""The breaker of replays: it pauses, probes with one letter, and goes on, or pauses for longer."""

from __future__ import annotations

import pytest

from holdfast.deadletters.handling.breaker import Breaker, BreakerRules, after, leave
from holdfast.errors import ConfigurationError

RULES = BreakerRules(ratio=0.5, min_calls=4, window_s=100, pause_s=10, pause_s_max=25, probe_s=60)


def ended(breaker, outcomes, now_ms=0):
    for n, handled in enumerate(outcomes):
        breaker = after(breaker, f"L{n}", now_ms, RULES, handled=handled)
    return breaker


def test_it_pauses_when_most_of_enough_replays_died_again():
    assert ended(Breaker(), [False] * 3).state == "closed", "three say little"
    assert ended(Breaker(), [True, True, True, False]).state == "closed"
    assert ended(Breaker(), [True, True, False, False]).state == "open"


def test_what_is_old_does_not_count():
    breaker = ended(Breaker(), [False] * 3)
    assert after(breaker, "L9", 200_000, RULES, handled=False).state == "closed"


def test_nobody_goes_while_it_is_paused_and_then_one():
    breaker = ended(Breaker(), [False] * 4, now_ms=1_000)
    asked = leave(breaker, "A", 5_000, RULES)
    assert asked.wait_ms == 11_000, "guard: paused"
    probe = leave(asked.breaker, "A", 11_000, RULES)
    assert (probe.wait_ms, probe.breaker.state, probe.breaker.probe) == (0, "probing", "A")
    other = leave(probe.breaker, "B", 12_000, RULES)
    assert other.wait_ms == 22_000, "guard: one probe at a time"
    assert leave(probe.breaker, "A", 12_000, RULES).wait_ms == 0, "the probe itself may be claimed again"


def test_a_probe_that_is_handled_ends_the_pause_and_one_that_dies_doubles_it():
    probing = leave(ended(Breaker(), [False] * 4), "A", 10_000, RULES).breaker
    assert after(probing, "A", 20_000, RULES, handled=True) == Breaker()
    longer = after(probing, "A", 20_000, RULES, handled=False)
    assert (longer.state, longer.until_ms, longer.opened) == ("open", 40_000, 2)
    probing = leave(longer, "B", 40_000, RULES).breaker
    assert after(probing, "B", 50_000, RULES, handled=False).until_ms == 75_000, "no longer than pause_s_max"


def test_what_was_sent_before_says_nothing_new():
    probing = leave(ended(Breaker(), [False] * 4), "A", 10_000, RULES).breaker
    assert after(probing, "L2", 11_000, RULES, handled=True) == probing
    assert after(probing, "L3", 11_000, RULES, handled=False) == probing


def test_a_probe_that_nobody_hears_of_is_given_up():
    probing = leave(ended(Breaker(), [False] * 4), "A", 10_000, RULES).breaker
    assert leave(probing, "B", 69_999, RULES).wait_ms
    assert leave(probing, "B", 70_000, RULES).breaker.probe == "B"


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"min_calls": 0}, {"pause_s": 0}, {"pause_s": 50, "pause_s_max": 5},
                                   {"window_s": 0}, {"probe_s": -1}], ids=str)
def test_numbers_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="breaker"):
        BreakerRules(**wrong)
