# SPDX-License-Identifier: Apache-2.0
"""The numbers that grow with the cluster, against the table they were taken from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.core.formulas import (
    confirmations_wanted,
    push_pull_s,
    suspicion_min_s,
    suspicion_s,
    transmissions,
)
from holdfast.gossip.core.health import Health
from holdfast.gossip.core.suspicion import Suspicion
from holdfast.gossip.profiles import LAN, LOCAL, NO_LIFEGUARD, WAN, Profile
from holdfast.gossip.serf.queries import default_timeout_s

#: members: (shortest, longest, with one confirmation, transmissions, push/pull, query time-out), LAN.
TABLE = {
    10: (4, 24, 11.4, 8, 30, 6.4),
    100: (8, 48, 22.8, 12, 90, 9.6),
    1000: (12, 72, 34.1, 16, 180, 12.8),
    10_000: (16, 96, 45.5, 20, 300, 16),
    100_000: (20, 120, 56.9, 24, 390, 19.2),
}


@pytest.mark.parametrize("members", TABLE)
def test_a_lan_of_that_size_runs_by_the_table(members):
    shortest, longest, once, told, exchange, query = TABLE[members]
    min_s = suspicion_min_s(LAN, members)
    wanted = confirmations_wanted(LAN, members)
    assert min_s == pytest.approx(shortest)
    assert wanted == 2
    stands = [suspicion_s(confirmed, wanted, min_s, LAN.suspicion_max_mult * min_s) for confirmed in range(4)]
    assert stands == [pytest.approx(longest), pytest.approx(once, abs=0.05), pytest.approx(shortest), min_s]
    assert transmissions(LAN.retransmit_mult, members) == told
    assert push_pull_s(LAN, members) == pytest.approx(exchange)
    assert default_timeout_s(members, LAN.gossip_interval_s) == pytest.approx(query)


def test_three_members_are_too_few_to_confirm_so_accusations_stand_short():
    assert confirmations_wanted(LAN, 3) == 0
    assert suspicion_s(0, 0, suspicion_min_s(LAN, 3), 24.0) == 4.0
    assert transmissions(LAN.retransmit_mult, 3) == 4
    assert default_timeout_s(3, LAN.gossip_interval_s) == pytest.approx(3.2)


def test_four_members_are_enough():
    assert confirmations_wanted(LAN, 4) == 2


@pytest.mark.parametrize(("members", "shortest"), [(10, 30), (100, 60), (1000, 90), (10_000, 120)])
def test_a_wan_waits_longer(members, shortest):
    assert suspicion_min_s(WAN, members) == pytest.approx(shortest)
    assert confirmations_wanted(WAN, members) == 4


def test_the_logarithm_is_kept_to_a_thousandth():
    assert suspicion_min_s(LAN, 50) == pytest.approx(4 * 1.698)


@pytest.mark.parametrize(("members", "times"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3)])
def test_exchanges_become_rarer_with_each_doubling_beyond_32(members, times):
    assert push_pull_s(LAN, members) == times * 30.0


def test_the_profiles_are_memberlists():
    assert (WAN.probe_interval_s, WAN.probe_timeout_s, WAN.suspicion_mult, WAN.gossip_interval_s) == (5, 3, 6, 0.5)
    assert (WAN.gossip_nodes, WAN.push_pull_interval_s, WAN.gossip_to_the_dead_s, WAN.stream_timeout_s) == (
        4, 60, 60, 30)
    assert (LAN.probe_interval_s, LAN.probe_timeout_s, LAN.suspicion_mult, LAN.gossip_interval_s) == (1, 0.5, 4, 0.2)
    assert (LAN.gossip_nodes, LAN.push_pull_interval_s, LAN.gossip_to_the_dead_s, LAN.stream_timeout_s) == (
        3, 30, 30, 10)
    assert (LOCAL.probe_interval_s, LOCAL.probe_timeout_s, LOCAL.suspicion_mult, LOCAL.gossip_interval_s) == (
        1, 0.2, 3, 0.1)
    assert (LOCAL.gossip_nodes, LOCAL.push_pull_interval_s, LOCAL.gossip_to_the_dead_s) == (3, 15, 15)
    assert [(one.indirect_checks, one.retransmit_mult) for one in (LAN, WAN, LOCAL)] == [(3, 4), (3, 4), (1, 2)]


@pytest.mark.parametrize("wrong", [{"probe_interval_s": 0}, {"gossip_nodes": -1}, {"packet_bytes": 0},
                                   {"probe_timeout_s": 2.0}, {"push_pull_interval_s": -1.0}])
def test_a_profile_that_cannot_work_is_refused_by_name(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Profile(**wrong)


def test_exchanges_and_reconnecting_can_be_off():
    off = replace(LAN, push_pull_interval_s=0.0, reconnect_interval_s=0.0)
    assert push_pull_s(off, 1000) == 0.0


def test_health_stays_between_0_and_7_and_stretches_by_8_at_most():
    health = Health(8)
    health.add(-1)
    assert health.score == 0
    health.add(100)
    assert health.score == 7
    assert health.stretched(1.0) == 8.0
    health.add(-1)
    assert health.score == 6


def test_without_lifeguard_health_stays_well_and_accusations_short():
    health = Health(8, off=True)
    health.add(3)
    assert health.stretched(1.0) == 1.0
    assert confirmations_wanted(replace(LAN, lifeguard=NO_LIFEGUARD), 1000) == 0


def test_confirmations_shorten_an_accusation_and_the_same_accuser_does_not():
    suspicion = Suspicion("a", 100.0, 2, 8.0, 48.0)
    assert suspicion.until() == 148.0
    assert not suspicion.confirm("a")
    assert suspicion.confirm("b")
    assert suspicion.until() == pytest.approx(122.762)
    assert not suspicion.confirm("b")
    assert suspicion.confirm("c")
    assert suspicion.until() == 108.0
    assert not suspicion.confirm("d")
    assert suspicion.confirmed == 2
