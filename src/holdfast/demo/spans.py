# SPDX-License-Identifier: Apache-2.0
"""A span on one line: the formats the demo reads, and what makes a line a good one.

Two formats hold the same facts. CSV has a header line, with the columns in any order and others beside them::

    TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration

JSON lines has one object a line, other members beside them allowed::

    {"trace_id": "…32 hex", "span_id": "…16 hex", "parent_id": "…16 hex", "root" or null, "pod_name": "…",
     "operation_name": "…", "start_time_unix_nano": 0, "end_time_unix_nano": 0, "duration_us": 0}

A line is good when all eight are there with their types, ids are lower-case hex, names are not empty, times are in
order and fit 64 bits, and the duration is neither negative nor longer than 10¹⁵ µs. Whether the duration agrees with
the times is not looked at: a tracer may take the two from different clocks.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec

from .._base.typed import converted
from ..errors import ConfigurationError, DecodeError, ValidationFailed

Format = Literal["csv", "jsonl"]

#: CSV column → name in JSON lines and in ``Span``.
COLUMNS = {
    "TraceID": "trace_id",
    "SpanID": "span_id",
    "ParentID": "parent_id",
    "PodName": "pod_name",
    "OperationName": "operation_name",
    "StartTimeUnixNano": "start_time_unix_nano",
    "EndTimeUnixNano": "end_time_unix_nano",
    "Duration": "duration_us",
}
_NUMBERS = {"start_time_unix_nano", "end_time_unix_nano", "duration_us"}

_TraceId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
_SpanId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
# Bounded, because it is a key in the database; without NUL, because PostgreSQL cannot store it.
_Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]+\Z", max_length=500)]
_Nanos = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Micros = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One good line. ``parent_id`` is None for the root of a trace."""

    trace_id: _TraceId
    span_id: _SpanId
    parent_id: _SpanId | None
    pod_name: _Text
    operation_name: _Text
    start_time_unix_nano: _Nanos
    end_time_unix_nano: _Nanos
    duration_us: _Micros


def parse_line(line: bytes, format: Format = "jsonl", header: Sequence[str] = ()) -> Span:
    """One line, without its line end, as a span. ``header``: the columns of a CSV.

    Raises ``DecodeError`` (not UTF-8, not JSON, not that many cells) and ``ValidationFailed``. Neither quotes the line.
    """
    text = _text(line)
    found = _csv_fields(text, header) if format == "csv" else _json_fields(text)
    if found.get("parent_id") == "root":
        found = {**found, "parent_id": None}
    try:
        span = converted(found, Span)
    except msgspec.ValidationError as error:
        raise ValidationFailed(str(error)) from None  # names the field and the rule, never the value
    if span.end_time_unix_nano < span.start_time_unix_nano:
        raise ValidationFailed("the span ends before it starts - at `$.end_time_unix_nano`")
    return span


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"not UTF-8 at byte {error.start}") from None


def _json_fields(text: str) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError(str(error)) from None
    if not isinstance(found, dict):
        raise ValidationFailed("the line is JSON, but not an object")
    return found


def _csv_fields(text: str, header: Sequence[str]) -> Mapping[str, Any]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise DecodeError(f"not CSV: {error}") from None
    if len(rows) != 1 or len(rows[0]) != len(header):
        raise DecodeError(f"the header has {len(header)} columns, this line has another number of cells")
    named = {COLUMNS[column]: cell for column, cell in zip(header, rows[0], strict=True) if column in COLUMNS}
    return {name: _number(cell) if name in _NUMBERS else cell for name, cell in named.items()}


_DECIMAL = re.compile(r"-?[0-9]{1,30}")


def _number(cell: str) -> Any:
    """A decimal integer; what is none stays text, and validation says so."""
    return int(cell) if _DECIMAL.fullmatch(cell) else cell


@dataclass(frozen=True)
class Layout:
    """What a file's first line says about all of them. ``header`` is empty for JSON lines."""

    format: Format
    header: tuple[str, ...] = ()


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their number, from 1, without their ends; those with nothing in them are left out but counted."""
    for number, line in enumerate(lines, 1):
        bare = line.rstrip(b"\r\n")
        if bare.strip():
            yield number, bare


def read_lines(lines: Iterable[bytes]) -> tuple[Layout, Iterator[tuple[int, bytes]]]:
    """The layout and the numbered data lines of a file; a CSV's header is not one of them.

    Raises ``ConfigurationError`` for a file that is neither: then no line of it is a bad span.
    """
    rest = numbered(lines)
    first = next(rest, None)
    if first is None:
        return Layout("jsonl"), rest
    if first[1].lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        return Layout("jsonl"), chain([first], rest)
    return Layout("csv", _header(first[1])), rest


def _header(line: bytes) -> tuple[str, ...]:
    header = tuple(next(csv.reader([line.decode("utf-8-sig", "replace")]), []))
    absent = [column for column in COLUMNS if column not in header]
    if absent or len(set(header)) != len(header):
        raise ConfigurationError(f"the first line is neither a JSON object nor a header with the columns "
                                 f"{','.join(COLUMNS)}; missing or repeated: {','.join(absent) or 'a repeated one'}")
    return header


def line_id(number: int) -> str:
    """A line's identity as a message. By number and not by content: a line that stands twice in the file is two."""
    return f"line-{number:06}"
