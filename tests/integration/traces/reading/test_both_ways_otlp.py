# SPDX-License-Identifier: Apache-2.0
"""The quick way and the exact one read OTLP alike, whatever stands in whatever place of a line."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.traces.formats import Refused, otlp
from holdfast.traces.reading import nested
from holdfast.traces.reading.spool import COLUMNS, Spool
from holdfast.traces.table import SpanTable

QUICK, EXACT = 0, 1 << 60


def attributes(**said):
    return [{"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in said.items()]


def span(n=1, **said):
    return {"traceId": f"{n:032x}", "spanId": f"{n:016x}", "parentSpanId": f"{n + 1:016x}", "name": "o", "kind": 2,
            "startTimeUnixNano": "1000", "endTimeUnixNano": "2000", "attributes": attributes(http_method="GET"),
            "status": {"code": 1}} | said


def line(*spans, **resource):
    return {"resourceSpans": [{"resource": {"attributes": attributes(**(resource or {"service_name": "s"}))},
                               "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": list(spans)}]}]}


def raw(said):
    return json.dumps(said, separators=(",", ":")).encode()


RICH = [line(span()), line(span(1), span(2, kind=0), span(3, status={"code": 2, "message": "no"})),
        line(span(events=[{"timeUnixNano": "5", "name": "e", "attributes": attributes(a="b")}, {"name": "f"}])),
        line(span(links=[{"traceId": "1", "spanId": "2"}], flags=257, traceState="x", droppedLinksCount=1)),
        line(span(attributes=[{"key": "n", "value": {"intValue": "5"}}, {"key": "d", "value": {"doubleValue": 1.5}}])),
        {"resourceSpans": line(span(1))["resourceSpans"] + line(span(2), service_name="t")["resourceSpans"]},
        line(span(startTimeUnixNano=1000, endTimeUnixNano=2000, kind="SPAN_KIND_CLIENT",
                  status={"code": "STATUS_CODE_ERROR"})),
        line(span(), host_name="h", k8s_pod_name="p", service_name="s"), line(span(), host_name="", k8s_pod_name="p"),
        line(span(attributes=[], events=[], links=[], status={})), line(span(traceId="AB", spanId="CD"))]
#: Lines of these do not add up: they are read, the exact way.
STRANGE = [line(), {"resourceSpans": []}, line(span(unheard=5)), line(span(parentSpanId=None)),
           line(span(attributes=[{"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}}])),
           line(span(attributes=[{"value": {"stringValue": "a"}, "key": "k"}])), {"resourceSpans": [{}]},
           line(span(attributes=[*attributes(a="b"), "stray"])), line(span(name="a\\b")), line(span(name='":'))]
#: Texts in the place of others. Each is tried wherever it fits.
INSTEAD = [
    ('"1000"', ["1000", "1000.5", "1e3", '"1e3"', "null", '"01000"', "true", "NaN", "9223372036854775808", "{}", '""']),
    ('"name":"o"', ['"name":"o","value":{"a":1},"traceState":"x","value":{"a":2}',
                    '"name":"o","value":{"a":1},"traceState":"x"']),
    ('"o"', ["7", "null", "{}", '["a"]', '["a","b"]', '{"a":1}', "NaN", '"a,}"', "true", '"é"', '"\\u0041"']),
    ('"kind":2', ['"kind":"2"', '"kind":6', '"kind":2.0', '"kind":"client"', '"kind":"SPAN_KIND_X"', '"kind":-1',
                  '"kind":2,"kind":2', '"kind" :2', '"kind":true', '"kind":null', '"kind":[2]']),
    ('{"code":1}', ['{"code":"1"}', '{"code":3}', '{"code":1,"code":2}', "{}", "null", "[]", '{"code":1,"x":1}', "5",
                    '{"code":2,}', '{"message":5}', '{"code":null}']),
    ('"00000000000000000000000000000001"', ['""', "11111111111111111111111111111111", '"é"', "null", "1", '["a"]']),
    ('"0000000000000002"', ["null", "5", '""', '"0000000000000000"', '"ROOT"', "{}"]),
    ('{"key":"http.method","value":{"stringValue":"GET"}}', [
        '{"key":"http.method","value":{"value":"a","value":{"t":1}}}',
        '{"key":"http.method","value":{"value":"a","value":{"t":1}}},{"key":"z"}',
        '{"key":"http.method","key":"a","value":{"stringValue":"GET"}}', '{"key":"http.method"}', "5", "[]", "{}",
        '{"key":"http.method","value":{"stringValue":"GET","stringValue":"PUT"}}', '{"value":{"stringValue":"GET"}}',
        '{"key":"http.method","value":{"stringValue":"GET"},"value":{"stringValue":"PUT"}}',
        '{"key":"http.method","value":{"stringValue":NaN}}', '{"key":"http.method","value":{"key":"x"}}',
        '{"key":"http.method","value":{}}', '{"key":5,"value":{"stringValue":"GET"}}', '{"key":"a","value":null}',
        '{"key":"a","value":{"stringValue":"GET",}}', '{"key":"a","value":{"intValue":5}},', '{"key":"a","value":[]}',
        '{"key":"traceId","value":{"stringValue":"traceId"}}', '{"key":"a","value":{"doubleValue":-Infinity}}']),
    ('{"key":"service.name","value":{"stringValue":"s"}}', [
        '{"key":"service.name","value":{"stringValue":5}}', '{"key":"service.name","value":{"stringValue":""}}', "5",
        '{"key":"service.name","value":{"intValue":"5"}}', '{"key":"service.name","value":5}', '"x"', "null",
        '{"key":"service.name","value":{"stringValue":"a"}},{"key":"service.name","value":{"stringValue":"b"}}',
        '{"key":"a","value":{"stringValue":5}}', '{"value":{"stringValue":"s"}}', '{"key":null}', "[]",
        '{"key":"service.name","value":{"stringValue":null}}', '{"key":7,"value":{"stringValue":"s"}}']),
    ('"resource":{', ['"resource":[],"x":{', '"resource":[{', '"resource":null,"x":{', '"resource":5,"x":{']),
    ('"spans":[', ['"spans":{},"x":[', '"spans":[[],', '"spans":[{},', '"spans":[null,', '"spans":[5,',
                   '"spans":"x","y":[']),
    ('"scopeSpans":[', ['"scopeSpans":[[],', '"scopeSpans":[null,', '"scopeSpans":[5,', '"scopeSpans":[{},',
                        '"instrumentationLibrarySpans":[']),
    ('{"resourceSpans":[', ['{"resourceSpans":[[],', '{"resourceSpans":[null,', '{"resourceSpans":[{},', '[{"a":[',
                            '{"resourceSpans":["x",', '{"result":[', '{"resource_spans":[']),
    ('"status":', ['"events":{},"status":', '"links":[[]],"status":', '"events":[{}],"status":',
                   '"flags":[],"status":',
                   '"events":[{"name":5}],"status":', '"events":[null],"status":', '"traceState":[],"status":',
                   '"flags":{},"status":5,"x":', '"events":[{}],"status":5,"links":']),
    ('"scope":{"name":"lib","version":"1"}', ['"scope":null', '"scope":[]', '"scope":5', '"scope":{"name":5}',
                                              '"x":{"name":"lib"}',
                                              '"scope":{"name":"lib"},"scope":{}', '"instrumentationLibrary":{}']),
    ("}]}]}]}", ["}]}]}],}", "}]}]}]}x", "}]}]}]}{}", "}]}]}", "}],}]}]}", "}]}]}]} ", "}]}]},5]}", "}]}]},{}]}",
                 '}]}]}],"resourceSpans":[]}', '}]}]}],"result":{}}']),
]


def changed():
    text = raw(line(span())).decode()
    for old, new in INSTEAD:
        assert old in text
        yield from ((text.replace(old, one, 1)).encode() for one in new)


LINES = [*map(raw, RICH), *map(raw, STRANGE), *changed()]


def test_what_is_proven_is_what_the_exact_pass_says_for_each_line_by_itself(tmp_path):
    form = nested.Form(np)
    weights = {}
    lines = {}
    for n, text in enumerate(LINES):
        if form.fits(text):
            path = tmp_path / str(n)
            path.write_bytes(text + b"\n")
            weights[str(path)], lines[str(path)] = (1, *form.weight(text + b"\n")), text
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE span ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        _, doubtful = nested.read(connection, list(lines), lambda: weights)
        proven = [path for path in lines if path not in doubtful]
        assert nested.read(connection, proven, lambda: weights)[1] == []
        found = connection.execute("SELECT * FROM span ORDER BY ALL").fetchall()
    assert set(map(raw, RICH)) <= {lines[path] for path in proven}
    assert found == said_exactly(tmp_path, [lines[path] for path in proven])


def said_exactly(folder, texts):
    """The exact pass's rows, with attributes as DuckDB writes JSON."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE span ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})")
        with Spool(connection, folder, lambda _: nullcontext()) as spool:
            for text in texts:
                try:
                    spool.add(otlp.Lines().spans(text))
                except Refused as refused:
                    pytest.fail(f"proven, but {refused}: {text}")
        return connection.execute("SELECT * FROM span ORDER BY ALL").fetchall()


def read(path, small):
    with SpanTable.read(str(path), "otlp", small=small) as table:
        return (table.query("SELECT * FROM span ORDER BY ALL"), list(table.all_bad()),
                replace(table.counts, quick=0)), table.counts.quick


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6), st.booleans())
def test_lines_in_any_company_are_read_alike(tmp_path, odd, ends):
    path = tmp_path / "f"
    path.write_bytes(b"\n".join([raw(RICH[0]), *odd, raw(RICH[1])]) + b"\n" * ends)
    (quick, _), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact


def test_a_clean_file_goes_the_quick_way(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"".join(raw(one) + b"\n" for one in RICH * 20))
    (quick, proven), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact
    assert proven == len(RICH) * 20 - 1
