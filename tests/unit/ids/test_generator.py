# SPDX-License-Identifier: Apache-2.0
"""A place that only moves on: no id twice, none outside of the window, none older or younger than is said."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from holdfast.errors import IdsRefused
from holdfast.ids import Generator, Pace, Window
from holdfast.ids.layout import DEFAULT, LAYOUTS
from holdfast.ids.term import Held

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
BEGIN = DEFAULT.epoch_ms + 90_000_000_000


class Hold:
    """A worker id whose time a test owns."""

    def __init__(self, worker=5, now_ms=BEGIN, first_ms=0, last_ms=1 << 62):
        self.worker, self.ms = worker, float(now_ms)
        self.window = Window(first_ms, last_ms)
        self.cause = ""
        self.slept = []
        self.makers = []

    @property
    def held(self):
        return Held(self.worker, self.window)

    def made_by(self, maker):
        self.makers.append(maker)

    def now_ms(self):
        return self.ms

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.ms += seconds * 1000


def generator(hold=None, layout=DEFAULT, **pace):
    hold = hold or Hold()
    return Generator(layout, hold, Pace(**pace), chance=random.Random(7), sleep=hold.sleep)


def times(layout, ids):
    return [layout.decode(made).timestamp_ms for made in ids]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=str)
def test_every_way_of_asking_moves_on_and_makes_no_id_twice(layout):
    hold = Hold(now_ms=layout.epoch_ms + 400_000_000_000)
    made = generator(hold, layout, ahead_ms=10_000_000)
    draw = made.bound()
    ids = []
    for n in range(200):
        ids += [draw(), made.next_id(), made.strict_id(), *made.next_ids(n)]
        hold.ms += n % 3
    assert len(ids) == len(set(ids))
    strict = [made.strict_id() for _ in range(10_000)]
    assert strict == sorted(set(strict))
    assert not set(strict) & set(ids)
    assert {layout.decode(one).worker for one in ids + strict} == {hold.worker}


def test_ids_of_one_thread_grow_whatever_the_clock_does():
    hold = Hold()
    made = generator(hold, ahead_ms=10_000_000, back_ms=10_000_000)
    draw, rng, ids = made.bound(), random.Random(3), []
    for _ in range(5000):
        hold.ms += rng.choice((-3000, -1, 0, 0, 0, 1, 2500))
        ids.append(draw())
    assert ids == sorted(set(ids)), "guard: it only moves on"


def test_a_clock_that_goes_back_is_waited_for_and_beyond_that_refused():
    hold = Hold()
    made = generator(hold, ahead_ms=0, back_ms=5000)
    first = made.strict_id()
    hold.ms -= 4000
    assert made.strict_id() > first
    assert sum(hold.slept) == pytest.approx(4.0, abs=0.1)
    hold.ms -= 5001
    with pytest.raises(IdsRefused, match="the time went back by 5001 ms, and 5000 are waited for"):
        made.strict_id()
    hold.ms += 5001
    assert made.strict_id() > first


def test_a_burst_runs_ahead_as_far_as_is_said_and_then_waits_or_is_refused():
    hold = Hold()
    made = generator(hold, ahead_ms=10)
    ids = made.next_ids(4096 * 40)
    assert max(times(DEFAULT, ids)) <= hold.ms + 10
    assert hold.ms - BEGIN == pytest.approx(30, abs=2)
    with pytest.raises(IdsRefused, match="ahead of the store's time, and 10 are allowed"):
        generator(ahead_ms=10, on_ahead="refuse").next_ids(4096 * 40)


def test_no_id_lies_outside_of_the_window():
    hold = Hold(first_ms=BEGIN + 50, last_ms=BEGIN + 99)
    made = generator(hold, ahead_ms=100)
    ids = []

    def on():
        ids.extend(made.strict_id() for _ in range(DEFAULT.sequences * 60))

    with pytest.raises(IdsRefused, match="its window has ended"):
        on()
    assert min(times(DEFAULT, ids)) >= BEGIN + 50, "the predecessor may have made what is before it"
    assert max(times(DEFAULT, ids)) == BEGIN + 99, "guard: not_after"
    assert hold.makers[0].last_ms() == BEGIN + 99
    hold.window = Window(BEGIN + 50, BEGIN + 200)
    hold.ms = BEGIN + 150.0
    assert times(DEFAULT, [made.strict_id()]) == [BEGIN + 150], "an extended window goes on"


def test_a_unit_that_is_longer_than_a_millisecond_lies_in_the_window_as_a_whole():
    layout = LAYOUTS["seconds"]
    begin = layout.epoch_ms + 90_000_000_000
    hold = Hold(now_ms=begin + 1500, first_ms=begin + 1500, last_ms=begin + 4500)
    made = generator(hold, layout, ahead_ms=10_000)
    assert times(layout, [made.strict_id()]) == [begin + 2000]
    hold.ms = begin + 4100.0
    with pytest.raises(IdsRefused, match="its window has ended"):
        made.strict_id()


def test_ids_at_a_low_rate_are_spread_over_shards():
    hold = Hold()
    made = generator(hold)
    shards = [0] * 16
    for _ in range(1600):
        hold.ms += 1000
        shards[made.strict_id() % 16] += 1
    assert min(shards) > 60, f"sequences that begin at 0 fill one shard: {shards}"


def test_what_lies_too_long_is_thrown_away():
    class Running(Hold):
        def now_ms(self):
            return time.time() * 1000

    made = Generator(DEFAULT, Running(), Pace(lag_ms=50))
    draw = made.bound()
    for _ in range(20_000):
        draw()  # fast enough for large blocks
    time.sleep(0.3)
    late = DEFAULT.decode(draw()).timestamp_ms
    assert time.time() * 1000 - late < 60, "guard: a block that lies too long is emptied"


def test_threads_draw_apart_and_each_one_grows():
    made = Generator(DEFAULT, Hold(), Pace(ahead_ms=10_000_000))
    found = [[] for _ in range(8)]

    def take(mine):
        draw = made.bound()
        for _ in range(20_000):
            mine.append(draw())
        for _ in range(2000):
            mine.append(made.next_id())

    threads = [threading.Thread(target=take, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [one for mine in found for one in mine]
    assert len(every) == len(set(every)) == 8 * 22_000
    assert all(mine[:20_000] == sorted(mine[:20_000]) for mine in found)


@FORKS
def test_a_forked_child_has_nothing_of_its_parents():
    made = Generator(DEFAULT, Hold(), Pace(ahead_ms=10_000_000))
    draw = made.bound()
    for _ in range(10_000):
        draw()  # a large block is half used
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            draw()
        except IdsRefused as refused:
            os.write(write, str(refused).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    assert b"made before a fork" in os.read(read, 1000), "guard: empties every block"
    os.close(read)
    draw()


@FORKS
def test_a_forked_child_can_have_a_worker_id_of_its_own():
    made = Generator(DEFAULT, Hold(), Pace(ahead_ms=10_000_000), again=lambda: Hold(worker=6))
    draw = made.bound()
    ids = {draw() for _ in range(10_000)}
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write, repr([draw(), made.next_id(), *made.next_ids(50)]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    theirs = eval(os.read(read, 10_000))
    os.close(read)
    assert {DEFAULT.decode(one).worker for one in theirs} == {6}
    assert not ids & set(theirs)
    assert DEFAULT.decode(draw()).worker == 5


def test_arrays_are_the_same_ids_in_bulk():
    np = pytest.importorskip("numpy")
    for layout in (DEFAULT, LAYOUTS["sonyflake"]):
        made = generator(Hold(now_ms=layout.epoch_ms + 400_000_000_000), layout, ahead_ms=1_000_000)
        ids = made.next_array(10_000)
        assert ids.dtype == np.int64
        assert len(np.unique(ids)) == 10_000
        assert (np.diff(ids) > 0).all()
        assert layout.decode(int(ids[-1])).worker == 5
        assert len(made.next_array(0)) == 0
