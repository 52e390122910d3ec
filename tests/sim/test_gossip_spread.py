# SPDX-License-Identifier: Apache-2.0
"""How fast news spreads and what it costs, by the core that ships, against figures computed apart from it.

The figures are of a Monte Carlo run of the gossip turns alone (no probes, 1 ms on the way): time until half, 90 %, 99 %
of the members know, and datagrams per member. Its spread from run to run is a fifth.
"""

from __future__ import annotations

import random
from statistics import mean, median

import pytest

from holdfast.gossip.profiles import LAN, WAN
from holdfast.gossip.sim.runs import gossip_alone, load, spread

#: members, loss, runs: (50 %, 90 %, 99 %, sends), LAN.
FIGURES = {
    (10, 0.0, 60): (0.18, 0.27, 0.35, 8),
    (100, 0.0, 20): (0.34, 0.49, 0.62, 12),
    (100, 0.25, 20): (0.46, 0.65, 0.83, 12),
    (1000, 0.0, 7): (0.52, 0.67, 0.82, 16),
    (1000, 0.25, 7): (0.69, 0.88, 1.09, 16),
}


def runs(count, seeds, **settings):
    return [spread(count, random.Random(seed), wait_s=8.0, **settings) for seed in range(seeds)]


@pytest.mark.parametrize(("case", "figures"), FIGURES.items(), ids=str)
def test_news_spreads_as_fast_as_was_computed(case, figures):
    count, loss, seeds = case
    done = runs(count, seeds, loss=loss)
    times = [median(getattr(one.reached, part) for one in done) for part in ("t50_s", "t90_s", "t99_s")]
    assert times == pytest.approx(figures[:3], rel=0.2), [one.line() for one in done]
    assert [one.sends for one in done] == [figures[3]] * seeds
    assert mean(one.reached.coverage for one in done) > 0.995


def test_in_a_wan_it_takes_longer():
    done = runs(1000, 4, profile=gossip_alone(WAN))
    times = [median(getattr(one.reached, part) for one in done) for part in ("t50_s", "t90_s", "t99_s")]
    assert times == pytest.approx([0.98, 1.26, 1.54], rel=0.2)


def test_with_a_quarter_lost_gossip_alone_may_miss_a_member_and_exchanges_find_it():
    alone = [spread(10, random.Random(seed), loss=0.25) for seed in range(150)]
    whole = [spread(10, random.Random(seed), loss=0.25, profile=LAN, wait_s=90.0) for seed in range(20)]
    assert 0.985 < mean(one.reached.coverage for one in alone) < 1.0
    assert {one.reached.coverage for one in whole} == {1.0}


def test_pings_and_answers_carry_news_too():
    alone, whole = runs(300, 5), runs(300, 5, profile=LAN)
    assert mean(one.reached.t99_s for one in whole) < mean(one.reached.t99_s for one in alone)


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_an_idle_member_sends_one_ping_and_one_answer_a_second_however_many_there_are(count):
    idle = load(count, random.Random(count), for_s=5.0)
    assert idle.packets == pytest.approx(2.0, abs=0.05)
    assert idle.bytes < 250


def test_exchanges_are_as_rare_as_the_clusters_size_asks_for():
    busy = load(40, random.Random(4), for_s=300.0)
    assert busy.exchanges == pytest.approx(1 / 60, rel=0.25)
