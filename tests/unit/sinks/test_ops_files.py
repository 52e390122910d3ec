# SPDX-License-Identifier: Apache-2.0
"""Rules, dashboards, runbooks and the table of metrics speak of the same things."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.sinks.metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
RULES = "".join(path.read_text() for path in sorted((ROOT / "ops/alerts").glob("*.rules.yml")))
CASES = "".join(path.read_text() for path in sorted((ROOT / "ops/alerts").glob("*.test.yml")))
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "ops/dashboards").glob("*.json"))}
RUNBOOKS = (ROOT / "docs/how-to/runbooks.md").read_text()
PAGE = (ROOT / "docs/reference/metrics.md").read_text()
PANELS = [panel for board in BOARDS.values() for panel in board["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
ALERTS = re.findall(r"alert: (\w+)", RULES)


def series_of(metric):
    """Names under which a metric's series are asked for."""
    if metric.kind == "histogram":
        return {metric.name + suffix for suffix in ("_bucket", "_sum", "_count")}
    return {metric.name}


SERIES = {name: metric for metric in METRICS for name in series_of(metric)}
NAMED = re.compile(r"\bholdfast_\w+")


@pytest.mark.parametrize("text", [RULES, CASES, "\n".join(QUERIES)], ids=["rules", "cases", "dashboards"])
def test_every_metric_that_is_asked_for_is_in_the_table(text):
    asked = set(NAMED.findall(text))
    assert asked
    assert asked <= SERIES.keys()


def test_every_label_that_is_asked_for_is_one_the_metric_has():
    asked = re.findall(r"(holdfast_\w+)\{([^}]*)\}", "\n".join([RULES, *QUERIES]))
    assert asked
    for name, labels in asked:
        of_bucket = {"le"} if name.endswith("_bucket") else set()
        assert set(re.findall(r"(\w+)[=!]", labels)) <= {*SERIES[name].labels, *of_bucket}, name


def test_every_metric_is_on_the_dashboard_and_documented():
    shown = {SERIES[name].name for query in QUERIES for name in NAMED.findall(query)}
    assert {metric.name for metric in METRICS} <= shown
    assert all(f"### `{metric.name}`\n" in PAGE for metric in METRICS)


def test_gauges_of_a_group_are_never_summed_over_processes():
    gauges = [metric.name for metric in METRICS if metric.kind == "gauge" and metric.across != "sum"]
    for name in gauges:
        summed = [query for query in [RULES, *QUERIES]
                  if re.search(rf"\b(sum|avg|count)( by \([^)]*\))? \({name}\b", query)]
        assert not summed, name


def test_the_dashboards_are_fresh():
    done = subprocess.run([sys.executable, "-B", ROOT / "ops/dashboards/build.py", "--check"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stderr}: run `python ops/dashboards/build.py`"


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_dashboard_has_what_grafana_needs(board):
    assert board["schemaVersion"] >= 36
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "stream", "group"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_dashboards_are_told_apart():
    for name in ("uid", "title"):
        assert len({board[name] for board in BOARDS.values()}) == len(BOARDS)


def test_every_panel_has_what_grafana_needs():
    for panel in PANELS:
        assert panel["title"]
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None
        assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:])
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        assert all(target["expr"] and target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_do_not_overlap(board):
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert):
    rule = RULES.split(f"alert: {alert}\n")[1].split("- alert:")[0]
    assert re.search(r"severity: (critical|warning|info)\n", rule)
    assert "summary: " in rule
    assert "description: " in rule
    assert f"runbook_url: docs/how-to/runbooks.md#{alert.lower()}\n" in rule


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_chapter_in_the_runbooks(alert):
    assert RUNBOOKS.count(f"\n## {alert}\n") == 1
    chapter = RUNBOOKS.split(f"\n## {alert}\n")[1].split("\n## ")[0]
    for part in ("**It means**", "**Look**", "**Do**"):
        assert part in chapter


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_case_that_fires_and_one_that_is_silent(alert):
    cases = CASES.split("\n  - name: ")[1:]
    firing = [case for case in cases if case.startswith(f"{alert} fires")]
    silent = [case for case in cases if case.startswith(f"{alert} is silent")]
    assert firing
    assert silent
    assert all(f'labels: ALERTS{{alertname="{alert}"' in case for case in firing)
    assert all("exp_samples: []" in case and "labels:" not in case for case in silent)


def test_every_chapter_of_the_runbooks_belongs_to_an_alert():
    assert sorted(re.findall(r"\n## (Holdfast\w+)\n", RUNBOOKS)) == sorted(ALERTS)
