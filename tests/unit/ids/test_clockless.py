# SPDX-License-Identifier: Apache-2.0
"""Windows where the store has no clock: whatever anybody's clock says, those of one worker id are apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import IdsRefused, ServerRefused, WorkerIdsExhausted, WorkerIdTaken
from holdfast.ids.clockless import Asked, HoldTime, Pool, claimed, from_bytes, given_back, renewed, to_bytes
from holdfast.ids.scheme import Owner
from holdfast.ids.term import Window
from holdfast.ids.windows import Record
from holdfast.testing import ManualClock

HOUR = 3_600_000
NOW = 10 * HOUR
POOL = Pool("web", 4, 30_000)
ANY = Pool("web", 2, 24 * HOUR)


def asked(name, *, now_ms=NOW, wanted=None, lot=0):
    return Asked(Owner(f"hold-{name}", name, wanted), now_ms, 30_000, lot)


def record(worker, name, *, at_ms=NOW, last_ms=None, held=True):
    return Record(worker, f"hold-{name}" if held else "", name, Window(0, last_ms or at_ms + 30_000), at_ms)


steps = st.lists(st.tuples(st.sampled_from(["claim", "renew", "end", "die"]), st.integers(0, 5),
                           st.integers(-HOUR, HOUR), st.integers(1, 60_000)), max_size=60)


@given(steps)
def test_windows_of_one_id_are_apart_by_clocks_that_differ_by_two_hours(script):
    records, holds, alive, windows = {}, {}, set(), []
    for n, (what, who, skew_ms, span_ms) in enumerate(script):
        now_ms = NOW + n * 1000 + skew_ms
        mine = holds.get(who)
        if what == "claim" and mine is None:
            owner = Owner(f"{who}-{n}", f"pod-{who}")
            try:
                made = claimed(list(records.values()), alive, ANY, Asked(owner, now_ms, span_ms))
            except (WorkerIdsExhausted, IdsRefused):
                continue
            records[made.worker] = holds[who] = made
            alive.add(made.owner)
        elif mine is not None and what == "renew":
            records[mine.worker] = holds[who] = renewed(mine, now_ms, span_ms)
            assert holds[who].window.last_ms >= mine.window.last_ms, "guard: what was told is not taken back"
        elif mine is not None:
            if what == "end":
                mine = given_back(mine, now_ms, mine.window.first_ms + min(span_ms, 5))
                records[mine.worker] = mine
            alive.discard(holds.pop(who).owner)
            windows.append((mine.worker, mine.window))
    windows += [(each.worker, each.window) for each in holds.values()]
    for (worker, window), (other, later) in itertools.combinations(windows, 2):
        if worker == other:
            first, second = sorted((window, later), key=lambda each: each.first_ms)
            assert first.last_ms < second.first_ms, "guard: behind the last one"


def test_a_clock_that_is_ahead_takes_nothing_from_who_lives_and_all_from_who_is_dead():
    there = [record(n, f"pod-{n}") for n in range(4)]
    ahead = asked("new", now_ms=NOW + HOUR)
    with pytest.raises(WorkerIdsExhausted, match=r"the first one is free in 0 ms"):
        claimed(there, {each.owner for each in there}, POOL, ahead)
    with pytest.raises(WorkerIdTaken, match="worker id 2 of pool 'web' is held by 'pod-2'"):
        claimed(there, {each.owner for each in there}, POOL, asked("copy", now_ms=NOW + HOUR, wanted=2))
    free = claimed(there, {each.owner for each in there if each.worker != 2}, POOL, asked("new"))
    assert (free.worker, free.window.first_ms) == (2, NOW + 30_001), "guard: a session, not a clock, says who holds it"


def test_asked_again_the_same_record_comes_back_and_after_the_session_another_window():
    mine = record(3, "me")
    assert claimed([mine], {mine.owner}, POOL, asked("me", now_ms=NOW - HOUR)) is mine, "guard: asked again"
    anew = claimed([mine], set(), POOL, asked("me"))
    assert (anew.worker, anew.window.first_ms) == (3, mine.window.last_ms + 1), "its name's, behind its last window"


def test_a_clock_far_behind_the_last_holders_is_refused_where_that_id_is_wanted_or_the_only_one():
    last = record(1, "before", at_ms=NOW + HOUR, held=False)
    with pytest.raises(IdsRefused, match=r"the clock of 'before', .* was 3600 s ahead of this") as refused:
        claimed([last], set(), POOL, asked("me", wanted=1))
    assert refused.value.why == "clock", "guard: nobody waits for as long as a clock is wrong"
    with pytest.raises(IdsRefused):
        claimed([record(0, "before", at_ms=NOW + HOUR, held=False)], set(), Pool("web", 1, 30_000), asked("me"))
    near = claimed([record(1, "before", at_ms=NOW + 29_000, held=False)], set(), POOL, asked("me", wanted=1))
    assert near.window.first_ms == NOW + 59_001


def test_a_clock_far_behind_those_of_most_holders_is_refused_and_one_rogue_keeps_nobody_away():
    there = [record(n, f"pod-{n}") for n in range(3)]
    alive = {each.owner for each in there}
    with pytest.raises(IdsRefused, match="3 of the 3 worker ids of pool 'web'"):
        claimed(there, alive, POOL, asked("late", now_ms=NOW - HOUR))
    rogue = [there[0], there[1], record(2, "rogue", at_ms=NOW + HOUR)]
    assert claimed(rogue, {each.owner for each in rogue}, POOL, asked("new")).worker == 3
    assert claimed(there, set(), POOL, asked("late", now_ms=NOW - HOUR)).worker == 3, "the dead contradict nobody"


def test_a_window_far_ahead_is_not_taken_while_there_is_something_better():
    """Not by its name, and not by a lot."""
    ahead = record(0, "me", at_ms=NOW + HOUR, held=False)
    assert claimed([ahead], set(), POOL, asked("me")).worker == 1
    full = [ahead, *(record(n, f"pod-{n}", held=False) for n in (1, 2, 3))]
    for lot in range(8):
        assert claimed(full, set(), POOL, asked("new", lot=lot)).worker != 0


def test_a_long_window_of_a_dead_one_is_no_wrong_clock():
    last = record(0, "before", at_ms=NOW - 1000, last_ms=NOW + HOUR)
    assert claimed([last], set(), POOL, asked("me", wanted=0)).window.first_ms == NOW + HOUR + 1


def test_a_hold_counts_its_time_from_the_claim_whatever_the_wall_clock_does():
    clock = ManualClock()
    time = HoldTime(clock)
    began = time.now_ms()
    clock.advance(10)
    for step_ms in (-HOUR, 2 * HOUR):
        clock.step_wall(step_ms)
        assert time.now_ms() == began + 10_000, "guard: a clock that is set changes nothing"


def test_given_back_it_ends_with_the_last_id_and_never_before_it_began():
    mine = Record(0, "hold", "me", Window(1000, 9000), 1000)
    assert given_back(mine, 5000, 4200) == Record(0, "", "me", Window(1000, 4200), 5000)
    assert given_back(mine, 5000, 0).window.last_ms == 999


def test_what_is_written_is_read_and_what_cannot_be_read_is_not_free():
    mine = record(7, "pod-ä")
    assert from_bytes(7, to_bytes(mine), "x") == mine
    for raw in (b"", b"{}", b"[1]", b"\xff"):
        with pytest.raises(ServerRefused, match="what lies at ids/web/record/7 is no record of worker id 7"):
            from_bytes(7, raw, "ids/web/record/7")
