# SPDX-License-Identifier: Apache-2.0
"""What is said about ways to keep secrets, for all needs there are, and which findings make the command answer 1."""

from __future__ import annotations

import itertools

import pytest

from holdfast.labs.cells import Cell, Cells
from holdfast.labs.secrets_advice import AVAILABLE, COMPLIANCE, SKILLS, Needs, Setting, advice, broken, objections

SETTING = Setting(numbers=(10,))
#: plain, silent, old_read, opens_with, reads and writes with one away, processes, ms of a write, reads on record
WAYS = {"environment": (5, 6, 1, 1, 0, 0, 0, None, 0), "dotenv": (5, 6, 1, 1, 0, 0, 0, None, 0),
        "mounted": (5, 9, 1, 1, 0, 0, 0, None, 0),
        "vault": (0, 0, 0, 1, 0, 0, 0, 1.0, 0), "served": (0, 0, 0, 1, 1, 0, 2, 10.0, 3),
        "nodes 3/2": (0, 0, 0, 2, 1, 1, 3, 20.0, 3),
        "nodes 5/3": (0, 0, 0, 3, 1, 1, 5, 40.0, 3), "hybrid": (0, 0, 0, 3, 1, 1, 3, 1.0, 0)}
KEYS = (("stolen", "values_in_plain"), ("altered", "silent"), ("put back", "old_read"), ("stolen", "opens_with"),
        ("1 away", "reads"), ("1 away", "writes"), ("effort", "processes"), ("10 secrets", "write_p50_ms"),
        ("record", "named"))


def cells(**other):
    """As measured, but for ``other``: scheme → place in its row → value."""
    found = []
    for name, row in WAYS.items():
        for at, ((scenario, metric), value) in enumerate(zip(KEYS, row, strict=True)):
            value = other.get(name.replace(" ", "_").replace("/", "_"), {}).get(at, value)  # noqa: PLW2901
            if value is not None:
                found.append(Cell(scheme=name, scenario=scenario, metric=metric, value=value, unit="x"))
    return Cells(found)


ALL = [Needs(people=people, secrets=count, compliance=compliance, available=available, skills=skills)
       for people, count, compliance, available, skills in itertools.product(
           (None, 3, 500), (None, 20, 10_000_000), COMPLIANCE, AVAILABLE, SKILLS)]


def test_every_need_is_answered_and_no_baseline_is_ever_advised():
    for needs in ALL:
        said = advice(cells(), SETTING, needs)
        assert said[0].startswith(("For what you need: ", "Nothing that was measured is all of that. Nearest is "))
        assert not any(f"{name} (" in said[0] for name in ("environment", "dotenv", "mounted"))
        fits = said[0].startswith("For")
        assert fits == any(not objections(cells(), name, SETTING, needs) for name in WAYS)


def test_who_needs_more_is_advised_no_way_that_less_would_not_be():
    def fit(needs):
        return {name for name in WAYS if not objections(cells(), name, SETTING, needs)}

    for needs in ALL:
        for compliance, available in itertools.product(COMPLIANCE[:COMPLIANCE.index(needs.compliance) + 1],
                                                       AVAILABLE[:AVAILABLE.index(needs.available) + 1]):
            less = Needs(people=needs.people, secrets=needs.secrets, compliance=compliance, available=available,
                         skills=needs.skills)
            assert fit(needs) <= fit(less)


@pytest.mark.parametrize(("needs", "first"), [
    (Needs(), "vault"), (Needs(people=80), "served"), (Needs(available="writes"), "nodes 3/2"),
    (Needs(compliance="dual-control"), "nodes 3/2"), (Needs(compliance="audit", skills="some"), "served")],
    ids=["nothing", "many people", "writes go on", "dual control", "a record"])
def test_what_is_least_to_look_after_comes_first(needs, first):
    assert advice(cells(), SETTING, needs)[0].startswith(f"For what you need: {first} (")


def test_what_nothing_is_is_said_with_the_nearest():
    said = advice(cells(), SETTING, Needs(skills="none", available="writes"))
    assert said[0].startswith("Nothing that was measured is all of that. Nearest is ")
    assert "not vault: with one machine away nothing is read" in "\n".join(said)


@pytest.mark.parametrize(("other", "word"), [
    ({"vault": {0: 1}}, "stand in plain"), ({"served": {1: 1}}, "flipped bits"), ({"nodes_3_2": {2: 1}}, "old copy"),
    ({"nodes_5_3": {3: 2}}, "was opened with 2 disks of the 3"), ({"hybrid": {3: 1}}, "was opened with 1"),
    ({"served": {4: 0}}, "with 1 away it did not answer"), ({"dotenv": {0: 0}}, "was not caught"),
    ({"mounted": {1: 0}}, "was not caught"), ({"nodes_3_2": {8: 2}}, "of 3 reads its record names 2")],
    ids=lambda one: str(one)[:12] if isinstance(one, str) else "")
def test_what_is_not_as_promised_is_broken(other, word):
    assert broken(cells()) == []
    (said,) = broken(cells(**other))
    assert said.startswith("BROKEN: ")
    assert word in said
