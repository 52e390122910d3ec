# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab recovery``: one death and one slow handler for every scheme, with real processes; nothing is left."""

from __future__ import annotations

import importlib.util
import subprocess

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.testing import Single
from tests.cli.conftest import COMMAND, environment

SCHEMES = ("lease", "partitions", "idle-claim")
KAFKA = importlib.util.find_spec("confluent_kafka") is not None


@pytest.fixture(scope="module")
def server():
    with Single("valkey") as single:
        yield single


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """One quick run on a server with a neighbour's key; all claims below are about it. Its exit code, report, home."""
    server.admin.set("neighbour", "untouched")
    home = tmp_path_factory.mktemp("lab")
    (home / "tmp").mkdir()
    done = subprocess.run([*COMMAND, "lab", "recovery", "--quick", "--json", "--url", server.url], cwd=home,
                          env=environment(TMPDIR=str(home / "tmp")), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stderr + done.stdout).decode()
    return msgspec.json.decode(done.stdout, type=Report), home


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(ran[0].cells)


def test_every_cell_is_there_once(ran):
    names = [(c.scheme, c.scenario, c.metric) for c in ran[0].cells]
    assert len(set(names)) == len(names)
    for scheme in SCHEMES:
        assert {metric for *where, metric in names if where == [scheme, "kill"]} >= {
            "timeout_s", "held", "stop_s", "handled_twice", "lost"}
        assert {metric for *where, metric in names if where == [scheme, "slow"]} == {"handled_twice", "lost"}
    assert all(isinstance(c.value, int) for c in ran[0].cells if c.unit == "messages")


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_nothing_of_ours_is_lost_whoever_dies(cells, scheme):
    assert cells.value(scheme, "kill", "lost") == 0
    assert cells.value(scheme, "slow", "lost") == 0


def test_the_dead_held_something_and_it_came_back(cells):
    held = [scheme for scheme in SCHEMES if cells.value(scheme, "kill", "held")]
    assert held
    for scheme in held:
        assert cells.value(scheme, "kill", "recovery_s") > 0


@pytest.mark.parametrize("scheme", SCHEMES[:2])
def test_a_slow_handler_that_is_alive_keeps_its_message(cells, scheme):
    assert cells.value(scheme, "slow", "handled_twice") == 0


def test_idle_time_takes_it_from_the_living(cells):
    assert cells.value("idle-claim", "slow", "handled_twice") >= 1


@pytest.mark.skipif(not KAFKA, reason="needs confluent-kafka")
def test_the_rebalance_is_measured_and_said_to_be_on_a_mock_cluster(ran, cells):
    assert cells.value("rebalance", "kill", "timeout_s") == 4.0
    assert cells.value("rebalance", "kill", "mock_wait_s") == 3.0
    assert cells.value("rebalance", "kill", "lost") is not None
    assert cells.value("rebalance", "slow", "lost") is None  # its session is longer than the slow handler
    assert any("mock cluster, which is not a Kafka broker" in sentence for sentence in ran[0].advice)


@pytest.mark.skipif(KAFKA, reason="is there")
def test_without_the_extra_the_advice_says_why_there_is_no_rebalance(ran, cells):
    assert "rebalance" not in cells.schemes
    assert any("holdfast[kafka]" in sentence for sentence in ran[0].advice)


def test_nothing_stays_on_the_server_or_on_the_disk(ran, server):
    assert server.admin.keys("*") == [b"neighbour"]
    assert list((ran[1] / "tmp").iterdir()) == []


def test_without_the_extra_there_is_no_cluster_and_a_reason(monkeypatch):
    import sys

    from holdfast.labs.takeover import _cluster

    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    cluster, why = _cluster(["rebalance"])
    assert cluster is None
    assert "holdfast[kafka]" in why


def test_a_message_that_ours_lost_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    lost = Report(cells=[Cell(scheme="lease", scenario="kill", metric="lost", value=1, unit="messages")],
                  advice=["BROKEN"])

    async def taken_over(*_):
        return lost

    monkeypatch.setattr(lab, "_taken_over", taken_over)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "recovery", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == lost
