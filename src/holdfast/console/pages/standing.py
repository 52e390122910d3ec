# SPDX-License-Identifier: Apache-2.0
"""How things stand: streams with charts, locks, worker ids, and the handling log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Request
from markupsafe import Markup
from starlette.responses import Response

from ...deadletters.desk.log import Chosen
from ...streams.inspect import GroupState, StreamState
from ...streams.overview import logical
from .. import views
from ..api.common import console_of
from ..charts import sparkline
from ..course import Course, Point
from ..gate import Needs
from ..problem import Refused
from .render import page
from .wanted import SPANS
from .words import number

router = APIRouter(include_in_schema=False, dependencies=[Depends(Needs("viewer"))])
#: Points of one chart.
CHART_POINTS: Final = 40
_LIMITS: Final = ("100", "500", "1000")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One group as a row. in_hand: letters at the desk that are not dealt with; None when the desk is away."""

    stream: StreamState
    logical: str
    group: GroupState
    point: Point | None
    lag_chart: Markup
    handled_chart: Markup
    in_hand: int | None


@router.get("/")
async def overview(request: Request) -> Response:
    """Streams, groups and consumers."""
    console = console_of(request)
    seen, courses = await views.overview(console), await views.courses(console)
    drawn = {(course.stream, course.group): course for course in courses}
    open_: dict[tuple[str, str], int] = defaultdict(int)
    for one in seen.open or ():
        open_[one.logical, one.group] += one.open
    lines = [_line(stream, group, drawn.get((stream.stream, group.group)),
                   None if seen.open is None else open_[logical(stream), group.group])
             for stream in seen.streams for group in stream.groups]
    return page(console, request.scope, "overview.html", seen=seen, lines=lines, totals=_totals(lines),
                in_hand=None if seen.open is None else sum(open_.values()),
                lonely=[stream for stream in seen.streams if not stream.groups])


def _line(stream: StreamState, group: GroupState, course: Course | None, in_hand: int | None) -> Line:
    points = course.points if course is not None else []
    whose = f"group {group.group} of {stream.stream}"
    return Line(stream=stream, logical=logical(stream), group=group, point=points[-1] if points else None,
                lag_chart=_chart([float(max(0, p.lag)) for p in points], f"Lag of {whose}", "messages"),
                handled_chart=_chart([p.handled_s or 0.0 for p in points], f"Handled by {whose}", "a second"),
                in_hand=in_hand)


def _chart(values: Sequence[float], what: str, unit: str) -> Markup:
    top = max(values, default=0.0)
    drawn = _thinned(values)
    # Markup of our own making: the label is escaped where it is drawn.
    return Markup(sparkline(drawn, f"{what}: now {number(values[-1] if values else 0)} {unit}, "  # noqa: S704
                                    f"highest {number(top)}", width=84, height=24))


def _thinned(values: Sequence[float]) -> list[float]:
    """Neighbours by their mean, so that a chart has no more points than can be told apart."""
    each = max(1, -(-len(values) // CHART_POINTS))
    parts = [values[max(0, end - each):end] for end in range(len(values), 0, -each)][::-1]
    return [sum(part) / len(part) for part in parts]


def _totals(lines: Sequence[Line]) -> dict[str, float]:
    points = [line.point for line in lines if line.point is not None]
    return {
        "lag": sum(max(0, line.group.lag) for line in lines), "pending": sum(line.group.pending for line in lines),
        "dead": sum(line.group.dead for line in lines),
        "handled_s": round(sum(p.handled_s or 0.0 for p in points), 1),
        "dead_s": round(sum(p.dead_s or 0.0 for p in points), 1),
    }


@router.get("/locks")
async def locks(request: Request) -> Response:
    """Who holds which lock."""
    console = console_of(request)
    return page(console, request.scope, "locks.html", holds=await views.locks(console))


@router.get("/workers")
async def workers(request: Request) -> Response:
    """Worker ids, and who has them."""
    console = console_of(request)
    return page(console, request.scope, "workers.html", workers=await views.workers(console))


@router.get("/log")
async def log(request: Request) -> Response:
    """The handling log, the latest first."""
    console, said = console_of(request), request.query_params
    fields = {name: value for name in ("letter_id", "what", "actor", "result", "since", "limit")
              if (value := said.get(name, "").strip())}
    if any(len(value) > 255 or "\0" in value for value in fields.values()):
        raise Refused(422, "a field of the filter has more than 255 characters, or a NUL")
    if fields.get("since", "1h") not in SPANS or fields.get("limit", "100") not in _LIMITS:
        raise Refused(422, f"since: one of {', '.join(SPANS)}; limit: one of {', '.join(_LIMITS)}")
    since = console.clock.wall_ms() - SPANS[fields["since"]] if "since" in fields else None
    chosen = Chosen(letter_id=fields.get("letter_id"), what=fields.get("what"), actor=fields.get("actor"),
                    result=fields.get("result"), since_ms=since)
    found = await views.log(console, chosen, int(fields.get("limit", "100")))
    return page(console, request.scope, "log.html", fields=fields, steps=found[::-1])
