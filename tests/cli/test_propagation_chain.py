# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation forks | attacks``: these keys, the same numbers from the same seed, 1 where somebody lost."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

pytest.importorskip("numpy")

from holdfast.cli.propagation_chain import SCENARIOS
from holdfast.cli.propagation_chain import attacks as command
from holdfast.propagation.sim import attacks

FORKS = ["interval_s", "delay_s", "blocks", "stale", "fork_rate", "theory", "undone_max", "confirmed_s", "deep_s",
         "heads"]
OUTCOME = ["scenario", "nodes", "seed", "honest", "payments", "confirmed", "reached", "t50_s", "t100_s", "heads",
           "pools", "undone", "both_confirmed", "blamed"]


def answer(said):
    assert (said.code, said.err) == (0, "")
    return msgspec.json.decode(said.out)


def test_forks_answers_with_a_row_an_interval_and_the_same_again(holdfast):
    words = ("propagation", "forks", "--nodes", "12", "--blocks", "60", "--json")
    found = answer(holdfast(*words))
    assert [list(row) for row in found] == [FORKS] * 5
    assert [row["interval_s"] for row in found] == [20.0, 10.0, 5.0, 2.0, 1.0]
    assert found[0]["fork_rate"] < found[-1]["fork_rate"]
    assert all(row["heads"] == 1 and 0 < row["theory"] < 1 for row in found)
    assert answer(holdfast(*words)) == found


def test_journals_of_chains_are_analysed_to_what_was_measured(holdfast, tmp_path):
    found = answer(holdfast("propagation", "forks", "--nodes", "12", "--blocks", "60", "--journals", tmp_path / "runs",
                            "--json"))
    for row in found:
        folder = tmp_path / "runs" / f"every-{row['interval_s']:g}s"
        (run,) = answer(holdfast("propagation", "analyse", folder, "--json"))["runs"]
        forks = run["forks"]
        assert (forks["blocks"], round(forks["rate"], 4)) == (row["blocks"], row["stale"])
        assert forks["undone_max"] == row["undone_max"]
        assert forks["delay_s"] == pytest.approx(row["delay_s"] - 0.1, abs=0.02), "without the check, 0.1 s"
        sure = forks["sure"][0]
        assert sure["seen"] == 60
        # Of sixty there are two in the middle, and each takes another one.
        assert sure["t50_s"] <= row["confirmed_s"] < sure["t90_s"]
    said = holdfast("propagation", "analyse", tmp_path / "runs" / "every-5s")
    assert (said.code, "blocks are stale" in said.out, "\\u" in said.out) == (0, True, False)
    again = holdfast("propagation", "forks", "--nodes", "12", "--blocks", "60", "--journals", tmp_path / "runs")
    assert (again.code, "two runs must not be mixed" in again.err) == (2, True)


def test_help_names_the_scenarios_there_are():
    assert tuple(attacks.SCENARIOS) == SCENARIOS


def test_attacks_says_who_was_reached_and_whether_all_agree(holdfast):
    found = answer(holdfast("propagation", "attacks", "--nodes", "30", "--seed", "2", "--json"))
    assert list(found) == ["scenarios", "eclipses", "deceived"]
    assert [list(one) for one in found["scenarios"]] == [OUTCOME] * 6
    assert [one["scenario"] for one in found["scenarios"]] == list(SCENARIOS)
    assert all((one["reached"], one["heads"], one["both_confirmed"]) == (1.0, 1, 0) for one in found["scenarios"])
    assert {(one["links"], one["share"]) for one in found["eclipses"]} == {
        (links, share) for links in (8, 16) for share in (0.1, 0.3, 0.5, 0.6, 0.7, 0.8)}
    assert [(one["links"], one["shown"] > 0) for one in found["deceived"]] == [(0, True), (1, False)]


def test_one_scenario_is_shown_as_a_table(holdfast):
    said = holdfast("propagation", "attacks", "--scenario", "partition", "--nodes", "20")
    assert (said.code, said.err) == (0, "")
    head, row = said.out.strip().splitlines()
    assert head.split() == OUTCOME
    assert row.split()[:3] == ["partition", "20", "1"]


@pytest.mark.parametrize(("lost", "code"), [({}, 0), ({"heads": 2}, 1), ({"pools": 2}, 1), ({"reached": 0.9}, 1),
                                            ({"both_confirmed": 1}, 1)], ids=str)
def test_where_they_do_not_agree_the_answer_is_one(lost, code, monkeypatch, capsys):
    found = dataclasses.replace(attacks.parted(20, 1), **lost)
    monkeypatch.setattr(attacks, "SCENARIOS", {"partition": lambda nodes, seed: found})
    assert command.main(["--scenario", "partition", "--json"], standalone_mode=False) == code
    assert msgspec.json.decode(capsys.readouterr().out)["scenarios"][0]["heads"] == found.heads


@pytest.mark.parametrize("words", [("forks", "--nodes", "5"), ("attacks", "--nodes", "5"), ("forks", "--seed", "-1")],
                         ids=" ".join)
def test_numbers_that_cannot_be_are_misuse(holdfast, words):
    assert holdfast("propagation", *words).code == 2
