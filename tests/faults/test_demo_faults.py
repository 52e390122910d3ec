# SPDX-License-Identifier: Apache-2.0
"""The demo hurts its workers, and is hurt itself."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from holdfast.testing import wait_until
from tests.support.demo import Demo

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


def test_effects_without_acknowledgement_are_met_by_the_kill_and_not_repeated(demo):
    # guard: the inbox, and the acknowledgement after the commit
    run = demo("--spans", "12000", "--json")
    code, found = run.end(), run.report
    assert (found["lost"], found["applied_twice"]) == (0, 0), run.stderr
    assert (found["kills"], found["stops"]) == (1, 1)
    assert found["killed_with"] >= found["killed_committed"] > 0, "no effect without acknowledgement was met"
    assert code == 0, run.stderr


@linux
def test_when_the_demo_itself_is_killed_nothing_outlives_it_not_even_a_frozen_worker(demo):
    run = demo("--spans", "2000")
    wait_until(lambda: "froze worker" in run.stderr or not run.alive, 60, "a worker is frozen")
    assert len(wait_until(run.processes, 10, "its processes are seen")) >= 4  # three workers and the server
    run.kill()
    wait_until(lambda: not run.processes(), 10, "all are gone")
    wait_until(lambda: run.leftovers() == [], 10, "its folder is gone")


@linux
def test_a_worker_that_somebody_else_kills_is_reported(demo):
    run = demo("--spans", "2000", "--json")
    wait_until(lambda: "lines are" in run.stderr or "are published" in run.stderr or not run.alive, 60, "it publishes")
    worker = next(pid for pid, line in run.processes().items() if "holdfast.demo.worker" in line)
    os.kill(worker, signal.SIGKILL)
    assert run.end(60) == 1
    assert f"worker {worker} ended with exit code -9" in run.stderr
    assert run.processes() == {}
    assert run.leftovers() == []
