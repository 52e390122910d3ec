# SPDX-License-Identifier: Apache-2.0
"""The bench of dead letters applies every letter once, keeps to a rate, and says so on the page."""

from __future__ import annotations

import pytest

from benchmarks.contestants import KNOWN
from benchmarks.letters import FILTERS, most, spoiled
from benchmarks.letters_report import letters
from benchmarks.report import table
from tests.support.benches import looked

N = 400


def test_all_letters_are_taken_in_looked_for_and_applied_once(tmp_path):
    if KNOWN["letters"].missing:
        pytest.skip(f"pip install {' '.join(KNOWN['letters'].missing)}")
    code, result, page = looked(tmp_path, "letters", "--n", str(N))
    found = result["figures"]
    assert code == 0
    for runs in (*found["replay"].values(), found["bare"]):
        assert [(run["duplicates"], run["missing"]) for run in runs] == [(0, 0)]
    assert found["groups"]["sqlite"].keys() == FILTERS.keys()
    assert found["groups"]["sqlite"]["all"]["letters"] == N
    assert found["groups"]["sqlite"]["of an id"]["letters"] == 1
    assert 0 < found["screen"]["sqlite"]["ttfb_p95_ms"] <= found["screen"]["sqlite"]["p95_ms"]
    assert found["rate"]["sqlite"]["most_in_a_second"] <= 200
    assert "| a bare loop of XADD | 1.00 × |" in page
    assert str(tmp_path) not in page


def test_a_second_begins_at_an_entry_wherever_that_is():
    assert most([0, 10, 999, 1_000, 1_001, 5_000]) == 4
    assert most([0]) == 1


def _figures(**changes):
    run = {"per_s": 6_000.0, "whole_per_s": 5_000.0, "asked_s": 1.0, "sender_cpu_us": 1.0, "client_cpu_us": 1.0,
           "server_cpu_us": 1.0, "duplicates": 0, "missing": 0}
    look = {"letters": 5, "groups": 1, "p50_ms": 1.0, "p95_ms": 2.0, "cpu_ms": 1.0}
    found = {"replay": {"sqlite": [run]}, "bare": [run], "groups": {"sqlite": {"all": look}},
             "screen": {"sqlite": {"bytes": 1, "first_ms": 1.0, "ttfb_p95_ms": 1.0, "p50_ms": 1.0, "p95_ms": 1_001.0}},
             "intake": {"sqlite": {"n": 5, "seconds": 1.0, "per_s": 5.0, "judged_per_s": 5.0}},
             "rate": {"sqlite": {"rate_per_s": 500.0, "per_s": 490.0, "most_in_a_second": 500, "longest_gap_ms": 100,
                                 "missing": 0}}}
    return {**found, **changes}


def test_an_aim_that_is_missed_is_said_to_be():
    page = letters({"figures": _figures()}, table)
    assert "| SQLite: the screen whole, p95, ms | ≤ 1,000 | 1,001 | no |" in page
    assert "| SQLite: sent back and applied a second, median | ≥ 5,000 | 6,000 | yes |" in page


def test_a_second_with_more_than_was_said_spoils_a_run():
    rate = {"rate_per_s": 500.0, "most_in_a_second": 503, "missing": 0}
    assert spoiled(_figures()) == 0
    assert spoiled(_figures(rate={"sqlite": rate})) == 3
