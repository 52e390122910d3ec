# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab locks``: a failover, a pause and a death for every lock, with real processes; nothing is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.locks_advice import Setting, advice, broken
from holdfast.labs.locks_hurt import late
from holdfast.testing import Single
from tests.cli.conftest import COMMAND, environment

ON_REDIS = ("holdfast+wait", "holdfast-no-wait", "fair", "minimal", "quorum")
FENCED = ("holdfast+wait", "holdfast-no-wait", "fair", "quorum")
HURTS = ("failover-stalled", "pause", "crash")


@pytest.fixture(scope="module")
def server():
    with Single("valkey") as single:
        yield single


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One quick run; all claims below are about it. Its report, its home."""
    home = tmp_path_factory.mktemp("lab")
    (home / "tmp").mkdir()
    done = subprocess.run([*COMMAND, "lab", "locks", "--quick", "--json"], cwd=home,
                          env=environment(TMPDIR=str(home / "tmp")), capture_output=True, timeout=240, check=False)
    assert done.returncode == 0, (done.stderr + done.stdout).decode()
    return msgspec.json.decode(done.stdout, type=Report), home


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(ran[0].cells)


def test_every_cell_is_there_once(ran):
    names = [(c.scheme, c.scenario, c.metric) for c in ran[0].cells]
    assert len(set(names)) == len(names)
    for scheme in ON_REDIS:
        found = {scenario: {m for s, where, m in names if (s, where) == (scheme, scenario)}
                 for scenario in (*HURTS, "uncontended", "handover")}
        assert found["failover-stalled"] >= {"double_grants", "refused", "rounds"}
        assert found["pause"] == {"double_grants", "late_writes", "writes_refused"}
        assert found["crash"] == {"double_grants", "recovery_s"}
        assert found["uncontended"] == {"p50_us", "p99_us", "commands"}
        assert found["handover"] == {"p50_ms", "max_ms"}
    assert all(isinstance(c.value, int) for c in ran[0].cells if c.metric in ("double_grants", "late_writes", "stuck"))


@pytest.mark.parametrize("scenario", HURTS)
def test_a_lock_that_a_replica_confirms_has_one_holder(cells, scenario):
    assert cells.value("holdfast+wait", scenario, "double_grants") == 0


def test_it_refuses_rather_than_to_trust_the_master_alone(cells):
    assert cells.value("holdfast+wait", "failover-stalled", "refused") == 1


@pytest.mark.parametrize("scheme", ["holdfast-no-wait", "fair", "minimal"])
def test_the_masters_word_alone_is_forgotten_by_a_failover(cells, scheme):
    assert cells.value(scheme, "failover-stalled", "double_grants") > 0


def test_a_quorum_outlives_one_of_its_servers(cells):
    assert cells.value("quorum", "failover-stalled", "double_grants") == 0
    assert cells.value("quorum", "failover-stalled", "refused") == 0


@pytest.mark.parametrize("scheme", ["holdfast-no-wait", "fair"])
def test_tokens_tell_the_two_holders_apart(cells, scheme):
    assert cells.value(scheme, "failover-stalled", "tokens_went_back") == 0


@pytest.mark.parametrize("scheme", FENCED)
def test_what_a_stopped_holder_writes_late_is_refused(cells, scheme):
    assert cells.value(scheme, "pause", "double_grants") == 0
    assert cells.value(scheme, "pause", "writes_refused") == cells.value(scheme, "pause", "late_writes")


def test_some_of_them_did_write_late(cells):
    assert sum(cells.value(scheme, "pause", "writes_refused") for scheme in FENCED) > 0


def test_without_a_token_the_late_write_is_in(cells):
    assert cells.value("minimal", "pause", "double_grants") > 0
    assert cells.value("minimal", "pause", "writes_refused") == 0


@pytest.mark.parametrize("scheme", ON_REDIS)
def test_the_dead_are_succeeded_and_not_before_they_are_dead(cells, scheme):
    assert cells.value(scheme, "crash", "double_grants") == 0
    assert cells.value(scheme, "crash", "recovery_s") > 0


def test_deadlocks_are_shown_and_what_ends_them(cells):
    assert cells.value("one-by-one", "ab-ba", "timeouts") > 0
    assert cells.value("sorted", "ab-ba", "timeouts") == 0
    assert cells.value("together", "ab-ba", "timeouts") == 0
    assert cells.value("renewed", "forgotten-unlock", "stuck") == 1
    assert cells.value("max-hold", "forgotten-unlock", "stuck") == 0
    assert cells.value("max-hold", "forgotten-unlock", "freed_s") > 0.9
    assert cells.value("no-expiry", "dead-holder", "stuck") == 1
    assert cells.value("lease", "dead-holder", "stuck") == 0


def test_a_server_that_is_not_there_is_told_in_the_advice(ran, cells):
    for name in ("zookeeper", "etcd", "postgres"):
        there = name in cells.schemes
        told = any(sentence.startswith(f"{name} has no cells") for sentence in ran[0].advice)
        assert there != told


def test_nothing_stays_on_the_disk_and_no_process_is_left(ran):
    assert list((ran[1] / "tmp").iterdir()) == []
    assert _of(ran[1]) == []


def _of(home: Path) -> list[int]:
    """Processes whose folder or command line is of this run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace") + str((folder / "cwd").readlink())
            except OSError:
                continue
            if str(home) in line:
                found.append(int(folder.name))
    return found


def test_costs_are_of_the_named_server_and_nothing_stays_there(arun, server):
    from random import Random

    from holdfast.labs import Place
    from holdfast.labs.locks_cost import Costs
    from holdfast.labs.locks_schemes import Addresses, present

    async def main():
        place = Place(url=server.url)
        at = Addresses(main=server.url, others=[], prefix=place.own)
        costs = Costs(at, present(at), Random(1))
        await costs.free(1, 20, lambda: None)
        await costs.handed(2)
        async with place.holdfast() as hf:
            await place.tidy_up(await hf.open())
        return costs

    server.admin.set("neighbour", "untouched")
    costs = arun(main())
    assert costs.failed.keys() == {"holdfast+wait"}  # it has no replica
    found = Cells(costs.cells())
    bare, full = (found.value(scheme, "uncontended", "commands") for scheme in ("minimal", "holdfast-no-wait"))
    assert 0 < bare < full
    assert "quorum" not in found.schemes  # one server makes none
    assert server.admin.keys("*") == [b"neighbour"]


def test_a_master_that_wants_its_replica_grants_twice_within_its_lag(arun):
    """``min-replicas-to-write`` looks at the replica's last sign of life: a window, and no fence."""
    from holdfast.labs.locks_failover import MIN_REPLICAS, SCENARIO, Failovers
    from holdfast.labs.locks_town import Town

    async def main():
        failovers = Failovers(Town(pair=None, others=[], resource=None, zookeeper="", etcd="", sql="", missing={}))
        await failovers.strike_min_replicas(0)  # asked at once
        at_once = Cells(failovers.cells())
        await failovers.strike_min_replicas(1)  # asked after the lag
        return at_once, Cells(failovers.cells())

    at_once, both = arun(main())
    assert at_once.value(MIN_REPLICAS, SCENARIO, "double_grants") == 1
    assert both.value(MIN_REPLICAS, SCENARIO, "double_grants") == 1
    assert both.value(MIN_REPLICAS, SCENARIO, "refused") == 1


def test_what_fits_what_is_worked_out_from_the_cells():
    def fits(*cells: Cell) -> str:
        return "\n".join(advice(Cells(cells), Setting()))

    never = _cell("holdfast+wait", "failover-stalled", "double_grants", 0)
    twice = _cell("holdfast+wait", "failover-stalled", "double_grants", 1)
    assert "a Redis with a replica is what you have: holdfast+wait" in fits(never)
    assert "a Redis with a replica is what you have: holdfast+wait" not in fits(twice)
    assert "etcd agree" in fits(_cell("etcd", "crash", "recovery_s", 1))
    assert "agree among servers" not in fits(never)


def test_what_counts_as_late():
    assert late([1, 1, 2, 1, 2, 1], first=1, second=2) == 2
    assert late([1, 1, 1], first=1, second=2) == 0


def _cell(scheme: str, scenario: str, metric: str, value: int) -> Cell:
    return Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit="of rounds")


@pytest.mark.parametrize(("cell", "word"), [
    (_cell("holdfast+wait", "failover-stalled", "double_grants", 1), "granted twice 1 times"),
    (_cell("fair", "pause", "double_grants", 2), "granted twice 2 times"),
    (_cell("fair", "failover-stalled", "tokens_went_back", 1), "no larger token"),
    (_cell("minimal", "failover-stalled", "double_grants", 0), "mean nothing"),
    (_cell("together", "ab-ba", "timeouts", 1), "in a circle")])
def test_a_promise_that_was_not_kept_and_a_lab_that_shows_nothing_come_first(cell, word):
    (said,) = broken(Cells([cell]))
    assert word in said
    assert advice(Cells([cell]), Setting())[0] == said


def test_two_holders_where_one_was_promised_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    twice = Report(cells=[_cell("holdfast+wait", "failover-stalled", "double_grants", 1)], advice=["BROKEN"])

    async def locked(*_):
        return twice

    monkeypatch.setattr(lab, "_locked", locked)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "locks", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == twice
