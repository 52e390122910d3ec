# SPDX-License-Identifier: Apache-2.0
"""Where the time went in the demo's log, and what is told of it without DuckDB."""

from __future__ import annotations

import sys

import pytest

from holdfast.demo.source import made_up
from holdfast.demo.timing import timing


@pytest.fixture
def log(tmp_path):
    return made_up(tmp_path / "log.jsonl", 400, seed=5)


def test_good_lines_are_spans_and_bad_ones_are_not(log):
    found = timing(log)
    assert (found.spans, found.services) == (log.total - log.planted_bad, 10)
    assert found.traces > 10
    assert found.root_us[0] < found.root_us[1] <= found.root_us[2]
    assert found.waited == sorted(found.waited, key=lambda one: -one.critical_us)
    assert 0 < sum(one.critical_us for one in found.waited) <= found.critical_us


def test_without_duckdb_nothing_is_told(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert timing(log) is None
