# SPDX-License-Identifier: Apache-2.0
"""Flat lines with an object among their values, and OTLP with braces in its texts: both ways read them alike."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.testing.dirt import plant
from holdfast.traces.table import SpanTable
from tests.integration.traces.answers.test_operations import INNER, USUAL, any_line
from tests.integration.traces.reading.test_both_ways import EXACT, QUICK, line
from tests.integration.traces.reading.test_both_ways_otlp import line as line_of
from tests.integration.traces.reading.test_both_ways_otlp import raw, span

#: Stencils have no room for a number like 1.5.
SIMPLE = [(key, "15" if key == "n" else value) for key, value in USUAL]


def read(path, format, small):
    with SpanTable.read(str(path), format, small=small) as table:
        return (table.query("SELECT * FROM span ORDER BY ALL"), list(table.all_bad()),
                replace(table.counts, quick=0)), table.counts.quick


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_line(), min_size=1, max_size=6), st.booleans())
def test_lines_that_look_right_are_read_alike(tmp_path, odd, ends):
    path = tmp_path / "f"
    lines = [line(SIMPLE)] * 5
    for text in odd:
        lines += [text, line(SIMPLE)]
    path.write_bytes("\n".join(lines).encode() + b"\n" * ends)
    assert read(path, "spans", QUICK)[0] == read(path, "spans", EXACT)[0]


@pytest.mark.parametrize("key", ["attributes", "tags"])
def test_what_stands_in_an_object_is_read_alike(tmp_path, key):
    path = tmp_path / "f"
    for value in [*INNER, '{ "a" : "b" }', '{"b":1,"a":-0}', '{"a":18446744073709551615}', "{ }", '{"a":"\\/"}']:
        said = [(key if name == "attributes" else name, value if name == "attributes" else its) for name, its in SIMPLE]
        path.write_text((line(said) + "\n") * 5 + line(SIMPLE) + "\n")
        assert read(path, "spans", QUICK)[0] == read(path, "spans", EXACT)[0], value


@pytest.mark.parametrize("is_clean", [True, False])
def test_most_lines_with_an_object_go_the_quick_way(tmp_path, is_clean, monkeypatch):
    monkeypatch.setattr("holdfast.traces.reading.quick.SEGMENT", 60_000)
    path = tmp_path / "f"
    rng = random.Random(6)
    values = ['{"a":"b","c":"d"}', '{"a":"x"}', '{"a":5,"c":true}', "{}"]
    times = {"start_ns": "1700000000000000000", "end_ns": "1700000000000900000"}
    lines = [line([(key, rng.choice(values) if key == "attributes" else times.get(key, value))
                   for key, value in SIMPLE]).encode() for _ in range(2000)]
    path.write_bytes(b"".join(one + b"\n" for one in lines) if is_clean else plant(lines, 6, rate=0.02)[0])
    (quick, proven), (exact, _) = read(path, "spans", QUICK), read(path, "spans", EXACT)
    assert quick == exact
    assert proven == 2000 if is_clean else proven > 1700


def test_braces_in_texts_of_otlp_are_no_objects(tmp_path):
    path = tmp_path / "f"
    said = raw(line_of(span()))
    usual = said.replace(b'"o"', b'"GET /{id}/{x}"')
    assert usual != said
    path.write_bytes(b"\n".join([usual] * 50) + b"\n")
    (quick, proven), (exact, _) = read(path, "otlp", QUICK), read(path, "otlp", EXACT)
    assert quick == exact
    assert proven == 49
    for odd in (b'"status":{}', b'"status":5', b'"status":[]'):
        path.write_bytes(b"\n".join([usual] * 5 + [usual.replace(b'"name"', odd + b',"name"'), usual, b""]))
        assert read(path, "otlp", QUICK)[0] == read(path, "otlp", EXACT)[0]
