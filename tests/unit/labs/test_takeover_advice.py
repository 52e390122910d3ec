# SPDX-License-Identifier: Apache-2.0
"""What is said about a takeover, and which findings make the command answer 1."""

from __future__ import annotations

import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.takeover import failed
from holdfast.labs.takeover_advice import advice, broken


def cell(scheme, scenario, metric, value, unit="messages"):
    return Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=unit)


def kill(scheme, *, timeout_s=4.0, recovery_s=4.2, stop_s=0.2, **more):
    figures = {"timeout_s": timeout_s, "recovery_s": recovery_s, "stop_s": stop_s, "handled_twice": 0, "lost": 0}
    figures |= more
    return [cell(scheme, "kill", metric, value) for metric, value in figures.items() if value is not None]


GOOD = [*kill("lease"), *kill("partitions"), *kill("idle-claim"), cell("idle-claim", "slow", "handled_twice", 1)]


def told(cells, no_kafka=""):
    return "\n".join(advice(Cells(cells), 0.1, no_kafka))


def test_a_good_run_is_no_failure():
    assert not failed(Report(cells=GOOD, advice=[]))


@pytest.mark.parametrize("scheme", ["lease", "partitions"])
@pytest.mark.parametrize("scenario", ["kill", "slow"])
def test_a_message_that_a_scheme_of_ours_lost_is_a_failure(scheme, scenario):
    report = Report(cells=[*GOOD, cell(scheme, scenario, "lost", 1)], advice=[])
    assert failed(report)
    assert broken(Cells(report.cells)) == [f"BROKEN: {scheme} lost 1 messages under {scenario}"]


def test_what_others_lose_is_no_failure_of_ours():
    assert not failed(Report(cells=[*GOOD, *kill("rebalance", lost=3)], advice=[]))


def test_taking_from_the_living_is_a_failure():
    assert failed(Report(cells=[*GOOD, cell("lease", "slow", "handled_twice", 1)], advice=[]))


def test_a_repetition_after_a_kill_is_none():
    assert not failed(Report(cells=[*GOOD, cell("lease", "kill", "handled_twice", 1)], advice=[]))


def test_a_lab_that_cannot_show_the_problem_shows_nothing():
    assert failed(Report(cells=[*GOOD, cell("idle-claim", "slow", "handled_twice", 0)], advice=[]))


def test_without_a_rebalance_it_says_why():
    assert "rebalance has no cells: needs the extra 'kafka'" in told(GOOD, "needs the extra 'kafka'")


def test_with_a_rebalance_it_says_on_what():
    said = told([*GOOD, *kill("rebalance", recovery_s=7.4, stop_s=3.1, mock_wait_s=3.0)])
    assert "librdkafka's mock cluster, which is not a Kafka broker" in said
    assert "of rebalance's recovery_s 3 s are the mock cluster's own" in said
    assert "handled_twice of rebalance" not in said
    assert "handled_twice of rebalance is more than on a broker" in told([*GOOD, *kill(
        "rebalance", handled_twice=4, mock_wait_s=3.0)])
    assert "under rebalance every worker stood still for that wait" in said
    assert "the world stood still" not in said  # beyond the mock cluster's own wait nobody did


def test_survivors_that_went_on_are_not_said_to_have_stood_still():
    said = told([*GOOD, *kill("rebalance-cooperative", recovery_s=11.0, stop_s=0.4, mock_wait_s=3.0)])
    assert "stood still" not in said


def test_a_world_that_stood_still_by_itself_is_named():
    assert "the world stood still under idle-claim (2 s)" in told([*GOOD, cell("idle-claim", "kill", "stop_s", 2.0)])


def test_timeouts_that_differ_are_said():
    shorter = [*GOOD, cell("lease", "kill", "timeout_s", 1.2)]
    assert "compare recovery_s less timeout_s" in told([*shorter, *kill("rebalance")])
    assert "compare recovery_s" not in told([*GOOD, *kill("rebalance")])


def test_no_time_of_recovery_has_its_reason():
    assert "not all messages came back" in told(kill("x", recovery_s=None, lost=2))
    assert "happened to hold nothing" in told(kill("x", recovery_s=None))
