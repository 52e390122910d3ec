# SPDX-License-Identifier: Apache-2.0
"""Zipkin's second version: an array of spans as a document, one array a line, or one span a line.

Both halves of a call may have one id (``shared``): the server's is then the client's child, by ``assemble``. Times are
µs. A span without a timestamp cannot be placed and is refused; one without a duration ends where it begins, as
Zipkin's own page draws it. One with the tag ``error`` has failed, whatever the tag says. Ids of 16 digits for a trace
are padded to 32, so that reporters of both sizes meet.
Source: zipkin-api, zipkin2-api.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..._base.typed import json_decoder
from ..span import Span
from .bad import Bad, Refused
from .part import Part
from .strict import INT_MAX, decoded, unique
from .within import Within
from .words import kind, parent, small

NAME = "zipkin"


class _Endpoint(msgspec.Struct):
    serviceName: str | None = None  # noqa: N815 - the format's own name
    ipv4: str | None = None
    ipv6: str | None = None
    port: int | None = None


class _Span(msgspec.Struct):
    traceId: str  # noqa: N815
    id: str
    parentId: str | None = None  # noqa: N815
    name: str | None = None
    kind: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    localEndpoint: _Endpoint | None = None  # noqa: N815
    remoteEndpoint: _Endpoint | None = None  # noqa: N815
    tags: dict[str, Any] | None = None
    shared: bool | None = None


_span_decoder = json_decoder(_Span)
_outer = json_decoder(list[msgspec.Raw])


def sniff(head: bytes) -> bool:
    """Whether the beginning names a Zipkin span's keys."""
    return b'"traceId"' in head and b'"id"' in head and any(
        key in head for key in (b'"localEndpoint"', b'"timestamp"', b'"remoteEndpoint"'))


class Document:
    """Reads one JSON text: a file, or a line of it."""

    def pieces(self, text: bytes, source: str, offset: int, line: int) -> Iterator[Part | Bad]:
        """The spans within, each refused by itself."""
        within = Within(text, source, offset, line)
        try:
            if text.lstrip().startswith(b"{"):
                yield within.all([_span(text)])
                return
            spans = decoded(_outer, text)
        except Refused as refused:
            yield within.refused(str(refused))
            return
        for raw in spans:
            try:
                yield within.part(raw, [_span(bytes(raw))])
            except Refused as refused:
                yield from within.bad(raw, str(refused))
        yield from within.end()


def _span(raw: bytes) -> Span:
    span = decoded(_span_decoder, raw)
    unique(raw)
    if not span.traceId or not span.id:
        raise Refused("key missing: " + ("id" if span.traceId else "traceId"))
    if span.timestamp is None:
        raise Refused("key missing: timestamp")
    took = span.duration or 0
    if took < 0:
        raise Refused("ends before it begins")
    for name, number in (("timestamp", span.timestamp), ("duration", span.timestamp + took)):
        if not -INT_MAX <= number * 1000 <= INT_MAX:
            raise Refused(f"number beyond 64 bits: {name}")
    local = span.localEndpoint or _Endpoint()
    trace_id = small(span.traceId)
    return Span(trace_id.zfill(32) if len(trace_id) == 16 else trace_id, small(span.id), parent(span.parentId or ""),
                local.serviceName or "", span.name or "", span.timestamp * 1000, (span.timestamp + took) * 1000,
                kind=kind(span.kind or ""), error="error" in (span.tags or {}), host=local.ipv4 or local.ipv6 or "",
                attributes=_text(span))


def _text(span: _Span) -> str:
    """The tags as one object, with whom a client speaks to beside them."""
    tags = dict(span.tags or {})
    if span.remoteEndpoint and span.remoteEndpoint.serviceName:
        tags.setdefault("peer.service", span.remoteEndpoint.serviceName)
    return msgspec.json.encode(tags).decode() if tags else ""
