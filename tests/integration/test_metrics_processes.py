# SPDX-License-Identifier: Apache-2.0
"""One page of metrics for several real processes, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.sinks import processes

OF = {"stream": "orders", "group": "billing"}

#: Feeds a sink, says that it has, and lives until its input ends.
WORKER = """
import sys
from holdfast._base import events as ev
from holdfast.sinks import PrometheusSink

lag, acked = int(sys.argv[1]), int(sys.argv[2])
of = {"stream": "orders", "group": "billing"}
sink = PrometheusSink()
sink(ev.Settled(**of, acked=acked, handle_s=(0.02,) * acked))
sink(ev.BreakerChanged(name_of="billing", state="open" if lag == 7 else "closed"))
sink(ev.Sweep(**of, consumer="c", length=9, pending=1, lag=lag, parked=0, due=0, dead=0, oldest_pending_s=0.5,
              consumers=2))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Starts a worker and returns once it has fed its sink; ends them all afterwards."""
    env = {**os.environ, **processes.prepare(tmp_path)}
    started = []

    def run(lag, acked):
        worker = subprocess.Popen([sys.executable, "-c", WORKER, str(lag), str(acked)], env=env, text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(worker)
        assert worker.stdout.readline() == "ready\n"
        return worker

    yield run
    for worker in started:
        worker.kill()
        worker.communicate()


def page(directory):
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(processes.merged_text(directory)) for sample in family.samples}


def key(name, **labels):
    return name, tuple(sorted(labels.items()))


def test_counters_are_summed_and_gauges_are_what_was_seen_last(start, tmp_path):
    start(lag=10, acked=3)
    start(lag=7, acked=4)
    found = page(tmp_path)
    assert found[key("holdfast_acked_total", **OF)] == 7
    assert found[key("holdfast_handle_seconds_count", **OF)] == 7
    assert found[key("holdfast_handle_seconds_bucket", **OF, le="0.03")] == 7
    assert found[key("holdfast_group_lag", **OF)] == 7
    assert found[key("holdfast_entries_missing_total", **OF)] == 0
    assert found[key("holdfast_breaker_state", breaker="billing")] == 2
    assert not any("pid" in dict(labels) for _, labels in found)


def test_a_killed_worker_stays_counted_and_its_gauges_go(start, tmp_path):
    start(lag=7, acked=3)
    worker = start(lag=10, acked=4)
    assert page(tmp_path)[key("holdfast_group_lag", **OF)] == 10
    worker.kill()
    worker.wait()
    processes.worker_died(tmp_path, worker.pid)
    found = page(tmp_path)
    assert found[key("holdfast_acked_total", **OF)] == 7
    assert found[key("holdfast_group_lag", **OF)] == 7


def test_a_new_run_begins_at_zero_and_leaves_other_files_alone(start, tmp_path):
    worker = start(lag=7, acked=3)
    worker.kill()
    worker.wait()
    (tmp_path / "counter_notes.db").write_text("mine")
    processes.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["counter_notes.db"]
