# SPDX-License-Identifier: Apache-2.0
"""What is said about ways to a worker id, what is recommended, and what makes the command answer 1."""

from __future__ import annotations

import pytest

from holdfast.labs import workers
from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.workers_advice import Needs, Setting, advice, broken, matrix, objections
from holdfast.labs.workers_schemes import SCHEMES, Addresses, present

SCENARIOS = ("start", "churn", "pause", "outage")
CLAIMS = {"variable": None, "variable+store": 0.3, "ordinal": 0.3, "redis": 0.2, "redis+wait": 0.5, "sqlite": 2.0,
          "postgresql": 3.0, "mariadb": 3.0, "etcd": 5.0, "zookeeper": 4.0, "kubernetes": 2.5}


def figures(changed=None):
    found = {}
    for name, claim_ms in CLAIMS.items():
        found |= {(name, scenario, "duplicates"): 0 for scenario in SCENARIOS}
        found |= {(name, "churn", "without_id"): 49 if name == "variable+store" else 0,
                  (name, "crash", "same_id"): float(name in ("variable", "ordinal")),
                  (name, "crash", "first_id_s"): 2.5 if name == "ordinal" else 0.1,
                  (name, "outage", "ids_for_s"): 2.0}
        if claim_ms is not None:
            found[name, "start", "claim_p50_ms"] = claim_ms
    found |= {("variable", scenario, "duplicates"): 900 for scenario in ("churn", "pause")}
    found |= changed or {}
    return Cells(Cell(scheme=s, scenario=c, metric=m, value=v, unit="x") for (s, c, m), v in found.items())


def told(needs=None, changed=None, **setting):
    return advice(figures(changed), list(SCHEMES.values()), Setting(**setting), needs)


def fit(**needs):
    line = next(line for line in told(Needs(**needs)) if line.startswith("For what you need"))
    parts = line.removeprefix("For what you need: ").split(", then ")
    return [part.partition(" (")[0] for part in parts]


def failed(changed=None):
    return workers.failed(Report(cells=figures(changed).all, advice=[]))


def test_a_good_run_is_no_failure():
    assert not failed()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if not scheme.cheats])
def test_an_id_that_two_pods_made_under_a_store_is_a_failure(name, scenario):
    changed = {(name, scenario, "duplicates"): 3}
    assert failed(changed), "guard: an id that is there twice"
    assert told(None, changed)[0] == f"BROKEN: pods under {name} made 3 ids twice under {scenario}"


@pytest.mark.parametrize("scenario", ["churn", "pause"])
def test_a_variable_that_does_no_harm_is_a_failure(scenario):
    changed = {("variable", scenario, "duplicates"): 0}
    assert failed(changed), "guard: a cheat that is not caught"
    assert "mean nothing" in told(None, changed)[0]


def test_a_redis_that_forgets_is_told_and_promises_nothing():
    changed = {("redis", "amnesia", "duplicates"): 40, ("ordinal", "amnesia", "duplicates"): 0}
    assert not failed(changed)
    assert "ids twice, redis 40. Let it keep its data" in "\n".join(told(None, changed))
    assert "made nobody make an id twice here" in "\n".join(told(None, {("redis", "amnesia", "duplicates"): 0}))


def test_on_kubernetes_without_a_store_there_are_leases():
    assert fit(kubernetes=True, no_dependencies=True) == ["kubernetes"]


def test_outside_of_it_without_a_server_there_is_a_file():
    assert fit(no_dependencies=True) == ["sqlite"]


def test_the_same_id_and_a_fast_restart_are_not_had_together():
    assert fit(kubernetes=True, same_id=True) == ["ordinal"]
    assert "ordinal" not in fit(kubernetes=True, restarts_fast=True)
    assert "Nothing that was measured is all of that" in told(Needs(kubernetes=True, same_id=True, restarts_fast=True))


def test_the_quickest_claim_comes_first():
    assert fit(restarts_fast=True)[:3] == ["redis", "redis+wait", "sqlite"]


def test_what_refused_pods_or_made_an_id_twice_fits_nothing():
    against = {name: objections(figures(), scheme, Setting(), Needs(kubernetes=True))
               for name, scheme in SCHEMES.items()}
    assert against["variable"] == ["1,800 ids were there twice"]
    assert against["variable+store"] == ["49 of 50 pods had no worker id"]
    assert against["sqlite"] == ["pods have no file that all of them share"]
    assert against["redis"] == against["kubernetes"] == []


def test_a_restart_that_was_not_measured_is_not_called_fast():
    found = objections(Cells([]), SCHEMES["redis"], Setting(), Needs(restarts_fast=True, same_id=True))
    assert found == ["its restart was not measured", "after a death its pod had another worker id"]


def test_the_matrix_has_a_row_a_scheme_and_leaves_empty_what_was_not_measured():
    head, rows = matrix(figures({("redis", "pause", "duplicates"): 7}), list(SCHEMES.values()))
    by = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert list(by) == list(SCHEMES)
    assert by["redis"]["in a pause"] == "7"
    assert by["variable+store"]["pods without an id"] == "49"
    assert by["redis"]["first id, ms"] == ""
    assert by["kubernetes"]["depends on"] == "the cluster alone"
    assert matrix(Cells([]), list(SCHEMES.values()))[1] == []


def test_what_was_seen_and_what_is_not_known_is_said():
    text = "\n".join(told(None, {("redis", "churn", "longest_wait_s"): 0.4}, quick=True,
                          errors={"redis": "IdsRefused: over", "etcd": "IdsRefused: over"},
                          missing={"mariadb": "none"}))
    for words in ("ids that were there twice, churn 900, pause 900", "of 50 pods had no worker id: variable+store 49",
                  "the last one had its first id after: redis 0.4 s", "with the same worker id: variable, ordinal",
                  "Then: IdsRefused with redis, etcd", "mariadb lacks cells: none", "is no cluster", "lower bound",
                  "name yours with --url", "one round"):
        assert words in text


def test_schemes_without_their_store_are_left_out():
    assert [scheme.name for scheme in present(Addresses(redis="redis://x"))] == [
        "variable", "variable+store", "ordinal", "redis", "redis+wait"]


@pytest.mark.parametrize(("name", "pod", "workers", "wanted"), [
    ("redis", 3, 1024, None), ("ordinal", 3, 1024, 3), ("variable", 3, 1024, 7), ("variable+store", 3, 1024, 7),
    ("variable+store", 3, 1, 0), ("ordinal", 0, 1, 0)])
def test_what_a_pod_is_told_to_want(name, pod, workers, wanted):
    assert SCHEMES[name].wanted(pod, workers) == wanted


def test_nothing_measured_is_nothing_broken():
    assert broken(Cells([]), SCHEMES.values()) == []
