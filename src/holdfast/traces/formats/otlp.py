# SPDX-License-Identifier: Apache-2.0
"""OTLP as JSON: what the collector's file exporter writes, one ``{"resourceSpans": …}`` a line, or one document.

Ids are hex in letters of any size, times are numbers or their digits, enums numbers or names; ``snake_case`` keys,
``instrumentationLibrarySpans`` and Jaeger's ``{"result": …}`` around it are known. Keys nobody knows are left alone. A
span has failed when its status says so, and for no other reason. ``attributes`` are kept as OTLP writes them, a list.

A line is read or refused as a whole: it is what the exporter wrote at once, and what can be sent again.
Source: opentelemetry-proto, trace.proto and the JSON mapping of the OTLP specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import astuple

from ..._base.typed import json_decoder
from ..span import Span
from .bad import Bad, Refused
from .part import Part
from .strict import decoded, unique, whole
from .within import Within
from .words import has_failed, kind, parent, small

NAME = "otlp"
_HOSTS = ("host.name", "k8s.pod.name", "host.id")


class Value(msgspec.Struct, gc=False):
    """A resource's attribute's value, as far as it may be a name."""

    string_value: Any = None


class Attribute(msgspec.Struct, gc=False):
    """An attribute of a resource."""

    key: str
    value: Value | UnsetType | None = UNSET


class Resource(msgspec.Struct, gc=False):
    """Who reports."""

    attributes: Raw | UnsetType = UNSET
    dropped_attributes_count: Raw | UnsetType = UNSET


class Status(msgspec.Struct, gc=False):
    """How a span ended."""

    message: str | UnsetType | None = UNSET
    code: int | str | UnsetType | None = UNSET


class OneSpan(msgspec.Struct, gc=False):
    """A span's keys."""

    trace_id: str
    span_id: str
    start_time_unix_nano: int | str
    end_time_unix_nano: int | str
    parent_span_id: str | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    kind: int | str | UnsetType | None = UNSET
    status: Status | UnsetType | None = UNSET
    attributes: Raw | UnsetType = UNSET
    events: Raw | UnsetType = UNSET
    links: Raw | UnsetType = UNSET
    trace_state: Raw | UnsetType = UNSET
    flags: Raw | UnsetType = UNSET
    dropped_attributes_count: Raw | UnsetType = UNSET
    dropped_events_count: Raw | UnsetType = UNSET
    dropped_links_count: Raw | UnsetType = UNSET


class Scope(msgspec.Struct, gc=False):
    """A library."""

    name: Raw | UnsetType = UNSET
    version: Raw | UnsetType = UNSET
    attributes: Raw | UnsetType = UNSET
    dropped_attributes_count: Raw | UnsetType = UNSET


class ScopeSpans(msgspec.Struct, gc=False):
    """The spans of one library."""

    scope: Scope | UnsetType | None = UNSET
    instrumentation_library: Scope | UnsetType | None = UNSET
    schema_url: Raw | UnsetType = UNSET
    spans: list[OneSpan] | UnsetType = UNSET


class ResourceSpans(msgspec.Struct, gc=False):
    """The spans of one process."""

    resource: Resource | UnsetType | None = UNSET
    scope_spans: list[ScopeSpans] | UnsetType = UNSET
    instrumentation_library_spans: list[ScopeSpans] | UnsetType = UNSET
    schema_url: Raw | UnsetType = UNSET


class Result(msgspec.Struct, gc=False):
    """One line."""

    resource_spans: list[ResourceSpans] | UnsetType = UNSET


class Message(msgspec.Struct, gc=False):
    """One line, of a file or of Jaeger's API."""

    resource_spans: list[ResourceSpans] | UnsetType = UNSET
    result: Result | UnsetType = UNSET


def _camel(made: dict[type, Any], kind: Any) -> Any:
    """The same struct with the keys of JSON: ``traceId`` for ``trace_id``."""
    if kind in made:
        return made[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = [(field.name, _camel(made, field.type), field.default) if not field.required
                  else (field.name, _camel(made, field.type)) for field in msgspec.structs.fields(kind)]
        made[kind] = msgspec.defstruct(kind.__name__, fields, rename="camel", gc=False)
        return made[kind]
    inner = getattr(kind, "__args__", ())
    if not inner:
        return kind
    if getattr(kind, "__origin__", None) is list:
        return list[_camel(made, inner[0])]  # type: ignore[misc]
    found: Any = None
    for one in inner:
        found = _camel(made, one) if found is None else found | _camel(made, one)
    return found


_snake = json_decoder(Message)
_usual: msgspec.json.Decoder[Message] = json_decoder(_camel({}, Message))
_resource = json_decoder(list[Attribute])
_resource_camel: msgspec.json.Decoder[list[Attribute]] = json_decoder(
    list[_camel({}, Attribute)])  # type: ignore[misc]


def sniff(head: bytes) -> bool:
    """Whether the beginning names the outermost keys."""
    return b'"resourceSpans"' in head or b'"resource_spans"' in head


class Lines:
    """Reads lines, each by itself."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        return

    def spans(self, raw: bytes) -> list[Span]:
        """The spans of one line. Raises Refused."""
        snake = b'"resource_spans"' in raw
        message = decoded(_snake if snake else _usual, raw)
        count = Count(raw)
        found = message.resource_spans
        count.keys += (found is not UNSET) + (message.result is not UNSET)
        if message.result is not UNSET:
            if found is not UNSET:
                raise Refused("key twice: resourceSpans")
            found = message.result.resource_spans
            count.keys += found is not UNSET
        if found is UNSET:
            raise Refused("key missing: resourceSpans")
        spans = [span for one in found for span in _process(one, count, _resource if snake else _resource_camel)]
        if not count.is_all():
            unique(raw)
        return spans

    def rest(self) -> list[Span]:
        """Nothing is kept back."""
        return []


class Document:
    """Reads one document of several lines, as a whole."""

    def pieces(self, text: bytes, source: str, offset: int, line: int) -> Iterator[Part | Bad]:
        """Its spans, or why it is refused."""
        within = Within(text, source, offset, line)
        try:
            yield within.all(Lines().spans(text))
        except Refused as refused:
            yield within.refused(str(refused))


class Count:
    """Keys that were met, against key marks (``":``) in the text: as many, and none is there twice.

    Each key has its mark, unless something stands between its quote and its colon; such texts are not sure.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.keys = 0
        self.is_sure = True

    def is_all(self) -> bool:
        """Whether no key is there twice, for sure."""
        raw = self._raw
        return (self.is_sure and raw.count(b'":') == self.keys and b"\\" not in raw
                and b'" ' not in raw and b'"\n' not in raw and b'"\t' not in raw and b'"\r' not in raw)

    def add(self, struct: msgspec.Struct, required: int) -> None:
        """The keys of one object, of which the first ones are required."""
        self.keys += required
        for value in astuple(struct)[required:]:
            if value is not UNSET:
                self.keys += 1
                if type(value) is Raw:
                    self.inner(bytes(value))

    def inner(self, raw: bytes) -> None:
        """What nobody looks into: sure are attributes with a key and a value of one key each, written in this order.

        Of 2n objects n begin with a key and n are values, each right behind a key's text; with 3n marks there is room
        for one more key in each value, and for nothing else. Behind that key "value" could stand once more; so that
        one is no "value" itself.
        """
        marks = raw.count(b'":')
        if not marks:
            return
        self.keys += marks
        n = marks // 3
        if not (raw.count(b'{"key":"') == n == raw.count(b'","value":{"') and marks == 3 * n
                and raw.count(b"{") == 2 * n and b'"value":{"key"' not in raw and b'{"value":' not in raw):
            self.is_sure = False


def _process(one: ResourceSpans, count: Count, decoder: msgspec.json.Decoder[list[Attribute]]) -> Iterator[Span]:
    count.add(one, 0)
    service, host = "", ""
    if one.resource:
        count.add(one.resource, 0)
        if one.resource.attributes is not UNSET:
            service, host = _named(decoded(decoder, bytes(one.resource.attributes)))
    for scopes in (one.scope_spans, one.instrumentation_library_spans):
        for scope in scopes or ():
            count.add(scope, 0)
            for library in (scope.scope, scope.instrumentation_library):
                if library:
                    count.add(library, 0)
            for span in scope.spans or ():
                yield _span(span, service, host, count)


def _named(attributes: list[Attribute]) -> tuple[str, str]:
    said = {one.key: one.value.string_value if one.value else None for one in attributes}
    service = said.get("service.name") or ""
    host = next((said[name] for name in _HOSTS if said.get(name)), "")
    if not isinstance(service, str) or not isinstance(host, str):
        raise Refused("wrong type: stringValue")
    return service, host


def service_of(attributes: bytes) -> str:
    """The service that attributes of a resource name, a list. Raises Refused."""
    return _named(decoded(_resource_camel, attributes))[0]


def _span(span: OneSpan, service: str, host: str, count: Count) -> Span:
    count.add(span, 4)
    status = span.status or None
    if status is not None:
        count.add(status, 0)
    if not span.trace_id or not span.span_id:
        raise Refused("key missing: " + ("spanId" if span.trace_id else "traceId"))
    start_ns = whole(span.start_time_unix_nano, "startTimeUnixNano")
    end_ns = whole(span.end_time_unix_nano, "endTimeUnixNano")
    if end_ns < start_ns:
        raise Refused("ends before it begins")
    return Span(small(span.trace_id), small(span.span_id), parent(span.parent_span_id or ""), service, span.name or "",
                start_ns, end_ns, kind(str(span.kind or "")),
                status is not None and has_failed(str(status.code or ""), "code"), host,
                attributes=_text(span.attributes))


def _text(attributes: Raw | UnsetType) -> str:
    """The list as it stands, without spaces; nothing for an empty one. Raises Refused when it is no list."""
    if attributes is UNSET:
        return ""
    raw = msgspec.json.format(bytes(attributes), indent=-1)
    if raw in (b"[]", b"null"):
        return ""
    if not raw.startswith(b"["):
        raise Refused("wrong type: attributes")
    return raw.decode()
