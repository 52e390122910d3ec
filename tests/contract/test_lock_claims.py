# SPDX-License-Identifier: Apache-2.0
"""What is claimed is what is tested: no claim without a test, no test without a claim, no back end without a bench."""

from __future__ import annotations

import json

import pytest

from tests.contract import matrix, test_lock
from tests.contract.lock_benches import BENCHES
from tests.contract.lock_claims import BACK_ENDS, CLAIMS, SAFETY, BackEnd
from tests.contract.lock_matrix import LOCKS


def test_claims_and_tests_are_the_same():
    tests = [name.removeprefix("test_") for name in vars(test_lock) if name.startswith("test_")]
    assert sorted(tests) == sorted(CLAIMS)


def test_back_ends_and_benches_are_the_same():
    assert list(BACK_ENDS) == list(SAFETY)
    assert sorted(BENCHES) == sorted(BACK_ENDS)


def test_the_minimal_lock_has_the_known_faults_and_no_other_back_end_has_any():
    assert sum(map(bool, BACK_ENDS["minimal"].faults.values())) == 7
    assert not [b.name for b in BACK_ENDS.values() if b.faults and b.name != "minimal"]


def test_a_claim_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no such claims: nonsense"):
        BackEnd("x", "x", "x", lacks={"nonsense": "because"})


def test_the_matrix_says_what_came_of_each_and_keeps_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matrix, "BUILD", tmp_path / "build")
    assert LOCKS.main() == 3, "there was no run yet"
    cells = {"valkey": {"tokens_grow": "pass"}, "minimal": {"tokens_grow": "fault"}}
    text = LOCKS.rendered(cells, {"valkey": {"hand_over_ms": 0.5}})
    assert text.splitlines()[0].split() == ["valkey", "minimal"]
    assert ["tokens_grow", "pass", "fault"] in [line.split() for line in text.splitlines()]
    LOCKS.keep(cells, {}, text)
    assert LOCKS.main() == 0
    cells["minimal"]["tokens_grow"] = "FAIL"  # it passed what it has to fail
    LOCKS.keep(cells, {}, text)
    assert LOCKS.main() == 1
    assert json.loads((tmp_path / "build" / "lock-matrix.json").read_text())["cells"] == cells
    capsys.readouterr()


def test_a_battery_without_a_list_shows_what_was_met():
    ids = matrix.Battery("ids", "contract/test_ids.py", "ids")
    lines = ids.rendered({"etcd": {"unique": "pass", "told": "skip"}, "sql": {"told": "pass"}}, {}).splitlines()
    assert [line.split() for line in lines[:3]] == [["etcd", "sql"], ["unique", "pass"], ["told", "skip", "pass"]]
    assert ["passed", "1", "1"] in [line.split() for line in lines]
