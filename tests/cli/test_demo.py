# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo`` as a command: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import signal
import sys

import pytest

from holdfast.testing import wait_until
from tests.support.demo import Demo

CONTRACT = {"published", "applied", "dead", "planted_bad", "lost", "applied_twice", "kills", "recovery_s",
            "throughput_msg_s"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture
def demo(tmp_path):
    started = []

    def start(*args):
        started.append(Demo(tmp_path, *args))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize(("minute", "spans"), [("09-34", 842), ("10-20", 604)])
def test_every_span_of_a_real_log_is_applied_once(demo, data_dir, minute, spans):
    log = data_dir / "traces" / f"nezha_trainticket_2023-01-29_{minute}.csv"
    run = demo("--input", str(log), "--json")
    assert run.end() == 0, run.stderr
    found = run.report
    assert found.keys() >= CONTRACT
    assert (found["published"], found["applied"], found["dead"]) == (spans, spans, 0)
    assert (found["lost"], found["applied_twice"], found["planted_bad"]) == (0, 0, 0)
    assert (found["kills"], found["stops"]) == (1, 1)
    assert found["recovery_s"] > 0
    assert "lease 2 s" in run.stderr
    assert "so that there is work to interrupt" in run.stderr
    assert run.leftovers() == []


def test_a_made_up_log_ends_with_its_bad_lines_dead_and_everything_else_applied(demo):
    run = demo("--spans", "2000", "--json", "--seed", "3")
    assert run.end() == 0, run.stderr
    found = run.report
    assert (found["published"], found["applied"], found["dead"], found["planted_bad"]) == (2000, 1980, 20, 20)
    assert (found["lost"], found["applied_twice"], found["kills"], found["stops"]) == (0, 0, 1, 1)
    assert sum(found["dead_by_cause"].values()) == 20
    assert set(found["dead_by_cause"]) == {"decode_error", "schema_invalid"}
    assert found["throughput_msg_s"] > 0
    assert len(found["slowest"]) == 5


def test_a_pipe_gets_plain_lines(demo):
    run = demo("--spans", "60")
    assert run.end() == 0, run.stderr
    lines = dict(line.rsplit("\t", 1) for line in run.stdout.splitlines())
    assert lines["ledger\tpublished"] == "60"
    assert lines["ledger\tthe books"] == "balance"
    assert "\x1b" not in run.stdout + run.stderr
    assert "nobody is killed or frozen" in run.stderr


@pytest.mark.parametrize("what", ["absent", "folder", "no log", "empty"])
def test_an_input_that_cannot_be_used_is_one_error(demo, tmp_path, what):
    path = tmp_path / "input"
    if what == "folder":
        path.mkdir()
    elif what == "no log":
        path.write_text("what is this?\n")
    elif what == "empty":
        path.touch()
    run = demo("--input", str(path))
    assert run.end(30) == 2
    assert str(path) in run.stderr
    assert run.stderr.lower().count("error:") == 1
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert run.leftovers() == []


@linux
@pytest.mark.parametrize("when", ["2,000 lines", "froze"])
def test_ctrl_c_leaves_nothing_behind(demo, when):
    run = demo("--spans", "2000", "--json")
    wait_until(lambda: when in run.stderr or not run.alive, 60, f"the demo says {when!r}")
    wait_until(run.processes, 10, "its processes are seen")
    run.signal(signal.SIGINT)
    assert run.end(30) == 130, run.stderr
    assert run.processes() == {}
    assert run.leftovers() == []
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
