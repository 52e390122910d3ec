# SPDX-License-Identifier: Apache-2.0
"""What can be looked at; for every role."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from ...deadletters.desk import Case, CaseGroup, Step
from ...deadletters.desk.log import Chosen
from ...deadletters.jobs import Job
from .. import views
from ..course import Course
from ..gate import Needs
from .common import JobId, LetterId, Limit, Ms, Name, Text, Wanted, console_of, person_of, said
from .document import tells

router = APIRouter(prefix="/api", tags=["look"], dependencies=[Depends(Needs("viewer"))])


class WantedGroups(Wanted):
    """Of which letters, and at most how many groups."""

    limit: int = Field(default=100, ge=1, le=1_000)


class WantedPage(Wanted):
    """Which letters, and which page of them."""

    limit: int = Field(default=100, ge=1, le=1_000)
    after: Name = Field(default="", description="the last id of the page before")


@router.get("/overview", **tells(views.Overview))
async def overview(request: Request) -> Response:
    """Streams, groups and consumers, what goes through them in a second, and letters in hand."""
    return said(await views.overview(console_of(request)))


@router.get("/rates", **tells(list[Course]))
async def rates(request: Request) -> Response:
    """The last points of each group, oldest first: what a chart is drawn of."""
    return said(await views.courses(console_of(request)))


@router.get("/groups", **tells(list[CaseGroup]))
async def groups(request: Request, wanted: Annotated[WantedGroups, Query()]) -> Response:
    """Dead letters by what they died of, the largest group first."""
    return said(await views.groups(console_of(request), wanted.filter(), wanted.limit))


@router.get("/letters", **tells(list[Case]))
async def letters(request: Request, wanted: Annotated[WantedPage, Query()]) -> Response:
    """Dead letters, the latest first."""
    return said(await views.letters(console_of(request), wanted.filter(), wanted.limit, wanted.after))


@router.get("/count", **tells(views.Count))
async def count(request: Request, wanted: Annotated[Wanted, Query()]) -> Response:
    """How many letters there are."""
    return said(views.Count(letters=await views.count(console_of(request), wanted.filter())))


@router.get("/letters/{letter_id}", **tells(views.Detail))
async def letter(request: Request, letter_id: LetterId) -> Response:
    """One letter with its payload as your role may see it, cut after `body_max` characters. The look is recorded."""
    return said(await views.detail(console_of(request), letter_id, person_of(request)))


@router.get("/letters/{letter_id}/payload", response_class=Response, **tells(str, media_type="text/plain"))
async def payload(request: Request, letter_id: LetterId, *, edited: bool = False) -> Response:
    """The whole payload as your role may see it, or its edit, as a file. The look is recorded."""
    whole = await views.payload(console_of(request), letter_id, person_of(request), edited=edited)
    return attached(whole)


@router.get("/queue", **tells(list[Case]))
async def queue(request: Request, assignee: Text = None, limit: Limit = 100) -> Response:
    """Letters that wait for a person, the oldest first. An empty ``assignee`` is nobody's."""
    return said(await views.queue(console_of(request), assignee, limit))


@router.get("/log", **tells(list[Step]))
async def log(request: Request, *, letter_id: Text = None, what: Text = None, actor: Text = None,
              result: Text = None, since_ms: Ms = None, limit: Limit = 100) -> Response:
    """The handling log: the last steps, oldest first."""
    chosen = Chosen(letter_id=letter_id, what=what, actor=actor, result=result, since_ms=since_ms)
    return said(await views.log(console_of(request), chosen, limit))


@router.get("/jobs", **tells(list[Job]))
async def jobs(request: Request, limit: Limit = 100) -> Response:
    """Replay jobs, the latest first."""
    return said(await views.jobs(console_of(request), limit))


@router.get("/jobs/{job_id}", **tells(views.Progress))
async def job(request: Request, job_id: JobId) -> Response:
    """One job: how far it is, and which of its letters did not come through."""
    return said(await views.job(console_of(request), job_id))


@router.get("/locks", **tells(list[views.HoldView]))
async def locks(request: Request) -> Response:
    """Who holds which lock."""
    return said(await views.locks(console_of(request)))


@router.get("/workers", **tells(list[views.WorkerView]))
async def workers(request: Request) -> Response:
    """Worker ids, and who has them."""
    return said(await views.workers(console_of(request)))


def attached(whole: views.Whole) -> Response:
    """A payload as a file: no browser shows it, whatever is in it."""
    return Response(whole.text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8",
                    headers={"Content-Disposition": f'attachment; filename="{whole.name}"'})  # guard: saved, not shown
