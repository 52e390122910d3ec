# SPDX-License-Identifier: Apache-2.0
"""docs/requirements.md lists every requirement once, and each is shown by tests that exist or says why not."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.house.tree import ROOT, id_problem

#: How many requirements each system has.
COUNTS = {
    "S01": 17, "S02": 10, "S03": 13, "S04": 11, "S05": 10, "S06": 13, "S07": 10, "S08": 8, "S09": 9, "S10": 9,
    "S11": 11, "S12": 12, "S13": 10, "S14": 11, "S15": 11, "S16": 11, "S17": 10, "S18": 10, "S19": 11, "S20": 11,
}
#: Systems whose every row is shown. One that is here stays here.
FINISHED: set[str] = {"S03", "S05", "S07", "S08", "S09", "S10", "S11"}

NOT_DONE = "not done, because "
ROW = re.compile(r"^\| (?P<id>S\d\d\.\d+) \| (?P<what>.+) \| (?P<shown>[^|]+) \|$")
TEST = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    """One requirement as the page has it."""

    id: str
    what: str
    shown: str

    @property
    def system(self) -> str:
        return self.id.partition(".")[0]

    def problems(self) -> list[str]:
        """What is wrong with the last column."""
        if self.shown.startswith(NOT_DONE):
            return [] if len(self.shown) > len(NOT_DONE) + 10 else [f"{self.id}: because of what?"]
        tests = TEST.findall(self.shown)
        if not tests or TEST.sub("", self.shown).strip():
            return [f"{self.id}: neither test ids nor '{NOT_DONE}…': {self.shown}"]
        return [f"{self.id}: {problem}" for test in tests if (problem := id_problem(test))]


def rows() -> list[Row]:
    page = (ROOT / "docs" / "requirements.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| S")]
    found = [ROW.match(line) for line in table]
    assert all(found), [line for line, match in zip(table, found, strict=True) if not match]
    return [Row(match["id"], match["what"], match["shown"].strip()) for match in found if match]


def test_every_requirement_is_listed_once_and_in_order():
    wanted = [f"{system}.{number}" for system, count in COUNTS.items() for number in range(1, count + 1)]
    assert [row.id for row in rows()] == wanted


def test_every_row_names_tests_that_exist_or_says_why_not():
    assert not [problem for row in rows() for problem in row.problems()]


def test_a_finished_system_has_nothing_left_undone():
    undone = [row.id for row in rows() if row.system in FINISHED and row.shown.startswith(NOT_DONE)]
    assert not undone


@pytest.mark.parametrize("shown", [
    "done", "not done", "`tests/house/test_requirements.py::test_of_nothing`", "`tests/nowhere.py::test`",
    "`tests/house/test_requirements.py::test_a_row_that_shows_nothing_is_refused` and more to come", NOT_DONE + "so",
])
def test_a_row_that_shows_nothing_is_refused(shown):
    assert Row("S01.1", "something", shown.strip()).problems()


def test_a_row_that_names_a_test_is_accepted():
    shown = "`tests/house/test_requirements.py::test_a_row_that_names_a_test_is_accepted`"
    assert Row("S01.1", "something", shown).problems() == []
