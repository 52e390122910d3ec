# SPDX-License-Identifier: Apache-2.0
"""What is said to Elasticsearch, and what its answers mean."""

from __future__ import annotations

import json

import pytest

from holdfast.logs.line import Line, Source
from holdfast.logs.record import Record
from holdfast.logs.sink import SinkDown
from holdfast.logs.sinks import elastic_words as words
from holdfast.logs.sinks.document import encoded


def record(fields, timestamp_ns=None):
    line = Line(source=Source(id="s", path="/var/log/app.log"), offset=40, number=3, raw=b"x\n")
    return Record(id=line.id, line=line, fields=fields, timestamp_ns=timestamp_ns)


def test_a_document_says_when_and_where_unless_its_fields_do():
    told = words.document(record({"a": 1}, 1_700_000_000_123_456_789))
    assert told == {"a": 1, "@timestamp": "2023-11-14T22:13:20.123456789Z",
                    "log": {"file": {"path": "/var/log/app.log"}, "offset": 40}}
    assert words.document(record({"log": "mine", "@timestamp": "then"}, 0)) == {"log": "mine", "@timestamp": "then"}


def test_a_request_creates_each_document_under_its_record_s_id():
    good, _ = encoded([record({"a": 1}), record({"b": "\n"})], words.document)
    lines = words.bulk("logs", good).split(b"\n")
    assert [json.loads(line) for line in lines[::2] if line] == [
        {"create": {"_index": "logs", "_id": one.record.id}} for one in good]
    assert len(lines) == 5
    assert lines[-1] == b""


@pytest.mark.parametrize(("status", "there", "later"), [
    (200, True, False), (201, True, False), (409, True, False), (400, False, False), (404, False, False),
    (429, False, True), (500, False, True), (503, False, True)])
def test_what_a_status_means(status, there, later):
    [item] = words.items(json.dumps({"items": [{"create": {"status": status, "error": {"type": "t", "reason": "r"}}}]
                                     }).encode(), 1)
    assert (words.is_in(item), words.passes(item)) == (there, later)
    assert (item.error, item.why) == ("t", "r")


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b"<html>", b'{"items": []}', b'{"items": [{}]}', b"\xff",
                                    b'{"items": [{"create": {"status": "x"}}]}', b'{"items": [{"create": 3}]}'])
def test_an_answer_that_is_none_says_nothing_was_taken(answer):
    with pytest.raises(SinkDown, match="none to a bulk request"):
        words.items(answer, 1)
