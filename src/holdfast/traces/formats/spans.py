# SPDX-License-Identifier: Apache-2.0
"""Flat spans, one JSON object a line: Holdfast's own form, and what most scripts write.

::

    {"trace_id": "4bf9…", "span_id": "00f0…", "parent_id": "", "service": "cart", "operation": "add",
     "start_ns": 1700000000000000000, "end_ns": 1700000000004000000, "kind": "server", "error": false}

trace_id, span_id and a start are required, and an end or a duration; FIELDS says what else they may be called. Where a
record has two names of one field, the one that stands first in FIELDS counts. Times are whole numbers, or their digits
as a text; ``attributes`` is an object. Keys that are not known are left alone.

Lines of one file mostly have the same keys. So the first line of each shape makes a decoder for that shape, and others
go through it: a record with as many key marks (``":``) as that shape has keys, and all of them found, has none of them
twice and none besides. What does not fit is decoded the slow way, which is the definition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import msgspec
from msgspec.structs import astuple

from ..._base.typed import json_decoder
from ..span import Span
from .bad import Refused
from .strict import INT_MAX, decoded, unique, whole
from .words import has_failed, kind, parent, small

NAME = "spans"

#: What each field may be called; the first one found counts.
FIELDS: dict[str, tuple[str, ...]] = {
    "trace_id": ("trace_id", "traceId", "traceID", "trace"),
    "span_id": ("span_id", "spanId", "spanID", "id"),
    "parent_id": ("parent_id", "parentId", "parentID", "parent_span_id", "parentSpanId", "parentSpanID", "parent"),
    "service": ("service", "service_name", "serviceName", "app"),
    "operation": ("operation", "operation_name", "operationName", "op", "name"),
    "start": ("start_ns", "startNs", "start_time_unix_nano", "startTimeUnixNano", "start_us", "startUs", "start_ms",
              "startMs"),
    "end": ("end_ns", "endNs", "end_time_unix_nano", "endTimeUnixNano", "end_us", "endUs", "end_ms", "endMs"),
    "duration": ("duration_ns", "durationNs", "dur_ns", "duration_us", "durationUs", "dur_us", "duration_ms",
                 "durationMs", "dur_ms"),
    "kind": ("kind", "span_kind", "spanKind"),
    "error": ("error", "is_error", "isError"),
    "status": ("status", "status_code", "statusCode"),
    "host": ("host", "hostname", "host_name"),
    "follows": ("follows",),
    "attributes": ("attributes", "tags"),
}
_REQUIRED = ("trace_id", "span_id", "start")
_FIELD = {name: field for field, names in FIELDS.items() for name in names}
_MARK = b'":'
#: Shapes that are remembered of one file.
_SHAPES_MAX = 16
_raw = json_decoder(msgspec.Raw)


def sniff(head: bytes) -> bool:
    """Whether the beginning names a trace, a span and a start, as keys."""
    return all(any(f'"{name}"'.encode() in head for name in FIELDS[field]) for field in _REQUIRED)


def unit_of(name: str) -> int:
    """How many ns one is, by a time's name."""
    end = name.lower()
    return 1_000_000 if end.endswith("ms") else 1_000 if end.endswith("us") else 1


class Lines:
    """Reads lines, each by itself."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._shapes: dict[int, Shape] = {}

    def spans(self, raw: bytes) -> list[Span]:
        """The span of one line. Raises Refused."""
        marks = raw.count(_MARK)
        shape = self._shapes.get(marks)
        if shape is not None:
            found = shape.span(raw)
            if found is not None:
                return [found]
        record = pairs(raw)
        span = span_of(record)
        if len(self._shapes) < _SHAPES_MAX and Shape.fits(record, marks):
            self._shapes[marks] = Shape(record)
        return [span]

    def rest(self) -> list[Span]:
        """Nothing is kept back."""
        return []


def pairs(raw: bytes) -> dict[str, Any]:
    """An object, slowly: no key twice, at any depth. Raises Refused."""
    decoded(_raw, raw)
    record = unique(raw)
    if not isinstance(record, dict):
        raise Refused("not an object")
    return record


def span_of(record: Mapping[str, Any]) -> Span:
    """What a record says. Raises Refused."""
    said = {field: next((name for name in names if name in record), "") for field, names in FIELDS.items()}
    for field in _REQUIRED:
        if not said[field]:
            raise Refused(f"key missing: {FIELDS[field][0]}")
    start_ns = ns(said["start"], record[said["start"]])
    if said["end"]:
        end_ns = ns(said["end"], record[said["end"]])
    elif said["duration"]:
        end_ns = later(start_ns, said["duration"], record[said["duration"]])
    else:
        raise Refused("key missing: end_ns")

    def text(field: str) -> str:
        return worded(said[field], record.get(said[field]))

    return Span(identity(said["trace_id"], text("trace_id")), identity(said["span_id"], text("span_id")),
                parent(text("parent_id")), text("service"), text("operation"), start_ns, ordered(start_ns, end_ns),
                kind=kind(numbered(said["kind"], record.get(said["kind"]))),
                error=has_failed(numbered(said["error"], record.get(said["error"])), said["error"])
                or has_failed(numbered(said["status"], record.get(said["status"])), said["status"]),
                host=text("host"), follows=flag(said["follows"], record.get(said["follows"])),
                attributes=attributes(said["attributes"], record.get(said["attributes"])))


def ns(name: str, value: object) -> int:
    """A time in ns. Raises Refused."""
    found = whole(value, name) * unit_of(name)
    if not -INT_MAX - 1 <= found <= INT_MAX:
        raise Refused(f"number beyond 64 bits: {name}")
    return found


def later(start_ns: int, name: str, value: object) -> int:
    """The end, of a start and a duration. Raises Refused."""
    found = start_ns + ns(name, value)
    if found > INT_MAX:
        raise Refused(f"number beyond 64 bits: {name}")
    return found


def ordered(start_ns: int, end_ns: int) -> int:
    """The end, which is not before the start. Raises Refused."""
    if end_ns < start_ns:
        raise Refused("ends before it begins")
    return end_ns


def identity(name: str, text: str) -> str:
    """An id, which says something. Raises Refused."""
    if not text:
        raise Refused(f"key missing: {name}")
    return small(text)


def worded(name: str, value: object) -> str:
    """A text; nothing for null. Raises Refused."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f"wrong type: {name}")
    return value


def numbered(name: str, value: object) -> str:
    """A word, or a number or a truth value in its place. Raises Refused."""
    if value is None:
        return ""
    if not isinstance(value, (str, int)):
        raise Refused(f"wrong type: {name}")
    return str(value)


def flag(name: str, value: object) -> bool:
    """A truth value; null is no. Raises Refused."""
    if value is not None and not isinstance(value, bool):
        raise Refused(f"wrong type: {name}")
    return bool(value)


def attributes(name: str, value: object) -> str:
    """An object, as text; nothing for null and for an empty one. Raises Refused."""
    if value is not None and not isinstance(value, dict):
        raise Refused(f"wrong type: {name}")
    return msgspec.json.encode(value).decode() if value else ""


class Shape:
    """Decodes records that have exactly these keys.

    What it gives is what ``span_of`` gives; where it is not sure it gives nothing.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        names = {f"f{n}": name for n, name in enumerate(record)}
        made = msgspec.defstruct("Shape", [(f"f{n}", _type_of(*item)) for n, item in enumerate(record.items())],
                                 rename=names, gc=False)
        self._decode: Callable[[bytes], Any] = json_decoder(made).decode
        self._said = {field: next((name for name in names if name in record), "") for field, names in FIELDS.items()}
        places = {name: n for n, name in enumerate(record)}
        self._pick = itemgetter(*(places.get(self._said[field], -1) for field in FIELDS))
        self._start_unit, self._end_unit = unit_of(self._said["start"]), unit_of(self._said["end"])

    @staticmethod
    def fits(record: Mapping[str, Any], marks: int) -> bool:
        """Whether such records can be known by their marks: nothing is nested, and no mark but those of the keys."""
        return marks == len(record) and not any(isinstance(value, (dict, list)) for value in record.values())

    def span(self, raw: bytes) -> Span | None:
        """The span, of a record of this shape. Raises Refused, for reasons that lie in its values."""
        if b'" ' in raw or b'"\t' in raw or b"\\" in raw:
            return None
        try:
            values = (*astuple(self._decode(raw)), None)
            if not raw.isascii():
                raw.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        said = self._said
        trace_id, span_id, above, service, operation, start, end, took, sort, error, status, host, follows, _ = (
            self._pick(values))
        start_ns = _time(said["start"], start, self._start_unit)
        end_ns = (later(start_ns, said["duration"], took) if end is None
                  else _time(said["end"], end, self._end_unit))
        return Span(
            identity(said["trace_id"], trace_id), identity(said["span_id"], span_id), parent(above) if above else "",
            service or "", operation or "", start_ns, end_ns if end_ns >= start_ns else ordered(start_ns, end_ns),
            kind(str(sort)) if sort else "",
            (error is not None and error is not False and has_failed(str(error), said["error"]))
            or (status is not None and has_failed(str(status), said["status"])),
            host or "", bool(follows))


def _time(name: str, value: Any, unit: int) -> int:
    if type(value) is int:
        found: int = value * unit
        if -INT_MAX <= found <= INT_MAX:
            return found
    return ns(name, value)


def _type_of(name: str, value: object) -> Any:
    """What a key's value has to be: what it is in the record that made the shape."""
    if _FIELD.get(name) in ("service", "operation", "parent_id", "host"):
        return str | None
    return str | int | float | bool | None if name not in _FIELD else type(value)
