# SPDX-License-Identifier: Apache-2.0
"""The rules of a counter whose store may forget, in a world that forgets as much as it may."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ids.counters.ceiling import MOST, Asked, Record, Span, begun, opened, raised, taken

RESERVE = 10


@dataclass
class Master:
    """A server, what it has, all that it ever had, and how much of that its replica has confirmed."""

    server: str
    record: Record | None
    log: list[Record | None] = field(default_factory=list)
    confirmed: int = 0
    cut_off: bool = False

    def write(self, record: Record | None) -> None:
        self.record = record
        self.log.append(record)


class World:
    """One master, the ones before it that do not know that they are none, and clients of each.

    confirming: a ceiling is opened once the replica has it. floored: once a floor has it. Without either a failover
    loses what the world says.
    """

    def __init__(self, *, confirming: bool = False, floored: bool = False) -> None:
        self.confirming, self.floored = confirming, floored
        self.masters = [Master("s0", None, [None])]
        self.floor = 0
        self.given: list[int] = []
        self.seen = [0, 0, 0]
        self.epochs = 0
        self.waiting: list[tuple[Master, str, int]] = []

    def take(self, master: Master, client: int, count: int) -> None:
        """As a client does it; what it raised, and nobody has confirmed, waits."""
        span = Span(master.record.last if master.record else 0)
        new = taken(master.record, master.server, count, self.seen[client], span)
        if new is None:
            self.raise_(master, client, count)
            return
        numbers = range(span.base + 1, new.last + 1)
        self.given += numbers
        self.seen[client] = max(self.seen[client], new.last)
        master.write(new)

    def raise_(self, master: Master, client: int, count: int) -> None:
        self.epochs += 1
        asked = Asked(master.server, f"e{self.epochs}", count, RESERVE, self.seen[client],
                      floor=self.floor if self.floored else 0)
        found = begun(master.record, asked)
        new = raised(found, asked, Span(found.record.last)).record
        master.write(new)
        self.waiting.append((master, new.epoch, new.raised))

    def confirm(self, which: int) -> None:
        """The replica has all of it now, or the floor has; whoever waited opens."""
        if not self.waiting:
            return
        master, epoch, to = self.waiting.pop(which % len(self.waiting))
        if self.confirming:
            if master.cut_off:
                return  # nobody confirms
            master.confirmed = len(master.log)
        if self.floored:
            self.floor = max(self.floor, to)
        new = opened(master.record, epoch, to)
        if new is not None:
            master.write(new)

    def fail_over(self, back: int, cut_off: bool) -> None:
        """Another server takes over, with what the replica had: ``back`` writes are missing, never one confirmed."""
        old = self.masters[-1]
        kept = max(len(old.log) - back, old.confirmed, 1) if self.confirming else max(len(old.log) - back, 1)
        log = old.log[:kept]
        self.masters.append(Master(f"s{len(self.masters)}", log[-1], log, min(old.confirmed, kept)))
        old.cut_off = True
        if not cut_off:
            self.waiting = [(m, e, to) for m, e, to in self.waiting if m is not old]

    def forget(self) -> None:
        """FLUSHALL, by the same server."""
        self.masters[-1].write(None)


STEPS = st.lists(st.one_of(
    st.tuples(st.just("take"), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("take old"), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("confirm"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("fail over"), st.integers(0, 30), st.integers(0, 1)),
    st.tuples(st.just("forget"), st.just(0), st.just(0)),
    st.tuples(st.just("restart"), st.integers(0, 2), st.just(0)),
), max_size=60)


def live(world: World, steps, *, old: bool, forgets: bool) -> list[int]:
    for what, one, two in steps:
        match what:
            case "take":
                world.take(world.masters[-1], one, two)
            case "take old" if old and len(world.masters) > 1:
                world.take(world.masters[-2], one, two)
            case "confirm":
                world.confirm(one)
            case "fail over":
                world.fail_over(one, old)
            case "forget" if forgets:
                world.forget()
            case "restart":  # a client forgets what it has seen
                world.seen[one] = 0
    return world.given


@settings(max_examples=400)
@given(STEPS)
def test_with_confirmation_nothing_is_given_twice_even_by_two_masters(steps):
    given_ = live(World(confirming=True), steps, old=True, forgets=False)
    assert len(given_) == len(set(given_)), "guard: another server, and never beyond a safe ceiling"


@settings(max_examples=400)
@given(STEPS)
def test_with_a_floor_nothing_is_given_twice_whatever_is_lost(steps):
    given_ = live(World(floored=True), steps, old=False, forgets=True)
    assert len(given_) == len(set(given_)), "guard: what a floor has was given"


def test_without_either_it_is_given_twice_when_more_than_was_raised_is_lost():
    """The control: the world is able to show it."""
    world = World()
    for _ in range(3):
        world.take(world.masters[-1], 0, 4)
        world.confirm(0)
    world.fail_over(100, cut_off=False)
    world.seen = [0, 0, 0]
    for _ in range(2):
        world.take(world.masters[-1], 0, 4)
        world.confirm(0)
    assert len(world.given) > len(set(world.given))


def record(**how) -> Record:
    return replace(Record("here", "e1", 12, 20, 30), **how)


def test_where_it_goes_on_and_what_is_left_out():
    asked = Asked("here", "e2", 1, RESERVE, floor=0)
    assert begun(record(), asked).why == ""
    assert begun(record(), asked).record == record()
    other = begun(record(server="there"), asked)
    assert (other.record.last, other.record.ceiling, other.jumped, other.why) == (30, 30, 18, "server")
    assert begun(record(server="there"), replace(asked, spare=1)).record.last == 40
    assert begun(record(server="there"), replace(asked, floor=77)).record.last == 77
    behind = begun(record(), replace(asked, seen=13))
    assert (behind.record.last, behind.jumped, behind.why) == (30, 18, "behind"), "guard: a number that was seen"
    assert begun(record(), replace(asked, floor=31)).record.last == 31, "guard: what a floor has was given"
    new = begun(None, replace(asked, seen=5, floor=9))
    assert (new.record.last, new.jumped, new.why) == (9, 9, "new")


@pytest.mark.parametrize("there", [None, record(server="there"), record(last=3)])
def test_before_it_is_begun_anew_the_floor_is_asked(there):
    assert begun(there, Asked("here", "e2", 1, RESERVE, seen=12)) is None, "guard: a record that is gone asks the floor"


def test_another_server_leaves_out_no_more_than_the_date_has():
    asked = Asked("here", "e2", 1, RESERVE, floor=0, spare=1, room=100)
    assert begun(record(server="there", raised=95), asked).record.last == 99


def test_it_is_raised_by_a_reserve_or_twice_what_is_wanted_and_not_beyond_its_end():
    def to(count, span):
        asked = Asked("here", "e2", count, RESERVE, floor=0)
        return raised(begun(record(), asked), asked, span).record.raised

    assert to(1, Span(25)) == 35
    assert to(50, Span(25)) == 125
    assert to(1, Span(12)) == 30, "never lower than it was"
    assert to(50, Span(25, 99)) == 99
    assert to(50, Span(MOST - 1)) == MOST


def test_only_what_this_record_has_raised_is_opened():
    assert opened(record(), "e1", 30).ceiling == 30
    assert opened(record(), "e1", 15).ceiling == 20, "never lower than it was"
    for wrong in (None, record(epoch="e0"), record(raised=29)):
        assert opened(wrong, "e1", 30) is None, "guard: only what this record has raised"


def test_numbers_are_given_up_to_the_ceiling():
    assert taken(record(), "here", 8, 12, Span(12)).last == 20
    assert taken(record(), "here", 9, 12, Span(12)) is None, "guard: never beyond a safe ceiling"
    assert taken(record(), "there", 1, 0, Span(12)) is None, "guard: another server"
    assert taken(record(), "here", 1, 13, Span(12)) is None, "guard: a number that was seen"
    assert taken(None, "here", 1, 0, Span(0)) is None
