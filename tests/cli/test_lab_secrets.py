# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab secrets``: thieves, flipped bits and killed processes, for real; nothing is left."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("cryptography")
pytest.importorskip("uvicorn")

from holdfast.labs.cells import Cells, Report
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment

LINUX = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
pytestmark = pytest.mark.timeout(300)
BASELINES = ("environment", "dotenv", "mounted")
SEALED = ("vault", "served", "nodes 3/2", "nodes 5/3", "hybrid")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One quick run; all claims below are about it."""
    home = tmp_path_factory.mktemp("lab")
    (home / "tmp").mkdir()
    needs = ("--compliance", "dual-control", "--available", "writes")
    done = subprocess.run([*COMMAND, "lab", "secrets", "--quick", "--json", *needs], cwd=home, capture_output=True,
                          env=environment(TMPDIR=str(home / "tmp")), timeout=280, check=False)
    assert done.returncode == 0, (done.stderr + done.stdout).decode()
    return msgspec.json.decode(done.stdout, type=Report), home


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(ran[0].cells)


def test_every_cell_is_there_once(ran, cells):
    names = [(c.scheme, c.scenario, c.metric) for c in ran[0].cells]
    assert len(set(names)) == len(names)
    assert cells.scenarios == ["5 secrets", "25 secrets", "stolen", "altered", "put back", "beside", "record",
                               "1 away", "2 away", "effort"]
    assert set(cells.schemes) == {*BASELINES, *SEALED}


def test_a_thief_reads_baselines_and_nothing_else_from_a_backup(cells):
    assert {name: cells.value(name, "stolen", "values_in_plain") for name in cells.schemes} == {
        **dict.fromkeys(BASELINES, 5), **dict.fromkeys(SEALED, 0)}


def test_who_looks_at_a_process_sees_its_environment_and_nothing_else(cells):
    seen = {name: cells.value(name, "beside", "values_seen") for name in cells.schemes}
    assert seen == {**dict.fromkeys(cells.schemes, 0), "environment": 5}


def test_it_takes_as_many_disks_as_promised(cells):
    assert {name: cells.value(name, "stolen", "opens_with") for name in cells.schemes} == {
        **dict.fromkeys(BASELINES, 1), "vault": 1, "served": 1, "nodes 3/2": 2, "nodes 5/3": 3, "hybrid": 3}
    assert {name: cells.value(name, "stolen", "alone") for name in SEALED} == {
        "vault": 1, "served": 2, "nodes 3/2": 0, "nodes 5/3": 0, "hybrid": 0}


def test_a_record_names_who_read_what_and_what_is_taken_out_of_it_is_missed(cells):
    assert {name: cells.value(name, "record", "named") for name in cells.schemes} == {
        **dict.fromkeys((*BASELINES, "vault", "hybrid"), 0), "served": 3, "nodes 3/2": 3, "nodes 5/3": 3}
    assert {name: cells.value(name, "record", "unseen") for name in cells.schemes} == {
        **dict.fromkeys((*BASELINES, "vault"), None), **dict.fromkeys(SEALED[1:], 0)}


def test_flipped_bits_and_old_copies_are_seen(cells):
    for name in SEALED:
        assert (cells.value(name, "altered", "silent"), cells.value(name, "put back", "old_read")) == (0, 0), name
    assert cells.value("mounted", "altered", "silent") == 10
    assert cells.value("dotenv", "put back", "old_read") == 1


def test_who_has_a_quorum_or_a_standby_goes_on(cells):
    for number, reads in ((1, {"environment", "served", "nodes 3/2", "nodes 5/3", "hybrid"}),
                          (2, {"nodes 5/3", "hybrid"})):
        assert {name for name in cells.schemes if cells.value(name, f"{number} away", "reads")} == reads
    assert cells.value("environment", "1 away", "starts") == 0, "who has its variables has them; nobody else begins"
    assert cells.value("served", "1 away", "writes") == 0
    assert cells.value("hybrid", "2 away", "starts") == 0


def test_the_advice_answers_the_needs(ran):
    fits = ran[0].advice[0]
    assert fits.startswith("For what you need: nodes 3/2 (3 processes")
    for name in ("vault", "hybrid"):
        assert any(line.startswith(f"not {name}: whoever has its key reads without a record") for line in ran[0].advice)


def test_nothing_is_left(ran):
    assert list((ran[1] / "tmp").iterdir()) == []


@LINUX
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    """While servers and nodes are at work."""
    (tmp_path / "tmp").mkdir()
    with (tmp_path / "err").open("wb") as err, subprocess.Popen(
            [*COMMAND, "lab", "secrets", "--quick"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=err,
            env=environment(TMPDIR=str(tmp_path / "tmp"))) as lab:
        wait_until(lambda: len(children(lab.pid)) > 2 or lab.poll() is not None, 120, "nodes are at work")
        nodes = children(lab.pid)
        lab.send_signal(signal.SIGINT)
        out, _ = lab.communicate(timeout=60)
    said = (tmp_path / "err").read_text()
    assert (lab.returncode, out, "Traceback" in said) == (130, b"", False), said
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in nodes), 20, "they are gone")
    assert list((tmp_path / "tmp").iterdir()) == []


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_a_word_that_is_none_is_one_error(holdfast):
    said = holdfast("lab", "secrets", "--compliance", "much")
    assert (said.code, "'much' is not one of" in said.err) == (2, True)
