# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consume.backoff import Backoff, Exponential, Fixed, Immediate, Linear, Schedule
from holdfast.errors import ConfigurationError

seconds = st.floats(0, 1e6, allow_nan=False)
attempts = st.integers(1, 10_000)


class Given:
    """A chance that always says the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value

    def getrandbits(self, k: int, /) -> int:
        return 0


def delays(backoff: Backoff, count: int, chance: float = 0.5) -> list[float]:
    return [backoff.delay_s(n, Given(chance)) for n in range(1, count + 1)]


@pytest.mark.parametrize(("backoff", "expected"), [
    (Immediate(), [0, 0, 0]),
    (Fixed(7), [7, 7, 7]),
    (Linear(10, cap_s=25), [10, 20, 25]),
    (Exponential(1, 5, jitter="none"), [1, 2, 4, 5, 5]),
    (Exponential(1, 100, factor=10, jitter="none"), [1, 10, 100, 100]),
    (Exponential(1, 5, jitter="full"), [0.5, 1, 2, 2.5]),
    (Exponential(1, 5, jitter="equal"), [0.75, 1.5, 3, 3.75]),
    (Schedule((1, 5, 30)), [1, 5, 30, 30]),
])
def test_delays_grow_as_written(backoff, expected):
    assert delays(backoff, len(expected)) == pytest.approx(expected)


exponentials = st.builds(Exponential, seconds, seconds, st.floats(1, 100), st.sampled_from(["full", "equal", "none"]))


@given(exponentials, attempts, st.randoms())
def test_exponential_stays_between_nothing_and_its_cap(backoff, attempt, chance):
    assert 0 <= backoff.delay_s(attempt, chance) <= backoff.cap_s


def test_full_jitter_spreads_what_failed_together():
    chance = random.Random(7)
    got = sorted(Exponential(10, 10).delay_s(1, chance) for _ in range(1000))
    assert got[0] < 1
    assert got[-1] > 9
    assert 4 < sum(got) / 1000 < 6


def test_equal_jitter_never_falls_under_half():
    assert min(delays(Exponential(8, 8, jitter="equal"), 3, chance=0.0)) == 4


def test_an_attempt_far_beyond_any_float_gets_the_cap():
    assert Exponential(1, 60, jitter="none").delay_s(10**6, Given(0)) == 60


@pytest.mark.parametrize("make", [
    lambda: Fixed(-1), lambda: Fixed(float("inf")), lambda: Linear(float("nan")), lambda: Exponential(-1),
    lambda: Exponential(cap_s=-1), lambda: Exponential(factor=0.5), lambda: Exponential(jitter="some"),
    lambda: Schedule(()), lambda: Schedule((1, -2)),
])
def test_what_cannot_be_waited_for_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()
