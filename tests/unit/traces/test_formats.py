# SPDX-License-Identifier: Apache-2.0
"""Formats say the same of the same spans, and refuse what they cannot read with a reason that stays the same."""

from __future__ import annotations

import json

import pytest

from holdfast.errors import ConfigurationError
from holdfast.traces import Span
from holdfast.traces.formats import FORMATS, Bad, Refused, detected, named, otlp, spans, text, zipkin
from holdfast.traces.formats import csv as commas

T, S, P = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
START, END = 1_700_000_000_000_000_000, 1_700_000_000_004_000_000


def otlp_span(**said):
    return {"traceId": T, "spanId": S, "parentSpanId": P, "name": "add", "kind": 2, "startTimeUnixNano": str(START),
            "endTimeUnixNano": str(END), "status": {"code": 2}} | said


def otlp_line(*found, resource=(("service.name", "cart"), ("host.name", "h1"))):
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [
        {"scope": {"name": "lib"}, "spans": list(found or [otlp_span()])}]}]}


def raw(said):
    return json.dumps(said, separators=(",", ":")).encode()


def inside(module, said):
    pieces = list(module.Document().pieces(said if isinstance(said, bytes) else raw(said), "f", 0, 1))
    return [span for piece in pieces if not isinstance(piece, Bad) for span in piece.spans], [
        (piece.offset, piece.length, piece.reason) for piece in pieces if isinstance(piece, Bad)]


def reason(lines, line):
    with pytest.raises(Refused) as refused:
        lines.spans(line if isinstance(line, bytes) else raw(line))
    return str(refused.value)


WANTED = Span(T, S, P, "cart", "add", START, END, kind="server", error=True, host="h1")


def test_otlp_says_who_did_what():
    assert otlp.Lines().spans(raw(otlp_line())) == [WANTED]


@pytest.mark.parametrize("said", [
    {"traceId": T.upper(), "spanId": S.upper(), "parentSpanId": P.upper()},
    {"startTimeUnixNano": START, "endTimeUnixNano": END},
    {"kind": "SPAN_KIND_SERVER", "status": {"code": "STATUS_CODE_ERROR"}},
    {"unheard": {"of": [1, {"deep": 2}]}, "flags": 257, "traceState": "", "links": [], "droppedLinksCount": 0},
])
def test_otlp_is_one_thing_in_all_its_spellings(said):
    assert otlp.Lines().spans(raw(otlp_line(otlp_span(**said)))) == [WANTED]


def test_otlp_in_snake_case_and_of_old_libraries_and_around_a_result():
    def snake(value):
        if isinstance(value, dict):
            return {"".join("_" + c.lower() if c.isupper() else c for c in key): snake(one)
                    for key, one in value.items()}
        return [snake(one) for one in value] if isinstance(value, list) else value

    line = otlp_line()
    old = json.loads(raw(line).replace(b"scopeSpans", b"instrumentationLibrarySpans").replace(
        b'"scope"', b'"instrumentationLibrary"'))
    for said in (snake(line), old, {"result": line}):
        assert otlp.Lines().spans(raw(said)) == [WANTED]


@pytest.mark.parametrize("nobody", [None, "", "0" * 16])
def test_otlp_has_three_ways_to_say_root(nobody):
    (span,) = otlp.Lines().spans(raw(otlp_line(otlp_span(parentSpanId=nobody))))
    assert span.parent_id == ""


def test_attributes_of_otlp_are_kept_as_they_stand():
    attributes = [{"key": "n", "value": {"intValue": "5"}}]
    (span,) = otlp.Lines().spans(json.dumps(otlp_line(otlp_span(attributes=attributes))).encode())
    assert json.loads(span.attributes) == attributes
    assert " " not in span.attributes


@pytest.mark.parametrize(("said", "why"), [
    ({"startTimeUnixNano": "9223372036854775808"}, "number beyond 64 bits: startTimeUnixNano"),
    ({"startTimeUnixNano": 2**63}, "number beyond 64 bits: startTimeUnixNano"),
    ({"startTimeUnixNano": "soon"}, "wrong type: startTimeUnixNano"),
    ({"startTimeUnixNano": 1.5}, "wrong type: startTimeUnixNano"),
    ({"endTimeUnixNano": "0"}, "ends before it begins"),
    ({"name": 7}, "wrong type: name"),
    ({"traceId": ""}, "key missing: traceId"),
    ({"kind": "SPAN_KIND_HOST"}, "wrong type: kind"),
    ({"attributes": {"a": 1}}, "wrong type: attributes"),
])
def test_otlp_names_what_is_wrong(said, why):
    assert reason(otlp.Lines(), otlp_line(otlp_span(**said))) == why


def test_a_missing_key_of_otlp_is_named():
    span = otlp_span()
    del span["spanId"]
    assert reason(otlp.Lines(), otlp_line(span)) == "key missing: spanId"
    assert reason(otlp.Lines(), {"spans": []}) == "key missing: resourceSpans"


@pytest.mark.parametrize(("old", "new"), [
    (b'"name":"add"', b'"name":"add","name":"take"'),
    (b'"spanId"', b'"spanId":"a","span\\u0049d"'),
    (b'"name":"add"', b'"name" :"add","name":"take"'),
    (b'"scope":{"name":"lib"}', b'"scope":{"name":"lib","name":"bil"}'),
    (b'{"code":2}', b'{"code":2,"code":1}'),
    (b'{"key":"service.name","value":{"stringValue":"cart"}},{"key":"host.name","value":{"stringValue":"h1"}}',
     b'{"key":"service.name","value":{"stringValue":"cart"},"value":{"stringValue":"cost"}},{"key":"host.name"}'),
    (b'{"key":"service.name","value":{"stringValue":"cart"}},{"key":"host.name","value":{"stringValue":"h1"}}',
     b'{"key":"service.name","key":"b","value":{"stringValue":"cart"}},{"value":{"stringValue":"h1"}}'),
])
def test_a_key_of_otlp_is_not_there_twice(old, new):
    line = raw(otlp_line())
    assert old in line
    assert reason(otlp.Lines(), line.replace(old, new, 1)).startswith(("key twice: ", "key missing: key"))


FLAT = {"trace_id": T, "span_id": S, "parent_id": P, "service": "cart", "operation": "add", "start_ns": START,
        "end_ns": END, "kind": "server", "error": True, "host": "h1"}


def test_flat_spans_say_who_did_what():
    assert spans.Lines().spans(raw(FLAT)) == [WANTED]


@pytest.mark.parametrize("said", [
    {"traceId": T.upper(), "spanId": S, "parentSpanId": P, "serviceName": "cart", "name": "add",
     "startTimeUnixNano": str(START), "endTimeUnixNano": str(END), "kind": 2, "status": "STATUS_CODE_ERROR",
     "host": "h1"},
    {"trace_id": T, "span_id": S, "parent_id": P, "service": "cart", "op": "add", "start_us": START // 1000,
     "duration_us": 4000, "span_kind": "SpanKind.SERVER", "error": "true", "host": "h1"},
    {"trace_id": T, "span_id": S, "parent_id": P, "service": "cart", "op": "add", "start_ms": START // 10**6,
     "duration_ms": 4, "span_kind": "SERVER", "status_code": 2, "host": "h1", "unheard": {"of": [1]}},
])
def test_flat_spans_have_many_spellings(said):
    assert spans.Lines().spans(raw(said)) == [WANTED]


def test_null_is_nothing_in_flat_spans():
    bare = {"trace_id": T, "span_id": S, "start_ns": START, "end_ns": END}
    nulls = dict.fromkeys(("parent_id", "service", "operation", "kind", "error", "host", "status", "follows",
                           "attributes"))
    assert spans.Lines().spans(raw(bare | nulls)) == spans.Lines().spans(raw(bare)) == [
        Span(T, S, "", "", "", START, END)]


WRONG = [
    ({"start_ns": 2**63}, "number beyond 64 bits: start_ns"), ({"start_ns": "x"}, "wrong type: start_ns"),
    ({"start_ns": 1.0}, "wrong type: start_ns"), ({"start_ns": True}, "wrong type: start_ns"),
    ({"start_ns": None}, "wrong type: start_ns"), ({"end_ns": START - 1}, "ends before it begins"),
    ({"service": 7}, "wrong type: service"), ({"trace_id": ""}, "key missing: trace_id"),
    ({"trace_id": 5}, "wrong type: trace_id"), ({"kind": "friend"}, "wrong type: kind"),
    ({"error": "maybe"}, "wrong type: error"), ({"error": 1.0}, "wrong type: error"),
    ({"attributes": [1]}, "wrong type: attributes"), ({"follows": "x"}, "wrong type: follows"),
]


@pytest.mark.parametrize(("said", "why"), WRONG)
def test_flat_spans_name_what_is_wrong_whether_they_know_the_shape_or_not(said, why):
    assert reason(spans.Lines(), FLAT | said) == why
    knowing = spans.Lines()
    knowing.spans(raw(FLAT | dict.fromkeys(said, FLAT.get(next(iter(said))))))
    knowing.spans(raw(FLAT))
    assert reason(knowing, FLAT | said) == why


@pytest.mark.parametrize("twice", [b'"service":"cart","service":"cart"', b'"service" :"cart","service":"x"',
                                   b'"service":"cart","serv\\u0069ce":"x"', b'"service":{"a":1,"a":2}'])
def test_a_key_of_a_flat_span_is_not_there_twice(twice):
    lines = spans.Lines()
    lines.spans(raw(FLAT))
    line = raw({key: value for key, value in FLAT.items() if key != "host"})
    assert reason(lines, line.replace(b'"service":"cart"', twice)).startswith("key twice: ")


@pytest.mark.parametrize(("line", "why"), [
    (raw(FLAT)[:-20], "cut short"), (raw(FLAT) + b"TRAILER", "text behind the object"),
    (raw(FLAT) * 2, "text behind the object"), (b"[1]", "not an object"), (b"42", "not an object"),
    (raw(FLAT).replace(b"cart", b"c\0rt"), "NUL byte"), (raw(FLAT).replace(b"cart", b"c\xffrt"), "not UTF-8"),
    (b"\xef\xbb\xbf" + raw(FLAT), "byte order mark inside"), (raw(FLAT)[:-1] + b",}", "not JSON"),
    (raw(FLAT)[:-1] + b',"x":NaN}', "not JSON"), (raw(FLAT)[:-1] + b',"x":"\xff"}', "not UTF-8"),
    (b"[" * 100_000, "nested too deep"),
])
def test_what_is_no_record_is_named_alike_in_every_format_of_lines(line, why):
    knowing = spans.Lines()
    knowing.spans(raw(FLAT))
    assert reason(knowing, line) == reason(spans.Lines(), line) == why
    if b"cart" not in line:
        assert reason(otlp.Lines(), line) == why


def test_zipkin_says_who_did_what_and_refuses_one_span_alone():
    good = {"traceId": T, "id": S, "parentId": P, "name": "add", "kind": "SERVER", "timestamp": START // 1000,
            "duration": 4000, "localEndpoint": {"serviceName": "cart", "ipv4": "h1"}, "tags": {"error": "no"}}
    bad = good | {"timestamp": None}
    found, refused = inside(zipkin, [good, bad, good | {"shared": True}])
    tagged = json.loads(found[0].attributes)
    assert tagged == {"error": "no"}
    assert len(found) == 2
    assert found[0] == Span(T, S, P, "cart", "add", START, END, kind="server", error=True, host="h1",
                            attributes=found[0].attributes)
    assert refused == [(len(raw(good)) + 2, len(raw(bad)), "key missing: timestamp")]


def test_zipkin_pads_short_trace_ids_and_takes_one_span_a_line():
    found, refused = inside(zipkin, {"traceId": S, "id": S, "timestamp": 5})
    assert (found[0].trace_id, found[0].start_ns, found[0].end_ns, refused) == (S.zfill(32), 5000, 5000, [])


def jaeger_span(**said):
    return {"traceID": T, "spanID": S, "operationName": "add", "startTime": START // 1000, "duration": 4000,
            "processID": "p1", "tags": [{"key": "span.kind", "value": "server"}, {"key": "error", "value": True}],
            "references": [{"refType": "CHILD_OF", "traceID": T, "spanID": P}]} | said


PROCESSES = {"p1": {"serviceName": "cart", "tags": [{"key": "hostname", "value": "h1"}]}}


def test_jaeger_with_and_without_data_and_one_span_a_line():
    module = named("jaeger")
    trace = {"traceID": T, "spans": [jaeger_span()], "processes": PROCESSES}
    for said in ({"data": [trace]}, trace, jaeger_span(process=PROCESSES["p1"])):
        (found,), refused = inside(module, said)
        assert not refused
        assert found == Span(T, S, P, "cart", "add", START, END, kind="server", error=True, host="h1",
                             attributes=found.attributes)


def test_one_bad_span_of_jaeger_is_no_bad_file():
    bad = jaeger_span(startTime="soon")
    twice = b'{"traceID":"a","spanID":"b","spanID":"c","operationName":"o","startTime":1,"duration":1}'
    said = raw({"data": [{"traceID": T, "spans": [jaeger_span(), bad, jaeger_span(spanID=P)], "processes": PROCESSES}]})
    said = said.replace(raw(bad), raw(bad) + b"," + twice)
    found, refused = inside(named("jaeger"), said)
    assert len(found) == 2
    assert refused == [(said.index(raw(bad)), len(raw(bad)), "wrong type: startTime"),
                       (said.index(twice), len(twice), "key twice: spanID")]


HEADER = b"TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
ROW = f"{T},{S},{P},ts-cart-service-6f6cfc45b-h5m2n,add,{START},{END},4000".encode()


def table(*lines, columns=None):
    reader = commas.Lines(columns)
    return [span for line in lines for span in reader.spans(line)]


def test_a_pods_name_is_its_services_without_two_suffixes():
    assert table(HEADER, ROW)[0].service == "ts-cart-service"
    assert commas.service_of("mysql-0") == "mysql-0"


@pytest.mark.parametrize("nobody", [b"root", b"", b"0" * 16])
def test_a_row_without_a_parent_is_a_root(nobody):
    assert table(HEADER, ROW.replace(P.encode(), nobody))[0].parent_id == ""


def test_columns_are_found_by_name_wherever_they_stand_and_by_who_asks():
    asked = {"service": "who", "operation": "what", "unit": "ms"}
    (found,) = table(b"what,span_id,start,who,trace_id,duration\r\n",
                     f'"a, ""b""",{S},{START // 10**6},x,{T},4\r\n'.encode(), columns=asked)
    assert found == Span(T, S, "", "x", 'a, "b"', START, END)


@pytest.mark.parametrize(("line", "why"), [
    (ROW + b",1", "9 fields for 8 columns"), (ROW.replace(str(START).encode(), b"x"), "wrong type: start"),
    (ROW.replace(str(START).encode(), str(2**63).encode()), "number beyond 64 bits: start"),
    (ROW.replace(b"add", b'"add'), "a quote that does not end"), (ROW.replace(b"add", b"a\0"), "NUL byte"),
    (ROW.replace(b"add", b"\xff"), "not UTF-8"), (ROW.replace(T.encode(), b""), "key missing: trace_id"),
    (ROW.replace(str(END).encode(), b"5"), "ends before it begins"),
])
def test_a_row_that_cannot_be_read_says_why(line, why):
    reader = commas.Lines()
    reader.spans(HEADER)
    assert reason(reader, line) == why


def test_both_halves_of_a_call_at_alibaba_have_one_id():
    head = b"rt,timestamp,traceid,rpcid,um,rpctype,dm,interface\n"
    client, server, store, message = table(
        head, b"5,1000,t,0.1,a,rpc,b,i\n", b"-4,1001,t,0.1,a,rpc,b,i\n", b"1,1002,t,0.1.1,b,db,c,q\n",
        b"7,1003,t,0.2,a,mq,d,m\n")
    assert (client.service, client.kind, client.end_ns - client.start_ns) == ("a", "client", 5_000_000)
    assert (server.service, server.kind, server.end_ns - server.start_ns) == ("b", "server", 4_000_000)
    assert client.span_id == server.span_id == "0.1"
    assert (store.parent_id, store.service, json.loads(store.attributes)["peer.service"]) == ("0.1", "b", "c")
    assert (message.service, message.kind) == ("d", "consumer")


def told(*lines):
    reader = text.Lines()
    return [span for line in lines for span in reader.spans(line.encode())] + reader.rest()


def test_log_lines_make_a_span_from_their_first_to_their_last():
    found = told(f"2023-11-14 22:13:20.000  INFO [cart,{T},{S},true] 1 --- [main] a.B : op=add begun",
                 "a line of nobody's, at no time",
                 f"2023-11-14 22:13:20.004 ERROR [cart,{T},{S}] 1 --- [main] a.B : parent_id={P} failed")
    assert found == [Span(T, S, P, "cart", "add", START, END, error=True)]


@pytest.mark.parametrize("line", [
    f'1.2.3.4 - [2023-11-14T22:13:20Z] "GET /cart HTTP/1.1" 200 traceparent=00-{T}-{S}-01',
    f"1700000000.000 trace_id={T} span_id={S} trace_flags=01", f"1700000000000 traceId: {T}, spanId: {S}",
    f'{{"ts":1700000000000000000,"trace.id":"{T}","span.id":"{S}"}}',
    f"2023-11-14T23:13:20+01:00 TraceID: {T} SpanID: {S}",
])
def test_log_lines_name_their_span_in_many_ways(line):
    (found,) = told(line)
    assert (found.trace_id, found.span_id, found.start_ns) == (T, S, START)


def test_a_line_of_a_span_without_a_time_is_refused_and_one_of_no_span_is_not():
    assert reason(text.Lines(), f"traceparent=00-{T}-{S}-01".encode()) == "no time"
    assert text.Lines().spans(f"traceparent=00-{'0' * 32}-{S}-01".encode()) == []
    assert text.Lines().spans(b"hello") == []


def test_lines_are_read_in_linear_time_whatever_they_hold():
    assert text.Lines().spans(b"trace_id=" * 100_000 + b"[a," * 100_000 + b'"GET ' * 100_000) == []


@pytest.mark.parametrize(("head", "name"), [
    (raw(otlp_line()), "otlp"), (b"[1]\n" + raw(otlp_line()), "otlp"), (raw(FLAT), "spans"),
    (raw({"data": [{"spans": [jaeger_span()]}]}), "jaeger"), (HEADER + ROW, "csv"),
    (raw([{"traceId": T, "id": S, "timestamp": 5}]), "zipkin"), (f"2023 [a,{T},{S}]".encode(), "text"),
    (b"\xef\xbb\xbf" + HEADER, "csv"),
    (raw(FLAT).replace(b"trace_id", b"traceID").replace(b"span_id", b"spanID"), "spans"),
])
def test_a_format_is_told_by_its_head(head, name):
    assert name == detected(head, "f").NAME


def test_a_file_that_is_none_of_the_formats_says_what_was_tried():
    with pytest.raises(ConfigurationError) as error:
        detected(b"once upon a time", "tale.txt")
    assert "tale.txt" in str(error.value)
    assert all(module.NAME in str(error.value) for module in FORMATS)
    with pytest.raises(ConfigurationError, match="there is no format 'tale'"):
        named("tale")
