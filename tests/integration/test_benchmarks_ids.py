# SPDX-License-Identifier: Apache-2.0
"""The bench of ids measures what it says: everybody makes ids, each of them once, and the figures reach the page."""

from __future__ import annotations

import pytest

from benchmarks.contestants import IDS, KNOWN
from tests.support.benches import looked

#: One of each library and of each way of asking; worker ids where no server has to be started for them.
WHO = ("id-call", "id-bound", "id-next", "id-await-asyncio", "id-snowflake", "id-tsid", "id-sonyflake",
       "id-uuid-utils-7", "id-threads-bound", "id-base32", "id-bulk-array", "id-claim-redis", "id-claim-sqlite",
       "id-segments-redis")
DRAWS = [name for name in WHO if KNOWN[name].group not in ("claims", "segments")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    who = [name for name in WHO if not KNOWN[name].missing]
    return looked(results, "ids", "--no-pin", "--who", ",".join(who))


@pytest.mark.parametrize("name", DRAWS)
def test_ids_are_made_once_each_and_have_a_row(name, ran):
    if KNOWN[name].missing:
        pytest.skip(f"{KNOWN[name].title} is not installed: pip install {' '.join(KNOWN[name].missing)}")
    code, found, page = ran
    (run,) = found["figures"]["draw"][name]
    assert code == 0
    assert run["ns"] > 0
    assert 0 < run["p50_ns"] <= run["p99_ns"] <= run["p999_ns"] <= run["max_ns"]
    if name != "id-call":
        assert (run["none"], run["twice"]) == (0, 0)
    if IDS[name].is_ours:
        assert run["grow"]
    assert f"| {KNOWN[name].title} |" in page


def test_ids_of_several_processes_are_looked_at_together(ran):
    found = ran[1]["figures"]["check"]
    assert found["ids"] == 4 * 4 * ran[1]["settings"]["check"]
    assert (found["twice"], found["do_not_grow"], found["workers"], found["threads"]) == (0, 0, 4, 16)
    leaves = found["leaves"]
    assert leaves["Holdfast, four processes in turn"] < 30 < leaves["UUIDv4"]


def test_who_draws_without_a_pause_is_held_to_what_the_layout_has(ran):
    """4,096 in a millisecond."""
    found = ran[1]["figures"]["corners"]
    assert found["sustained_ns"] > 200
    assert found["refill_us"]["2048"] < 5 * found["refill_us"]["1"], "a block makes no id before it is drawn"
    assert found["busy_thread_bytes"] < 4_096, "nor does it keep any"


@pytest.mark.parametrize("held", ["0", "100"])
def test_a_worker_id_on_redis_is_one_question(held, ran):
    claims = ran[1]["figures"]["claims"][held]
    (run,) = claims["id-claim-redis"]
    assert {what: round(trips) for what, trips in run["round_trips"].items()} == dict.fromkeys(
        ("claim", "release", "renewal"), 1)
    assert claims["id-claim-sqlite"][0]["round_trips"] is None
    assert claims["id-claim-sqlite"][0]["claim"]["p50_ms"] > 0


def test_segments_go_on_until_they_are_used_up_while_the_store_is_away(ran):
    found = ran[1]["figures"]["segments"]["id-segments-redis"]
    assert found["far"]["first_ms"] > 50
    assert found["singly"]["p50_ns"] > found["near"]["p50_ns"]
    away = found["away"]
    assert away["left"] > 1000
    assert away["given"] >= away["left"]
    assert all(run["twice"] == 0 and run["grow"] for run in found.values())
