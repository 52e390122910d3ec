# SPDX-License-Identifier: Apache-2.0
"""What each part of Lifeguard does against slow members, and what a death costs those that live."""

from __future__ import annotations

import functools
import random

import pytest

from holdfast.gossip.profiles import LAN, Lifeguard
from holdfast.gossip.sim.ablation import STAGES, ablated, fewer
from holdfast.gossip.sim.runs import Mistakes, detect, load


@functools.cache
def table():
    return ablated(lambda: (random.Random(seed) for seed in range(2)))


def told():
    return "\n".join(f"{name.ljust(30)} {found.line()}" for name, found in table().items())


def test_each_stage_stands_in_the_table_and_the_last_one_is_what_ships():
    assert list(table()) == list(STAGES)
    assert STAGES["Lifeguard + lag + last word"] == Lifeguard() == LAN.lifeguard


def test_all_parts_together_take_twenty_times_fewer_live_members_for_dead():
    swim = table()["SWIM"].declared
    assert swim >= 40, told()
    for stage in ("Lifeguard", "Lifeguard + lag", "Lifeguard + lag + last word"):
        assert fewer(swim, table()[stage].declared) >= 20, told()
    assert table()["Lifeguard + lag + last word"].declared == 0, told()


def test_probes_that_wait_longer_accuse_half_as_often_and_accusations_that_stand_longer_rarely_kill():
    swim, probe, suspicion = (table()[stage] for stage in ("SWIM", "SWIM + LHA-Probe", "SWIM + LHA-Suspicion"))
    assert 2 * probe.suspected < swim.suspected, told()
    assert 2 * probe.declared < swim.declared, told()
    assert 20 * suspicion.declared < swim.declared, told()
    assert suspicion.suspected > 0.8 * swim.suspected, told()


def test_who_sees_that_it_slept_accuses_nobody():
    assert table()["Lifeguard"].suspected >= 20, told()
    assert table()["Lifeguard + lag"].suspected == 0, told()


def test_runs_are_added_up_and_none_left_counts_as_one():
    once = ablated(lambda: [random.Random(0)], stages={"SWIM": STAGES["SWIM"]})["SWIM"]
    both = ablated(lambda: [random.Random(0), random.Random(0)], stages={"SWIM": STAGES["SWIM"]})["SWIM"]
    assert both == Mistakes(*(2 * getattr(once, name) for name in Mistakes.__dataclass_fields__))
    assert (fewer(40, 0), fewer(40, 1), fewer(40, 4)) == (40, 40, 10)


@pytest.mark.parametrize("count", [100, 1000])
def test_a_death_costs_each_member_a_few_packets_a_second_however_many_there_are(count):
    """Two a second go out anyway; the rest are the accusation, its confirmations and the death, passed on."""
    found, idle = detect(count, random.Random(1)), load(count, random.Random(1), for_s=5.0)
    assert idle.packets < found.packets < 6.0, found.line()
    assert idle.bytes < found.bytes < 600, found.line()
