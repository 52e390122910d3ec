# SPDX-License-Identifier: Apache-2.0
"""Log lines that name a trace and a span: a span is what its lines say, from the first one to the last.

Known are::

    [app,4bf9…,00f0…]   or  [app,4bf9…,00f0…,true]                Spring Cloud Sleuth
    traceparent=00-4bf9…-00f0…-01   (also with : and quotes)      W3C, as servers log it
    trace_id=4bf9… span_id=00f0…    (also traceId, TraceID: …)    OpenTelemetry's agents, logback
    parent_id=… parent_span_id=…    beside them                   whose child it is, where the line says so

A ``traceparent`` names the caller's span, not the one that logs; its line is taken for that span's. The time is the
first one in the line: ISO 8601, with or without an offset (none: UTC), or seconds, ms, µs or ns since 1970. service:
Sleuth's ``app``, or ``service=…``. operation: ``operation=…``, ``op=…`` or a quoted request line; else nothing. A span
has failed when one of its lines is of level ERROR or FATAL. What is in no line cannot be known: a span that logs once
has no length.

Spans are given at the end of the file. A line that names no trace is no span's and no fault: it is read, and adds
nothing; one that names a trace and has no time is refused. At most SPANS_MAX spans are held; beyond them the one that
was quiet for longest is given early, and later lines of it begin it anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from ..span import Span
from .bad import Refused
from .strict import text_of
from .words import parent, small

NAME = "text"
SPANS_MAX = 500_000

_SLEUTH = re.compile(r"\[([\w.-]{0,200}),\s?([0-9a-fA-F]{16,32}),\s?([0-9a-fA-F]{16})(?:,[^\]\n]{0,40})?\]")
_W3C = re.compile(r"\b(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?![0-9a-f])")
_TRACE = re.compile(r"\b[Tt]race[._ ]?[Ii][Dd][\"']?\s?[=:]\s?[\"']?([0-9a-fA-F]{16,32})\b")
_SPAN = re.compile(r"(?<![A-Za-z_])[Ss]pan[._ ]?[Ii][Dd][\"']?\s?[=:]\s?[\"']?([0-9a-fA-F]{16})\b")
_PARENT = re.compile(r"\b[Pp]arent(?:[._ ]?[Ss]pan)?[._ ]?[Ii][Dd][\"']?\s?[=:]\s?[\"']?([0-9a-fA-F]{16})\b")
_SERVICE = re.compile(r"\b(?:service(?:[._]name)?|app)[\"']?[=:]\s?[\"']?([\w.-]{1,200})")
_OPERATION = re.compile(r"\b(?:operation|op)[\"']?[=:]\s?[\"']?([^\s\"',;]{1,300})"
                        r"|\"([A-Z]{3,7} [^\s\"?]{1,300})[^\"]{0,2000}HTTP/")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,9}))?"
                   r"\s?(Z|[+-][0-9]{2}:?[0-9]{2})?"
                   r"|(?<![\w.-])(1[0-9]{9}(?:[0-9]{3}|[0-9]{6}|[0-9]{9})?)(?:\.([0-9]{1,9}))?(?![\w-])")
_LEVEL = re.compile(r"\b(?:ERROR|FATAL|CRITICAL)\b")
_NONE = frozenset({"0" * 16, "0" * 32})


def sniff(head: bytes) -> bool:
    """Whether one of the first lines names a trace."""
    text = head.decode(errors="replace")
    return bool(_SLEUTH.search(text) or _W3C.search(text) or (_TRACE.search(text) and _SPAN.search(text)))


class _Told(msgspec.Struct):
    """A span as far as its lines have told it."""

    parent_id: str
    service: str
    operation: str
    first_ns: int
    last_ns: int
    error: bool


class Lines:
    """Reads the lines of one file and keeps what they tell until its end."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        self._told: dict[tuple[str, str], _Told] = {}
        #: A span is given once it was quiet for so long, in the time of the lines; 0: at the end of the file.
        self.quiet_ns = 0

    def spans(self, raw: bytes) -> list[Span]:
        """Nothing, mostly: the line adds to its span. Raises Refused."""
        line = text_of(raw)
        found = named(line)
        if found is None:
            return []
        trace_id, span_id, service = found
        at_ns = time_of(line)
        if at_ns is None:
            raise Refused("no time")
        self._add((trace_id, span_id), line, service, at_ns)
        given: list[Span] = []
        while self._told:
            key, told = next(iter(self._told.items()))
            if len(self._told) <= SPANS_MAX and (not self.quiet_ns or told.last_ns > at_ns - self.quiet_ns):
                break
            given.append(_span(key, self._told.pop(key)))
        return given

    def rest(self) -> list[Span]:
        """The spans, in the order of their last lines."""
        spans = [_span(key, told) for key, told in self._told.items()]
        self._told.clear()
        return spans

    def _add(self, key: tuple[str, str], line: str, service: str, at_ns: int) -> None:
        above = _PARENT.search(line)
        operation = _OPERATION.search(line)
        said = _Told(parent(above.group(1)) if above else "", service or _group(_SERVICE.search(line)),
                     _group(operation), at_ns, at_ns, bool(_LEVEL.search(line)))
        before = self._told.pop(key, None)
        if before is not None:
            said = _Told(before.parent_id or said.parent_id, before.service or said.service,
                         before.operation or said.operation, min(before.first_ns, at_ns), max(before.last_ns, at_ns),
                         before.error or said.error)
        self._told[key] = said


def named(line: str) -> tuple[str, str, str] | None:
    """The trace, the span and the service that a line names."""
    sleuth = _SLEUTH.search(line)
    if sleuth:
        service, trace_id, span_id = sleuth.groups()
    else:
        service = ""
        w3c = _W3C.search(line)
        if w3c:
            trace_id, span_id = w3c.groups()
        else:
            trace_id, span_id = _group(_TRACE.search(line)), _group(_SPAN.search(line))
    if not trace_id or not span_id or trace_id in _NONE or span_id in _NONE:
        return None
    return small(trace_id), small(span_id), service


def time_of(line: str) -> int | None:
    """The first time in a line, in ns since 1970; None: there is none."""
    match = _TIME.search(line)
    if not match:
        return None
    day, clock, fraction, zone, number, part = match.groups()
    if number:
        whole, behind = number.ljust(19, "0"), (part or "").ljust(9, "0")
        return int(whole) + int(behind) // int(10 ** (len(number) - 10))
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in (None, 'Z') else zone}")
    except ValueError:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _group(match: re.Match[str] | None) -> str:
    return next((group for group in match.groups() if group), "") if match else ""


def _span(key: tuple[str, str], told: _Told) -> Span:
    return Span(*key, told.parent_id, told.service, told.operation, told.first_ns, told.last_ns, error=told.error)
