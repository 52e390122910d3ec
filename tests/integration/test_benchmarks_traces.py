# SPDX-License-Identifier: Apache-2.0
"""The bench of files of spans: who is right is told by what was written, and who is wrong has no speed."""

from __future__ import annotations

import pytest

from benchmarks.contestants import TRACES
from benchmarks.report import table
from benchmarks.traces import spoiled
from benchmarks.traces_data import digest, linear, write
from benchmarks.traces_report import traces
from tests.support.benches import looked


def test_ours_is_right_of_every_file_and_names_every_bad_line(tmp_path):
    names = ["traces-holdfast", "traces-duckdb", "traces-json"]
    if missing := [one for name in names for one in TRACES[name].missing]:
        pytest.skip(f"pip install {' '.join(missing)}")
    code, result, page = looked(tmp_path, "traces", "--n", "3", "--who", ",".join(names))
    found = result["figures"]
    assert code == 0
    assert len(found["operations"]) == 4
    for what, one in found["operations"].items():
        assert one["contestants"]["holdfast"]["right"], what
        assert one["contestants"]["holdfast"]["bad"] == one["bad"]
        if what.startswith("spans"):  # OTLP has too few lines here for one of them to be cut
            assert (one["bad"] > 0) == ("cut" in what)
    assert all(one["right"] for one in found["report"].values())
    assert found["paths"]["sweep"]["sums"], "guard: segments of a sweep sum to the root"
    assert "## Files of spans, 3 MB each" in page
    assert str(tmp_path) not in page


@pytest.mark.parametrize("shape", ["spans", "otlp"])
def test_a_file_and_its_truth_are_the_same_again(tmp_path, shape):
    one, other = tmp_path / "one", tmp_path / "other"
    truth, again = write(one, shape, 400_000, bad=True), write(other, shape, 400_000, bad=True)
    assert one.read_bytes() == other.read_bytes()
    assert digest(truth.answer()) == digest(again.answer())
    assert truth.spans == sum(row[2] for row in truth.answer())


def test_percentiles_are_the_tables_own():
    assert [linear(list(range(101)), share) for share in (500, 990)] == [50, 99]
    assert linear([10, 20], 500) == 15
    assert linear([7], 990) == 7


def _figures(**changes):
    run = {"seconds": [1.0], "cpu_s": [1.0], "rss_mb": [100.0], "right": True, "bad": 3, "said": ""}
    found = {"bytes": 10**8, "spans": 5, "bad": 3, "contestants": {
        "holdfast": run, "duckdb": {**run, "seconds": [0.5], "bad": None}, "json": {**run, "seconds": [4.0]},
        "polars": {**run, "right": False, "said": "ComputeError: a line"}}}
    return {"operations": {"spans, cut": {**found, **changes}}, "report": {}, "paths": {
        "sweep": {"spans_per_s": 1.0, "assembled_per_s": 2.0, "walked_per_s": 299_999.0}}}


def test_an_aim_that_is_missed_is_said_to_be_and_who_is_wrong_has_no_speed():
    page = traces({"figures": _figures()}, table)
    assert "| spans, cut: × tuned DuckDB | ≥ 0.7 | 0.50 | no |" in page
    assert "| spans, cut: × a loop with json | ≥ 5 | 4.00 | no |" in page
    assert "| critical paths, sweep, spans a second | ≥ 300,000 | 299,999 | no |" in page
    assert "| Polars | - | - | - | - | - | - | 3 | ComputeError |" in page


def test_a_bad_line_that_is_not_counted_spoils_the_run():
    figures = _figures()
    assert spoiled(figures) == 0
    figures["operations"]["spans, cut"]["contestants"]["holdfast"]["bad"] = 2
    assert spoiled(figures) == 1
