# SPDX-License-Identifier: Apache-2.0
"""How far a group has come in a partition: never past an unfinished message, and nothing that ended comes again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.brokers.kafka.progress import AHEAD_MAX, ROOM, Mark, Progress, read_mark
from holdfast.errors import SchemaTooNew

AHEAD = 50


@st.composite
def lives(draw):
    """Offsets with gaps, as transactions and compaction leave them, and in which order they end."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    base = draw(st.integers(0, 10**12))
    offsets = [base + sum(steps[:n]) for n in range(len(steps))]
    ended = draw(st.permutations(offsets))
    return base, offsets, ended[: draw(st.integers(0, len(ended)))]


def test_what_was_trimmed_before_it_was_read_is_counted_once_without_what_had_ended_ahead():
    p = Progress(10, None, AHEAD)
    for offset in (10, 11, 12):
        p.arrived(offset)
    p.finish([12])
    heir = Progress(*p.mark(), AHEAD)
    assert (heir.trimmed(9), heir.trimmed(15), heir.trimmed(15)) == (0, 4, 0)  # 10, 11, 13 and 14
    assert heir.arrived(15)
    assert heir.base == 15


def test_what_was_read_before_it_was_trimmed_is_open_still():
    p = Progress(10, None, AHEAD)
    p.arrived(10)
    assert p.trimmed(20) == 9
    assert (p.base, p.is_open(10)) == (10, True)
    p.finish([10])
    assert p.base == 20


@given(lives())
def test_it_never_commits_past_an_unfinished_one_and_what_ended_does_not_come_again(life):
    base, offsets, ended = life
    p = Progress(base, None, AHEAD)
    assert all(p.arrived(offset) for offset in offsets)
    for offset in ended:
        assert p.finish([offset]) == [offset]
        committed, metadata = p.mark()
        unfinished = [o for o in offsets if p.is_open(o)]
        assert committed <= min(unfinished, default=offsets[-1] + 1)
        assert len(metadata) <= ROOM
    committed, metadata = p.mark()
    heir = Progress(committed, metadata, AHEAD)
    again = [offset for offset in offsets if offset >= committed and heir.arrived(offset)]
    assert again == [offset for offset in offsets if offset not in ended]


@given(lives(), st.data())
def test_what_could_not_be_written_down_is_open_again_in_its_place(life, data):
    base, offsets, ended = life
    p = Progress(base, None, AHEAD)
    for offset in offsets:
        p.arrived(offset)
    p.finish(ended)
    back = data.draw(st.lists(st.sampled_from(ended), unique=True)) if ended else []
    p.unfinish(back)
    still = [o for o in offsets if o not in ended or o in back]
    assert p.base == (still[0] if still else offsets[-1] + 1)
    assert [o for o in offsets if p.is_open(o)] == still


def test_a_record_that_comes_twice_is_told_once():
    p = Progress(5, None, AHEAD)
    assert p.arrived(5)
    assert not p.arrived(5)
    assert not p.arrived(4)


def test_the_base_of_a_partition_without_messages_is_where_it_began():
    assert Progress(7, None, AHEAD).mark()[0] == 7


def test_the_widest_span_fits_the_metadata():
    p = Progress(0, None, AHEAD_MAX)
    for offset in range(AHEAD_MAX + 2_500):  # what is on its way when reading pauses comes on top
        p.arrived(offset)
    p.finish(range(1, AHEAD_MAX + 2_500))
    committed, metadata = p.mark()
    assert committed == 0
    assert len(metadata) <= ROOM


def test_traces_that_do_not_fit_are_dropped_and_what_is_done_is_not():
    p = Progress(0, None, AHEAD_MAX)
    for offset in range(1_000):
        p.arrived(offset)
        p.trace(offset).attempts = 3
    p.finish(range(500, 1_000))
    _, metadata = p.mark()
    assert len(metadata) <= ROOM
    heir = Progress(0, metadata, AHEAD_MAX)
    assert heir.traces[0].attempts == 3
    assert not heir.arrived(999)


@pytest.mark.parametrize("metadata", ["", None, "somebody's", "{", "[1]", '{"v":1,"d":"***"}'])
def test_metadata_of_somebody_else_is_no_mark(metadata):
    p = Progress(3, metadata, AHEAD)
    assert p.arrived(3)
    assert p.arrived(4)


def test_a_later_format_is_refused():
    with pytest.raises(SchemaTooNew):
        read_mark('{"v":2}')


# -- crashes ---------------------------------------------------------------------------------------------------------


def died(p: Progress) -> Progress:
    """Whoever takes over from an owner that wrote this down last."""
    return Progress(*p.mark(), AHEAD)


def test_from_the_second_take_over_on_what_could_have_been_in_hand_is_suspected():
    first = died(Progress(0, None, AHEAD))
    assert not first.suspect(0)
    second = died(first)
    assert second.suspect(0)
    assert second.suspect(AHEAD - 1)
    assert not second.suspect(AHEAD + 1)


def test_a_suspect_that_had_started_is_charged_and_nobody_else():
    p = died(died(Progress(0, None, AHEAD)))
    p.arrived(0)
    p.arrived(1)
    p.started(1)
    heir = died(p)
    assert {offset: trace.crashes for offset, trace in heir.traces.items()} == {1: 1}
    heir.arrived(0)
    heir.arrived(1)
    heir.started(1)
    assert died(heir).traces[1].crashes == 2


def test_one_that_ended_after_its_start_is_charged_nothing():
    p = died(died(Progress(0, None, AHEAD)))
    p.arrived(0)
    p.started(0)
    p.finish([0])
    assert not died(p).traces


def test_a_suspicion_ends_where_the_base_has_passed_it():
    p = died(died(Progress(0, None, AHEAD)))
    for offset in range(2 * AHEAD):
        p.arrived(offset)
    p.finish(range(2 * AHEAD))
    p.mark()
    assert p.takeovers == 0
    assert not p.suspect(2 * AHEAD)


def test_who_left_in_good_order_leaves_no_suspicion():
    p = Progress(0, None, AHEAD)
    for _ in range(5):
        p = Progress(*p.mark(clean=True), AHEAD)
    assert p.takeovers == 0


def test_a_mark_says_what_it_has_to_and_no_more():
    p = Progress(0, None, AHEAD)
    assert p.mark() == (0, "{}")
    assert read_mark("{}") == Mark()
