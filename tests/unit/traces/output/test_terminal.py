# SPDX-License-Identifier: Apache-2.0
"""The report on one screen, as JSON, as CSV: the same facts in each."""

from __future__ import annotations

import csv
import io

import msgspec

from holdfast.traces.answers.report import Report, Roots
from holdfast.traces.formats import Bad
from holdfast.traces.output.record import Input, Story, as_json, operations_csv, reject_line
from holdfast.traces.output.terminal import bar, blocks, summary
from holdfast.traces.output.thresholds import judge, threshold_of
from tests.unit.traces.output.shop import HOSTILE, named, orders
from tests.unit.traces.output.told import told

BAD = [Bad("spans.jsonl", 10, 5, 2, "not JSON", b"{\xff\n"), Bad("spans.jsonl", 15, 1, 3, "NUL", b"\0"),
       Bad("spans.jsonl", 16, 9, 4, "not JSON", b"[1]")]


def test_what_was_rejected_is_in_every_form():
    story, _, _ = told(orders(), BAD)
    assert summary(story)[-1] == "mind: 3 rejected records (not JSON 2, NUL 1)"
    value = as_json(story)
    assert (value["rejected"], value["input"]["rejected"]) == (3, 3)
    assert value["input"]["reasons"] == {"not JSON": 2, "NUL": 1}
    assert value["rejects"][0] == {"source": "spans.jsonl", "offset": 10, "length": 5, "line": 2, "reason": "not JSON"}
    assert msgspec.json.decode(reject_line(BAD[0]), type=Bad) == BAD[0]


def test_the_json_has_what_was_agreed():
    story, _, _ = told(orders())
    value = as_json(story)
    assert {"traces", "spans", "rejected", "orphans", "services", "edges", "root_us", "depth_max",
            "operations"} <= set(value)
    assert {"min", "median", "max"} <= set(value["root_us"])
    assert {"source", "target", "calls"} <= set(value["edges"][0])
    assert {"service", "operation", "count", "errors", "p50_us", "p99_us"} <= set(value["operations"][0])
    assert "profile" not in value
    assert "thresholds" not in value


def test_blocks_begin_with_what_takes_the_time():
    story, _, _ = told(orders())
    found = {block.title: block for block in blocks(story)}
    first = found["Where callers waited (critical path)"]
    assert first.rows[0][:2] == ["pay", "SELECT"]
    assert (len(blocks(story, rows=2)[0].rows), blocks(story, rows=2)[0].more) == (2, 3)
    assert found["Calls between services"].rows[0][:3] == ["gateway", "cart", "5"]
    assert "Thresholds crossed" not in found


def test_thresholds_come_first():
    story, shown, _ = told(orders())
    limits = [threshold_of("rejected>=0")]
    crossed = Story(story.report, story.input, (), judge(story.report, limits), 1)
    assert blocks(crossed)[0].title == "Thresholds crossed"
    assert as_json(crossed)["thresholds"][0]["threshold"] == "rejected>=0"
    assert shown


def test_nothing_is_said_in_one_line():
    nothing = Story(Report(0, 0, 2, 0, 0, [], Roots(), 0, []), Input([], 2, 0, 2, 0, 9))
    assert summary(nothing) == ["no spans; 2 rejected records"]
    assert blocks(nothing) == []


def test_csv_holds_any_name():
    story, _, _ = told(named(HOSTILE, 'a,"b"'))
    rows = list(csv.DictReader(io.StringIO(operations_csv(story.report), newline="")))
    assert {(row["service"], row["operation"]) for row in rows} == {(HOSTILE, 'a,"b"'), ('a,"b"', HOSTILE)}
    assert rows[0]["p99_us"].isdigit()


def test_bars_are_as_long_as_their_share():
    assert (bar(1, 1, 4), bar(1, 2, 4), bar(1, 8, 4), bar(0, 1, 4), bar(1, 0, 4)) == ("████", "██", "▌", "", "")
