# SPDX-License-Identifier: Apache-2.0
"""Records as log records of OTLP, and what a collector's answer says."""

from __future__ import annotations

import json

import pytest

from holdfast.logs.line import Line, Source
from holdfast.logs.record import Record
from holdfast.logs.sinks import otlp_words as words


def told(fields, timestamp_ns=5):
    line = Line(source=Source(id="s", path="/var/log/app.log"), offset=40, number=3, raw=b"x\n")
    return words.log_record(Record(id="r1", line=line, fields=fields, timestamp_ns=timestamp_ns), 9)


def plain(attributes):
    return {one["key"]: one["value"] for one in attributes}


def test_body_level_and_ids_leave_the_attributes_and_the_place_joins_them():
    found = told({"message": "hi", "level": "WARN", "trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736",
                  "span_id": "00f067aa0ba902b7", "n": 7})
    assert (found["body"], found["severityText"], found["severityNumber"]) == ({"stringValue": "hi"}, "WARN", 13)
    assert (found["traceId"], found["spanId"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert (found["timeUnixNano"], found["observedTimeUnixNano"]) == ("5", "9")
    assert plain(found["attributes"]) == {
        "n": {"intValue": "7"}, "log.file.path": {"stringValue": "/var/log/app.log"},
        "log.record.uid": {"stringValue": "r1"}, "holdfast.log.offset": {"intValue": "40"}}


@pytest.mark.parametrize("bad", ["", "0" * 32, "4bf9", "x" * 32, 7, None])
def test_an_id_that_is_none_stays_an_attribute(bad):
    found = told({"trace_id": bad})
    assert "traceId" not in found
    assert "trace_id" in plain(found["attributes"])


@pytest.mark.parametrize(("value", "said"), [
    (True, {"boolValue": True}), (2**63 - 1, {"intValue": str(2**63 - 1)}), (2**63, {"stringValue": str(2**63)}),
    (1.5, {"doubleValue": 1.5}), (None, {}), ([1, "a"], {"arrayValue": {"values": [{"intValue": "1"},
                                                                                  {"stringValue": "a"}]}}),
    ({"a": False}, {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": False}}]}})])
def test_each_kind_of_value_has_its_form(value, said):
    assert words.any_value(value) == said


def test_what_is_no_value_is_a_type_error():
    with pytest.raises(TypeError):
        words.any_value(object())


def test_a_request_names_the_resource():
    [one] = json.loads(words.request([told({})], {"service.name": "shop"}))["resourceLogs"]
    assert plain(one["resource"]["attributes"]) == {"service.name": {"stringValue": "shop"}}
    assert len(one["scopeLogs"][0]["logRecords"]) == 1


@pytest.mark.parametrize(("answer", "count"), [
    (b"", 0), (b"{}", 0), (b'{"partialSuccess": {}}', 0), (b'{"partialSuccess": {"rejectedLogRecords": "3"}}', 3),
    (b'{"partialSuccess": {"rejectedLogRecords": 2, "errorMessage": "old"}}', 2), (b"<html>", 0), (b"[]", 0),
    (b'{"partialSuccess": {"rejectedLogRecords": "x"}}', 0), (b'{"partialSuccess": {"errorMessage": "mind"}}', 0)])
def test_how_many_were_left_out(answer, count):
    assert words.rejected(answer)[0] == count
