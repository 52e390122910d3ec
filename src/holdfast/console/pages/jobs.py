# SPDX-License-Identifier: Apache-2.0
"""Replay jobs on the screen: made of a filter, followed while they go, approved by a second person, paused, ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from ...deadletters.jobs import Job, Plan
from ...errors import LetterError, LetterNotFound
from .. import acts, views
from ..api.common import console_of, person_of
from ..console import Console
from ..gate import Needs
from ..problem import Refused
from ..roles import Person
from .forms import Form, form_of, go
from .render import page
from .wanted import wanted_of

router = APIRouter(prefix="/jobs", include_in_schema=False, dependencies=[Depends(Needs("viewer"))])
act = [Depends(Needs("operator", changes=True))]
approval = [Depends(Needs("approver", changes=True))]
JobId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
JOBS_MAX: Final = 100
_SAID: Final = {"approve": "Approved: it runs.", "pause": "It pauses after the batch that is under way.",
                "resume": "It goes on.", "cancel": "Cancelled. What was not sent stays on its shelf."}


@router.get("")
async def jobs(request: Request) -> Response:
    """The latest first."""
    console = console_of(request)
    return page(console, request.scope, "jobs.html", jobs=await views.jobs(console, JOBS_MAX))


@router.get("/new", dependencies=act)
async def new(request: Request) -> Response:
    """How the letters of a filter are to be sent back."""
    console, wanted = console_of(request), wanted_of(request.query_params)
    number = await views.count(console, wanted.filter(console.clock.wall_ms()))
    return page(console, request.scope, "job_new.html", wanted=wanted, number=number,
                above=console.settings.approve_above)


@router.post("", dependencies=act)
async def start(request: Request) -> Response:
    """Makes the jobs, one for each stream and group."""
    console, person, form = console_of(request), person_of(request), await form_of(request)
    wanted = wanted_of(form.all())
    try:
        started = await acts.start(console, wanted.filter(console.clock.wall_ms()), person, _plan(form),
                                   approval=bool(form.text("approval")))
    except LetterError as error:
        return go(console, person, f"/jobs/new?{wanted.query()}", f"No job was made. {error}", trouble=True)
    more = f" {started.more} letters more fit the filter than one request takes: make another." if started.more else ""
    one = len(started.jobs) == 1
    return go(console, person, f"/jobs/{started.jobs[0].id}" if one else "/jobs",
              ("The job is made." if one else f"{len(started.jobs)} jobs are made, one for each group.") + more,
              trouble=bool(more))


@router.get("/{job_id}")
async def job(request: Request, job_id: JobId) -> Response:
    """One, and how far it is."""
    console = console_of(request)
    found = await views.job(console, job_id)
    return page(console, request.scope, "job.html", found=found, job=found.job)


Deed = Callable[[Console, str, Person], Awaitable[Job]]


async def _moved(request: Request, job_id: str, name: str, deed: Deed) -> Response:
    console, person = console_of(request), person_of(request)
    try:
        await deed(console, job_id, person)
    except LetterNotFound:
        raise
    except LetterError as error:
        return go(console, person, f"/jobs/{job_id}", f"Not done. {error}", trouble=True)
    return go(console, person, f"/jobs/{job_id}", _SAID[name])


@router.post("/{job_id}/approve", dependencies=approval)
async def approve(request: Request, job_id: JobId) -> Response:
    """A second person agrees."""
    return await _moved(request, job_id, "approve", acts.approve)


@router.post("/{job_id}/pause", dependencies=act)
async def pause(request: Request, job_id: JobId) -> Response:
    """After the batch that is under way."""
    return await _moved(request, job_id, "pause", acts.pause)


@router.post("/{job_id}/resume", dependencies=act)
async def resume(request: Request, job_id: JobId) -> Response:
    """One that was paused, or stopped, or whose runner died."""
    return await _moved(request, job_id, "resume", acts.resume)


@router.post("/{job_id}/cancel", dependencies=act)
async def cancel(request: Request, job_id: JobId) -> Response:
    """For good."""
    return await _moved(request, job_id, "cancel", acts.cancel)


def _plan(form: Form) -> Plan:
    """Raises Refused for what cannot be."""
    percent = form.number("stop_at")
    chosen: dict[str, Any] = {
        "rate_per_s": form.number("rate_per_s") or 0.0, "canary": bool(form.text("canary")),
        "stop_at": 1.0 if percent is None else percent / 100, "force": bool(form.text("force")),
        "redirect_to": form.text("redirect_to").strip(),
        "order": "sent" if form.text("order") == "sent" else "settled"}
    try:
        return Plan(**chosen)
    except ValueError as error:
        raise Refused(422, str(error)) from None
