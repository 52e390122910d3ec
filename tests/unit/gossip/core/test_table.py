# SPDX-License-Identifier: Apache-2.0
"""The table of members, its order, and the timers."""

from __future__ import annotations

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from holdfast.gossip.core.members import Member, Members, Roll
from holdfast.gossip.core.order import Order
from holdfast.gossip.core.timers import Timers
from holdfast.gossip.messages import SERF_VERSIONS, State


def member(name, state=State.ALIVE, since=0.0, incarnation=1):
    return Member(name, b"\n\0\0\1", 7946, b"", SERF_VERSIONS, incarnation, state, since)


def rolled(*names):
    return Members(Roll([member(name) for name in names]))


def names(turns):
    return [None if one is None else one.node for one in turns]


def test_a_round_gives_everybody_a_turn_once_and_the_next_round_another_order():
    table, chance = rolled(*"abcdefgh"), random.Random(3)
    first = names(table.turn(chance) for _ in range(9))
    second = names(table.turn(chance) for _ in range(9))
    assert first[-1] is None
    assert sorted(first[:8]) == sorted(second[:8]) == list("abcdefgh")
    assert first != second


def test_every_order_is_as_likely_as_any_other():
    seen = Counter()
    for seed in range(6000):
        order, chance = Order("abc"), random.Random(seed)
        seen["".join(order.turn(chance) for _ in range(3))] += 1
    assert len(seen) == 6
    assert all(850 < times < 1150 for times in seen.values())


def test_tables_on_one_roll_do_not_see_each_others_changes():
    roll = Roll([member("a"), member("b")])
    one, other = Members(roll), Members(roll)
    one.put(member("a", State.DEAD, incarnation=4))
    assert one["a"].state is State.DEAD
    assert other["a"].state is State.ALIVE
    assert (one.count(State.ALIVE), one.count(State.DEAD), other.count(State.ALIVE)) == (1, 1, 2)


def test_a_new_one_stands_at_a_random_place():
    places = Counter()
    for seed in range(3000):
        order = Order("ab")
        order.insert("c", random.Random(seed))
        places[list(order).index("c")] += 1
    assert sorted(places) == [0, 1, 2]
    assert all(850 < times < 1150 for times in places.values())


def test_only_the_gone_are_forgotten_and_they_can_come_back():
    table, chance = rolled("a", "b", "c"), random.Random(1)
    table.put(member("b", State.DEAD))
    assert names(table.forget(lambda one: True)) == ["b"]
    assert table.get("b") is None
    assert len(table) == 2
    assert len(table.states()) == 2
    assert sorted(names(table)) == ["a", "c"]
    table.enter(member("b", incarnation=2), chance)
    assert table["b"].incarnation == 2
    assert sorted(one.node for one in table.states()) == ["a", "b", "c"]


def test_a_sample_has_no_one_twice_and_only_those_that_fit():
    table, chance = rolled(*"abcdefghijklmnop"), random.Random(1)
    for _ in range(200):
        chosen = names(table.sample(3, chance, lambda one: one.node not in "abc"))
        assert len(set(chosen)) == 3
        assert not set(chosen) & set("abc")


def test_a_small_sample_finds_all_that_fit():
    table = rolled(*"abcd")
    assert sorted(names(table.sample(3, random.Random(1), lambda one: one.node != "a"))) == ["b", "c", "d"]
    assert names(table.sample(3, random.Random(1), lambda one: one.node == "a")) == ["a"]


def test_on_one_roll_an_exchange_carries_only_what_differs():
    roll = Roll([member(name) for name in "abcd"])
    one, other = Members(roll), Members(roll)
    one.put(member("a", State.SUSPECT))
    assert [each.node for each in one.states().news_for(other)] == ["a"]
    other.put(member("b", State.DEAD))
    other.forget(lambda gone: True)
    assert sorted(each.node for each in one.states().news_for(other)) == ["a", "b"]
    assert sorted(each.node for each in one.states().news_for(Members())) == list("abcd")


steps = st.lists(st.tuples(st.sampled_from(["enter", "kill", "forget", "turn"]), st.integers(0, 9)), max_size=60)


@given(steps, st.integers(0, 99))
def test_a_table_on_a_roll_does_what_one_without_does(does, seed):
    on_roll, plain, chance = rolled(*"012"), Members(), random.Random(seed)
    for name in "012":
        plain.enter(member(name), chance)
    for what, number in does:
        for table in (on_roll, plain):
            held = table.get(str(number))
            if what == "enter" and held is None:
                table.enter(member(str(number)), chance)
            elif what == "kill" and held is not None:
                table.put(member(str(number), State.DEAD))
            elif what == "forget":
                table.forget(lambda one: int(one.node) % 2 == 0)
            elif what == "turn":
                table.turn(chance)
        assert sorted(map(str, on_roll)) == sorted(map(str, plain))
        assert len(on_roll) == len(plain) == len(on_roll.states()) == len(list(on_roll.states()))
        assert [on_roll.count(state) for state in State] == [plain.count(state) for state in State]
        assert [sum(one.state is state for one in plain) for state in State] == [plain.count(s) for s in State]


def test_timers_come_in_order_and_of_two_at_once_the_one_set_first():
    timers = Timers()
    assert timers.next == math.inf
    timers.set("late", 5.0)
    timers.set("b", 2.0)
    timers.set("a", 2.0)
    timers.set("late", 1.0)
    assert [timers.pop(3.0) for _ in range(4)] == ["late", "b", "a", None]


def test_a_cancelled_timer_is_not_due_and_many_changes_leave_nothing_behind():
    timers = Timers()
    timers.set("a", 1.0)
    timers.set("b", 2.0)
    timers.cancel("a")
    assert "a" not in timers
    assert timers.next == 2.0
    for due in range(10_000):
        timers.set("b", float(due))
    assert timers.pop(1e9) == "b"
    assert len(timers._heap) < 200
