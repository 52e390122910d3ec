# SPDX-License-Identifier: Apache-2.0
"""Two periods: the culprit comes first, its callers do not, and of little data nothing is claimed."""

from __future__ import annotations

import random

import pytest

from holdfast.traces import Span
from holdfast.traces.answers.compare import _spent, compare
from holdfast.traces.table import SpanTable


def period(count, seed, *, database_us=300, failing=0.0, extra=""):
    """Traces of a gateway that calls a shop, which calls a database and then a cache."""
    chance = random.Random(seed)
    for n in range(count):
        noise = lambda us: max(1, int(us * chance.lognormvariate(0, 0.2)))  # noqa: E731
        database, cache, own = noise(database_us), noise(100), noise(200)
        shop, trace = database + cache + own, f"{seed}-{n}"
        yield made(trace, ("1", ""), "gateway;GET /", 0, shop + 100)
        yield made(trace, ("2", "1"), "shop;list", 50, shop)
        yield made(trace, ("3", "2"), "database;SELECT", 50 + own, database, error=chance.random() < failing)
        yield made(trace, ("4", "2"), "cache;get", 51 + own + database, cache)
        if extra:
            yield made(trace, ("5", "2"), f"{extra};call", 55, 10)


def made(trace, ids, called, start, us, *, error=False):
    return Span(trace, *ids, *called.split(";"), start * 1000, (start + us) * 1000, error=error)


def compared(before, after, **said):
    with SpanTable.of(before) as one, SpanTable.of(after) as other:
        return compare(one, other, **said)


def verdicts(found):
    return {one.service: one.verdict for one in found.changes}


@pytest.mark.parametrize("mode", ["sweep", "crisp", "jaeger"])
def test_who_became_slower_comes_first_and_its_callers_do_not_count_as_slower(mode):
    found = compared(period(200, 1), period(200, 2, database_us=600), mode=mode)
    worst = found.changes[0]
    assert (worst.service, worst.operation, worst.verdict) == ("database", "SELECT", "slower")
    assert 270 < worst.change_us < 330
    assert worst.p_value < 1e-6
    assert len(worst.evidence) == 5
    assert all(trace_id.startswith("2-") for trace_id in worst.evidence)
    assert {one.verdict for one in found.changes[1:]} == {"same"}, "gateway and shop only waited"
    assert found.root_p_value < 1e-6
    assert found.root_after.median > found.root_before.median + 250


def test_periods_that_differ_by_chance_are_the_same():
    found = compared(period(300, 3), period(300, 4))
    assert set(verdicts(found).values()) == {"same"}
    assert {one.errors for one in found.changes} == {"same"}
    assert found.notes == []


def test_who_became_faster_is_said_to_be():
    assert verdicts(compared(period(200, 1, database_us=600), period(200, 2)))["database"] == "faster"


def test_more_failures_are_seen_beside_times():
    found = {one.service: one for one in compared(period(200, 1), period(200, 2, failing=0.2)).changes}
    assert (found["database"].errors, found["database"].verdict) == ("more", "same")
    assert found["cache"].errors == "same"


def test_of_few_traces_nothing_is_claimed():
    found = compared(period(19, 1), period(200, 2, database_us=6000))
    assert set(verdicts(found).values()) == {"too_little"}
    assert found.changes[0].service == "database", "it is ranked all the same"
    assert "the earlier period has 19 traces" in found.notes[0]


def test_what_is_new_and_what_is_gone_is_named_with_its_evidence():
    found = compared(period(30, 1, extra="old"), period(30, 2, extra="new"))
    assert (verdicts(found)["old"], verdicts(found)["new"]) == ("gone", "new")
    evidence = {one.service: one.evidence[0][:2] for one in found.changes}
    assert (evidence["old"], evidence["new"]) == ("1-", "2-")
    gone, new = sorted(found.edges[:2], key=lambda edge: edge.target, reverse=True)
    assert (gone.target, gone.after, new.target, new.before) == ("old", None, "new", None)
    assert all(edge.before and edge.after for edge in found.edges[2:])


def test_two_minutes_of_train_tickets_differ_where_they_are_said_to(data_dir):
    folder = data_dir / "traces"
    with (SpanTable.read(str(folder / "nezha_trainticket_2023-01-29_09-34.csv")) as one,
          SpanTable.read(str(folder / "nezha_trainticket_2023-01-29_10-20.csv")) as other):
        found = compare(one, other)
    assert (found.traces_before, found.traces_after) == (44, 26)
    assert sum(edge.after is not None for edge in found.edges) == 23
    assert sum(edge.before is not None for edge in found.edges) == 13
    assert {one.verdict for one in found.changes} >= {"new", "too_little"}


def test_a_period_compared_with_itself_has_not_changed():
    found = compared(period(60, 5, failing=0.1), period(60, 5, failing=0.1))
    assert {(one.verdict, one.errors, one.change_us) for one in found.changes} == {("same", "same", 0.0)}
    assert found.root_p_value == 1.0
    assert found.root_before == found.root_after


def test_the_sample_of_traces_is_the_same_in_each_run_and_bounded():
    with SpanTable.of(Span(f"t{n}", "1", "", "s", "o", 0, n * 1000) for n in range(5_000)) as one:
        first, again = _spent(one.traces(), "sweep")[1], _spent(one.traces(), "sweep")[1]
    assert len(first.values) == 2_000
    assert sorted(first.values) == sorted(again.values)
    assert abs(sum(first.values) / 2_000 - 2_500) < 150, "it is a fair one"
    assert [trace_id for _, trace_id in first.most] == ["t4999", "t4998", "t4997", "t4996", "t4995"]
