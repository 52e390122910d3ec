# SPDX-License-Identifier: Apache-2.0
"""What is said about families of ids, what is recommended for which needs, and what makes the command answer 1."""

from __future__ import annotations

import pytest

from holdfast.labs import ids
from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.ids_advice import Needs, Setting, advice, broken, objections
from holdfast.labs.ids_families import FAMILIES, At, present

RATES = {"snowflake-bound": 9e6, "snowflake": 4e6, "javascript": 4e6, "uuid4": 4e5, "uuid7": 3e5, "sql-segments": 2e6,
         "redis-segments": 2e6, "redis-incr": 2e4, "redis-dated": 1.9e4, "sql-auto": 500, "sql-step": 480,
         "service": 1e6, "snowflake-strict": 1e6}
COUNTERS = ("sql-auto", "sql-step", "sql-segments", "redis-incr", "redis-dated", "redis-segments", "service")
ORDERED = ("sql-auto", "redis-incr", "redis-dated")


def figures(changed=None):
    found = {}
    for name, rate in RATES.items():
        family = FAMILIES[name]
        found |= {(name, "throughput", "ids_per_s"): rate, (name, "throughput", "duplicates"): 0,
                  (name, "uniqueness", "duplicates"): 0, (name, "order", "thread_swapped"): 0.0,
                  (name, "order", "process_swapped"): 0.0 if family.order in ("process", "all") else 0.2,
                  (name, "order", "all_swapped"): 0.0 if name in ORDERED else 0.3,
                  (name, "size", "bits"): family.bits, (name, "size", "base62"): 22 if family.bits == 128 else 11,
                  (name, "guessing", "hit_in_1000"): float(name in COUNTERS),
                  (name, "guessing", "volume_told"): float(name in COUNTERS)}
        if family.most_per_s:
            found[name, "size", "most_per_s"] = family.most_per_s
    found |= {("shared-worker", "uniqueness", "duplicates"): 900, ("incr-bare", "outage", "duplicates"): 300}
    found |= changed or {}
    return Cells(Cell(scheme=s, scenario=c, metric=m, value=v, unit="x") for (s, c, m), v in found.items())


def told(needs=None, changed=None, **setting):
    return advice(figures(changed), list(FAMILIES.values()), Setting(**setting), needs)


def best(needs, changed=None):
    line = next(line for line in told(needs, changed) if line.startswith("For what you need"))
    return line.removeprefix("For what you need: ").partition(" (")[0]


def failed(changed=None):
    return ids.failed(Report(cells=figures(changed).all, advice=[]))


def test_a_good_run_is_no_failure():
    assert not failed()


@pytest.mark.parametrize("scenario", ["throughput", "start", "uniqueness", "order", "locality", "guessing", "outage"])
@pytest.mark.parametrize("name", ["snowflake", "uuid4", "redis-incr"])
def test_an_id_that_a_family_of_ours_made_twice_is_a_failure(name, scenario):
    changed = {(name, scenario, "duplicates"): 2}
    assert failed(changed), "guard: an id that is there twice"
    assert told(None, changed)[0] == f"BROKEN: {name} made 2 ids twice under {scenario}"


@pytest.mark.parametrize(("name", "scenario"), [("shared-worker", "uniqueness"), ("incr-bare", "outage")])
def test_a_scheme_that_cheats_and_is_not_caught_is_a_failure(name, scenario):
    changed = {(name, scenario, "duplicates"): 0}
    assert failed(changed), "guard: a cheat that is not caught"
    assert "mean nothing" in told(None, changed)[0]


@pytest.mark.parametrize(("name", "metric", "answer"), [
    ("snowflake", "thread_swapped", True), ("snowflake", "process_swapped", False),
    ("snowflake-strict", "process_swapped", True), ("uuid7", "process_swapped", True),
    ("uuid4", "thread_swapped", False), ("redis-incr", "all_swapped", True), ("sql-segments", "all_swapped", False)])
def test_an_order_that_was_promised_and_broken_is_a_failure(name, metric, answer):
    assert failed({(name, "order", metric): 0.1}) is answer


def test_what_needs_a_rate_is_given_the_quickest_and_what_is_slower_is_told_so():
    lines = told(Needs(rate=50_000))
    assert best(Needs(rate=50_000)) == "snowflake-bound"
    assert any(line.startswith("not redis-incr: one thread had 20,000 ids a second, and 50,000 are needed")
               for line in lines)


def test_a_burst_is_no_rate_that_lasts():
    needs = Needs(rate=5_000_000)
    assert "its layout has 4,096,000 ids a second for one worker id" in objections(
        figures(), FAMILIES["snowflake-bound"], needs)


def test_strict_order_is_that_of_the_store_and_promised():
    assert best(Needs(strict_order=True)) == "redis-incr"
    assert best(Needs(strict_order=True), {("sql-auto", "throughput", "ids_per_s"): 1e6}) == "sql-auto"
    lucky = {("snowflake", "order", "all_swapped"): 0.0}
    assert objections(figures(lucky), FAMILIES["snowflake"], Needs(strict_order=True)) == [
        "it promises no order among processes, though none was broken here"]


def test_what_strangers_must_not_guess_is_no_counter():
    assert best(Needs(no_guessing=True)) == "snowflake-bound"
    assert best(Needs(no_guessing=True), {("snowflake-bound", "guessing", "hit_in_1000"): 0.5}) == "snowflake"
    assert any(line.startswith("not sql-auto: a stranger found 1 of the next ids") and "ids.obscure" in line
               for line in told(Needs(no_guessing=True)))


def test_without_a_store_a_uuid_is_left():
    assert best(Needs(no_dependencies=True)) == "uuid4"
    assert best(Needs(no_dependencies=True), {("uuid4", "throughput", "ids_per_s"): 1e3}) == "uuid7"


def test_what_is_too_long_is_left_out():
    assert best(Needs(bits=53)) == "javascript"
    assert "it has 22 digits in base 62, and 16 are allowed" in objections(figures(), FAMILIES["uuid4"],
                                                                           Needs(max_chars=16))


def test_needs_that_nothing_fits_are_told_what_is_nearest():
    lines = told(Needs(no_dependencies=True, bits=63))
    assert lines[0] == "Nothing that was measured is all of that. Nearest: snowflake-bound"
    assert any(line.startswith("not uuid4: it has 128 bits, and 63 are allowed") for line in lines)


def test_what_was_not_measured_is_not_recommended():
    needs = Needs(rate=1, strict_order=True, no_guessing=True)
    assert objections(Cells([]), FAMILIES["uuid7"], needs) == [
        "its rate was not measured", "its order was not measured", "what it gives away was not measured"]


def test_what_made_an_id_twice_fits_nothing():
    assert best(Needs(rate=1), {("snowflake-bound", "order", "duplicates"): 1}) != "snowflake-bound"


def test_without_needs_each_matter_has_a_word():
    changed = {("redis-incr", "outage", "ids_for_s"): 0.0, ("redis-incr", "outage", "away_s"): 2.5,
               ("redis-incr", "outage", "back_s"): 0.1, ("sql-segments", "outage", "ids_for_s"): 2.5,
               ("sql-segments", "outage", "away_s"): 2.5,
               **{(name, "locality", "rows"): 8000 for name in ("snowflake", "uuid4")},
               ("snowflake", "locality", "pages_written"): 0.2, ("uuid4", "locality", "pages_written"): 0.9}
    text = "\n".join(told(None, changed, ids=12_000_000, processes=4, threads=2, rounds=1, missing={"service": "gone"},
                          errors={"redis-incr": "ServerUnreachable: away"}, numpy=False))
    for words in ("12,000,000 ids of 4 processes with 2 threads each", "shared-worker 900, incr-bare 300",
                  "in one order for all processes: redis-incr 20,000", "with no store to ask: uuid4 400,000",
                  "larger one with sql-auto, redis-incr, redis-dated", "many more with uuid4 0.9",
                  "send what ids.obscure makes of them", "then ServerUnreachable; ids came again 0.1 s after",
                  "sql-segments: ids came for 2.5 s of the 2.5 s for which its store was dead, and no call failed",
                  "service lacks cells: gone", "NumPy is not installed", "one short round"):
        assert words in text


def test_a_tree_is_compared_with_trees_of_its_own_size():
    small = {("uuid4", "locality", "rows"): 300, ("snowflake", "locality", "rows"): 8000,
             ("uuid4", "locality", "pages_written"): 9.0, ("snowflake", "locality", "pages_written"): 0.2}
    assert "uuid4" not in next(line for line in told(None, small) if line.startswith("as the key of a table"))


def test_families_that_have_nothing_to_live_on_are_left_out():
    at = At(url=None, folder="/nowhere")
    assert {family.name for family in present(at)} == {
        name for name, family in FAMILIES.items() if family.needs not in ("sql", "service")}


def test_nothing_measured_is_nothing_broken():
    assert broken(Cells([]), FAMILIES.values()) == []
