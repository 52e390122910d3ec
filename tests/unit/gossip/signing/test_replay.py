# SPDX-License-Identifier: Apache-2.0
"""No message counts twice, whatever is dropped to keep the memory of them small."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.signing.replay import REACH, Replays, Seen

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def seen(replays, origin=A, epoch=1, sequence=1, time_ms=1000):
    """Asked, and marked when it is new."""
    found = replays.look(origin, epoch, sequence, time_ms)
    if found is Seen.NEW:
        replays.mark(origin, epoch, sequence, time_ms)
    return found


def test_a_number_counts_once():
    replays = Replays()
    assert [seen(replays, sequence=number) for number in (1, 1, 3, 2, 3, 2, 1)] == [
        Seen.NEW, Seen.AGAIN, Seen.NEW, Seen.NEW, Seen.AGAIN, Seen.AGAIN, Seen.AGAIN]


def test_numbers_of_other_origins_and_epochs_are_other_numbers():
    replays = Replays()
    assert {seen(replays, origin, epoch) for origin in (A, B) for epoch in (1, 2)} == {Seen.NEW}


def test_looking_changes_nothing():
    replays = Replays()
    assert replays.look(A, 1, 1, 1000) is replays.look(A, 1, 1, 1000) is Seen.NEW
    assert not len(replays)


def test_what_is_behind_the_window_is_refused():
    replays = Replays()
    seen(replays, sequence=REACH + 5)
    assert seen(replays, sequence=5) is Seen.BEHIND
    assert [seen(replays, sequence=6), seen(replays, sequence=6)] == [Seen.NEW, Seen.AGAIN]


def test_a_leap_beyond_the_window_forgets_no_number_that_is_in_reach():
    replays = Replays()
    for number in (1, 2, REACH * 10, REACH * 10 + 1):
        seen(replays, sequence=number)
    assert seen(replays, sequence=REACH * 10) is Seen.AGAIN
    assert seen(replays, sequence=2) is Seen.BEHIND
    replays = Replays()
    seen(replays, sequence=1)
    seen(replays, sequence=REACH)
    assert seen(replays, sequence=1) is Seen.AGAIN
    seen(replays, sequence=REACH + 1)
    assert seen(replays, sequence=1) is Seen.BEHIND


def test_an_evicted_origin_cannot_be_replayed():
    replays = Replays(origins_max=2)
    for number, origin in enumerate((A, B, C)):
        assert seen(replays, origin, time_ms=1000 + number) is Seen.NEW
    assert len(replays) == 2
    assert seen(replays, A, time_ms=1000) is Seen.BEHIND
    assert seen(replays, A, sequence=2, time_ms=1001) is Seen.NEW, "what it says later is heard"


def test_an_evicted_epoch_cannot_be_replayed_and_costs_only_its_own_origin():
    replays = Replays(epochs_max=2)
    seen(replays, B, time_ms=500)
    for epoch in (1, 2, 3):
        assert seen(replays, A, epoch, time_ms=1000 + epoch) is Seen.NEW
    assert seen(replays, A, 1, time_ms=1001) is Seen.BEHIND
    assert seen(replays, A, 4, time_ms=1001) is Seen.BEHIND
    assert seen(replays, B, 9, time_ms=501) is Seen.NEW
    assert seen(replays, C, 9, time_ms=501) is Seen.NEW


def test_the_floor_of_an_evicted_epoch_outlives_its_origin():
    replays = Replays(origins_max=1, epochs_max=1)
    seen(replays, A, 1, time_ms=2000)
    seen(replays, A, 2, time_ms=2001)
    seen(replays, B, 1, time_ms=2002)
    assert seen(replays, A, 1, time_ms=2000) is seen(replays, A, 2, time_ms=2001) is Seen.BEHIND


def test_a_new_start_refuses_what_an_earlier_life_may_have_seen():
    replays = Replays(floor_ms=1000)
    assert seen(replays, time_ms=1000) is Seen.BEHIND
    assert seen(replays, time_ms=1001) is Seen.NEW
    assert seen(replays, sequence=2, time_ms=999) is Seen.BEHIND, "its window holds nothing of before"


def test_an_epoch_that_gets_a_window_again_does_not_take_what_its_first_one_saw():
    replays = Replays(epochs_max=1)
    seen(replays, epoch=1, sequence=1, time_ms=1000)
    seen(replays, epoch=2, sequence=1, time_ms=1000)
    assert seen(replays, epoch=1, sequence=2, time_ms=1001) is Seen.NEW
    assert seen(replays, epoch=1, sequence=1, time_ms=1000) is Seen.BEHIND


messages = st.tuples(st.sampled_from([A, B, C, b"d" * 32]), st.integers(1, 4), st.integers(1, 6) | st.integers(1, 3000),
                     st.integers(0, 30))


@settings(max_examples=300, deadline=None)
@given(st.lists(messages, max_size=60), st.integers(1, 3), st.integers(1, 3))
def test_nothing_counts_twice_in_any_order_at_any_size(arriving, origins_max, epochs_max):
    """A message is its origin, epoch and number; its time is signed with it, so it never changes."""
    replays, counted, times = Replays(origins_max=origins_max, epochs_max=epochs_max), set(), {}
    for origin, epoch, sequence, drawn_ms in arriving + arriving:
        key = origin, epoch, sequence
        if seen(replays, *key, times.setdefault(key, drawn_ms)) is Seen.NEW:
            assert key not in counted
            counted.add(key)
        assert len(replays) <= origins_max
