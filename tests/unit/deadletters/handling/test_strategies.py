# SPDX-License-Identifier: Apache-2.0
"""When a letter is sent back by itself."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consume.backoff import Exponential, Fixed
from holdfast.deadletters.handling import Strategy, rule_set
from holdfast.deadletters.handling.amounts import DAY_MS

#: 2026-11-26T00:00:00Z
MIDNIGHT = 1_795_651_200_000
CHANCE = random.Random(7)


def due(strategy, tries=0, now_ms=MIDNIGHT, failed_ms=MIDNIGHT):
    return strategy.due_ms(tries, now_ms=now_ms, failed_ms=failed_ms, chance=CHANCE)


def of_file(**retry):
    return rule_set({"rules": [{"name": "a", "category": "transient", "retry": retry}]}).rules[0].verdict.strategy


def test_at_once_fixed_and_growing():
    assert due(Strategy()) == MIDNIGHT
    assert due(Strategy(backoff=Fixed(300))) == MIDNIGHT + 300_000
    growing = Strategy(backoff=Exponential(base_s=10, cap_s=60, jitter="none"), tries_max=9)
    assert [due(growing, tries) - MIDNIGHT for tries in range(5)] == [10_000, 20_000, 40_000, 60_000, 60_000]


@given(st.integers(0, 40), st.integers(0, 2**32))
def test_jitter_stays_below_the_cap(tries, seed):
    strategy = Strategy(backoff=Exponential(base_s=1, cap_s=30, jitter="full"), tries_max=100)
    found = strategy.due_ms(tries, now_ms=MIDNIGHT, failed_ms=0, chance=random.Random(seed))
    assert MIDNIGHT <= found <= MIDNIGHT + 30_000


@pytest.mark.parametrize("most", [0, 1, 5])
def test_so_many_tries_and_no_more(most):
    strategy = Strategy(tries_max=most)
    assert [due(strategy, tries) is None for tries in range(most + 2)] == [False] * most + [True] * 2, (
        "guard: so many and no more")


def test_not_after_its_deadline():
    strategy = Strategy(backoff=Fixed(60), until_s=3600)
    assert due(strategy, failed_ms=MIDNIGHT - 3_540_000) == MIDNIGHT + 60_000
    assert due(strategy, failed_ms=MIDNIGHT - 3_541_000) is None, "guard: not after the deadline"
    assert due(Strategy(backoff=Fixed(60), until_ms=MIDNIGHT + 59_999)) is None


def test_at_times_of_the_day_and_at_an_instant():
    daily = of_file(strategy="daily", at=["15:30", "03:00"])
    assert due(daily) == MIDNIGHT + 3 * 3_600_000
    assert due(daily, now_ms=MIDNIGHT + 3 * 3_600_000) == MIDNIGHT + 15 * 3_600_000 + 1_800_000, "it has begun"
    assert due(daily, now_ms=MIDNIGHT + 16 * 3_600_000) == MIDNIGHT + DAY_MS + 3 * 3_600_000
    at = of_file(strategy="at", at="2026-11-26T08:00:00Z")
    assert due(at) == MIDNIGHT + 8 * 3_600_000
    assert due(at, now_ms=MIDNIGHT + DAY_MS) == MIDNIGHT + DAY_MS


def test_a_file_says_until_when():
    assert of_file(until="6h").until_s == 21_600
    assert of_file(until="2026-11-26T08:00:00Z").until_ms == MIDNIGHT + 8 * 3_600_000
    assert str(of_file(max=3)) == "exponential, 3 at most"
