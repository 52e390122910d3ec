# SPDX-License-Identifier: Apache-2.0
"""Where the time went in the log that was played: the good lines as spans, told by ``traces``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ..errors import MessageError, MissingExtra
from .source import Log
from .spans import parse_line, read_lines

if TYPE_CHECKING:
    from ..traces import Span

#: Operations that are told.
SHOWN = 5
#: What the demo's own pods have behind their service's name.
_NUMBERED = re.compile(r"(.+?)-[0-9]+")


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, by how long callers waited for it: its time on critical paths, in µs."""

    name: str
    critical_us: int
    count: int
    p50_us: int
    p99_us: int


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What ``holdfast traces report`` says of the same lines. root_us: how long a trace takes. critical_us: of all
    critical paths; waited: those operations that had most of it."""

    traces: int
    spans: int
    services: int
    orphans: int
    depth_max: int
    root_us: tuple[int, int, int]
    critical_us: int
    waited: list[Waited]


def timing(log: Log) -> Timing | None:
    """None without the extra ``traces``."""
    from ..traces import SpanTable, report

    try:
        with SpanTable.of(_spans(log)) as table:
            found = report(table)
    except MissingExtra:
        return None
    operations = sorted(found.operations, key=lambda one: -one.critical_us)
    return Timing(
        traces=found.traces, spans=found.spans, services=found.services, orphans=found.orphans,
        depth_max=found.depth_max, root_us=(found.root_us.median, found.root_us.p99, found.root_us.max),
        critical_us=sum(one.critical_us for one in operations),
        waited=[Waited(name=f"{one.service} {one.operation}", critical_us=one.critical_us, count=one.count,
                       p50_us=one.p50_us, p99_us=one.p99_us) for one in operations[:SHOWN]])


def _spans(log: Log) -> Iterator[Span]:
    from ..traces import Span
    from ..traces.formats.csv import service_of

    with log.path.open("rb") as file:
        _, lines = read_lines(file)
        for _, raw in lines:
            try:
                span = parse_line(raw, log.layout.format, log.layout.header)
            except MessageError:  # it is dead, and counted elsewhere
                continue
            service = service_of(span.pod_name)
            if service == span.pod_name and (numbered := _NUMBERED.fullmatch(service)):
                service = numbered[1]
            yield Span(span.trace_id, span.span_id, span.parent_id or "", service, span.operation_name,
                       span.start_time_unix_nano, span.end_time_unix_nano, host=span.pod_name)
