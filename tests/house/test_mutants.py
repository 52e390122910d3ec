# SPDX-License-Identifier: Apache-2.0
"""Every removal patch still fits the source and names a test that exists. ``make mutants`` runs them."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.house.tree import ROOT, id_problem
from tests.mutants import run

PATCHES = sorted((ROOT / "tests" / "mutants").glob("*.patch"))
CODE = re.compile(r"`([^`]+)`")


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the source, for ``patch`` to try itself on. Trying changes nothing, so one copy does for all."""
    folder = tmp_path_factory.mktemp("mutated")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_patch_fits_the_source(path, copied):
    refusal = run.apply(run.read(path), copied, dry_run=True)
    assert refusal is None, refusal


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_patch_names_a_test_that_exists(path):
    assert id_problem(run.read(path).test) is None


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_patch_touches_the_package_alone(path):
    touched = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("+++ ")]
    assert touched
    assert all(name.startswith("b/src/holdfast/") for name in touched), touched


def rules():
    """Rule, tests and mutants of each row of the table of rules."""
    rows = [line.strip("| \n").split(" | ") for line in (ROOT / "tests/mutants/README.md").read_text().splitlines()
            if line.startswith("| ")]
    return [(rule, set(CODE.findall(tests)), set(CODE.findall(mutants))) for rule, tests, mutants in rows[1:]]


@pytest.mark.parametrize(("tests", "mutants"), [row[1:] for row in rules()], ids=[row[0][:40] for row in rules()])
def test_a_rule_names_its_mutants_and_their_tests(tests, mutants):
    assert mutants
    assert tests == {run.read(ROOT / f"tests/mutants/{name}.patch").test.partition("[")[0] for name in mutants}


def test_a_patch_that_does_not_fit_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("one\n")
    patch = tmp_path / "x.patch"
    patch.write_text("test: t.py::test\nguard: g\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-two\n+three\n")
    assert run.apply(run.read(patch), tmp_path)


def test_a_patch_without_its_header_is_refused(tmp_path):
    patch = tmp_path / "x.patch"
    patch.write_text("guard: g\n--- a/a.py\n+++ b/a.py\n")
    with pytest.raises(ValueError, match="test:"):
        run.read(patch)
