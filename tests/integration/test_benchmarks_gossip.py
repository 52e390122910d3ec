# SPDX-License-Identifier: Apache-2.0
"""The bench of gossip: simulated clusters do as computed, packets come back as they were, and what is off is said."""

from __future__ import annotations

import copy
import json

import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import GOSSIP
from benchmarks.gossip import COMPUTED, off, spoiled
from benchmarks.gossip_report import gossip
from benchmarks.report import table


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    if missing := GOSSIP["gossip-holdfast"].missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    folder = tmp_path_factory.mktemp("results")
    code = main(["--only", "gossip", "--quick", "--results", str(folder)])
    (path,) = folder.glob("*-gossip.json")
    return code, json.loads(path.read_text()), (folder / "README.md").read_text()


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
    assert len(off(figures)) == 4
    assert spoiled(figures) == 6
    page = gossip({"figures": figures}, table)
    assert next(line for line in page.splitlines() if line.startswith("| 1,000 members, 0%")).endswith("| no |")
