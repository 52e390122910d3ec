# SPDX-License-Identifier: Apache-2.0
"""The rules by which worker ids and windows are given: no two owners ever have a moment of one id in common."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import IdError, IdsRefused, WorkerIdsExhausted, WorkerIdTaken
from holdfast.ids.scheme import Owner
from holdfast.ids.term import Window
from holdfast.ids.windows import Record, StoreTime, chosen, refuse_behind, window_behind

WORKERS = 3
steps = st.lists(st.one_of(
    st.tuples(st.just("claim"), st.integers(0, 5), st.one_of(st.none(), st.integers(0, WORKERS - 1))),
    st.tuples(st.just("end"), st.integers(0, 5), st.integers(-50, 300)),
    st.tuples(st.just("clock"), st.integers(-5000, 5000), st.none()),
), max_size=60)


class Store:
    """Keeps records as every scheme does, over a clock that a test steps."""

    def __init__(self):
        self.clock_ms, self.time, self.records, self.holds = 1_000_000, StoreTime(), {}, 0
        self.given = defaultdict(list)

    def now(self):
        self.time = self.time.at(self.clock_ms)
        return self.time.latest_ms

    def claim(self, name, wanted):
        self.holds += 1
        owner = Owner(f"hold-{self.holds}", f"pod-{name}", wanted)
        now = self.now()
        worker = chosen(list(self.records.values()), owner, now, WORKERS, "pool")
        window = window_behind(self.records.get(worker), now, 100)
        self.records[worker] = Record(worker, owner.id, owner.name, window)
        self.given[worker].append(window)

    def end(self, worker, last_ms):
        """Given back with its last id, wherever in its window that was."""
        record = self.records[worker]
        last = max(record.window.first_ms - 1, min(record.window.first_ms + last_ms, record.window.last_ms))
        self.records[worker] = Record(worker, "", record.name, Window(record.window.first_ms, last))
        self.given[worker][-1] = Window(record.window.first_ms, last)


@settings(max_examples=400)
@given(steps)
def test_no_two_holds_of_one_id_have_a_moment_in_common_whatever_the_clock_does(walk):
    store = Store()
    for step, one, other in walk:
        if step == "clock":
            store.clock_ms += one
        elif step == "claim":
            try:
                store.claim(one, other)
            except IdError:
                live = [record for record in store.records.values() if record.live(store.now())]
                assert len(live) == WORKERS or any(record.worker == other for record in live)
        elif one in store.records and store.records[one].owner:
            store.end(one, other)
    for windows in store.given.values():
        for before, after in itertools.pairwise(windows):
            assert after.first_ms > before.last_ms, "guard: behind the last one"


@given(st.lists(st.integers(-10_000, 10_000), max_size=50))
def test_a_stores_time_never_goes_back_and_passes_as_its_clock_does(moves):
    time, clock, told = StoreTime(), 1_000_000, 0
    for move in moves:
        clock += move
        time = time.at(clock)
        assert time.latest_ms >= told, "guard: an offset that only grows"
        told = time.latest_ms
    later = time.at(clock + 500)
    assert later.latest_ms - time.latest_ms == 500 or not moves, "no window is empty behind a step"


def test_what_is_taken_and_what_is_exhausted_is_said():
    live = [Record(n, f"hold-{n}", f"pod-{n}", Window(0, 1000 + n)) for n in range(WORKERS)]
    with pytest.raises(WorkerIdsExhausted, match=r"all 3 worker ids of pool 'eu' are held; .* free in 500"):
        chosen(live, Owner("new", "pod"), 500, WORKERS, "eu")
    with pytest.raises(WorkerIdTaken, match="worker id 1 of pool 'eu' is held by 'pod-1' for another 501 ms"):
        chosen(live, Owner("new", "pod", 1), 500, WORKERS, "eu")
    assert chosen(live, Owner("hold-2", "pod-2"), 500, WORKERS, "eu") is live[2], "guard: asked again"
    assert chosen(live, Owner("new", "pod"), 1001, WORKERS, "eu") == 0
    assert chosen(live, Owner("new", "pod-1"), 1003, WORKERS, "eu") == 1
    assert chosen([], Owner("new", "pod"), 0, WORKERS, "eu") == 0


def test_who_came_too_late_takes_another_one_of_those_that_are_free():
    held = Record(0, "somebody", "pod-0", Window(1000, 2000))
    free = Record(1, "", "pod-9", Window(1000, 1200))
    asks = Owner("me", "pod-9")
    lots = [chosen([held, free], asks, 1500, 4, "pool", lot=lot) for lot in range(8)]
    assert lots[:3] == [1, 2, 3], "its own, and then those that nobody ever had"
    assert set(lots) == {1, 2, 3}


def held_until(*ends_ms):
    return [Record(n, f"hold-{n}", f"pod-{n}", Window(0, end)) for n, end in enumerate(ends_ms)]


def test_a_clock_that_most_others_are_far_ahead_of_is_refused():
    hour = 3_600_000
    with pytest.raises(IdsRefused, match="2 of the 3 worker ids of pool 'web' that are held end 3630 s from now"):
        refuse_behind(held_until(hour + 30_000, hour + 31_000, 20_000), 0, 60_000, "web")
    refuse_behind(held_until(hour, hour, hour), hour - 60_000, 60_000, "web")  # as far as is allowed


def test_a_long_window_is_not_a_clock_that_is_ahead():
    """Where it is kept when a window was given: a fleet goes back from windows of ten minutes to such of one."""
    long = [Record(n, f"hold-{n}", f"pod-{n}", Window(0, 600_000), at_ms=n) for n in range(3)]
    refuse_behind(long, 0, 60_000, "web")
    with pytest.raises(IdsRefused, match=r"3 of the 3 worker ids .* that are held were extended 61 s from now"):
        refuse_behind(long, -61_000, 60_000, "web")


def test_one_clock_that_is_ahead_keeps_nobody_away():
    hour = 3_600_000
    for ends in ((hour,), (hour, 30_000), (hour, hour, 30_000, 30_000), (hour, -5, -5)):
        refuse_behind(held_until(*ends), 0, 60_000, "web")
    refuse_behind([], 0, 60_000, "web")
