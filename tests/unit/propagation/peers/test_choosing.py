# SPDX-License-Identifier: Apache-2.0
"""Whom a node calls, by each strategy."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from holdfast.propagation.peers import STRATEGIES, Known, Wanted, choose


def known(host, **said):
    return Known(host, 7070, 0.0, **said)


def drawn(strategy, among, wanted=None, times=2000):
    """How often each was chosen."""
    chance = random.Random(7)
    return Counter(found.host for _ in range(times)
                   if (found := choose(strategy, among, wanted or Wanted(of_group=99), chance)) is not None)


def test_uniform_calls_each_as_often():
    counts = drawn("uniform", [known(f"10.{part}.0.1") for part in range(4)])
    assert all(400 < count < 600 for count in counts.values())


def test_latency_prefers_the_near_and_forgets_nobody():
    counts = drawn("latency", [known("10.0.0.1", rtt_s=0.01, id="a"), known("10.1.0.1", rtt_s=0.3, id="b")])
    assert 1400 < counts["10.0.0.1"] < 1600
    # Who is not known is neither near nor far.
    counts = drawn("latency", [known("10.0.0.1"), known("10.1.0.1", rtt_s=0.3)])
    assert counts["10.0.0.1"] > counts["10.1.0.1"]


def test_diversity_goes_where_there_are_fewest_links_and_numbers_in_one_part_do_not_count():
    crowd = [known(f"10.0.0.{number}") for number in range(1, 100)]
    among = [*crowd, known("11.0.0.1")]
    counts = drawn("diversity", among)
    assert 850 < counts["11.0.0.1"] < 1150
    assert set(drawn("diversity", among, Wanted({"10.0.0.0/16": 1}, of_group=99))) == {"11.0.0.1"}


def test_labels_decide_between_those_in_one_part_and_nothing_else():
    among = [known("10.0.0.1", label="eu"), known("10.0.0.2", label="us"), known("10.0.0.3", label="us")]
    assert set(drawn("diversity", among, Wanted(labels={"us": 1}, of_group=99))) == {"10.0.0.1"}
    # Who gives himself a hundred labels is called no more often for it.
    many = [known(f"10.0.1.{number}", label=f"made up {number}") for number in range(100)]
    counts = drawn("diversity", [*many, known("11.0.0.1", label="eu")], Wanted(labels={"eu": 3}, of_group=99))
    assert 850 < counts["11.0.0.1"] < 1150


def test_score_calls_the_useful_more_often_and_the_rest_sometimes():
    among = [known("10.0.0.1", id="useful"), known("10.1.0.1", id="other"), known("10.2.0.1", id="bad")]
    wanted = Wanted(score_of={"useful": 3.0, "other": 0.0, "bad": -1.0}.__getitem__, of_group=99)
    counts = drawn("score", among, wanted)
    assert counts["10.0.0.1"] > 3 * counts["10.1.0.1"] > 9 * counts["10.2.0.1"] > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_part_of_the_network_gets_more_of_our_links_than_it_may(strategy):
    among = [known("10.0.0.1", id="a"), known("11.0.0.1", id="b")]
    wanted = Wanted({"10.0.0.0/16": 2}, score_of=lambda _: 9.0, of_group=2)
    assert set(drawn(strategy, among, wanted, 50)) == {"11.0.0.1"}
    assert choose(strategy, among[:1], wanted, random.Random(1)) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_half_of_the_calls_go_to_those_who_were_tried(strategy):
    among = [*(known(f"10.{part}.0.1") for part in range(99)), known("11.0.0.1", tried=True)]
    assert 850 < drawn(strategy, among)["11.0.0.1"] < 1150
