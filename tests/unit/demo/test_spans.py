# SPDX-License-Identifier: Apache-2.0
"""What a good line is: the pipeline's rules, and the ledger's own, which must come to the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.demo.ledger import read_input
from holdfast.demo.spans import COLUMNS, Span, line_id, parse_line, read_lines
from holdfast.errors import ConfigurationError, DecodeError, MessageError, ValidationFailed

GOOD = {
    "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "parent_id": "00f067aa0ba902b7",
    "pod_name": "gateway-1", "operation_name": "GET /*", "start_time_unix_nano": 1_000, "end_time_unix_nano": 9_000,
    "duration_us": 8,
}
HEADER = tuple(COLUMNS)


def as_json(**changes):
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()


def as_csv(**changes):
    return ",".join(str(v) for v in {**GOOD, **changes}.values()).encode()


def test_both_formats_hold_the_same_span():
    assert parse_line(as_json()) == parse_line(as_csv(), "csv", HEADER) == Span(**GOOD)


@pytest.mark.parametrize("line", [as_json(parent_id="root"), as_json(parent_id=None)])
def test_a_root_has_no_parent(line):
    assert parse_line(line).parent_id is None
    assert parse_line(as_csv(parent_id="root"), "csv", HEADER).parent_id is None


def test_columns_may_come_in_another_order_and_with_others():
    header = ("Zone", *reversed(HEADER))
    line = ",".join(["eu", *(str(v) for v in reversed(GOOD.values()))]).encode()
    assert parse_line(line, "csv", header) == Span(**GOOD)


@pytest.mark.parametrize("line", [b"{", b"nul", b"\xff{}", as_json()[:-1], as_json() + b"}", as_json(pod_name="\ud800"),
                                  as_json().replace(b"8}", b"NaN}"), b"[" * 100_000])
def test_what_cannot_be_read_is_a_decode_error(line):
    with pytest.raises(DecodeError):
        parse_line(line)


@pytest.mark.parametrize("changes", [
    {"trace_id": ...}, {"duration_us": ...}, {"duration_us": "8"}, {"duration_us": -1}, {"duration_us": True},
    {"duration_us": 8.5}, {"duration_us": None}, {"end_time_unix_nano": 999}, {"end_time_unix_nano": 2**63},
    {"start_time_unix_nano": -1}, {"span_id": "B7AD6B7169203331"}, {"span_id": "b7ad6b716920333"},
    {"span_id": GOOD["span_id"] + "\n"}, {"trace_id": "g" * 32}, {"parent_id": ""}, {"pod_name": ""},
    {"operation_name": "x" * 501}, {"operation_name": "nul\0"}, {"operation_name": ["GET"]},
], ids=str)
def test_what_breaks_a_rule_is_a_validation_error(changes):
    with pytest.raises(ValidationFailed) as caught:
        parse_line(as_json(**changes))
    assert "GET" not in str(caught.value), "an error must not quote the payload"


@pytest.mark.parametrize("line", [b"[1]", b"7", b"null", b'"text"'])
def test_json_that_is_no_object_is_a_validation_error(line):
    with pytest.raises(ValidationFailed):
        parse_line(line)


@pytest.mark.parametrize("line", [as_csv() + b",more", b"a,b", as_csv(pod_name='"open'), as_csv()[:40]])
def test_a_csv_line_of_another_shape_is_a_decode_error(line):
    with pytest.raises(DecodeError):
        parse_line(line, "csv", HEADER)


@pytest.mark.parametrize("changes", [{"duration_us": "8.0"}, {"duration_us": ""}, {"duration_us": "1_0"},
                                     {"duration_us": "٣"}, {"end_time_unix_nano": "+9000"}, {"duration_us": " 8"}],
                         ids=str)
def test_a_csv_number_is_plain_decimal(changes):
    with pytest.raises(ValidationFailed):
        parse_line(as_csv(**changes), "csv", HEADER)


def test_lines_are_numbered_as_they_stand_in_the_file():
    file = [",".join(HEADER).encode() + b"\r\n", as_csv() + b"\r\n", b"\n", as_csv()]
    layout, lines = read_lines(file)
    assert (layout.format, layout.header) == ("csv", HEADER)
    assert list(lines) == [(2, as_csv()), (4, as_csv())]
    layout, lines = read_lines([as_json() + b"\n"])
    assert layout.format == "jsonl"
    assert list(lines) == [(1, as_json())]
    assert line_id(123) == "line-000123"


def test_a_file_that_is_something_else_is_refused_as_a_whole():
    with pytest.raises(ConfigurationError, match="Duration"):
        read_lines([b"TraceID,SpanID\n"])


def test_an_empty_file_has_no_lines():
    assert list(read_lines([b"\n"])[1]) == []


# -- the ledger judges alike -------------------------------------------------------------------------------------------

values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20),
    st.sampled_from(["root", "a" * 16, "A" * 16, "a" * 32, "", "x" * 500, "x" * 501, "a" * 16 + "\n", "é\0"]),
    st.lists(st.integers(), max_size=2),
)
changed = st.dictionaries(st.sampled_from(sorted(GOOD)), st.one_of(values, st.just(...)), max_size=2)


def judged_good(line, format, header):
    try:
        return parse_line(line, format, header)
    except MessageError:
        return None


def agree(line, format, header, file):
    published, good = read_input(file)
    span = judged_good(line, format, header)
    assert list(good.values()) == ([] if span is None else [(span.operation_name, span.duration_us)])
    assert published == 1


@settings(max_examples=400, deadline=None)
@given(changes=changed, cut=st.integers(0, 30), junk=st.binary(max_size=3))
@example(changes={"duration_us": 1e3}, cut=0, junk=b"")
@example(changes={"duration_us": float("nan")}, cut=0, junk=b"")
@example(changes={"end_time_unix_nano": 2**64}, cut=0, junk=b"")
@example(changes={"pod_name": "\ud800"}, cut=0, junk=b"")
def test_ledger_and_pipeline_agree_on_json(changes, cut, junk):
    line = as_json(**changes)
    line = (line[: len(line) - cut] + junk).translate(None, b"\r\n")
    agree(line, "jsonl", (), [line])


@settings(max_examples=400, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(GOOD)), values.filter(lambda v: v != []), max_size=2),
       junk=st.binary(max_size=3))
@example(changes={"duration_us": "9" * 30}, junk=b"")
@example(changes={"duration_us": "9" * 31}, junk=b"")
def test_ledger_and_pipeline_agree_on_csv(changes, junk):
    cells = ",".join(str(v) for v in {**GOOD, **changes}.values())
    line = (cells.encode("utf-8", "surrogatepass") + junk).translate(None, b"\r\n")
    agree(line, "csv", HEADER, [",".join(HEADER).encode() + b"\n", line])
