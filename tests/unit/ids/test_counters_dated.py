# SPDX-License-Identifier: Apache-2.0
"""Numbers that begin with a date: which ones may be given, and what they say."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.ids.counters.dated import DIGITS, TOTAL, Dated


def ms(*when: int) -> int:
    return int(dt.datetime(*when, tzinfo=dt.UTC).timestamp() * 1000)


@pytest.mark.parametrize(("unit", "base"), [
    ("month", 2026110000000000), ("day", 2026112600000000), ("hour", 2026112618000000), ("minute", 2026112618420000)])
def test_a_number_begins_with_the_date_of_utc(unit, base):
    dated = Dated(unit)
    span = dated.span(0, ms(2026, 11, 26, 18, 42, 59))
    assert span.base == base
    assert span.most == base + dated.room - 1
    assert dated.read(base + 42) == (str(base)[:DIGITS[unit]], 42)
    assert span.most < 2**53, "JavaScript can read it"


def test_a_date_goes_on_where_it_was_and_the_next_one_begins_anew():
    dated = Dated("day", 4)
    assert dated.span(202611260007, ms(2026, 11, 26, 23)).base == 202611260007
    assert dated.span(202611260007, ms(2026, 11, 27)).base == 202611270000


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 50)), max_size=40), st.sampled_from(list(DIGITS)))
def test_whatever_the_clock_does_no_number_is_given_twice(steps, unit):
    dated, last, numbers = Dated(unit, 3), 0, []
    for minutes, count in steps:
        span = dated.span(last, ms(2026, 11, 26) + minutes * 60_000)
        assert span.base >= last, "guard: never an earlier date than the newest one used"
        some = range(span.base + 1, min(span.base + count, span.most) + 1)
        numbers += some
        last = max(last, span.base, *some)
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("wrong", [{"unit": "year"}, {"width": 0}, {"width": 9}, {"unit": "minute", "width": 5}])
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Dated(**wrong)


@pytest.mark.parametrize("number", [0, 2026112600000000, 2026139900000001, 26112600000001])
def test_what_cannot_have_been_made_is_not_read(number):
    with pytest.raises(ValueError, match=r"."):
        Dated().read(number)


def test_all_units_come_to_the_same_length():
    assert {Dated(unit).digits + digits for unit, digits in DIGITS.items()} == {TOTAL}
