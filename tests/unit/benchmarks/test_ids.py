# SPDX-License-Identifier: Apache-2.0
"""What the bench of ids concludes from what it saw, without a server."""

from __future__ import annotations

import random

import pytest

from benchmarks.contestants import IDS
from benchmarks.contestants.id_roles import flat, judged, tail
from benchmarks.ids import spoiled
from benchmarks.ids_check import leaves
from benchmarks.ids_report import ids
from benchmarks.report import table

#: A run as a child reports it.
RUN = {"ns": 40.0, "cpu_ns": 40.0, "p50_ns": 60, "p99_ns": 80, "p999_ns": 900, "max_ns": 5000, "none": 0, "twice": 0,
       "grow": True}


def figures(**draw):
    runs = {f"id-{name}": [{**RUN, "ns": ns, "cpu_ns": ns}] for name, ns in draw.items()}
    return {"draw": runs, "corners": {}, "check": {}, "claims": {}, "segments": {}}


def test_what_was_made_twice_or_not_at_all_is_counted_and_each_thread_grows_by_itself():
    assert judged([[1, 4, 9], [2, 3, 5]]) == {"none": 0, "twice": 0, "grow": True}
    assert judged([[1, None, 4], [4, 3]]) == {"none": 1, "twice": 1, "grow": False}
    assert judged([[None, None]]) == {"none": 2, "twice": 0, "grow": False}


def test_ids_of_a_bulk_call_are_looked_at_one_by_one():
    assert flat([[1, 2], [3, 4]], 2) == [1, 2, 3, 4]
    assert flat([1, 2], 1) == [1, 2]


def test_the_tail_is_of_calls_that_were_timed_alone():
    assert tail(list(range(1, 1001))) == {"p50_ns": 500, "p99_ns": 990, "p999_ns": 999, "max_ns": 1000}


def test_ids_that_grow_touch_as_few_leaves_as_there_can_be_and_random_ones_nearly_all():
    grow = list(range(20_000))
    strewn = random.Random(1).sample(grow, len(grow))
    assert leaves(grow) == 10
    assert leaves(strewn) > 190
    assert leaves([at % 4 * 1_000_000 + at // 4 for at in grow]) == pytest.approx(10, abs=4)


def test_the_page_says_whether_the_aim_was_reached_and_has_ratios_of_medians():
    page = ids({"figures": figures(call=20.0, bound=40.0, next=90.0, snowflake=330.0)}, table)
    assert "bound(): times as quick as snowflake-id | 8 | 8.2 | yes |" in page
    assert "next_id(): times as quick as snowflake-id | 8 | 3.7 | no |" in page
    assert "| snowflake-id | 1.00 × | 1.00 × | 330.0 |" in page
    assert "| calling an empty function | - | - | 20.0 |" in page


def test_a_peer_that_was_put_off_its_processor_does_not_make_us_reach_the_aim():
    found = figures(bound=50.0, snowflake=330.0)
    found["draw"]["id-snowflake"][0]["ns"] = 900.0
    page = ids({"figures": found}, table)
    assert "bound(): times as quick as snowflake-id | 8 | 6.6 | no |" in page
    assert "| Holdfast, bound() | 18.00 × | 6.60 × | 50.0 |" in page


def test_who_is_slower_by_far_has_a_ratio_all_the_same():
    page = ids({"figures": figures(snowflake=330.0, sonyflake=400_000.0)}, table)
    assert "| sonyflake-py | 0.00082 × | 0.00082 × | 400,000.0 |" in page


def test_an_id_of_ours_that_came_twice_spoils_a_run_and_a_peers_does_not():
    found = figures(next=90.0, snowflake=330.0)
    assert spoiled(found) == 0
    found["draw"]["id-snowflake"][0]["none"] = 3
    assert spoiled(found) == 0
    found["draw"]["id-next"][0]["twice"] = 1
    found["segments"] = {"id-segments-redis": {"far": {"twice": 2}}}
    found["check"] = {"twice": 4, "do_not_grow": 8}
    assert spoiled(found) == 15


def test_everybody_is_in_a_table_or_asked_elsewhere():
    assert {one.group for one in IDS.values()} == {"single", "threads", "text", "bulk", "claims", "segments"}
