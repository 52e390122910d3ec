# SPDX-License-Identifier: Apache-2.0
"""Jaeger's JSON, as its page saves and loads it: ``{"data": [{"traceID", "spans", "processes"}]}``, or one trace
without ``data``, or one span a line with its process inside, as its Elasticsearch store has it.

The parent is the last ``CHILD_OF`` reference; without one the first ``FOLLOWS_FROM``, whose parent does not wait. Times
are µs. A span has failed by what its tags or its log say, as CRISP reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from ..._base.typed import json_decoder
from ..span import Kind, Span
from .bad import Bad, Refused
from .part import Part
from .strict import INT_MAX, decoded, unique
from .within import Within

NAME = "jaeger"

_KINDS = frozenset({"internal", "server", "client", "producer", "consumer"})


class _Tag(msgspec.Struct):
    key: str
    value: Any = None
    type: str = ""


class _Reference(msgspec.Struct):
    spanID: str  # noqa: N815 - the format's own name
    refType: str = "CHILD_OF"  # noqa: N815


class _Entry(msgspec.Struct):
    fields: list[_Tag] = []


class _Process(msgspec.Struct):
    serviceName: str  # noqa: N815
    tags: list[_Tag] | None = None


class _Span(msgspec.Struct):
    spanID: str  # noqa: N815
    operationName: str  # noqa: N815
    startTime: int  # noqa: N815
    duration: int
    traceID: str = ""  # noqa: N815
    processID: str = ""  # noqa: N815
    process: _Process | None = None
    references: list[_Reference] | None = None
    parentSpanID: str = ""  # noqa: N815
    tags: list[_Tag] | None = None
    logs: list[_Entry] | None = None


class _Trace(msgspec.Struct):
    traceID: str = ""  # noqa: N815
    spans: list[_Span] = []
    processes: dict[str, _Process] = {}


class _File(msgspec.Struct):
    data: list[_Trace]


class _Outer(msgspec.Struct):
    """Any of the three, its spans not looked into: one bad span is no bad file."""

    data: list[msgspec.Raw] | None = None
    spans: list[msgspec.Raw] | None = None
    traceID: str = ""  # noqa: N815
    processes: dict[str, _Process] = {}
    spanID: str | None = None  # noqa: N815


_decoder = json_decoder(_File)
_outer = json_decoder(_Outer)
_span_decoder = json_decoder(_Span)

def sniff(head: bytes) -> bool:
    """Whether the beginning names a Jaeger span's keys."""
    return b'"spanID"' in head and b'"operationName"' in head and b'"startTime"' in head


class Document:
    """Reads one JSON text: a file, or a line of it."""

    def pieces(self, text: bytes, source: str, offset: int, line: int) -> Iterator[Part | Bad]:
        """The spans within, each refused by itself. What stands between them belongs to the one before."""
        within = Within(text, source, offset, line)
        try:
            outer = decoded(_outer, text)
            if outer.data is None and outer.spans is None:
                if outer.spanID is None:
                    raise Refused("key missing: data, spans or spanID")
                yield within.all(_checked(text, _Trace()))
                return
            traces = _traces(outer, text)
        except Refused as refused:
            yield within.refused(str(refused))
            return
        for trace, spans_ in traces:
            if isinstance(trace, Refused):
                yield from within.bad(spans_[0], str(trace))
                continue
            for raw in spans_:
                try:
                    yield within.part(raw, _checked(bytes(raw), trace))
                except Refused as refused:
                    yield from within.bad(raw, str(refused))
        yield from within.end()


def _traces(outer: _Outer, text: bytes) -> Iterator[tuple[_Trace | Refused, list[msgspec.Raw]]]:
    if outer.data is None:
        _outside(text, outer)
        yield _Trace(outer.traceID, [], outer.processes), outer.spans or []
        return
    for raw in outer.data:
        try:
            trace = decoded(_outer, bytes(raw))
            _outside(bytes(raw), trace)
            if trace.spans is None:
                raise Refused("key missing: spans")
            yield _Trace(trace.traceID, [], trace.processes), trace.spans
        except Refused as refused:
            yield refused, [raw]


def _outside(raw: bytes, outer: _Outer) -> None:
    """No key twice, in what is around the spans. Raises Refused."""
    for span in outer.spans or ():
        raw = raw.replace(bytes(span), b"0", 1)
    unique(raw)


def _checked(raw: bytes, trace: _Trace) -> list[Span]:
    span = decoded(_span_decoder, raw)
    unique(raw)
    if not span.spanID or not (span.traceID or trace.traceID):
        raise Refused("key missing: " + ("traceID" if span.spanID else "spanID"))
    _in_range(span)
    return [_span(span, trace)]


def _in_range(span: _Span) -> None:
    if span.duration < 0:
        raise Refused("ends before it begins")
    for name, number in (("startTime", span.startTime), ("duration", span.startTime + span.duration)):
        if not -INT_MAX <= number * 1000 <= INT_MAX:
            raise Refused(f"number beyond 64 bits: {name}")


def spans(text: bytes) -> Iterator[Span]:
    """The spans of one file. Raises msgspec.DecodeError, ValidationError being one, when it is none of these."""
    for trace in _decoder.decode(text).data:
        for span in trace.spans:
            yield _span(span, trace)


def _span(span: _Span, trace: _Trace) -> Span:
    process = span.process or trace.processes.get(span.processID) or _Process("")
    parent, follows = _parent(span)
    tags = {tag.key.lower(): tag for tag in span.tags or ()}
    kind = str(tags["span.kind"].value).lower() if "span.kind" in tags else ""
    host = next((str(tag.value) for tag in process.tags or () if tag.key == "hostname"), "")
    return Span(span.traceID or trace.traceID, span.spanID, parent, process.serviceName,
                span.operationName, span.startTime * 1000, (span.startTime + span.duration) * 1000,
                kind=cast(Kind, kind if kind in _KINDS else ""), error=_has_failed(span), host=host, follows=follows,
                attributes=_text(span))


def _text(span: _Span) -> str:
    """The tags as one object; of equal keys the last one stands."""
    if not span.tags:
        return ""
    return msgspec.json.encode({tag.key: tag.value for tag in span.tags}).decode()


def _parent(span: _Span) -> tuple[str, bool]:
    references = span.references or []
    children = [one.spanID for one in references if one.refType == "CHILD_OF"]
    if children:
        return children[-1], False
    if references:
        return references[0].spanID, True
    return span.parentSpanID, False


def _has_failed(span: _Span) -> bool:
    return any(_says_error(tag) for tag in span.tags or ()) or any(
        _logs_error(tag) for entry in span.logs or () for tag in entry.fields)


def _says_error(tag: _Tag) -> bool:
    key, value = tag.key.lower(), tag.value
    if key == "error":
        return tag.type.lower() == "string" or bool(value)
    if key in ("http.status_code", "http.response.status_code"):
        return str(value).isdigit() and int(value) >= 400
    return key == "grpc.status" and bool(value) and value != "OK"


def _logs_error(tag: _Tag) -> bool:
    key = tag.key.lower()
    return (key == "error.object" or (key == "error" and tag.type.lower() == "string")
            or (key == "event" and str(tag.value).lower() == "error"))
