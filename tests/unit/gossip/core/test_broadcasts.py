# SPDX-License-Identifier: Apache-2.0
"""What goes out first, and how often."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from holdfast.gossip.core.broadcasts import Broadcasts


def queue(*items, items_max=100):
    made = Broadcasts(items_max)
    for item in items:
        made.add(*item)
    return made


def test_what_was_told_least_goes_first():
    news = queue(("old", 10))
    assert news.take(10, 0, 5) == ["old"]
    news.add("new", 10)
    assert news.take(10, 0, 5) == ["new"]
    assert news.take(20, 0, 5) == ["new", "old"]


def test_among_equals_the_longest_goes_first_and_then_the_newest():
    news = queue(("short", 5), ("first", 10), ("second", 10))
    assert news.take(100, 0, 5) == ["second", "first", "short"]


def test_a_short_one_fills_the_gap_that_a_long_one_leaves():
    news = queue(("long", 60), ("longer", 70), ("short", 20))
    assert news.take(95, 2, 5) == ["longer", "short"]


def test_each_is_told_as_often_as_the_limit_says():
    news = queue(("one", 10))
    told = [news.take(100, 2, 3) for _ in range(5)]
    assert told == [["one"]] * 3 + [[], []]
    assert len(news) == 0


def test_a_packet_holds_an_item_once():
    assert queue(("one", 10)).take(1000, 2, 5) == ["one"]


def test_overhead_counts():
    assert queue(("one", 10)).take(11, 2, 5) == []
    assert queue(("one", 10)).take(12, 2, 5) == ["one"]


def test_a_later_item_about_the_same_thing_takes_the_place_of_the_earlier():
    news = queue(("suspect a", 10, "a"), ("alive b", 10, "b"))
    news.take(100, 2, 5)
    news.add("alive a", 10, "a")
    assert news.take(100, 2, 5) == ["alive a", "alive b"]
    news.add("dead a", 10, "a")
    assert news.take(100, 2, 5) == ["dead a", "alive b"]


def test_items_without_a_name_stand_side_by_side():
    assert queue(("x", 10), ("x", 10)).take(100, 2, 5) == ["x", "x"]


def test_a_mark_comes_out_when_its_item_is_done_or_gave_way():
    news = queue(("bye", 10, "me", "goodbye"))
    news.take(100, 2, 2)
    assert news.finished == []
    news.take(100, 2, 2)
    assert news.finished == ["goodbye"]
    news = queue(("bye", 10, "me", "goodbye"), ("else", 10, "me"))
    assert news.finished == ["goodbye"]


def test_beyond_the_bound_the_most_told_falls_out_and_is_counted():
    news = queue(("old", 10, "a"), items_max=2)
    news.take(10, 0, 9)
    news.add("b", 10)
    news.add("c", 10)
    assert news.dropped == 1
    assert news.take(100, 0, 9) == ["c", "b"]
    news.add("new", 10, "a")
    assert len(news) == 2


items = st.lists(st.one_of(
    st.tuples(st.just("add"), st.integers(1, 60), st.one_of(st.none(), st.sampled_from("abc"))),
    st.tuples(st.just("take"), st.integers(0, 150), st.integers(1, 4)),
), max_size=80)


@given(items)
def test_no_packet_is_too_full_and_nothing_is_told_too_often(steps):
    news, told, named = Broadcasts(12), Counter(), {}
    for number, (what, one, other) in enumerate(steps):
        if what == "add":
            news.add((number, one), one, other)
            if other is not None:
                named[other] = number
        else:
            taken = news.take(one, 2, 4)
            assert sum(size + 2 for _, size in taken) <= one
            assert len(set(taken)) == len(taken)
            told.update(taken)
        assert len(news) <= 12
        assert len(news._items) == len(news._ranks)
        assert set(news._named.values()) <= set(news._items)
    assert all(times <= 4 for times in told.values())
    live = [news._items[rank][0][0] for rank in news._named.values()]
    assert set(live) <= set(named.values())
