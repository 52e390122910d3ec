# SPDX-License-Identifier: Apache-2.0
"""Passing on: to whom, how often, and nothing without news."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

from holdfast.gossip.core.effects import Deliver, Packet
from holdfast.gossip.messages import Dead, Err, Ping, PushPull, Suspect, User
from holdfast.gossip.profiles import LAN
from tests.unit.gossip.core.bench import PORT, Bench, alive, host, messages, of, packets

#: Only gossip: no probe comes, no exchange.
ALONE = replace(LAN, probe_interval_s=1e9, push_pull_interval_s=0.0, reconnect_interval_s=0.0)


def test_three_members_hear_each_turn_and_turns_are_an_interval_apart():
    bench = Bench(20, profile=ALONE)
    bench.hear(alive(1, 2))
    turns = []
    for _ in range(3):
        said = bench.until(bench.core.next_due)
        turns.append((bench.now, [one.node for one in of(said, Packet)]))
    assert [len(set(nodes)) for _, nodes in turns] == [3, 3, 2]  # 8 times in all
    assert all(0.199 < later[0] - sooner[0] < 0.201 for sooner, later in pairwise(turns))


def test_news_is_told_as_often_as_the_clusters_size_asks_for_and_then_no_more():
    bench = Bench(20, profile=ALONE)
    bench.hear(alive(1, 2))
    said = bench.until(100.0)
    assert messages(said) == [alive(1, 2)] * 8
    assert len(of(said, Packet)) == 8


def test_without_news_a_member_has_no_turns():
    bench = Bench(20, profile=ALONE)
    bench.until(60.0)
    assert bench.core.next_due > 1e6


def test_news_rides_on_pings_and_answers():
    bench = Bench(5)
    bench.hear(Dead(1, "m1", "m2"))
    said = bench.hear(Ping(5, "m0", host(2), PORT, "m2"))
    assert messages(said)[1:] == [Dead(1, "m1", "m2")]


def test_the_dead_hear_of_it_for_a_while_and_then_no_more():
    bench = Bench(3, profile=ALONE)
    bench.hear(Dead(1, "m1", "m2"))
    assert "m1" in {one.node for one in packets(bench.until(5.0))}
    bench.now = 29.0
    bench.hear(alive(2, 2))
    assert "m1" in {one.node for one in packets(bench.until(29.9))}
    bench.now = 31.0
    bench.hear(alive(2, 3))
    assert {one.node for one in packets(bench.until(40.0))} == {"m2", "m3"}


def test_who_left_hears_nothing():
    bench = Bench(3, profile=ALONE)
    bench.hear(Dead(1, "m1", "m1"))
    assert {one.node for one in packets(bench.until(5.0))} == {"m2", "m3"}


def test_a_suspect_hears_of_it():
    bench = Bench(3, profile=ALONE)
    bench.hear(Suspect(1, "m1", "m2"))
    assert "m1" in {one.node for one in packets(bench.until(2.0))}


def test_letters_are_told_as_claims_are_and_after_them():
    bench = Bench(20, profile=ALONE)
    bench.spread(b"x" * 1300)
    bench.hear(alive(1, 2))
    said = bench.until(100.0)
    told = Counter(type(message).__name__ for message in messages(said))
    assert told == {"User": 8, "Alive": 8}
    together = bench.spread(b"y") + bench.until(bench.now + 1)
    assert User(b"y") in messages(together)


def test_a_letter_replaces_an_older_one_of_its_name():
    bench = Bench(20, profile=ALONE)
    bench.spread(b"old", "x")
    bench.spread(b"new", "x")
    assert set(messages(bench.until(100.0))) == {User(b"new")}


def test_letters_are_handed_up():
    assert Bench(3).hear(User(b"hi"), source=2) == [Deliver(User(b"hi"), (host(2), PORT))]


def test_what_does_not_come_by_datagram_is_ignored_and_counted():
    bench = Bench(3)
    assert bench.hear(PushPull(()), Err("no")) == []
    assert bench.core.inspect().ignored == 2


def test_the_queue_has_a_bound_and_what_falls_out_is_counted():
    bench = Bench(3, profile=replace(ALONE, queue_max=10))
    for number in range(25):
        bench.spread(b"%d" % number)
    assert bench.core.inspect().letters == 10
    assert bench.core.inspect().dropped == 15
