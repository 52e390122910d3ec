# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces serve``: a process that follows files, until it is told to end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.cli.test_traces import lines
from tests.unit.traces.output.shop import order


class Served:
    """The process, and what it says."""

    def __init__(self, process, folder) -> None:
        self.process = process
        self._err = folder / "stderr"
        self.out = folder / "stdout"

    @property
    def err(self) -> str:
        return self._err.read_text()

    def address(self, flag: str) -> str:
        found = wait_until(lambda: re.search(rf"{flag} at (http://\S+)", self.err), 20, f"{flag} is served")
        return found[1]

    def get(self, path: str, flag: str = "--health") -> str:
        with urllib.request.urlopen(self.address(flag) + path, timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name: str, flag: str = "--health", **labels: str) -> float:
        return sum(one.value for family in text_string_to_metric_families(self.get("/metrics", flag))
                   for one in family.samples if one.name == name and labels.items() <= one.labels.items())

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(folder, *args: object) -> Iterator[Served]:
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen([*COMMAND, "traces", "serve", *map(str, args)], cwd=folder, env=environment(),
                                   stdout=out, stderr=err)
        try:
            yield Served(process, folder)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def test_a_file_is_followed_through_a_rename_and_its_metrics_are_served(tmp_path):
    log = tmp_path / "spans.jsonl"
    log.write_bytes(lines(order(1)))
    with serving(tmp_path, log, "--idle", "300ms", "--every", "400ms", "--json", "--out", "report.json", "--rejects",
                 "rejects.jsonl", "--health", "127.0.0.1:0", "--metrics-port", "0") as served:
        wait_until(lambda: served.metric("holdfast_traces_closed_total", why="idle") == 1, 20, "one is closed")
        assert served.metric("holdfast_traces_lines_total", "--metrics") == 5
        with log.open("ab") as file:
            file.write(lines(order(2)) + b"nothing\n" + lines(order(3))[:40])
        wait_until(lambda: served.metric("holdfast_traces_rejected_total") == 1, 20, "one is rejected")
        with log.open("ab") as file:
            file.write(lines(order(3))[40:])
        log.rename(tmp_path / "spans.jsonl.1")
        log.write_bytes(lines(order(4, slow=True)))
        wait_until(lambda: served.metric("holdfast_traces_closed_total") == 4, 20, "all are closed")
        assert served.metric("holdfast_traces_spans_total") == 20
        assert served.metric("holdfast_traces_lag_bytes") == 0
        wait_until(lambda: json.loads(served.get("/report"))["traces"] == 4, 20, "all are reported")
        assert json.loads(served.get("/ready"))["ready"]
        assert served.get("/live") == "ok\n"
        assert served.end() == 0
    closed = [json.loads(line) for line in served.out.read_text().splitlines()]
    assert sorted(one["root_us"] for one in closed) == [100_000] * 3 + [300_000]
    assert {(one["revision"], one["reason"], one["spans"]) for one in closed} == {(1, "idle", 5)}
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["traces"], report["rejected"], report["services"]) == (4, 1, 4)
    (reject,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["reason"]


def test_what_is_open_is_closed_at_the_end(tmp_path):
    (tmp_path / "spans.jsonl").write_bytes(lines(order(1))[:-1])
    with serving(tmp_path, "spans.jsonl", "missing-yet.jsonl", "--every", "1h", "--metrics", "127.0.0.1:0") as served:
        wait_until(lambda: served.metric("holdfast_traces_open", "--metrics") == 1, 20, "one is open")
        assert served.end(signal.SIGINT) == 0
    assert served.out.read_text().startswith("1 trace, 5 spans, median 100 ms")


def test_a_threshold_that_is_crossed_is_told(tmp_path):
    (tmp_path / "spans.jsonl").write_bytes(lines(order(1, slow=True)))
    with serving(tmp_path, "spans.jsonl", "--idle", "100ms", "--every", "300ms", "--fail-on", "p99_us@pay>200000",
                 "--hook", "tee told.json") as served:
        told = tmp_path / "told.json"
        wait_until(lambda: told.exists() and told.read_bytes().endswith(b"}"), 20, "somebody is told")
        assert served.end() == 0
    assert json.loads(told.read_text())["breaches"][0]["service"] == "pay"
    assert "trace_threshold_crossed" in served.err


def test_a_file_that_cannot_be_followed_is_said_and_not_ready(tmp_path):
    (tmp_path / "trace.json").write_text('{\n"data": [\n]}\n')
    with serving(tmp_path, "trace.json", "--health", "127.0.0.1:0") as served:
        wait_until(lambda: "trace_file_trouble" in served.err, 20, "it is said")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            served.get("/ready")
        assert served.metric("holdfast_traces_file_errors_total") == 1
        assert served.end() == 0


@pytest.mark.parametrize("args", [["-"], ["a.jsonl", "--hook", "true"], ["a.jsonl", "--fail-on", "p98>1"], [],
                                  ["a.jsonl", "--metrics", "nowhere"]])
def test_misuse_is_2(holdfast, args):
    assert holdfast("traces", "serve", *args).code == 2
