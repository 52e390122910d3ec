# SPDX-License-Identifier: Apache-2.0
"""The quick way and the exact one give the same table, the same bad records and the same counts, whatever the lines."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from holdfast.traces.formats import spans
from holdfast.traces.reading.plans import way_of
from holdfast.traces.table import SpanTable

QUICK, EXACT = 0, 1 << 60
GOOD = {"trace_id": "00000000000000000000000000000abc", "span_id": "000000000000000a", "parent_id": "000000000000000b",
        "service": "s", "operation": "o", "start_ns": 1000, "end_ns": 2000, "kind": "server", "error": False, "x": 1,
        "y": "z"}
#: What may stand in the place of a value, as JSON text: much of it looks to DuckDB as if it were right.
VALUES = ["1", "1.5", "1e3", "-1", "-0", "01", "1.0", '"1"', '"1.5"', '"01"', '" 1"', "null", "true", "false", "NaN",
          "Infinity", "-inf", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "{}", "[]", '["a"]',
          '{"a":1}', '""', '"A"', '"root"', '"ROOT"', '"é"', '"\\u0041"', '"a\\"b"', '":"', '"a\\":1"', '"}"', '"{"',
          '"SPAN_KIND_SERVER"', '"client"', '"Client"', '"error"', '"OK"', '"maybe"', "2", '"a b"', '" a"', "tru", "",
          '"x"x', "1 1", '"\t"', '"İ"', "1,", '"a","y":"b"', "99999999999999999999999999999999999999999999"]


def line(said):
    return "{" + ",".join(f'"{key}":{value}' for key, value in said) + "}"


RIGHT = [(key, json.dumps(value)) for key, value in GOOD.items()]


@st.composite
def odd_line(draw):
    """A right line with some keys given another value, another name, dropped, doubled or moved, and some spaces."""
    said = list(RIGHT)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(said) - 1))
        key, value = said[at]
        match draw(st.sampled_from(["value", "value", "value", "drop", "twice", "name", "move"])):
            case "value":
                said[at] = key, draw(st.sampled_from(VALUES))
            case "drop":
                del said[at]
            case "twice":
                said.insert(draw(st.integers(0, len(said))), (key, draw(st.sampled_from([value, *VALUES]))))
            case "name":
                names = ["traceId", "id", "name", "x", "duration_us", "Service", "é", ""]
                said[at] = draw(st.sampled_from(names)), value
            case "move":
                said.append(said.pop(at))
    text = line(said)
    return draw(st.sampled_from([text, text, text, text.replace('":', '" :', 1), text.replace(",", ", "), f" {text}",
                                 text + " ", text + "\r", text[:-1], text + "x", text[:-1] + ",}", text[:-2] + "}"]))


def read(path, small):
    with SpanTable.read(str(path), "spans", small=small) as table:
        return (table.query("SELECT * FROM span ORDER BY ALL"), list(table.all_bad()),
                replace(table.counts, quick=0)), table.counts.quick


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(odd_line(), min_size=1, max_size=6), st.booleans())
def test_lines_that_look_right_are_read_alike(tmp_path, odd, ends):
    path = tmp_path / "f"
    lines = [line(RIGHT)] * 5
    for text in odd:
        lines += [text, line(RIGHT)]
    path.write_bytes("\n".join(lines).encode() + b"\n" * ends)
    (quick, _), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact


@pytest.mark.parametrize("key", list(GOOD))
def test_what_is_proven_is_what_the_exact_pass_says_for_each_value_in_each_place(tmp_path, key):
    way = way_of(spans, [line(RIGHT).encode()] * 5, None)
    lines = {}
    for n, value in enumerate(VALUES):
        text = line([(name, value if name == key else said) for name, said in RIGHT]).encode()
        if way.form.fits(text):
            path = tmp_path / str(n)
            path.write_bytes(text + b"\n")
            lines[str(path)] = text
    assert lines
    asked = way.read.insert.replace("INSERT INTO span SELECT", "SELECT filename, ")
    rows = duckdb.connect().execute(asked, [list(lines)]).fetchall()
    proven = {path: tuple(row) for path, *row in rows}
    assert len(rows) == len(proven)
    for path, row in proven.items():
        assert [row] == [astuple(span) for span in spans.Lines().spans(lines[path])]


SHAPES = [
    {"traceID": "AB", "spanID": "C", "op": "x", "start_us": 5, "dur_us": 7, "status": "STATUS_CODE_ERROR"},
    {"traceId": "ab", "id": "c", "name": "x", "startTimeUnixNano": "5", "endTimeUnixNano": "9",
     "kind": "SPAN_KIND_CLIENT"},
    {"trace": "ab", "span_id": "c", "start_ms": 5, "end_ms": 9, "kind": 3, "status_code": 2, "follows": True,
     "f": 1.5},
    {"trace_id": "ab", "span_id": "c", "start_ns": 5, "end_ns": 9, "kind": "SpanKind.SERVER", "error": "true",
     "parent": "0"},
    {"trace_id": "ab", "span_id": "c", "parent_id": "root", "start_ns": 5, "duration_ms": 9, "is_error": 1,
     "host": "h"},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_flat_lines_has_a_quick_way(tmp_path, shape):
    path = tmp_path / "f"
    path.write_bytes(b"".join(json.dumps(shape | {"n": n}).encode() + b"\n" for n in range(100)))
    (quick, proven), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact
    assert proven == 100


@pytest.mark.parametrize("rate", [0, 0.001, 0.3])
def test_a_longer_file_is_read_alike_and_mostly_the_quick_way(tmp_path, rate, monkeypatch):
    monkeypatch.setattr("holdfast.traces.reading.quick.SEGMENT", 300_000)
    monkeypatch.setattr("holdfast.traces.reading.quick.AT_ONCE", 2)
    rng = random.Random(5)
    path = tmp_path / "f"
    values = [(f'{GOOD["start_ns"]}', value) for value in VALUES]
    with path.open("w") as file:
        for n in range(12_000):
            text = line(RIGHT).replace("000000000000000a", f"{n:016x}")
            file.write((text.replace(*rng.choice(values), 1) if rng.random() < rate else text) + "\n")
    (quick, proven), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact
    assert proven > 11_000 or rate > 0.1
