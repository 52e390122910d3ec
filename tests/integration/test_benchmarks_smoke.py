# SPDX-License-Identifier: Apache-2.0
"""The bench measures what it says: every contestant handles every message once, and the figures reach the page."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import CONTESTANTS, KNOWN, LOCKS, MODES
from benchmarks.locks import gaps, overlaps
from tests.support.benches import looked

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


@pytest.fixture(scope="module")
def locks_ran(tmp_path_factory):
    """One quick run of every lock that is installed; the claims below are about it."""
    results = tmp_path_factory.mktemp("results")
    code, found, page = looked(results, "locks", "--no-pin")
    return code, found["figures"], page


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_handed_over_to_one_at_a_time(name, locks_ran):
    needs(name)
    _, found, page = locks_ran
    if KNOWN[name].zookeeper and name not in found["pair"]:
        pytest.skip("ZooKeeper is not installed: apt-get install zookeeper")
    assert 0 < found["pair"][name][0]["p50_us"] <= found["pair"][name][0]["p99_us"]
    for crowd in ("1", "8"):
        (run,) = found["handover"][crowd][name]
        assert run["handovers"] > 3
        assert run["overlaps"] == 0
    assert 0 < found["recovery"][name][0]["recovered_s"] < 2 + 3
    assert f"| {KNOWN[name].title} | " in page


@pytest.mark.parametrize("name", [name for name in LOCKS if KNOWN[name].is_ours])
def test_ours_is_renewed_a_hundred_in_one_command_and_compared_with_redis_py(name, locks_ran):
    needs("lock-redis-py")
    code, found, page = locks_ran
    assert code == 0
    (run,) = found["renewal"]["100"][name]
    assert run["lost"] == 0
    assert run["locks_per_command"] > 20
    assert "| redis-py | 1.00 × |" in page


def test_two_holders_at_once_are_counted_and_are_no_hand_over():
    grants = [(0, 1_000_000, 1), (2_000_000, 9_000_000, 2), (5_000_000, 8_000_000, 1), (12_000_000, 13_000_000, 2)]
    late_ms, twice = gaps(grants, 0)
    assert late_ms == [1.0, 4.0]
    assert twice == 1


def test_two_of_ours_at_once_and_a_lock_of_ours_that_is_lost_spoil_a_run():
    run = {"handover": {"1": {"lock": [{"overlaps": 1}], "lock-redis-py": [{"overlaps": 5}]}},
           "renewal": {"1": {"lock": [{"lost": 2}]}}}
    assert overlaps(run) == 3
