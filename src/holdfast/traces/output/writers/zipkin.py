# SPDX-License-Identifier: Apache-2.0
"""Zipkin v2: one array of spans, as its API takes it. Pure.

Halves of a call that share an id stay halves: the server's says ``shared``. Zipkin has no kind *internal*, knows no
parent that does not wait, and no host but an address, so these are lost and counted. Durations below 1 µs are none
there: such a span has no duration, which readers take for nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from ...span import Span
from .form import Form, as_text, attributes_of, is_hex, nanoseconds

_encoder = msgspec.json.Encoder()


def _one(_: str, spans: list[Span]) -> bytes:
    halves = Counter(span.span_id for span in spans if span.kind in ("client", "server"))
    return b",\n".join(_encoder.encode(_span(span, shared=halves[span.span_id] > 1)) for span in spans)


def _span(span: Span, *, shared: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"traceId": span.trace_id, "id": span.span_id, "name": span.operation,
                               "timestamp": span.start_us, "localEndpoint": {"serviceName": span.service}}
    if span.parent_id:
        written["parentId"] = span.parent_id
    if span.kind not in ("", "internal"):
        written["kind"] = span.kind.upper()
    if span.duration_us > 0:
        written["duration"] = span.duration_us
    if tags := _tags(span):
        written["tags"] = tags
    if shared and span.kind == "server":
        written["shared"] = True
    return written


def _tags(span: Span) -> dict[str, str]:
    """Zipkin's tags are texts, and one that is called ``error`` is a failure, whatever it says."""
    tags = {key: as_text(value) for key, value in attributes_of(span).items() if key != "error" or span.error}
    if span.error:
        tags.setdefault("error", "true")
    return tags


def _losses(span: Span) -> list[str]:
    found = nanoseconds(span)
    if span.kind == "internal":
        found.append("kind internal")
    if span.follows:
        found.append("that its parent does not wait")
    if span.host:
        found.append("host")
    if not is_hex(span.trace_id, 32) or not is_hex(span.span_id, 16):
        found.append("an id that Zipkin may refuse")
    return found


FORM = Form("zipkin", b"[\n", b",\n", b"\n]\n", _one, _losses)
