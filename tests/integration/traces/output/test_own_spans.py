# SPDX-License-Identifier: Apache-2.0
"""Spans that Holdfast makes, as OpenTelemetry ends them and a collector's file exporter writes them, are read."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast.consume.outcome import Reject
from holdfast.sinks import otel
from holdfast.traces import SpanTable, report
from tests.unit.sinks.test_otel import attempt, delivery


def value(said: object) -> dict[str, object]:
    """One attribute's value as OTLP has it in JSON."""
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {kinds[type(said)]: str(said) if type(said) is int else said}


def attributes(some) -> list[dict[str, object]]:
    return [{"key": key, "value": value(said)} for key, said in (some or {}).items()]


def line(span) -> str:
    """A span the SDK has ended, as a line of the file exporter: OTLP's mapping to JSON."""
    context, parent = span.context, span.parent
    one = {
        "traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}",
        "parentSpanId": f"{parent.span_id:016x}" if parent else "", "name": span.name, "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time), "endTimeUnixNano": str(span.end_time),
        "attributes": attributes(span.attributes), "status": {"code": span.status.status_code.value},
        "links": [{"traceId": f"{link.context.trace_id:032x}", "spanId": f"{link.context.span_id:016x}"}
                  for link in span.links],
    }
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes(span.resource.attributes)},
                                          "scopeSpans": [{"scope": {"name": "holdfast"}, "spans": [one]}]}]})


class Told:
    """A provider of a service that keeps its spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, resource=Resource({"service.name": "billing"}))
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))


@pytest.fixture
def told():
    return Told()


async def refuse(_delivery):
    return Reject("no such order")


def test_an_attempt_is_its_publishers_child_and_a_rejected_one_has_failed(told, tmp_path):
    with otel.publishing("orders", provider=told.provider) as place:
        pass
    attempt(told, delivery(traceparent=place))
    attempt(told, delivery(traceparent=place), refuse)
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(map(line, told.exporter.get_finished_spans())) + "\n")
    with SpanTable.read(str(path)) as table:
        found = report(table)
        (trace,) = table.traces()
    assert (found.traces, found.spans, found.rejected, found.orphans) == (1, 3, 0, 0)
    root, *attempts = trace.spans
    assert (root.service, root.operation, root.kind) == ("billing", "publish orders", "producer")
    assert [(one.operation, one.kind, one.parent_id) for one in attempts] == [
        ("process orders", "consumer", root.span_id)] * 2
    assert sorted(one.error for one in attempts) == [False, True]
    assert "holdfast.attempt" in attempts[0].attributes
