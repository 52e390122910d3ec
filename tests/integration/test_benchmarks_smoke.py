# SPDX-License-Identifier: Apache-2.0
"""The bench measures what it says: every contestant handles every message once, and the figures reach the page."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import CONTESTANTS, KNOWN, MODES

N = 300


def needs(name: str) -> None:
    if KNOWN[name].missing:
        pytest.skip(f"{KNOWN[name].title} is not installed: pip install {' '.join(KNOWN[name].missing)}")


@pytest.mark.parametrize("name", CONTESTANTS)
def test_a_drain_handles_every_message_once(name, tmp_path):
    needs(name)
    code = main(["--only", "drain", "--who", name, "--n", str(N), "--runs", "1", "--series", "none", "--no-pin",
                 "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-drain.json")
    found = json.loads(path.read_text())
    (run,) = found["series"]["none"][name]
    assert code == 0
    assert (run["unique"], run["duplicates"], run["missing"]) == (N, 0, 0)
    assert run["seconds"] > 0
    assert found["contestants"][name]["versions"].keys() == set(CONTESTANTS[name].packages)


def test_the_page_puts_ratios_before_rates(tmp_path):
    needs("bare")
    main(["--only", "drain", "--who", "bare,holdfast", "--n", str(N), "--runs", "2", "--series", "none", "--no-pin",
          "--results", str(tmp_path)])
    page = (tmp_path / "README.md").read_text()
    assert 0 < page.index(" × |") < page.index("messages a second")
    assert str(tmp_path) not in page


def test_latency_is_that_of_every_message(tmp_path):
    needs("bare")
    main(["--only", "latency", "--who", "bare,holdfast", "--rate", "200", "--seconds", "1", "--runs", "1", "--no-pin",
          "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-latency.json")
    for runs in json.loads(path.read_text())["runs"].values():
        assert runs[0]["messages"] == 200
        assert 0 < runs[0]["p50_ms"] <= runs[0]["p99_ms"] <= runs[0]["max_ms"]


def test_acknowledged_messages_leave_nothing_behind(tmp_path):
    main(["--only", "memory", "--who", "holdfast", "--n", "1000", "--no-pin", "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-memory.json")
    found = json.loads(path.read_text())["figures"]["holdfast"]
    assert found["unique"] == 1000
    assert found["full"]["stream_length"] == 0
    assert found["times_empty"] <= 1.5


def test_an_idle_consumer_sends_few_commands(tmp_path):
    main(["--only", "idle", "--who", "holdfast", "--seconds", "3", "--no-pin", "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-idle.json")
    found = json.loads(path.read_text())["figures"]["holdfast"]
    assert 0 < found["sent_per_s"] <= 5
    assert found["total_commands_processed"] >= sum(found["sent"].values()) + sum(found["in_scripts"].values())


def test_recovery_follows_a_kill(tmp_path):
    main(["--only", "recovery", "--who", "holdfast", "--lease-ms", "500", "--runs", "1", "--no-pin",
          "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-recovery.json")
    (run,) = json.loads(path.read_text())["runs"]["holdfast"]
    assert 0 < run["recovered_s"] < 0.5 + 2 + 1


@pytest.mark.parametrize("name", [name for name in MODES if name != "once-none"])
def test_a_mode_applies_every_effect_once_and_is_told_as_a_ratio(name, tmp_path):
    needs(name)
    code = main(["--only", "once", "--who", f"once-none,{name}", "--n", "1000", "--runs", "1", "--series", "none",
                 "--no-pin", "--results", str(tmp_path)])
    (path,) = tmp_path.glob("*-once.json")
    (run,) = json.loads(path.read_text())["series"]["none"][name]
    assert code == 0
    assert (run["unique"], run["duplicates"], run["missing"], run["effects_off"]) == (run["n"], 0, 0, 0)
    page = (tmp_path / "README.md").read_text()
    assert "| at-least-once | 1,000 | 1.00 × |" in page
    assert MODES[name].title in page
