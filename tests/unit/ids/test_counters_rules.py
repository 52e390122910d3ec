# SPDX-License-Identifier: Apache-2.0
"""How large the next segment is, when it is fetched, which ids are whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError, IdsRefused
from holdfast.ids.counters.rules import Sizes, pause_s
from holdfast.ids.counters.store import MOST, Share


@pytest.mark.parametrize(("lasted_s", "size"), [
    (None, 1_000), (1, 8_000), (899, 8_000), (900, 4_000), (1_800, 4_000), (1_801, 2_000), (86_400, 2_000)])
def test_a_segment_that_was_used_up_early_is_followed_by_a_larger_one(lasted_s, size):
    assert Sizes().next(4_000, lasted_s) == size


@given(st.integers(1, 50), st.integers(0, 10_000), st.lists(st.floats(0, 1e5), max_size=60))
def test_a_segment_is_never_beyond_its_bounds(minimum, more, lasted):
    sizes = Sizes(minimum, minimum + more)
    size = sizes.next(0, None)
    for seconds in lasted:
        size = sizes.next(size, seconds)
        assert minimum <= size <= minimum + more, "guard: bounds of a segment"


@given(st.floats(0.01, 1e6))
def test_at_any_steady_rate_a_segment_comes_to_last_between_its_bounds(rate):
    sizes = Sizes(1, 10**10)
    size = sizes.next(0, None)
    for _ in range(60):
        size = sizes.next(size, size / rate)
    assert size == 1 or sizes.short_s <= size / rate <= sizes.long_s


def test_the_next_one_is_fetched_when_a_tenth_is_used():
    assert not Sizes().is_low(901, 1_000)
    assert Sizes().is_low(900, 1_000)
    assert Sizes().is_low(0, 0), "there is none yet"
    assert Sizes(threshold=0).is_low(1_000, 1_000), "at once"


def test_pauses_grow_and_have_a_bound():
    assert pause_s(1, 0.0) == 0.05
    assert pause_s(3, 1.0) == 0.4
    assert pause_s(10**9, 1.0) == 2.0


@pytest.mark.parametrize("wrong", [
    {"minimum": 0}, {"minimum": 2, "maximum": 1}, {"short_s": 0}, {"short_s": 10, "long_s": 9}, {"threshold": 1.0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Sizes(**wrong)


TAKES = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 10**6), st.integers(1, 50)), max_size=30)


@given(st.integers(1, 7), TAKES)
def test_parts_have_no_id_in_common(parts, takes):
    of = {part: set() for part in range(parts)}
    for part, first, count in takes:
        of[part % parts].update(Share(part % parts, parts).ids(first, first + count - 1))
    assert sum(map(len, of.values())) == len(set().union(*of.values())), "guard: parts have no id in common"


def test_a_part_is_one_of_its_parts_and_ids_have_63_bits():
    for part, parts in ((1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ConfigurationError, match="numbered from 0"):
            Share(part, parts)
    assert list(Share(1, 2).ids(3, 4)) == [7, 9]
    assert Share().ids(MOST, MOST)[0] == MOST
    with pytest.raises(IdsRefused, match="no id below"):
        Share(1, 2).ids(1 << 62, 1 << 62)


def test_who_shares_a_tag_agrees_on_the_steps():
    Share(1, 2).agreed("orders", 1, 2)
    with pytest.raises(ConfigurationError, match="begun as part 0 of 2, not 1 of 2"):
        Share(1, 2).agreed("orders", 0, 2)
