# SPDX-License-Identifier: Apache-2.0
"""Spans as comma-separated values, bound by the names in the header and never by their places.

One line is one record; a quoted field does not go on behind the end of its line. Which column is what is told by its
name, or by who asks: ``{"service": "PodName"}``. Times are nanoseconds, microseconds or milliseconds by the name's end
(``start_us``), or by the size of the first number where the name says nothing.

A pod's name is its service's without the two suffixes that Kubernetes adds. ``root`` and nothing mean: no parent.
Files of Alibaba's call graphs (``rpcid``, ``um``, ``dm``) have their own module.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping

from ..span import Kind, Span
from . import alibaba
from .bad import Refused
from .strict import INT_MAX, text_of
from .words import has_failed, kind, parent, small

NAME = "csv"

#: What a column may be called, in small letters and without anything between them; what asks for it comes first.
NAMES: dict[str, tuple[str, ...]] = {
    "trace_id": ("traceid", "trace"),
    "span_id": ("spanid", "span", "id"),
    "parent_id": ("parentid", "parentspanid", "parent"),
    "service": ("service", "servicename", "app"),
    "pod": ("podname", "pod"),
    "operation": ("operation", "operationname", "name", "spanname", "endpoint"),
    "start": ("start", "starttime", "startns", "startus", "startms", "starttimeunixnano", "starttimens", "starttimeus",
              "starttimems", "starttimemillis", "timestamp"),
    "end": ("end", "endtime", "endns", "endus", "endms", "endtimeunixnano", "endtimens", "endtimeus", "endtimems"),
    "duration": ("duration", "durationns", "durationus", "durationms", "durationnano"),
    "kind": ("kind", "spankind"),
    "error": ("error", "iserror", "status", "statuscode"),
    "host": ("host", "hostname", "node", "nodename"),
}
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_POD = re.compile(r"^(.+?)-[0-9a-f]{6,10}-[0-9a-z]{5}$")


def sniff(head: bytes) -> bool:
    """Whether a line of the beginning is a header that names a trace, a span and a start."""
    first = head.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0]
    try:
        names = next(iter(csv.reader([first.decode().rstrip("\r")])), [])
    except (UnicodeDecodeError, csv.Error):
        return False
    places = found(names, {})
    return {"trace_id", "span_id", "start"} <= places.keys() or alibaba.is_header(names)


def plain(name: str) -> str:
    """A column's name without what differs between writers."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def found(header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Where each field stands. columns: field → the header's name."""
    known = {plain(name): place for place, name in reversed(list(enumerate(header)))}
    places = {field: known[name] for field, names in NAMES.items() for name in reversed(names) if name in known}
    for field, name in columns.items():
        if name in header:
            places[field] = header.index(name)
    return places


class Lines:
    """Reads the lines of one file; the first one is the header.

    columns: field → the header's name, beside what is found by itself. A field is one of NAMES; ``unit`` may be ns, us,
    ms or s, for times whose names do not say it.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._columns = dict(columns or {})
        self._unit = self._columns.pop("unit", "")
        self._row: Callable[[list[str]], list[Span]] | None = None
        self._width = 0

    def spans(self, raw: bytes) -> list[Span]:
        """The span of one line; none of the header. Raises Refused."""
        fields = split(text_of(raw))
        if self._row is None:
            self._begin(fields)
            return []
        if len(fields) != self._width:
            raise Refused(f"{len(fields)} fields for {self._width} columns")
        return self._row(fields)

    def rest(self) -> list[Span]:
        """Nothing is kept back."""
        return []

    def _begin(self, header: list[str]) -> None:
        self._width = len(header)
        if alibaba.is_header(header):
            self._row = alibaba.Rows(header).spans
            return
        places = found(header, self._columns)
        wanted = {"trace_id", "span_id", "start"} - places.keys()
        absent = [name for name in self._columns.values() if name not in header]
        if wanted or absent or not {"end", "duration"} & places.keys():
            raise Refused("not the header of spans")
        self._row = Rows(header, places, self._unit).spans


class Rows:
    """Rows below one header."""

    def __init__(self, header: list[str], places: Mapping[str, int], unit: str) -> None:
        self._trace, self._span, self._start = places["trace_id"], places["span_id"], places["start"]
        self._others = {field: place for field, place in places.items()
                        if field not in ("trace_id", "span_id", "start")}
        self._units = {field: unit_of(header[places[field]], unit) for field in ("start", "end", "duration")
                       if field in places}

    def spans(self, fields: list[str]) -> list[Span]:
        """The span of one row. Raises Refused."""
        say = self._others
        trace_id, span_id = small(fields[self._trace]), small(fields[self._span])
        if not trace_id or not span_id:
            raise Refused("key missing: " + ("span_id" if trace_id else "trace_id"))
        above = parent(fields[say["parent_id"]]) if "parent_id" in say else ""
        start_ns = self._ns("start", fields[self._start])
        end_ns = self._end(fields, start_ns)
        if end_ns < start_ns:
            raise Refused("ends before it begins")
        return [Span(trace_id, span_id, above, self._service(fields),
                     self._text("operation", fields), start_ns, end_ns, kind=self._kind(fields),
                     error=self._error(fields), host=self._host(fields))]

    def _end(self, fields: list[str], start_ns: int) -> int:
        if "end" in self._others:
            return self._ns("end", fields[self._others["end"]])
        end_ns = start_ns + self._ns("duration", fields[self._others["duration"]])
        if end_ns > INT_MAX:
            raise Refused("number beyond 64 bits: duration")
        return end_ns

    def _ns(self, field: str, text: str) -> int:
        digits = text[1:] if text[:1] == "-" else text
        if not digits.isascii() or not digits.isdigit() or len(digits) > 40:
            raise Refused(f"wrong type: {field}" if text else f"key missing: {field}")
        if not self._units[field]:
            self._units[field] = guessed(field, int(text))
        ns = int(text) * self._units[field]
        if not -INT_MAX - 1 <= ns <= INT_MAX:
            raise Refused(f"number beyond 64 bits: {field}")
        return ns

    def _text(self, field: str, fields: list[str]) -> str:
        return fields[self._others[field]] if field in self._others else ""

    def _service(self, fields: list[str]) -> str:
        if "service" in self._others:
            return fields[self._others["service"]]
        return service_of(self._text("pod", fields))

    def _host(self, fields: list[str]) -> str:
        return self._text("host", fields) or self._text("pod", fields)

    def _kind(self, fields: list[str]) -> Kind:
        return kind(self._text("kind", fields))

    def _error(self, fields: list[str]) -> bool:
        return has_failed(self._text("error", fields), "error")


def split(line: str) -> list[str]:
    """The fields of one line. Raises Refused."""
    line = line.removesuffix("\n").removesuffix("\r")
    if '"' not in line:
        return line.split(",")
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        raise Refused("a quote that does not end") from error
    return fields


def service_of(pod: str) -> str:
    """``ts-gateway-service-6f6cfc45b-h5m2n`` is one of ``ts-gateway-service``."""
    match = _POD.match(pod)
    return match.group(1) if match else pod


def unit_of(name: str, asked: str) -> int:
    """How many ns one is; 0: the name says nothing."""
    if asked:
        return UNITS[asked]
    end = plain(name)
    for ending, unit in (("nano", "ns"), ("nanos", "ns"), ("ns", "ns"), ("micros", "us"), ("us", "us"),
                         ("millis", "ms"), ("ms", "ms")):
        if end.endswith(ending):
            return UNITS[unit]
    return 0


def guessed(field: str, number: int) -> int:
    """The unit of a time that is not named. A duration without a unit is in µs, as Jaeger, Zipkin and Nezha have it."""
    if field == "duration":
        return UNITS["us"]
    size = abs(number)
    return next((UNITS[unit] for unit, least in (("ns", 10**17), ("us", 10**14), ("ms", 10**11)) if size >= least),
                UNITS["s"] if size >= 10**8 else UNITS["us"])
