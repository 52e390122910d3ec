# SPDX-License-Identifier: Apache-2.0
"""A queue has a bound, and whoever fills it loses what is its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.queues import FairQueue


def drained(queue):
    taken = []
    while (one := queue.take()) is not None:
        taken.append(one)
    return taken


def test_peers_are_served_by_turns():
    queue = FairQueue()
    for item in ("a1", "a2", "a3", "b1"):
        queue.put(item[0], item, 1)
    assert [item for _, item in drained(queue)] == ["a1", "b1", "a2", "a3"]


def test_who_floods_loses_its_own():
    queue = FairQueue(items_max=4)
    assert queue.put("b", "b1", 1) == []
    fallen = [item for number in range(10) for item in queue.put("a", f"a{number}", 1)]
    assert [item for peer, item in drained(queue) if peer == "b"] == ["b1"]
    assert fallen == [f"a{number}" for number in range(3, 10)]
    assert queue.dropped == 7


def test_the_oldest_falls_where_news_counts():
    queue = FairQueue(items_max=2, drop="oldest")
    fallen = [item for number in range(4) for item in queue.put("a", number, 1)]
    assert (fallen, [item for _, item in drained(queue)]) == ([0, 1], [2, 3])


def test_bytes_have_a_bound_and_the_line_with_most_of_them_loses():
    queue = FairQueue(bytes_max=100)
    queue.put("many", 1, 10)
    queue.put("many", 2, 10)
    queue.put("large", 3, 70)
    assert queue.put("many", 4, 20) == [3]
    assert queue.bytes == 40


def test_an_item_that_fits_nowhere_falls_out_at_once():
    queue = FairQueue(bytes_max=10)
    assert queue.put("a", "x", 11) == ["x"]
    assert (len(queue), queue.bytes, queue.take()) == (0, 0, None)


@given(st.integers(1, 8), st.integers(1, 60), st.sampled_from(["newest", "oldest"]),
       st.lists(st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 30)), st.none()), max_size=60))
def test_the_bounds_hold_and_nothing_is_lost_uncounted(items_max, bytes_max, drop, steps):
    queue = FairQueue(items_max, bytes_max, drop)
    put = taken = fallen = 0
    for number, step in enumerate(steps):
        if step is None:
            taken += queue.take() is not None
        else:
            fallen += len(queue.put(str(step[0]), number, step[1]))
            put += 1
        assert len(queue) <= items_max
        assert queue.bytes <= bytes_max
    assert put == taken + fallen + len(drained(queue))
    assert queue.dropped == fallen
    assert queue.bytes == 0


def test_a_queue_of_nothing_is_refused():
    with pytest.raises(ConfigurationError, match="one item"):
        FairQueue(items_max=0)
