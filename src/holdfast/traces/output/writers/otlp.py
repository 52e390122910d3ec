# SPDX-License-Identifier: Apache-2.0
"""OTLP as the collector's file exporter writes it: a trace a line, ``{"resourceSpans": […]}``. Pure.

Ids are hex of 32 and 16 digits there. Shorter hex ids get zeros in front; an id that is no hex is replaced by the first
digits of its SHA-256, the same for the same id, so that parents are still found, and counted as lost. A parent that
does not wait is written as a link beside the parent.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

from ...span import Span
from .form import Form, attributes_of, is_hex

KINDS = {"": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_TRACE, _SPAN = 32, 16
_encoder = msgspec.json.Encoder()


def _one(_: str, spans: list[Span]) -> bytes:
    resources: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for span in spans:
        resources.setdefault((span.service, span.host), []).append(_span(span))
    return _encoder.encode({"resourceSpans": [
        {"resource": {"attributes": _resource(service, host)}, "scopeSpans": [{"scope": {}, "spans": found}]}
        for (service, host), found in resources.items()]}) + b"\n"


def _resource(service: str, host: str) -> list[dict[str, Any]]:
    named = {"service.name": service, "host.name": host}
    return [{"key": key, "value": {"stringValue": value}} for key, value in named.items() if value]


def _span(span: Span) -> dict[str, Any]:
    written: dict[str, Any] = {
        "traceId": _id(span.trace_id, _TRACE), "spanId": _id(span.span_id, _SPAN),
        "parentSpanId": _id(span.parent_id, _SPAN) if span.parent_id else "", "name": span.operation,
        "kind": KINDS[span.kind], "startTimeUnixNano": str(span.start_ns), "endTimeUnixNano": str(span.end_ns),
        "status": {"code": 2} if span.error else {},
    }
    if attributes := attributes_of(span):
        written["attributes"] = [{"key": key, "value": _value(value)} for key, value in attributes.items()]
    if span.follows:
        written["links"] = [{"traceId": written["traceId"], "spanId": written["parentSpanId"], "attributes": [
            {"key": "opentracing.ref_type", "value": {"stringValue": "follows_from"}}]}]
    return written


def _value(value: Any) -> dict[str, Any]:
    """A value as OTLP's ``AnyValue``: 64-bit numbers are texts there."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": _value(one)} for key, one in value.items()]}}
    return {} if value is None else {"stringValue": value}


def _id(text: str, digits: int) -> str:
    return text.zfill(digits) if is_hex(text, digits) else sha256(text.encode()).hexdigest()[:digits]


def _losses(span: Span) -> list[str]:
    sound = is_hex(span.trace_id, _TRACE) and is_hex(span.span_id, _SPAN) and (
        not span.parent_id or is_hex(span.parent_id, _SPAN))
    return [] if sound else ["an id that is no hex of OTLP's length"]


FORM = Form("otlp", b"", b"", b"", _one, _losses)
