# SPDX-License-Identifier: Apache-2.0
"""Alert rules and dashboards, judged by Prometheus' own ``promtool``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

OPS = Path(__file__).resolve().parents[2] / "ops"
RULES = sorted((OPS / "alerts").glob("*.rules.yml"))
CASES = sorted((OPS / "alerts").glob("*.test.yml"))
#: Alert → the file of its rule.
ALERTS = {alert: path for path in RULES for alert in re.findall(r"alert: (\w+)", path.read_text())}
BOARDS = sorted((OPS / "dashboards").glob("*.json"))


@pytest.fixture(scope="module")
def promtool():
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    def run(*arguments):
        return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    return run


def test_the_rules_are_well_formed(promtool):
    done = promtool("check", "rules", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_is_silent_where_its_cases_say(promtool):
    done = promtool("test", "rules", *CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def alone(alert):
    """Rules and cases of one alert, as two files' contents: promtool judges every rule at every step of every case."""
    rules = re.split(r"\n(?=      - alert: )", ALERTS[alert].read_text())
    (rule,) = [rule for rule in rules if f"- alert: {alert}\n" in rule]
    (own,) = [cases.read_text() for cases in CASES if f"- name: {alert} fires" in cases.read_text()]
    head, *cases = re.split(r"\n(?=  - name: )", own)
    return f"groups:\n  - name: one\n    rules:\n{rule}\n", "\n".join(
        [head, *(case for case in cases if case.startswith(f"  - name: {alert} "))])


def condition(rule):
    """The rule's expression as it stands."""
    found = re.search(r"expr: \|\n((?:          .*\n)+)", rule)
    assert found
    return found[1]


def loosened(expr):
    """The expression with every bound so low that it always holds."""
    return re.sub(r"> 0\.\d+ \*", "> -1e18 *", re.sub(r"> [0-9.]+(?![0-9.]| \*)", "> -1e18", expr))


@pytest.mark.parametrize("change", ["nothing", "never", "always"])
@pytest.mark.parametrize("alert", ALERTS)
def test_the_cases_notice_an_alert_that_never_or_always_fires(promtool, tmp_path, alert, change):
    rule, cases = alone(alert)
    expr = condition(rule)
    changed = {"nothing": expr, "never": "          vector(1) < 0\n", "always": loosened(expr)}[change]
    assert (changed == expr) == (change == "nothing")
    (tmp_path / ALERTS[alert].name).write_text(rule.replace(expr, changed))
    (tmp_path / "one.test.yml").write_text(cases)
    done = promtool("test", "rules", tmp_path / "one.test.yml")
    assert done.returncode == (change != "nothing"), done.stdout + done.stderr


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_the_dashboards_queries_are_well_formed(promtool, tmp_path, path):
    board = json.loads(path.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    lines = ["groups:", "- name: dashboard", "  rules:"]
    for number, query in enumerate(queries):
        asked = re.sub(r"\$(stream|group)", ".*", query).replace("$__rate_interval", "5m").replace("$__range", "1h")
        lines += [f"  - record: dashboard:query:{number}", f"    expr: {json.dumps(asked)}"]
    rules = tmp_path / "dashboard.rules.yml"
    rules.write_text("\n".join(lines) + "\n")
    done = promtool("check", "rules", rules)
    assert done.returncode == 0, done.stdout + done.stderr
