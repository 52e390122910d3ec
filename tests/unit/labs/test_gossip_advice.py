# SPDX-License-Identifier: Apache-2.0
"""What is said about attacks on gossip, and which findings make the command answer 1."""

from __future__ import annotations

import asyncio
import math

import pytest

pytest.importorskip("cryptography")

from holdfast.gossip.sim.ablation import Slowness
from holdfast.gossip.sim.attacks.cases import ATTACKS
from holdfast.gossip.sim.attacks.outcome import Outcome
from holdfast.gossip.sim.runs import Mistakes
from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.gossip import Plan, compare, failed
from holdfast.labs.gossip_advice import METRICS, advice, attack_cells, broken, outcomes, slow_cells

LIAR = ATTACKS["liar about deaths"]
KEY, SIGNED, CERTIFIED = (row.words for row in LIAR.rows)


def liar(without, with_):
    return [*attack_cells(LIAR.name, SIGNED, Outcome(false_deaths=without)),
            *attack_cells(LIAR.name, CERTIFIED, Outcome(false_deaths=with_))]


def slow(swim, ours):
    return [cell for stage, declared in (("SWIM", swim), ("Lifeguard + lag + last word", ours))
            for cell in slow_cells(stage, Mistakes(declared, declared, declared, 2 * declared, 0))]


def told(cells, attacks=ATTACKS):
    return "\n".join(advice(Cells(cells), attacks))


def test_a_defence_that_does_what_it_is_for_is_no_failure_and_is_said():
    cells = [*liar(214, 0), *slow(100, 0)]
    assert not failed(Report(cells=cells, advice=[]))
    assert "liar about deaths: 214 false deaths with encryption + signatures alone, 0 false deaths with " in told(cells)
    assert "a league" not in told(cells)


def test_a_defence_that_lets_one_through_is_a_failure():
    cells = liar(214, 1)
    assert failed(Report(cells=cells, advice=[]))
    assert "BROKEN: liar about deaths: false_deaths is 1 with" in told(cells)


def test_an_attack_that_does_no_harm_shows_nothing():
    cells = liar(3, 0)
    assert failed(Report(cells=cells, advice=[]))
    assert "BROKEN: liar about deaths: false_deaths is 3 without it: the attack does no harm" in told(cells)


def test_live_members_taken_for_dead_too_often_are_a_failure_where_there_are_enough_to_tell():
    assert broken(Cells(slow(100, 6)), ATTACKS) == [
        "BROKEN: slow members: 6 live members were taken for dead, and 100 by SWIM"]
    assert not broken(Cells(slow(100, 5)), ATTACKS)
    assert not broken(Cells(slow(39, 6)), ATTACKS)
    assert ("SWIM took live members for dead 100 times; fewer, times: Lifeguard + lag + last word 20.0"
            in told(slow(100, 5)))


def test_what_was_not_measured_is_not_judged_and_nothing_is_said_of_it():
    assert advice(Cells([]), ATTACKS) == []
    assert not failed(Report(cells=attack_cells(LIAR.name, SIGNED, Outcome(false_deaths=214)), advice=[]))


def test_a_time_that_most_did_not_reach_has_no_cell_and_each_number_has_its_unit():
    cells = attack_cells("x", "none", Outcome(coverage=0.5, t50_s=1.23456, t99_s=math.inf, bytes_s=512.0))
    assert [(cell.metric, cell.value, cell.unit) for cell in cells] == [
        ("coverage", 0.5, "part"), ("t50_s", 1.235, "s"), ("traffic", 512.0, "bytes/s")]
    assert METRICS.keys() == set(Outcome.__dataclass_fields__)


def test_who_was_deceived_who_learnt_of_it_and_what_was_cried_for_nothing_is_said():
    watched, compared = "encryption + signatures + watching", "encryption + signatures + comparing"
    cells = [*attack_cells("two-faced", SIGNED, Outcome(unaware=1.0, noticed=0.0, banned=0.0, t99_s=math.inf)),
             *attack_cells("two-faced", watched, Outcome(unaware=0.0, noticed=1.0, banned=1.0, t99_s=0.01)),
             *attack_cells("divider", SIGNED, Outcome(noticed=0.0)),
             *attack_cells("divider", compared, Outcome(noticed=0.97)),
             *attack_cells("nobody divides", compared + " + eager", Outcome(false_reports=54)),
             *attack_cells("nobody divides", compared, Outcome(false_reports=0))]
    assert not failed(Report(cells=cells, advice=[]))
    for said in ("two-faced: 100 % of the members deceived and unaware of it with encryption + signatures alone, 0 %",
                 f"100 % of the members ban it with {watched}",
                 f"97 % of the members report the split with all names with {compared}",
                 f"0 false reports of a split with {compared}: what does not stay is not told"):
        assert said in told(cells)


@pytest.mark.parametrize(("attack", "row", "outcome", "why"), [
    ("two-faced", "watching", Outcome(unaware=0.02), "unaware is 0.02"),
    ("two-faced", "watching", Outcome(banned=0.98), "banned is 0.98"),
    ("divider", "comparing", Outcome(noticed=0.9), "noticed is 0.9"),
    ("nobody divides", "comparing", Outcome(false_reports=1), "false_reports is 1"),
], ids=["unaware", "banned", "noticed", "false reports"])
def test_one_who_is_deceived_or_not_told_or_told_for_nothing_is_a_failure(attack, row, outcome, why):
    cells = attack_cells(attack, f"{SIGNED} + {row}", outcome)
    assert failed(Report(cells=cells, advice=[]))
    assert f"BROKEN: {attack}: {why} with {SIGNED} + {row}, and was to be" in told(cells)


def test_cells_become_outcomes_again():
    assert outcomes(Cells(liar(214, 0)), LIAR) == {
        SIGNED: Outcome(false_deaths=214), CERTIFIED: Outcome(false_deaths=0)}


@pytest.mark.parametrize(("scheme", "attack", "metric", "value", "said"), [
    (CERTIFIED, "league of liars", "false_deaths", 160, "still kill (160 views)"),
    ("windows", "replayer", "false_accepted", 50, "native packets alone let 50 old letters in"),
    ("encryption + signatures + comparing", "careful divider", "coverage", 0.5, "letters reached 50 % of the members"),
    ("encryption + networks", "Sybil swarm, many networks", "share", 0.857, "86 % of the members were its own"),
], ids=["league", "replayer", "divider", "swarm"])
def test_where_a_defence_ends_is_said_only_when_it_was_seen(scheme, attack, metric, value, said):
    cells = [Cell(scheme=scheme, scenario=attack, metric=metric, value=value, unit="x")]
    assert said in told(cells)
    assert said not in told([Cell(scheme=scheme, scenario=attack, metric=metric, value=0, unit="x")])


def test_what_defences_cost_is_said_as_times_the_traffic_of_plain_gossip():
    cells = [*attack_cells("nobody", "none", Outcome(bytes_s=400.0)),
             *attack_cells("nobody", "encryption", Outcome(bytes_s=500.0))]
    assert "times the traffic of plain gossip: encryption 1.25" in told(cells)
    assert "traffic of plain" not in told(cells[1:])


def test_that_the_buddy_system_does_little_is_said_where_it_did():
    cells = [cell for stage, declared in (("SWIM", 34), ("SWIM + Buddy", 33))
             for cell in slow_cells(stage, Mistakes(declared, 0, 0, 0, 0))]
    assert "tell the accused first does little" in told(cells)
    cells[4] = Cell(scheme="SWIM + Buddy", scenario="slow members", metric="declared", value=10, unit="deaths")
    assert "tell the accused first does little" not in told(cells)


def test_the_lab_plays_what_it_is_asked_for_and_counts_its_steps():
    steps, said = [], []
    plan = Plan(members=12, runs=2, slow_runs=1, slowness=Slowness(count=8, slow=2, for_s=5.0))
    names = ("eavesdropper inside", "eavesdropper")
    report = asyncio.run(compare(plan, attacks={name: ATTACKS[name] for name in names}, say=said.append,
                                 done=lambda *through: steps.append(through)))
    cells = Cells(report.cells)
    assert cells.scenarios == [*names, "slow members"]
    assert steps[-1] == (12, 12)
    assert len(steps) == 12
    assert cells.value("encryption", "eavesdropper", "read") == 0
    assert any(line.startswith("eavesdropper: listens") for line in said)
    assert not failed(report)
    assert any("0 % of the secrets read with encryption" in line for line in report.advice)


def test_without_slow_members_there_are_none():
    one = {"eclipse by choice": ATTACKS["eclipse by choice"]}
    report = asyncio.run(compare(Plan(members=12, runs=1), attacks=one, slow=False))
    assert Cells(report.cells).scenarios == ["eclipse by choice"]
