# SPDX-License-Identifier: Apache-2.0
"""What is due is rotated, and what was left open is gone on with."""

from __future__ import annotations

import threading

import pytest

from holdfast._base.events import Events
from holdfast._base.secret import Secret
from holdfast.errors import RotationFailed
from holdfast.secrets.rotation import Stage
from holdfast.secrets.rotation.keeper import Keeper
from holdfast.secrets.rotation.schedule import DAY_S, Schedule
from holdfast.testing import points, wait_until
from tests.support.rotating import World

NAME = World.NAME


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "register")
    yield world
    points.disarm()
    world.close()


@pytest.fixture
def made(world):
    def make(**how):
        rotations = {NAME: (world.rotation(**how), Schedule(age_s=DAY_S, jitter=0.0))}
        return Keeper(world.store, rotations, told=reports.append, clock=world.clock)

    reports = []
    make.reports = reports
    return make


def test_it_rotates_at_the_age_and_then_waits_for_the_next(world, made):
    keeper = made()
    for _ in range(7 * 4):
        world.clock.advance(DAY_S / 4)
        keeper.tend()
    assert [(report.after, report.finished) for report in made.reports] == [(n, True) for n in range(2, 9)]


def test_it_says_when_the_next_is_due_and_how_long_it_is_overdue(world, made):
    keeper = made()
    world.clock.advance(DAY_S / 2)
    (kept,) = keeper.inspect()
    assert (kept.begins_ms - world.clock.wall_ms(), kept.overdue_s) == (DAY_S * 500, 0.0)
    world.clock.advance(DAY_S)
    (kept,) = keeper.inspect()
    assert (kept.begins_ms, kept.overdue_s) == (world.clock.wall_ms(), DAY_S / 2)


def test_what_another_left_open_is_gone_on_with(world, made):
    class Died(BaseException):
        pass

    def die():
        raise Died

    points.call_at("rotation.promote.after", die)
    with pytest.raises(Died):
        world.rotation().rotate(NAME)
    made().tend()
    assert [(report.stage, report.after) for report in made.reports] == [(Stage.FINISHED, 2)]


def test_a_straggler_does_not_stop_it_for_good(world, made):
    world.uses("web-1", 1, lease_s=DAY_S * 2)
    keeper = made()
    world.clock.advance(DAY_S)
    keeper.tend()
    assert made.reports[-1].stragglers == ("web-1",)
    world.uses("web-1", 2)
    keeper.tend()
    assert made.reports[-1].finished


def test_what_fails_is_tried_again_later_and_less_often(world, made):
    keeper, waits = made(), []
    world.clock.advance(DAY_S)
    world.service.failing["test"] = [RotationFailed("no")] * 5
    while not made.reports:
        keeper.tend()
        tried = keeper.inspect()[0].failures
        since = world.clock.now()
        while not made.reports and keeper.inspect()[0].failures == tried:
            world.clock.advance(30)
            keeper.tend()
        waits.append(world.clock.now() - since)
    assert waits == [60, 120, 240, 480, 960]
    assert keeper.inspect()[0].failures == 0


def test_one_that_fails_does_not_hold_up_the_others(world):
    other = "db/other"
    world.store.put(other, world.store.get(NAME).value)
    schedule, finished = Schedule(age_s=DAY_S), []
    keeper = Keeper(world.store, {"db/gone": (world.rotation(), schedule), other: (world.rotation(), schedule)},
                    told=finished.append, clock=world.clock)
    world.clock.advance(DAY_S)
    keeper.tend()
    assert [report.name for report in finished] == [other]


def test_it_runs_until_it_is_told_to_end(world, made):
    keeper, ending = made(), threading.Event()
    world.clock.advance(DAY_S)
    thread = threading.Thread(target=keeper.run, args=(ending,), kwargs={"every_s": 0.01})
    thread.start()
    wait_until(lambda: made.reports, 5, "it rotates")
    ending.set()
    thread.join(5)
    assert not thread.is_alive()


def test_of_rotations_that_wait_the_worst_is_told_whichever_is_tended_last(world):
    told = []
    for name in ("a", "z"):
        world.store.put(name, Secret(b"planted"))
    for who in ("web-1", "web-2"):
        world.uses(who, 1, lease_s=DAY_S * 2)
    rotations = {name: (world.rotation(), Schedule(age_s=DAY_S)) for name in ("a", NAME, "z")}
    keeper = Keeper(world.store, rotations, clock=world.clock, events=Events(told.append))
    keeper.tend()
    assert told == []  # nothing was rotated yet
    world.clock.advance(DAY_S)
    keeper.tend()
    assert [(one.secret, one.live, one.behind) for one in told] == [(NAME, 2, 2)]
    world.uses("web-1", 2), world.uses("web-2", 2)
    keeper.tend()
    assert told[-1].behind == 0
