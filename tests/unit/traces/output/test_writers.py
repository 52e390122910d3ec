# SPDX-License-Identifier: Apache-2.0
"""Spans written in other formats: read back equal, or what is lost is counted."""

from __future__ import annotations

import io
import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings

from holdfast.traces import Span, assemble
from holdfast.traces.formats import jaeger
from holdfast.traces.output.writers import FORMS, write
from holdfast.traces.reading import Source, parts
from tests.unit.traces.output.shop import T0, named, order, span_lists

LOSSLESS = ("spans", "otlp")


def written(form: str, spans: list[Span]) -> tuple[bytes, Counter[str]]:
    out = io.BytesIO()
    done = write(FORMS[form], [(trace.trace_id, trace.spans) for trace in assemble(spans)], out)
    assert done.spans == len(spans)
    return out.getvalue(), done.lost


def read_back(form: str, text: bytes, tmp_path) -> list[Span]:
    path = tmp_path / "spans"
    path.write_bytes(text)
    found = list(parts(Source(str(path)), form))
    assert not [one for one in found if not hasattr(one, "spans")], found
    return [span for one in found for span in one.spans]


def plain(spans, **without) -> list[Span]:
    """Sorted, and without what the format has in other words."""
    bare = [msgspec.structs.replace(one, attributes="", **without) for one in spans]
    return sorted(bare, key=lambda one: (one.trace_id, one.span_id, one.kind))


def rounded(spans: list[Span]) -> list[Span]:
    return [msgspec.structs.replace(one, start_ns=one.start_us * 1000, end_ns=(one.start_us + one.duration_us) * 1000)
            for one in spans]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@settings(deadline=None)
@given(span_lists())
def test_flat_lines_lose_nothing(folder, spans):
    text, lost = written("spans", spans)
    assert not lost
    assert plain(read_back("spans", text, folder)) == plain(spans)


@settings(deadline=None)
@given(span_lists())
def test_jaegers_json_is_read_back_equal_but_for_what_is_below_a_microsecond(folder, spans):
    text, lost = written("jaeger", spans)
    assert plain(jaeger.spans(text)) == plain(rounded(spans))
    assert plain(read_back("jaeger", text, folder)) == plain(rounded(spans))
    assert lost["times below a µs"] == sum(one.start_ns % 1000 > 0 or one.end_ns % 1000 > 0 for one in spans)


def test_jaegers_tags_come_back_as_they_were():
    text, _ = written("jaeger", order(1))
    again = [one for one in jaeger.spans(text) if one.span_id == "d"]
    assert json.loads(again[0].attributes) == {"db.name": "orders", "rows": 3, "span.kind": "client"}
    twice, _ = written("jaeger", list(jaeger.spans(text)))
    assert plain(jaeger.spans(twice)) == plain(jaeger.spans(text))
    assert [one.attributes for one in jaeger.spans(twice)] == [one.attributes for one in jaeger.spans(text)]


@settings(deadline=None)
@given(span_lists())
def test_otlp_loses_nothing_but_that_a_parent_does_not_wait(folder, spans):
    text, lost = written("otlp", spans)
    assert not lost
    assert plain(read_back("otlp", text, folder), follows=False) == plain(spans, follows=False)
    linked = [one for line in text.splitlines() for resource in json.loads(line)["resourceSpans"]
              for one in resource["scopeSpans"][0]["spans"] if one.get("links")]
    assert len(linked) == sum(one.follows for one in spans)


@settings(deadline=None)
@given(span_lists(us=True))
def test_zipkins_spans_are_read_back_equal_but_for_what_it_does_not_have(folder, spans):
    text, lost = written("zipkin", spans)
    assert plain(read_back("zipkin", text, folder), follows=False, host="") == plain(spans, follows=False, host="")
    assert lost["host"] == sum(bool(one.host) for one in spans)
    assert lost["that its parent does not wait"] == sum(one.follows for one in spans)


@settings(deadline=None)
@given(span_lists())
def test_csv_is_read_back_equal_but_for_what_the_reader_does_not_ask(folder, spans):
    text, lost = written("csv", spans)
    assert not lost
    assert plain(read_back("csv", text, folder), follows=False) == plain(spans, follows=False)


def test_halves_of_a_call_that_share_an_id_stay_halves():
    halves = [Span("1" * 32, "2" * 16, "", "caller", "get", T0, T0 + 9_000, kind="client"),
              Span("1" * 32, "2" * 16, "", "callee", "get", T0 + 1_000, T0 + 8_000, kind="server")]
    found = json.loads(written("zipkin", halves)[0])
    assert [(one["kind"], one.get("shared", False)) for one in found] == [("CLIENT", False), ("SERVER", True)]


def test_an_id_that_otlp_cannot_hold_is_replaced_the_same_everywhere_and_counted():
    spans = [Span("order-7", "root", "", "s", "a", T0, T0 + 9), Span("order-7", "b", "root", "s", "b", T0, T0 + 5)]
    text, lost = written("otlp", spans)
    root, below = json.loads(text)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert below["parentSpanId"] == root["spanId"]
    assert (len(root["traceId"]), len(root["spanId"]), below["spanId"]) == (32, 16, "000000000000000b")
    assert lost == {"an id that is no hex of OTLP's length": 2}


def test_a_line_break_in_a_name_is_no_new_record_of_csv(folder):
    text, lost = written("csv", named("a\nb", 'c,"d"'))
    assert len(text.splitlines()) == 3
    assert lost == {"line breaks within names": 2}
    assert {one.service for one in read_back("csv", text, folder)} == {"a b", 'c,"d"'}


def test_attributes_of_otlp_are_values_in_other_formats():
    attributes = ('[{"key":"n","value":{"intValue":"3"}},'
                  '{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true}]}}}]')
    one = Span("1" * 32, "2" * 16, "", "s", "o", T0, T0 + 1_000, attributes=attributes)
    assert json.loads(written("spans", [one])[0])["attributes"] == {"n": 3, "l": [True]}
    (again,) = json.loads(written("otlp", [one])[0])["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert again["attributes"] == json.loads(attributes)
    odd = msgspec.structs.replace(one, attributes="no JSON")
    assert json.loads(written("spans", [odd])[0])["attributes"] == {"attributes": "no JSON"}


def test_no_traces_are_a_file_of_none(folder):
    assert json.loads(written("zipkin", [])[0]) == []
    assert json.loads(written("jaeger", [])[0])["data"] == []
    assert written("spans", [])[0] == b""
