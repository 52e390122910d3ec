# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces report --state | --follow``: files that grow are counted once."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.cli.test_traces import lines
from tests.unit.traces.output.shop import order

EXACT = ("traces", "spans", "rejected", "services", "orphans", "depth_max")


def test_a_file_that_grew_is_counted_from_where_it_was_and_the_answer_is_that_of_one_run(holdfast, tmp_path):
    file = tmp_path / "spans.jsonl"
    file.write_bytes(lines(order(1)) + b"nothing\n" + lines(order(2))[:33])
    first = holdfast("traces", "report", file, "--state", "state", "--json")
    assert (first.code, first.json["traces"], first.json["rejected"]) == (0, 1, 1)
    with file.open("ab") as more:
        more.write(lines(order(2))[33:] + lines(order(3, slow=True)))
    grown = holdfast("traces", "report", file, "--state", "state", "--json", "--fail-on", "root_max_us>200000")
    assert grown.code == 1
    whole = holdfast("traces", "report", file, "--json").json
    assert [grown.json[one] for one in EXACT] == [whole[one] for one in EXACT] == [3, 15, 1, 4, 0, 3]
    assert grown.json["root_us"]["max"] == whole["root_us"]["max"] == 300_000
    for ours, theirs in zip(grown.json["operations"], whole["operations"], strict=True):
        assert (ours["operation"], ours["count"], ours["errors"]) == (
            theirs["operation"], theirs["count"], theirs["errors"])
        assert abs(ours["p99_us"] - theirs["p99_us"]) <= 0.02 * theirs["max_us"]
    again = holdfast("traces", "report", file, "--state", "state", "--json").json
    assert again["operations"] == grown.json["operations"], "nothing new, nothing counted"
    assert [again[one] for one in EXACT] == [grown.json[one] for one in EXACT]


def test_a_report_follows_its_file(tmp_path):
    file, out = tmp_path / "spans.jsonl", tmp_path / "out"
    file.write_bytes(lines(order(1)))
    with out.open("wb") as stdout:
        process = subprocess.Popen([*COMMAND, "traces", "report", file, "--follow", "--every", "100ms"], cwd=tmp_path,
                                   env=environment(), stdout=stdout, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: "1 trace, 5 spans" in out.read_text(), 20, "the first report is there")
            with file.open("ab") as more:
                more.write(lines(order(2)))
            wait_until(lambda: "2 traces, 10 spans" in out.read_text(), 20, "the second report is there")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("args", [["--html", "x.html"], ["--folded"], ["--rejects", "x"], ["--since", "1h"]])
def test_what_needs_all_spans_at_once_is_refused(holdfast, tmp_path, args):
    (tmp_path / "spans.jsonl").write_bytes(lines(order(1)))
    said = holdfast("traces", "report", "spans.jsonl", "--state", "state", *args)
    assert (said.code, said.out) == (2, "")
    assert "--state and --follow" in said.err
    assert json.loads(lines(order(1)).splitlines()[0])
    assert holdfast("traces", "report", "-", "--follow").code == 2
