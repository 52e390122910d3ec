# SPDX-License-Identifier: Apache-2.0
"""The bench of gossip: simulated clusters do as computed, packets come back as they were, and what is off is said."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import pytest

from benchmarks import gossip as bench
from benchmarks.contestants import GOSSIP
from benchmarks.gossip import COMPUTED, off, spoiled
from benchmarks.gossip_clusters import _datagrams, _loopback
from benchmarks.gossip_clusters_ours import groups
from benchmarks.gossip_report import gossip
from benchmarks.report import table
from tests.support.benches import looked

#: A hundred members take minutes.
SMALL = replace(bench.QUICK, clusters=(("ours", 3, 2), ("serf", 3, 3)), window_s=2.0)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    if missing := GOSSIP["gossip-holdfast"].missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bench, "QUICK", SMALL)
        return looked(folder, "gossip")


def test_a_quick_look_finds_everything_as_computed(ran):
    code, found, page = ran
    assert code == 0
    assert off(found["figures"]) == []
    assert found["figures"]["wire"]["wrong"] == []
    assert "## Gossip" in page
    assert "| 1,000 members, 25% lost |" in page
    assert "| SWIM + LHA-Suspicion |" in page


def test_everything_that_is_done_to_a_packet_has_a_figure(ran):
    wire = ran[1]["figures"]["wire"]
    for what in ("encode", "decode", "seal", "open", "seal natively", "open natively", "stranger"):
        assert len(wire["packets"][what]) == 5, what
        assert all(0 < one["lowest"] <= one["us"] <= one["highest"] for one in wire["packets"][what].values()), what
    assert wire["streams"]["read"].keys() == {"1,000 members", "10,000 members"}


def test_every_algorithm_has_a_figure_for_each_size(ran):
    signing = ran[1]["figures"]["signing"]
    assert signing["wrong"] == []
    for what in ("sign", "verify", "say", "hear", "again"):
        assert len(signing["calls"][what]) == 4 * 3, what
        assert all(one["us"] > 0 for one in signing["calls"][what].values()), what
    assert "| Ed25519, 64 bytes |" in ran[2]


def test_what_is_not_as_computed_spoils_the_run_and_is_said(ran):
    figures = copy.deepcopy(ran[1]["figures"])
    wanted = COMPUTED[1_000, 0.0]
    figures["spread"]["1000, 0.0"]["t50_s"] = [1.3 * wanted[0]]
    figures["spread"]["1000, 0.0"]["sends"] = [15.0]
    figures["detect"]["100"]["coverage"] = [0.99]
    figures["ablation"]["stages"]["Lifeguard + lag + last word"]["declared"] = 10
    figures["wire"]["wrong"] = ["ping"]
    figures["signing"]["wrong"] = ["Ed25519"]
    figures["clusters"][0]["wrong"] = ["a death was known to 1 of 2"]
    assert len(off(figures)) == 4
    assert spoiled(figures) == 7
    page = gossip({"figures": figures}, table)
    assert next(line for line in page.splitlines() if line.startswith("| 1,000 members, 0%")).endswith("| no |")


def test_members_of_real_clusters_cost_what_the_kernel_says_and_know_of_a_death(ran):
    ours, serf = ran[1]["figures"]["clusters"]
    for one in (ours, serf) if "missing" not in serf else (ours,):
        assert one["members"] == 3
        assert one["wrong"] == []
        assert one["memory_bytes"] > 1_000_000
        # Each asks one other member a second, and answers one.
        assert one["idle"]["datagrams"] == pytest.approx(2, abs=0.8)
        assert one["events"]["datagrams"] > one["idle"]["datagrams"]
        assert one["events"]["bytes"] > one["idle"]["bytes"] > 40 * one["idle"]["datagrams"]
        assert [(death["known"], death["of"]) for death in one["deaths"]] == [(2, 2)]
        assert all(1 < death["first_s"] <= death["last_s"] < 60 for death in one["deaths"])
    assert ours["events"]["heard"] == ours["events"]["to_hear"] == 3 * ours["events"]["said"] > 0
    assert "| Holdfast, 3 members, 2 processes | nothing happens |" in ran[2]
    for word in ("| Serf, 3 members, 3 processes |", "Serf calls itself "):
        assert (word in ran[2]) == bool(shutil.which("serf"))


def test_who_is_killed_is_alone_in_a_process():
    assert groups(100, 10, 3) == [14] * 6 + [13, 1, 1, 1]
    assert groups(20, 20, 3) == [1] * 20
    assert groups(3, 2, 1) == [2, 1]


def test_what_the_kernel_writes_is_read():
    dev = ("Inter-|   Receive                            |  Transmit\n"
           " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls ...\n"
           "    lo:    5000      40    0    0    0     0          0         0     6000      50    0    0    0  0 0 0\n"
           "  eth0:    7000      60    0    0    0     0          0         0     8000      70    0    0    0  0 0 0\n")
    assert _loopback(dev) == (6000, 50)
    snmp = "Ip: A B\nIp: 1 2\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 3 4 5 6\nUdpLite: X\nUdpLite: 7\n"
    assert _datagrams(snmp) == 6


def test_a_system_without_serf_or_namespaces_is_said_in_the_table(ran):
    figures = copy.deepcopy(ran[1]["figures"])
    ours = figures["clusters"][0]
    figures["clusters"] = [{**ours, "alone": False}, {"who": "serf", "members": 20, "missing": "serf is not here"}]
    page = gossip({"figures": figures}, table)
    assert "Serf is left out: serf is not here." in page
    assert "what others said over loopback meanwhile is counted too" in page


def test_where_nothing_can_be_measured_the_reason_stands_for_the_figures(monkeypatch):
    monkeypatch.setattr(bench, "impossible", lambda: "no /proc here")
    figures = [bench._cluster(who, 3, 3, SMALL, pytest.fail) for who in ("ours", "serf")]
    assert [one["missing"] for one in figures] == ["no /proc here"] * 2
    monkeypatch.undo()
    monkeypatch.setattr(bench, "impossible", str)
    monkeypatch.setattr(bench, "missing", lambda: "serf is not here")
    assert bench._cluster("serf", 3, 3, SMALL, pytest.fail)["missing"] == "serf is not here"
