# SPDX-License-Identifier: Apache-2.0
"""Circles of waits: found where nobody goes on, whatever the order; not found where somebody may."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.locks import inspect
from holdfast.locks.waits import Part, Queue, Wait, circles, in_both, stuck, waits


def queue(lock: str, capacity: int, holders: str, waiters: str) -> Queue:
    """``a b2``: owner a has one unit, b two. An acquisition is named after its lock, role, place and owner."""
    def parts(words: str, role: str) -> Iterator[Part]:
        for place, word in enumerate(words.split()):
            yield Part(word[0], f"{lock}-{role}{place}-{word}", int(word[1:] or 1))

    return Queue(lock, capacity, tuple(parts(holders, "h")), tuple(parts(waiters, "w")))


def named(found) -> list[list[str]]:
    """``a waits x b`` for each step."""
    return [[f"{wait.waiter.owner} {wait.lock} {wait.blocker.owner}" for wait in circle] for circle in found]


def test_two_who_took_two_locks_in_two_orders():
    assert named(circles([queue("x", 1, "a", "b"), queue("y", 1, "b", "a")])) == [["a y b", "b x a"]]


def test_a_chain_is_no_circle():
    assert circles([queue("x", 1, "a", "b"), queue("y", 1, "b", "c"), queue("z", 1, "c", "d")]) == []


def test_who_only_waits_behind_a_circle_is_stuck_and_not_in_it():
    queues = [queue("x", 1, "a", "b c"), queue("y", 1, "b", "a"), queue("z", 1, "c", "d")]
    assert {part.owner for left in stuck(queues) for part in left.waiters} == {"a", "b", "c", "d"}
    assert named(circles(queues)) == [["a y b", "b x a"]]


def test_two_circles_are_two():
    queues = [queue("x", 1, "a", "b"), queue("y", 1, "b", "a"), queue("u", 1, "c", "d"), queue("v", 1, "d", "c")]
    assert named(circles(queues)) == [["a y b", "b x a"], ["c v d", "d u c"]]


def test_of_a_semaphore_one_holder_outside_the_circle_is_enough():
    """The guard: everybody else is let finish first. The graph alone has a circle here."""
    queues = [queue("permits", 2, "a c", "b"), queue("y", 1, "b", "a")]
    graph = {(wait.waiter.owner, wait.blocker.owner) for wait in waits(queues)}
    assert {("a", "b"), ("b", "a")} <= graph
    assert circles(queues) == []
    assert named(circles([queue("permits", 2, "a c", "b"), queue("y", 1, "b", "a c")])) == [["a y b", "b permits a"]]


def test_who_holds_permits_and_waits_for_more_of_them_waits_for_itself():
    assert named(circles([queue("permits", 4, "a3", "a2")])) == [["a permits a"]]
    assert circles([queue("permits", 4, "a2", "a2")]) == []


def test_nobody_passes_in_line():
    """A reader behind a writer waits for the writer, although there is room for it beside the one who reads."""
    queues = [queue("book", 10, "a", "w9 b"), queue("y", 1, "b", "a")]
    assert circles(queues) == [], "the writer that wants nine fits: this is not how a server would be seen"
    queues = [queue("book", 10, "a", "w10 b"), queue("y", 1, "b", "a")]
    assert named(circles(queues)) == [["a y b", "b book w", "w book a"]]
    assert [wait.ahead for wait in circles(queues)[0]] == [False, True, False]


def test_whoever_would_not_fit_anyway_waits_for_the_holder_and_not_for_the_line():
    assert named(circles([queue("x", 1, "a", "b c"), queue("y", 1, "c", "a")])) == [["a y c", "c x a"]]


def test_a_lock_whose_holder_waits_for_nothing_is_given_back():
    assert stuck([queue("x", 1, "a", "b c d")]) == []


def test_what_was_seen_once_makes_no_circle():
    """The guard: two looks. b gave x back and came again; between the looks nobody was in a circle."""
    first = [queue("x", 1, "a", "b"), queue("y", 1, "c", "a")]
    second = [queue("x", 1, "a", "b"), queue("y", 1, "b", "a")]
    assert circles(second)
    assert circles(in_both(first, second)) == []
    assert circles(in_both(second, second)) == circles(second)


@st.composite
def seen(draw) -> list[Queue]:
    """Locks as a server may have them: no more held than there is, nobody waits who fits, an owner waits once."""
    owners = "abcde"
    idle = draw(st.permutations(owners))
    queues = []
    for n in range(draw(st.integers(1, 4))):
        capacity = draw(st.integers(1, 3))
        held, left = [], capacity
        for owner in draw(st.lists(st.sampled_from(owners), max_size=3, unique=True)):
            units = draw(st.integers(1, 3))
            if units <= left:
                held.append(Part(owner, f"{n}h{owner}", units))
                left -= units
        waiting = []
        for _ in range(draw(st.integers(0, 2)) if left < capacity else 0):
            if idle:
                owner = idle.pop()
                waiting.append(Part(owner, f"{n}w{owner}", draw(st.integers(1 if waiting else left + 1, 4))))
        queues.append(Queue(f"lock{n}", capacity, tuple(held), tuple(waiting)))
    return queues


def served(held: dict[str, list[Part]], line: dict[str, list[Part]], capacity: dict[str, int]) -> None:
    for lock, waiters in line.items():
        while waiters and sum(p.units for p in held[lock]) + min(waiters[0].units, capacity[lock]) <= capacity[lock]:
            held[lock].append(waiters.pop(0))


def every_end(queues: list[Queue]) -> set[frozenset[str]]:
    """By brute force: each order in which owners can finish, and who is left waiting at the end of it."""
    capacity = {queue.lock: queue.capacity for queue in queues}
    ends, seen_states = set(), set()
    to_do = [({q.lock: list(q.holders) for q in queues}, {q.lock: list(q.waiters) for q in queues})]
    while to_do:
        held, line = to_do.pop()
        served(held, line, capacity)
        state = repr((held, line))
        if state in seen_states:
            continue
        seen_states.add(state)
        waiting = {part.owner for waiters in line.values() for part in waiters}
        can = {part.owner for parts in held.values() for part in parts} - waiting
        if not can:
            ends.add(frozenset(waiting))
        to_do += [({lock: [p for p in parts if p.owner != owner] for lock, parts in held.items()},
                   {lock: list(waiters) for lock, waiters in line.items()}) for owner in can]
    return ends


@settings(max_examples=400)
@given(seen())
def test_who_is_stuck_is_stuck_in_every_order_and_nobody_else_is(queues):
    assert every_end(queues) == {frozenset(part.owner for queue in stuck(queues) for part in queue.waiters)}


@settings(max_examples=400)
@given(seen())
def test_there_is_a_circle_exactly_where_somebody_is_stuck_and_each_step_of_it_is_true(queues):
    found = circles(queues)
    assert bool(found) == bool(stuck(queues))
    by = {queue.lock: queue for queue in queues}
    for circle in found:
        for wait, after in zip(circle, (*circle[1:], circle[0]), strict=True):
            assert wait.blocker.owner == after.waiter.owner, "a circle"
            line = by[wait.lock]
            assert wait.waiter in line.waiters
            assert wait.blocker in (line.waiters[:line.waiters.index(wait.waiter)] if wait.ahead
                                    else (*line.holders, *line.waiters))
        owners = [wait.waiter.owner for wait in circle]
        assert len(set(owners)) == len(owners), "the shortest"
    every = [wait.waiter.owner for circle in found for wait in circle]
    assert len(set(every)) == len(every), "nobody is in two"


@given(seen(), st.randoms())
def test_it_does_not_matter_in_which_order_locks_are_looked_at(queues, chance):
    mixed = list(queues)
    chance.shuffle(mixed)
    assert circles(mixed) == circles(queues)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_a_circle_of_many(size):
    queues = [Queue(f"l{n}", 1, (Part(f"o{n:02}", f"h{n}"),), (Part(f"o{(n + 1) % size:02}", f"w{n}"),))
              for n in range(size)]
    (circle,) = circles(queues)
    assert len(circle) == size
    assert isinstance(circle[0], Wait)
    assert circle[0].waiter.owner == "o00"


def test_the_command_looks_twice(monkeypatch):
    """The guard: two looks at many locks are not one moment."""
    def part(kind, lock, owner, at):
        common = {"name": lock, "kind": "fair", "units": 1, "since_ms": 1, "acquisition": f"{lock}{at}{owner}",
                  "who": {"host": "h", "pid": 1, "task": owner}}
        return kind(**common, **({"token": 7, "left_ms": 9} if kind is inspect.Holder else {"place": 1, "kept_ms": 9}))

    def line(lock, holder, waiter):
        return inspect.Line(lock, "fair", 1, (part(inspect.Holder, lock, holder, "h"),),
                            (part(inspect.Waiter, lock, waiter, "w"),))

    def found(*looks):
        seen = iter(looks)

        async def lines(_):
            return next(seen)

        monkeypatch.setattr(inspect, "lines", lines)
        return asyncio.run(inspect.deadlocks(None))

    crossed, chain = [line("x", "a", "b"), line("y", "b", "a")], [line("x", "a", "b"), line("y", "c", "a")]
    (circle,) = found(crossed, crossed)
    assert [(step.lock, step.waiter.who["task"], step.blocker.who["task"]) for step in circle] == [
        ("y", "a", "b"), ("x", "b", "a")]
    moved = [line("x", "a", "b"), line("y", "b", "a")]
    moved[1] = inspect.Line("y", "fair", 1, (part(inspect.Holder, "y", "b", "later"),), moved[1].waiters)
    assert found(crossed, moved) == [], "b gave y back between the looks, and has it again"
    assert found(chain) == []
