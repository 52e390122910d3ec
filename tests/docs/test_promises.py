# SPDX-License-Identifier: Apache-2.0
"""A page that names a test names one that exists."""

from __future__ import annotations

import re

import pytest

from tests.house.tree import ROOT, id_problem, named

TEST = re.compile(r"`(tests/[\w/]+\.py::[\w:]+)`")
PAGES = [*sorted((ROOT / "docs" / "explanation").glob("*.md")), ROOT / "tests" / "faults" / "TRACK_RECORD.md",
         ROOT / "ARCHITECTURE.md"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_tests_that_a_page_names_exist(page):
    assert not [problem for test in TEST.findall(page.read_text()) if (problem := id_problem(test))]


def test_every_rule_of_delivery_names_its_tests():
    page = (ROOT / "docs" / "explanation" / "delivery.md").read_text()
    assert len(TEST.findall(page)) > 50
