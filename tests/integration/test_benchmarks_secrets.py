# SPDX-License-Identifier: Apache-2.0
"""The bench of secrets: everybody gives back what was put, and who does not spoils the run."""

from __future__ import annotations

import copy

import pytest

from benchmarks import secrets_files as files
from benchmarks.contestants import SECRETS
from benchmarks.secrets import spoiled
from tests.support.benches import looked


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    if missing := SECRETS["secrets-holdfast"].missing:
        pytest.skip(f"pip install {' '.join(missing)}")
    return looked(tmp_path_factory.mktemp("results"), "secrets")


def test_a_quick_look_finds_what_was_put(ran):
    code, found, page = ran
    assert code == 0
    assert spoiled(found["figures"]) == 0
    assert [(one["number"], one["size"]) for one in found["figures"]["files"]] == [(20, 32), (100, 32), (20, 1_024)]
    assert "## Secrets" in page


def test_everybody_has_a_figure_for_each_question(ran):
    _, found, page = ran
    for case in found["figures"]["files"]:
        assert set(case["us"]["warm"]) == set(files.KINDS)
        assert set(case["us"]["write"]) == set(files.KINDS) - {"client"}
        assert set(case["us"]["cold"]) == {"vault", "fernet", "fernet each"}
        for what in case["us"].values():
            assert all(0 < one["lowest"] <= one["median"] <= one["highest"] for one in what.values())
    rates = found["figures"]["far"]["per_s"]
    assert set(rates) == {"read", "write", "read, 4 callers"}
    assert all(set(one) == {"served", "nodes 3, k 2", "nodes 5, k 3", "nodes 9, k 5"} for one in rates.values())
    for row in ("| 100 of 32 bytes |", "| served |", "| nodes 9, k 5 |"):
        assert row in page


def test_a_value_that_is_another_one_spoils_the_run(ran, tmp_path, monkeypatch):
    figures = copy.deepcopy(ran[1]["figures"])
    figures["far"]["wrong"] = ["served: a"]
    assert spoiled(figures) == 1

    class Forgets(files.FernetFile):
        def _write(self):
            if not self.path.exists():
                super()._write()

    monkeypatch.setattr(files, "KINDS", {"vault": files.Ours, "fernet": Forgets})
    monkeypatch.setattr(files, "NOT", {"write": ()})
    found = files.measured(tmp_path / "x", 1, 0.0, 5, 8)
    assert {one.partition(":")[0] for one in found["wrong"]} == {"fernet"}
