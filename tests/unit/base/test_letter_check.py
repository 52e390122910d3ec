# SPDX-License-Identifier: Apache-2.0
"""The validator names what is wrong, and tolerates what is merely new."""

from __future__ import annotations

import pytest

from holdfast._base.letter import ROWS
from holdfast._base.letter_check import check, conforms

GOOD = {row.name: row.example for row in ROWS}


def found(**changed):
    told = {**GOOD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return [
        (p.field, p.kind, p.level) for p in check({name: value for name, value in told.items() if value is not None})
    ]


def test_a_letter_as_it_should_be_has_no_problem():
    assert found() == []


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.need == "required"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_required_field_that_is_missing_or_empty_breaks_the_specification(name, value):
    assert found(**{name: value}) == [(name, "missing", "error")]


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.need == "recommended"])
def test_a_recommended_field_that_is_missing_is_only_mentioned(name):
    assert found(**{name: None}) == [(name, "missing", "info")]


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.need == "optional"])
def test_an_optional_field_is_not_missed(name):
    assert found(**{name: None}) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", "five"),
        ("attempts", "-1"),
        ("attempts", "05"),
        ("attempts", "1" * 19 + "\n"),
        ("attempts", "٣"),
        ("failure-timestamp", "2026-11-22T07:13:06Z"),
        ("failure-timestamp", "2026-11-22T07:13:06.123+00:00"),
        ("failure-timestamp", "2026-02-30T07:13:06.123Z"),
        ("failure-timestamp", "1763795586123"),
        ("failure-reason", "bad luck"),
        ("retryable", "True"),
        ("deaths", "[{"),
        ("letter-id", "01jd8z3v5k7q2m9t4r6w8y0a1b"),
        ("applied", "maybe"),
        ("trace-id", "xyz"),
    ],
)
def test_a_value_of_the_wrong_type_breaks_the_specification(field, value):
    ((name, kind, level),) = found(**{field: value})
    assert (name, level) == (field, "error")
    assert kind in {"type", "size"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.type == "string" and not row.pattern], ids=lambda row: row.name
)
def test_a_value_over_its_cap_breaks_the_specification(row):
    assert found(**{row.name: "é" * (row.max_bytes // 2)}) == []
    assert found(**{row.name: "é" * (row.max_bytes // 2) + "é"}) == [(row.name, "size", "error")]


def test_a_field_nobody_knows_is_mentioned_and_allowed():
    assert found(of_tomorrow="x") == [("of-tomorrow", "unknown", "info")]


def test_a_letter_of_a_later_version_is_read_as_far_as_we_go():
    problems = check({**GOOD, "spec-version": "2", "failure-reason": "eaten_by_a_whale", "of-tomorrow": "x"})
    assert [(p.field, p.level) for p in problems] == [
        ("spec-version", "warning"),
        ("failure-reason", "warning"),
        ("of-tomorrow", "info"),
    ]
    assert conforms(problems)


@pytest.mark.parametrize("version", ["0", "one", "1.0", "", "-1"])
def test_a_version_that_never_was_breaks_the_specification(version):
    assert not conforms(check({**GOOD, "spec-version": version}))
