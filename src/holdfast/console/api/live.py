# SPDX-License-Identifier: Apache-2.0
"""``/api/live``: lag, rates and dead letters of each group as server-sent events, while whoever listens still may.

A stream of events is one request that was let in once. So it is asked again before each event who that is; and it ends
after ``live_whole_s``, when a browser comes again by itself, and passes the gate again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from ...errors import HoldfastError
from .. import views
from ..console import Console
from ..gate import Needs
from ..problem import Refused, refused_of
from ..roles import Person, may
from .common import console_of, person_of
from .document import tells

router = APIRouter(prefix="/api", tags=["look"], dependencies=[Depends(Needs("viewer"))])


@router.get("/live", response_class=StreamingResponse, **tells(str, media_type="text/event-stream"))
async def live(request: Request) -> Response:
    """Lag, rates and dead letters of each group, as server-sent events. Ends with your session."""
    console, name = console_of(request), person_of(request).name
    if not _room(console, name):
        raise Refused(503, "too many listen already", retry_s=console.settings.live_s)
    return StreamingResponse(_events(console, name, request.state.still), media_type="text/event-stream")


def _room(console: Console, name: str) -> bool:
    listening, settings = console.listening, console.settings
    return (listening.total() < settings.live_max  # guard: so many listen at once
            and listening[name] < settings.live_each)  # guard: nobody takes all the places


async def _events(console: Console, name: str, still: Callable[[], Person | None]) -> AsyncIterator[bytes]:
    if not _room(console, name):  # several came at the same moment
        return
    console.listening[name] += 1
    until = console.clock.now() + console.settings.live_whole_s
    try:
        while not console.stopping.is_set() and console.clock.now() < until and _may(still()):
            yield await _event(console)
            try:
                async with asyncio.timeout(console.settings.live_s):
                    await console.stopping.wait()
            except TimeoutError:
                continue
    finally:
        console.listening[name] -= 1
        console.listening += type(console.listening)()  # names that nobody listens under are forgotten


def _may(person: Person | None) -> bool:
    return person is not None and may(person.role, "viewer")  # guard: nothing for whose session has ended


async def _event(console: Console) -> bytes:
    try:
        seen = await views.overview(console)
    except (HoldfastError, TimeoutError) as error:
        return b"event: away\ndata: " + msgspec.json.encode(str(refused_of(error))) + b"\n\n"
    rates = {(rate.stream, rate.group): rate for rate in seen.rates}
    rows = [_row(s.stream, g.group, {"lag": g.lag, "pending": g.pending, "dead": g.dead}, rates)
            for s in seen.streams for g in s.groups]
    return b"event: counts\ndata: " + msgspec.json.encode(rows) + b"\n\n"


def _row(stream: str, group: str, counts: dict[str, Any], rates: dict[tuple[str, str], views.Rate]) -> dict[str, Any]:
    rate = rates.get((stream, group))
    told = {} if rate is None else {"published_s": rate.published_s, "handled_s": rate.handled_s, "dead_s": rate.dead_s}
    return {"stream": stream, "group": group, **counts, **told}
