# SPDX-License-Identifier: Apache-2.0
"""Jaeger's JSON, as its page loads it: ``{"data": [{"traceID", "spans", "processes"}]}``. Pure.

Times are whole µs there, rounded down as durations are here, so paths and percentiles come out the same. Which service
and host a span ran in stands in a process; kind, failure and attributes in tags. ``formats/jaeger.py`` reads it back
equal, but for what is below a µs, and for failures: it takes a status of 400 and more in a tag for one, as CRISP does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...span import Span
from .form import Form, as_text, attributes_of, nanoseconds

_encoder = msgspec.json.Encoder()


def _one(trace_id: str, spans: list[Span]) -> bytes:
    processes: dict[tuple[str, str], str] = {}
    written = [_span(span, processes.setdefault((span.service, span.host), f"p{len(processes) + 1}"))
               for span in spans]
    return _encoder.encode({"traceID": trace_id, "spans": written, "processes": {
        name: _process(service, host) for (service, host), name in processes.items()}, "warnings": None})


def _span(span: Span, process: str) -> dict[str, Any]:
    tags = attributes_of(span)
    if span.kind and str(tags.get("span.kind", "")).lower() != span.kind:
        tags["span.kind"] = span.kind
    if span.error and not tags.get("error"):
        tags["error"] = True
    references = [{"refType": "FOLLOWS_FROM" if span.follows else "CHILD_OF", "traceID": span.trace_id,
                   "spanID": span.parent_id}] if span.parent_id else []
    return {"traceID": span.trace_id, "spanID": span.span_id, "operationName": span.operation,
            "references": references, "startTime": span.start_us, "duration": span.duration_us,
            "tags": [_tag(key, value) for key, value in tags.items()],
            "logs": [], "processID": process, "warnings": None}


def _tag(key: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "bool", int: "int64", float: "float64"}
    if isinstance(value, dict | list):
        value = as_text(value)
    return {"key": key, "type": kinds.get(type(value), "string"), "value": value}


def _process(service: str, host: str) -> dict[str, Any]:
    return {"serviceName": service, "tags": [{"key": "hostname", "type": "string", "value": host}] if host else []}


_TAIL = b'\n],"total":0,"limit":0,"offset":0,"errors":null}\n'
FORM = Form("jaeger", b'{\n"data":[\n', b",\n", _TAIL, _one, nanoseconds)
