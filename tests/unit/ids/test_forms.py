# SPDX-License-Identifier: Apache-2.0
"""Ids as text: every form says the same number, and sorts as the numbers do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.ids.forms import FORMS, friendly, from_friendly
from holdfast.ids.layout import LAYOUTS
from holdfast.ids.obscure import Obscurer

ids = st.integers(0, (1 << 63) - 1)
forms = st.sampled_from(list(FORMS.values()))


@given(forms, ids, ids)
def test_a_form_says_the_number_and_sorts_as_numbers_do(form, one, other):
    assert form.number(form.text(one)) == one
    assert (form.text(one) < form.text(other)) == (one < other)
    assert len(form.text(one)) == form.width(63)


def test_widths_are_the_shortest_there_are():
    assert {name: form.width(63) for name, form in FORMS.items()} == {
        "base32": 13, "base36": 13, "base58": 11, "base62": 11}
    assert FORMS["base32"].width(53) == 11


def test_what_people_type_wrong_is_read_right_and_the_rest_is_refused():
    base32 = FORMS["base32"]
    text = base32.text(1234567890123456789)
    assert base32.number(text.lower()) == 1234567890123456789
    assert base32.number("0000000000OIL") == base32.number("0000000000011")
    with pytest.raises(ValueError, match="'U' is none of its digits"):
        base32.number("000000000000U")
    for wrong in (text[1:], text + "0", "Z" * 13):
        with pytest.raises(ValueError, match="13 digits and 63 bits are wanted"):
            base32.number(wrong)
    with pytest.raises(ValueError, match="does not fit 63 bits"):
        base32.text(1 << 63)


@given(st.sampled_from(list(LAYOUTS.values())), st.data())
def test_the_friendly_form_says_the_number_and_sorts_as_numbers_do(layout, data):
    units = st.integers(0, min((1 << layout.time_bits) - 1, 60 * 31_556_952_000 // layout.unit_ms))
    one, other = (layout.encode(data.draw(units), data.draw(st.integers(0, layout.workers - 1)),
                                data.draw(st.integers(0, layout.sequences - 1))) for _ in range(2))
    assert from_friendly(friendly(one, layout), layout) == one
    assert (friendly(one, layout) < friendly(other, layout)) == (one < other)


def test_no_date_and_no_other_layouts_text_is_read_as_an_id():
    layout = LAYOUTS["snowflake"]
    assert friendly(layout.encode(91_000_000_123, 42, 7), layout) == "20261119-054640.123-0042-0007"
    for wrong in ("20260230-000000.000-0042-0007", "20261119-054640.123-42-0007", "gestern"):
        with pytest.raises(ValueError, match=r"friendly|day is out of range|no id of layout"):
            from_friendly(wrong, layout)
    with pytest.raises(ValueError, match="no id"):
        from_friendly("20261119-054640.123-9999-0007", layout)


@given(st.integers(2, 64), st.data())
def test_obscuring_is_a_permutation(bits, data):
    obscurer = Obscurer(b"0123456789abcdef", bits)
    number = data.draw(st.integers(0, (1 << bits) - 1))
    public = obscurer.obscure(number)
    assert 0 <= public < 1 << bits
    assert obscurer.reveal(public) == number


def test_obscured_neighbours_are_far_apart_and_a_key_has_its_own():
    every = [Obscurer(b"0123456789abcdef", 10).obscure(n) for n in range(1024)]
    assert sorted(every) == list(range(1024))
    one, other = Obscurer(b"0123456789abcdef"), Obscurer(b"0123456789abcdeF")
    images = [one.obscure(n) for n in range(1000)]
    rising = sum(a < b for a, b in itertools.pairwise(images))
    assert 430 < rising < 570, "order does not show"
    assert not set(images) & {other.obscure(n) for n in range(1000)}
    assert one.obscure(1) == 6538080274119245872, "an image is for ever: it is in somebody's bookmarks"
    with pytest.raises(ConfigurationError, match="16 bytes or more"):
        Obscurer(b"short")
    with pytest.raises(ValueError, match="does not fit 63 bits"):
        one.reveal(1 << 63)
