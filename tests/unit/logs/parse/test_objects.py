# SPDX-License-Identifier: Apache-2.0
"""JSON lines are taken strictly, and each flaw has its name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.logs.parse.flaw import Flaw
from holdfast.logs.parse.objects import object_of
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.record import Record, Rejected
from tests.unit.logs.lines import line

FLAWS = {
    b'{"a":"\0"}': ("nul", 6), b'{"a":"\xff"}': ("bad_utf8", 6), b'{"a":1': ("truncated", 6), b'{"a':
    ("truncated", 3), b'{"a":1}TRAILER': ("trailing_garbage", 8), b"[1]": ("not_object", 0), b"42": ("not_object", 0),
    b'"s"': ("not_object", 0), b"null": ("not_object", 0), b'{"a":1,"a":2}': ("duplicate_key", 7),
    b'{"a" :1,"a":2}': ("duplicate_key", 8), b'{"b":[{"a":1,"\\u0061":2}]}': ("duplicate_key", 7),
    b'{"a":9223372036854775808}': ("integer_range", 5), b'{"a":[-9223372036854775809]}': ("integer_range", 6),
    b'{"a":1e999}': ("number_range", -1), b'{"a":' * 5000: ("too_deep", -1), b"{a:1}": ("not_json", 1),
    b'{"a":NaN}': ("not_json", 5), b'\xef\xbb\xbf{"a":1}': ("bom", 0),
}


@pytest.mark.parametrize("content", FLAWS, ids=lambda content: content[:24].decode("latin-1"))
def test_each_flaw_has_its_name_and_place(content):
    flaw = object_of(content)
    assert isinstance(flaw, Flaw)
    assert flaw.reason == FLAWS[content][0]
    if flaw.reason not in ("trailing_garbage", "duplicate_key"):
        assert flaw.at_byte == FLAWS[content][1]


@pytest.mark.parametrize("content", [
    b"{}", b'{"a":{"a":{"a":1}}}', b'{"a":"x\\":y","b":2}', b'{"a":": :", "b" : 1}', b'{"a":9223372036854775807}',
    b' {"a":1}\r', b'{"12345678901234567890":1}', b'{"a":"12345678901234567890"}', b'{"a":1,"A":2}'])
def test_what_only_looks_odd_is_taken(content):
    assert object_of(content) == json.loads(content)


def test_unsigned_integers_are_taken_when_that_is_asked_for():
    assert object_of(b'{"a":18446744073709551615}', unsigned=True) == {"a": 2**64 - 1}
    assert isinstance(object_of(b'{"a":18446744073709551616}', unsigned=True), Flaw)


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.text(max_size=8),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                          st.text(max_size=4), inner, max_size=3),
                      max_leaves=12)


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_every_object_is_taken_as_json_says(value, indent, ascii_):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    assert object_of(text) == json.loads(text)


@given(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=4), st.data())
def test_a_key_that_stands_twice_never_goes_through(value, data):
    twice = data.draw(st.sampled_from(sorted(value)))
    pairs = [*value.items(), (twice, data.draw(VALUES))]
    space = data.draw(st.sampled_from(["", " ", "\t"]))
    text = "{" + ",".join(json.dumps(key) + space + ":" + json.dumps(item) for key, item in pairs) + "}"
    found = object_of(text.encode())
    assert isinstance(found, Flaw)
    assert found.reason == "duplicate_key"


def test_the_mark_of_the_encoding_is_taken_at_the_start_of_a_file_alone():
    parser = parser_called("json")
    assert isinstance(parser.parse(line(b'\xef\xbb\xbf{"a":1}\r\n')), Record)
    found = parser.parse(line(b'\xef\xbb\xbf{"a":1}\n', offset=9))
    assert isinstance(found, Rejected)
    assert found.reason == "bom"
    bad = parser.parse(line(b'\xef\xbb\xbf{"a":\0}\n'))
    assert (bad.reason, bad.at_byte) == ("nul", 8)


def test_what_is_required_has_to_be_there_and_the_time_is_found():
    parser = parser_called("json", required=["level"], require_time=True)
    assert parser.parse(line(b'{"time":"2026-11-27T06:00:00Z","level":"x"}\n')).timestamp_ns == 1795759200 * 10**9
    assert parser.parse(line(b'{"time":1795759200}\n')).reason == "missing_field"
    assert parser.parse(line(b'{"level":1}\n')).reason == "bad_time"
