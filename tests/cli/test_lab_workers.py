# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab workers``: pods as real processes that die and are stopped, stores that die; nothing is left."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.testing import Single, wait_until
from holdfast.testing.process import Hurtable
from tests.cli.conftest import COMMAND, environment

ON_REDIS = ("variable+store", "ordinal", "redis", "redis+wait")
STORED = (*ON_REDIS, "sqlite", "kubernetes")
ANY = ("redis", "redis+wait", "sqlite", "kubernetes")


@pytest.fixture(scope="module")
def server():
    with Single("valkey") as single:
        single.admin.set("neighbour", "untouched")
        yield single


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """One quick run; all claims below are about it. Its report, its home."""
    home = tmp_path_factory.mktemp("lab")
    (home / "tmp").mkdir()
    done = subprocess.run([*COMMAND, "lab", "workers", "--quick", "--json", "--kubernetes", "--no-dependencies",
                           "--url", server.url], cwd=home, env=environment(TMPDIR=str(home / "tmp")),
                          capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, (done.stderr + done.stdout).decode()
    return msgspec.json.decode(done.stdout, type=Report), home


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(ran[0].cells)


def test_every_cell_is_there_once(ran):
    names = [(c.scheme, c.scenario, c.metric) for c in ran[0].cells]
    assert len(set(names)) == len(names)
    for scheme in STORED:
        found = {scenario: {m for s, where, m in names if (s, where) == (scheme, scenario)}
                 for scenario in ("churn", "pause", "outage")}
        assert found["churn"] == {"duplicates", "ids", "without_id", "longest_wait_s"}
        assert found["pause"] == {"duplicates", "ids", "late_ids"}
        assert found["outage"] >= {"duplicates", "away_s", "ids_for_s"}


@pytest.mark.parametrize("scenario", ["start", "churn", "pause", "outage"])
def test_under_a_store_no_id_is_there_twice_whatever_befalls_its_pods(cells, scenario):
    found = {scheme: cells.value(scheme, scenario, "duplicates") for scheme in cells.schemes if scheme != "variable"}
    assert {scheme: value for scheme, value in found.items() if value} == {}
    assert set(found) >= set(STORED) - ({"redis+wait"} if scenario == "start" else set())


@pytest.mark.parametrize("scenario", ["churn", "pause"])
def test_a_variable_that_nobody_compares_is_caught(cells, scenario):
    assert cells.value("variable", scenario, "duplicates") > 100


def test_a_template_gives_one_pod_of_all_a_worker_id(cells):
    assert cells.value("variable+store", "churn", "without_id") == 6
    assert {s: cells.value(s, "churn", "without_id") for s in (*ANY, "ordinal")} == dict.fromkeys((*ANY, "ordinal"), 0)


def test_after_a_good_end_a_pod_has_its_worker_id_again(cells):
    for scheme in (*ANY, "ordinal"):
        assert cells.value(scheme, "restart", "same_id") == 1, scheme


def test_after_a_death_an_ordinal_is_waited_for_and_any_other_id_is_not(cells):
    assert cells.value("ordinal", "crash", "same_id") == 1
    assert cells.value("ordinal", "crash", "first_id_s") > cells.value("redis", "crash", "first_id_s")


def test_who_was_stopped_beyond_its_window_makes_nothing_under_a_store(cells):
    assert cells.value("variable", "pause", "late_ids") > 0
    assert {scheme: cells.value(scheme, "pause", "late_ids") for scheme in STORED} == dict.fromkeys(STORED, 0)


def test_without_its_store_a_pod_makes_ids_to_the_end_of_its_window_and_comes_back(cells):
    for scheme in STORED:
        assert 0 < cells.value(scheme, "outage", "ids_for_s") < cells.value(scheme, "outage", "away_s"), scheme
        assert cells.value(scheme, "outage", "back_s") is not None, scheme


def test_what_a_server_that_forgets_does_is_told(ran, cells):
    assert {scheme for scheme in ON_REDIS if cells.value(scheme, "amnesia", "duplicates") is None} == set()
    assert sum("came back with nothing" in line for line in ran[0].advice) == 1


def test_claims_are_timed_on_the_named_server_and_what_it_lacks_is_told(ran, cells):
    assert cells.value("redis", "start", "claim_p50_ms") > 0
    assert cells.value("redis+wait", "start", "claim_p50_ms") is None
    assert any(line.startswith("redis+wait lacks cells: 0 of 1 replicas") for line in ran[0].advice)


def test_the_advice_answers_the_needs(ran):
    [fits] = [line for line in ran[0].advice if line.startswith("For what you need")]
    assert fits.startswith("For what you need: kubernetes (")
    assert any("contract server, which is no cluster" in line for line in ran[0].advice)


def test_a_server_that_is_not_there_is_told_in_the_advice(ran, cells):
    for name in ("zookeeper", "etcd", "postgresql", "mariadb"):
        there = name in cells.schemes
        assert there != any(sentence.startswith(f"{name} lacks cells") for sentence in ran[0].advice)


def test_nothing_stays_on_the_server_or_on_the_disk_and_no_process_is_left(ran, server):
    assert server.admin.keys("*") == [b"neighbour"]
    assert list((ran[1] / "tmp").iterdir()) == []
    wait_until(lambda: not _of(ran[1]), 10, "its processes have ended")


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    (tmp_path / "tmp").mkdir()
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        lab = Hurtable([*COMMAND, "lab", "workers", "--quick"], cwd=tmp_path, stdout=out, stderr=err,
                       env=environment(TMPDIR=str(tmp_path / "tmp")))
    wait_until(lambda: any("workers_worker" in line for line in _of(tmp_path)) or not lab.alive, 120, "nodes are seen")
    lab.signal(signal.SIGINT)
    assert lab.reap(60) == 130, (tmp_path / "stderr").read_text()
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    wait_until(lambda: not _of(tmp_path), 10, "its processes have ended")
    assert list((tmp_path / "tmp").iterdir()) == []


def _of(home: Path) -> list[str]:
    """Command lines and folders of processes of this run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace") + str((folder / "cwd").readlink())
            except OSError:
                continue
            if str(home) in line:
                found.append(line)
    return found


def test_an_id_that_two_pods_made_is_1_and_people_get_the_matrix_first(capsys, monkeypatch):
    from holdfast.cli import lab, main

    twice = Report(cells=[Cell(scheme="redis", scenario="churn", metric="duplicates", value=1, unit="ids")],
                   advice=["BROKEN"])

    async def hired(*_):
        return twice

    monkeypatch.setattr(lab, "_workers_hired", hired)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "workers"], prog_name="holdfast")
    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith("worker ids from")
