# SPDX-License-Identifier: Apache-2.0
"""Replay jobs: asked for by operators, agreed to by approvers, run by this console."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from ...deadletters.jobs import Job, Plan
from .. import acts
from ..gate import Needs
from ..problem import Refused
from .common import JobId, Name, Told, Which, Why, console_of, person_of, said
from .document import tells

router = APIRouter(prefix="/api/jobs", tags=["jobs"], dependencies=[Depends(Needs("operator", changes=True))])
agreeing = APIRouter(prefix="/api/jobs", tags=["jobs"], dependencies=[Depends(Needs("approver", changes=True))])


class Asked(Which):
    """Which letters, and how they are sent back: as `holdfast dlq job start` has it."""

    rate_per_s: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False,
                              description="at most so many a second; 0: as fast as it goes")
    canary: bool = Field(default=False, description="first 1, then 2, 5, 10 …, each when the ones before were handled")
    stop_at: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False,
                           description="stop when more than this share died again")
    within_s: float = Field(default=300.0, gt=0, le=86_400, allow_inf_nan=False,
                            description="seconds to wait for letters to come to an end")
    wait: bool = Field(default=True, description="done when its letters came to an end; else when they are sent")
    order: Literal["settled", "sent"] = "settled"
    redirect_to: Name = Field(default="", description="send to this stream instead")
    force: bool = Field(default=False, description="also old letters and those that came back too often")
    approval: bool = Field(default=False, description="wait until a second person approves it")

    def plan(self) -> Plan:
        """As a job takes it. Raises Refused for one that contradicts itself."""
        try:
            return Plan(rate_per_s=self.rate_per_s, canary=self.canary, stop_at=self.stop_at, within_s=self.within_s,
                        wait=self.wait, order=self.order, redirect_to=self.redirect_to, force=self.force)
        except ValueError as error:
            raise Refused(422, str(error)) from None


class Reason(Told):
    """Why."""

    why: Why = ""


@router.post("", **tells(acts.Started, status=202))
async def start(request: Request, asked: Asked) -> Response:
    """Makes a job for each stream and group that the letters are of, and runs it, unless it waits for approval."""
    return said(await acts.start(console_of(request), asked.letters(), person_of(request), asked.plan(),
                                 approval=asked.approval), 202)


@agreeing.post("/{job_id}/approve", **tells(Job))
async def approve(request: Request, job_id: JobId) -> Response:
    """Agrees to a job that waits for it, and runs it. Whoever asked for it may not."""
    return said(await acts.approve(console_of(request), job_id, person_of(request)))


@router.post("/{job_id}/pause", **tells(Job))
async def pause(request: Request, job_id: JobId, reason: Reason) -> Response:
    """Lets a running job pause after the batch that is under way."""
    return said(await acts.pause(console_of(request), job_id, person_of(request), reason.why))


@router.post("/{job_id}/resume", **tells(Job))
async def resume(request: Request, job_id: JobId) -> Response:
    """Goes on with a job that was paused or stopped, or whose runner died."""
    return said(await acts.resume(console_of(request), job_id, person_of(request)))


@router.post("/{job_id}/cancel", **tells(Job))
async def cancel(request: Request, job_id: JobId, reason: Reason) -> Response:
    """Ends a job for good. What it has not sent stays on its shelf."""
    return said(await acts.cancel(console_of(request), job_id, person_of(request), reason.why))
