# SPDX-License-Identifier: Apache-2.0
"""Records as OTLP log records in JSON, and what a collector's answer says. Pure.

Source: opentelemetry-proto's ``logs.proto`` and the OTLP/HTTP specification. Integers of 64 bits are decimal strings;
trace and span ids are hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ..record import Record
from .document import place_of

#: Field names that mean the same in the formats people log in; the first that is there counts.
_BODY: Final = ("message", "msg", "body", "log", "text", "line", "raw")
_LEVEL: Final = ("level", "severity", "severity_text", "lvl", "loglevel")
_TRACE: Final = ("trace_id", "traceId", "traceid", "trace.id")
_SPAN: Final = ("span_id", "spanId", "spanid", "span.id")
#: SeverityNumber, the first of each range.
_NUMBERS: Final = {"trace": 1, "debug": 5, "info": 9, "notice": 10, "warn": 13, "warning": 13, "error": 17, "err": 17,
                   "critical": 18, "crit": 18, "fatal": 21, "panic": 21, "alert": 22, "emerg": 23}
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
_INT64: Final = range(-(2**63), 2**63)


def log_record(record: Record, observed_ns: int) -> dict[str, Any]:
    """One log record. What is taken for body, severity and ids leaves the attributes; the place in the file joins
    them, as the semantic conventions have it (``log.file.path``), and the record's id (``log.record.uid``)."""
    rest = dict(record.fields)
    found: dict[str, Any] = {"timeUnixNano": str(record.timestamp_ns or 0), "observedTimeUnixNano": str(observed_ns)}
    body = _taken(rest, _BODY, lambda _: True)
    if body is not None:
        found["body"] = any_value(body)
    level = _taken(rest, _LEVEL, lambda value: isinstance(value, str))
    if level is not None:
        found |= {"severityText": level, "severityNumber": _NUMBERS.get(level.lower(), 0)}
    for name, names, digits in (("traceId", _TRACE, 32), ("spanId", _SPAN, 16)):
        value = _taken(rest, names, lambda value, digits=digits: _is_id(value, digits))
        if value is not None:
            found[name] = value.lower()
    line = record.line
    place = {"log.file.path": place_of(record), "log.record.uid": record.id, "holdfast.log.offset": line.offset}
    found["attributes"] = attributes({**rest, **place})
    return found


def request(records: Sequence[dict[str, Any]], resource: Mapping[str, Any]) -> bytes:
    """The body of ``POST /v1/logs``. TypeError or ValueError for what JSON cannot hold."""
    return msgspec.json.encode({"resourceLogs": [{
        "resource": {"attributes": attributes(resource)},
        "scopeLogs": [{"scope": {"name": "holdfast.logs"}, "logRecords": records}]}]})


def attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Key and value pairs."""
    return [{"key": str(name), "value": any_value(value)} for name, value in values.items()]


def any_value(value: Any) -> dict[str, Any]:
    """``AnyValue``. An integer beyond 64 bits is text: the protocol has none."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": attributes(value)}}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [any_value(one) for one in value]}}
    return _scalar(value)


def _scalar(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and value in _INT64:
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str | int):
        return {"stringValue": str(value)}
    raise TypeError(f"a {type(value).__name__} is no value of a log record")


def rejected(answer: bytes) -> tuple[int, str]:
    """How many records of a request that was taken were left out, and why. (0, "") for an answer that says nothing."""
    try:
        said = msgspec.json.decode(answer) if answer.strip() else {}
        partial = said.get("partialSuccess") or said.get("partial_success") or {}
        count = partial.get("rejectedLogRecords") or partial.get("rejected_log_records") or 0
        return max(0, int(count)), str(partial.get("errorMessage") or partial.get("error_message") or "")
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
        return 0, ""


def _taken(fields: dict[str, Any], names: Sequence[str], fits: Any) -> Any:
    for name in names:
        if name in fields and fields[name] is not None and fits(fields[name]):
            return fields.pop(name)
    return None


def _is_id(value: Any, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and bool(_HEX.fullmatch(value)) and value.strip("0") != ""
