# SPDX-License-Identifier: Apache-2.0
"""What the bits of an id mean, and for how long they last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.ids.layout import DEFAULT, LAYOUTS, Layout, layout_called

NOW = 1_795_000_000_000  # in November 2026
layouts = st.sampled_from(list(LAYOUTS.values()))


@given(layouts, st.data())
def test_what_is_read_is_what_was_written(layout, data):
    unit = data.draw(st.integers(0, (1 << layout.time_bits) - 1))
    worker = data.draw(st.integers(0, layout.workers - 1))
    sequence = data.draw(st.integers(0, layout.sequences - 1))
    read = layout.decode(layout.encode(unit, worker, sequence))
    assert (layout.unit_of(read.timestamp_ms), read.worker, read.sequence) == (unit, worker, sequence)
    assert 0 <= layout.encode(unit, worker, sequence) < 1 << 63, "positive where 64 bits have a sign"


@given(layouts, st.data())
def test_ids_sort_by_time_and_a_part_never_runs_into_its_neighbour(layout, data):
    earlier, later = sorted(data.draw(st.lists(st.integers(0, (1 << layout.time_bits) - 1), min_size=2, max_size=2,
                                               unique=True)))
    most = layout.encode(earlier, layout.workers - 1, layout.sequences - 1)
    assert most < layout.encode(later, 0, 0)
    for parts in ((1 << layout.time_bits, 0, 0), (0, layout.workers, 0), (0, 0, layout.sequences), (-1, 0, 0)):
        with pytest.raises(ValueError, match="has no id for"):
            layout.encode(*parts)


def test_known_ids_of_others_are_read_as_they_read_them():
    # The id of a post of 2022 that its maker documents: https://en.wikipedia.org/wiki/Snowflake_ID
    read = LAYOUTS["twitter"].decode(1541815603606036480)
    assert (read.timestamp_ms, read.worker, read.sequence, read.datacenter) == (1656432460105, 378, 0, 11)
    sony = LAYOUTS["sonyflake"]
    assert sony.encode(1, 0xABCD, 0x12) == 1 << 24 | 0x12 << 16 | 0xABCD
    assert LAYOUTS["instagram"].encode(1, 0, 0) == 1 << 23
    assert LAYOUTS["tsid"].encode(1, 0, 0) == 1 << 22
    assert LAYOUTS["javascript"].bits == 53


def test_a_layout_says_how_long_it_lasts_and_does_not_begin_behind_its_end():
    ended = Layout("uid", 28, 22, 13, unit_ms=1000, epoch_ms=1_463_673_600_000)  # 2016-05-20: over in November 2024
    assert ended.years_left(NOW) < 0
    with pytest.raises(ConfigurationError, match=r"has -1\.99 years left: take a later epoch"):
        ended.check(NOW)
    with pytest.raises(ConfigurationError, match="begins in the future"):
        DEFAULT.check(DEFAULT.epoch_ms - 1)
    for layout in LAYOUTS.values():
        layout.check(NOW, years_min=15)
    assert 66 < DEFAULT.years_left(NOW) < 70
    ended.beginning(NOW - 1).check(NOW, years_min=8)


@pytest.mark.parametrize("parts", [(64, 1, 1), (41, 0, 12), (41, 10, 13), (-1, 32, 32)])
def test_a_layout_that_cannot_be_is_refused(parts):
    with pytest.raises(ConfigurationError, match="every part needs a bit, and all together 63"):
        Layout("odd", *parts)


def test_settings_that_cannot_be_are_refused():
    for how in ({"unit_ms": 0}, {"epoch_ms": -1}, {"datacenter_bits": 10}):
        with pytest.raises(ConfigurationError, match="a unit is 1 ms or more"):
            Layout("odd", 41, 10, 12, **how)
    with pytest.raises(ConfigurationError, match="no layout is called 'snow': one of snowflake, "):
        layout_called("snow")
    with pytest.raises(ValueError, match="it has 63 bits and no sign"):
        DEFAULT.decode(-1)
