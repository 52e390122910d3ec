# SPDX-License-Identifier: Apache-2.0
"""The other formats: what they take, and the names of what they do not."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.parse.times import time_ns
from holdfast.logs.record import Record, Rejected
from tests.unit.logs.lines import SOURCE, line, lines

SECOND = 10**9


def test_a_csv_file_names_its_columns_itself():
    parser = parser_called("csv")
    header, row, short, open_ = lines(b"a,b\n", b'1,"x,y"\n', b"1\n", b'1,"x\n')
    assert parser.parse(header) is None
    assert parser.parse(row).fields == {"a": "1", "b": "x,y"}
    assert parser.parse(short).reason == "wrong_columns"
    assert parser.parse(open_).reason == "unclosed_quote"


def test_a_csv_parser_that_begins_in_the_middle_is_told_the_first_line():
    parser = parser_called("csv")
    assert parser.parse(line(b"1,2\n", offset=50)).reason == "no_header"
    parser.begin(SOURCE.id, b"\xef\xbb\xbfa,b\r")
    assert parser.parse(line(b"1,2\n", offset=50)).fields == {"a": "1", "b": "2"}


def test_columns_may_be_given():
    parser = parser_called("csv", columns=["x", "y"], delimiter=";")
    assert parser.parse(line(b"1;2\n")).fields == {"x": "1", "y": "2"}


@pytest.mark.parametrize(("content", "fields"), [
    (b"a=1 b=two\n", {"a": "1", "b": "two"}),
    (b'  msg="it \\"works\\"\\n" ok  empty= x=1\n', {"msg": 'it "works"\n', "ok": True, "empty": "", "x": "1"}),
    (b"url=http://h/?q=1\n", {"url": "http://h/?q=1"}),
])
def test_logfmt(content, fields):
    assert parser_called("logfmt").parse(line(content)).fields == fields


@pytest.mark.parametrize(("content", "reason"), [
    (b"no pair\n", "not_logfmt"), (b"a=1 a=2\n", "duplicate_key"), (b'a="x\n', "unclosed_quote"),
    (b'a="x"y=1\n', "not_logfmt"), (b"a=\xff\n", "bad_utf8"), (b"=1\n", "not_logfmt")])
def test_logfmt_flaws(content, reason):
    assert parser_called("logfmt").parse(line(content)).reason == reason


@pytest.mark.parametrize(("pattern", "content", "field", "value"), [
    ("common", b'1.2.3.4 - ann [10/Oct/2026:13:55:36 +0200] "GET / HTTP/1.0" 200 12\n', "status", "200"),
    ("combined", b'h - - [10/Oct/2026:13:55:36 +0200] "GET /a\\"b" 404 - "-" "curl/8"\n', "agent", "curl/8"),
    ("syslog", b"<34>Oct 11 22:14:15 host su[12]: 'su root' failed\n", "pid", "12"),
    ("level", b"2026-11-27 06:00:00,123 ERROR it broke\n", "message", "it broke"),
])
def test_patterns_that_are_known_by_name(pattern, content, field, value):
    found = parser_called("text", pattern=pattern).parse(line(content))
    assert isinstance(found, Record)
    assert found.fields[field] == value
    assert parser_called("text", pattern=pattern).parse(line(b"something else\n")).reason == "no_match"


def test_a_pattern_of_ones_own_takes_linear_time():
    parser = parser_called("text", pattern=r"(?P<word>(a+)+)$")
    assert isinstance(parser.parse(line(b"a" * 50_000 + b"!\n")), Rejected)
    for bad, why in ((r"(?=a)(?P<x>b)", "linear time"), ("a", "names no group")):
        with pytest.raises(ConfigurationError, match=why):
            parser_called("text", pattern=bad)


@pytest.mark.parametrize("pattern", ["common", "combined", "syslog", "level"])
def test_known_patterns_take_linear_time(pattern):
    parser = parser_called("text", pattern=pattern)
    for content in (b"a " * 100_000, b'"' * 200_000, b"\\" * 200_000,
                    b'h - - [t] "' + b"\\a" * 100_000, b" " * 200_000):
        assert parser.parse(line(b"x" + content + b"\n")).reason == "no_match"


def test_raw_takes_anything():
    assert parser_called("raw").parse(line(b"\xff\0ok\n")).fields == {"message": "\\xff\0ok"}


def test_what_there_is_not_is_said():
    with pytest.raises(ConfigurationError, match="csv, json, logfmt, raw, text"):
        parser_called("xml")
    with pytest.raises(ConfigurationError, match="colour"):
        parser_called("json", colour=1)


@pytest.mark.parametrize(("value", "ns"), [
    ("2026-11-27T06:00:00Z", 1795759200 * SECOND), ("2026-11-27T08:00:00.5+02:00", 1795759200 * SECOND + SECOND // 2),
    ("2026-11-27 06:00:00", 1795759200 * SECOND), (1795759200, 1795759200 * SECOND),
    (1795759200.25, 1795759200250000000),
    (1795759200123, 1795759200123000000), (1795759200123456, 1795759200123456000),
    (1795759200123456789, 1795759200123456789), ("1795759200", 1795759200 * SECOND),
    ("10/Oct/2000:13:55:36 -0700", 971211336 * SECOND)])
def test_times_as_lines_write_them(value, ns):
    assert time_ns(value) == ns


@pytest.mark.parametrize("value", ["soon", "", None, True, -1, float("nan"), 2**70, "9" * 100, [], "1900-01-01"])
def test_what_is_no_time_is_none(value):
    assert time_ns(value) is None
