# SPDX-License-Identifier: Apache-2.0
"""The bench of propagation: all contestants give one answer, another one is seen, and aims that are missed are said."""

from __future__ import annotations

import copy

import pytest

from benchmarks.contestants import PROPAGATION
from benchmarks.propagation import late, spoiled, wrong
from benchmarks.propagation_report import propagation
from benchmarks.report import table
from tests.support.benches import looked


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    if missing := [one for contestant in PROPAGATION.values() for one in contestant.missing]:
        pytest.skip(f"pip install {' '.join(missing)}")
    return looked(tmp_path_factory.mktemp("results"), "propagation")


def test_a_quick_look_has_everybody_agree(ran):
    code, found, page = ran
    assert code == 0
    figures = found["figures"]
    assert wrong(figures) == []
    assert set(figures["events"]) == {"flood, 200", "trickle, 200"}
    for runs in figures["events"].values():
        assert set(runs) == {"holdfast", "simpy-processes", "simpy-callbacks"}
        assert len({one["answer"] for each in runs.values() for one in each}) == 1
    assert set(figures["paths"]["2000"]) == {"holdfast", "networkx"}
    assert "All contestants gave the same answers." in page
    assert "| SimPy, processes |" in page
    assert "| NetworkX, Dijkstra |" in page


def test_two_scenarios_have_two_answers(ran):
    events = ran[1]["figures"]["events"]
    answers = {events[what]["holdfast"][0]["answer"] for what in events}
    assert len(answers) == 2


def test_another_answer_spoils_the_run_and_is_said(ran):
    figures = copy.deepcopy(ran[1]["figures"])
    figures["events"]["flood, 200"]["simpy-processes"][0]["answer"] = "other"
    figures["whole"]["flood, 200"][0]["reached"] = 199
    assert spoiled(figures) == 2
    page = propagation({"figures": figures, "settings": {"runs": 1}}, table)
    assert "Answers differ:" in page
    assert "199 reached" in page


def test_an_aim_that_is_missed_is_said_and_spoils_nothing(ran):
    figures = copy.deepcopy(ran[1]["figures"])
    figures["whole"]["bitcoin-trickle, 10000"][0]["seconds"] = 1.5
    assert late(figures) == ["bitcoin-trickle, 10,000 nodes: 1.50 s, 1 s were aimed at"]
    assert spoiled(figures) == 0
    page = propagation({"figures": figures, "settings": {"runs": 1}}, table)
    assert next(line for line in page.splitlines() if line.startswith("| bitcoin-trickle")).endswith("| 1 | no |")
