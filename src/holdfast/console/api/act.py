# SPDX-License-Identifier: Apache-2.0
"""What operators do with letters. Each is refused while the console is read-only, and recorded in the handling log."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from ...deadletters.desk import Case
from ...deadletters.jobs import Job
from ...deadletters.people import Erased
from .. import acts
from ..gate import Needs
from .common import LetterId, Name, Told, Version, Wanted, Which, Why, console_of, person_of, said
from .document import tells

_OPERATOR, _APPROVER = [Depends(Needs("operator", changes=True))], [Depends(Needs("approver", changes=True))]
one = APIRouter(prefix="/api/letters/{letter_id}", tags=["act"], dependencies=_OPERATOR)
many = APIRouter(prefix="/api", tags=["act"], dependencies=_OPERATOR)
gone = APIRouter(prefix="/api", tags=["act"], dependencies=_APPROVER)


class Words(Told):
    """A comment."""

    words: str = Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")


class Assignee(Told):
    """Whose it is to be; empty: nobody's."""

    assignee: Name


class Body(Told):
    """Another body for the message, as text: what your role may see, changed. What you left as it was shown stays as it
    was."""

    body: str = Field(max_length=16 << 20)


class Deal(Which):
    """One act with several letters. assignee: of `assign`; words: of `comment`."""

    act: acts.Act
    assignee: Name = ""
    words: str = Field(default="", max_length=10_000, pattern=r"^[^\x00]*$")


class Next(Told):
    """Of which letters the next is taken; without, of all that wait for a person."""

    filter: Wanted = Field(default_factory=Wanted)


class Erasure(Told):
    """Whose data is erased. dry_run: it is only said what would go, unless told otherwise."""

    stream: Name = Field(min_length=1)
    group: Name = Field(min_length=1)
    key: str = Field(min_length=1, max_length=4_096, pattern=r"^[^\x00]*$")
    why: Why = Field(min_length=1)
    dry_run: bool = True


@one.post("/assign", **tells(Case))
async def assign(request: Request, letter_id: LetterId, to: Assignee, version: Version = None) -> Response:
    """Gives a letter that waits for a person to somebody."""
    return said(await acts.assign(console_of(request), letter_id, person_of(request), to.assignee, version=version))


@one.post("/unassign", **tells(Case))
async def unassign(request: Request, letter_id: LetterId, version: Version = None) -> Response:
    """Gives a letter to nobody."""
    return said(await acts.assign(console_of(request), letter_id, person_of(request), "", version=version))


@one.post("/comment", **tells(Case))
async def comment(request: Request, letter_id: LetterId, words: Words) -> Response:
    """Says something about a letter."""
    return said(await acts.comment(console_of(request), letter_id, person_of(request), words.words))


@one.post("/edit", **tells(Case))
async def edit(request: Request, letter_id: LetterId, new: Body, version: Version = None) -> Response:
    """Sends another body when the letter is replayed."""
    return said(await acts.edit_text(console_of(request), letter_id, person_of(request), new.body, version=version))


@one.post("/replay", **tells(Job, status=202))
async def replay(request: Request, letter_id: LetterId) -> Response:
    """Sends a letter back, as a job of one letter: it is asked by its id what became of it."""
    return said(await acts.replay(console_of(request), letter_id, person_of(request)), 202)


@one.post("/discard", **tells(Case))
async def discard(request: Request, letter_id: LetterId, version: Version = None) -> Response:
    """Throws a letter away; it can be taken back until `due_ms`."""
    return said(await acts.discard(console_of(request), letter_id, person_of(request), version=version))


@one.post("/undo", **tells(Case))
async def undo(request: Request, letter_id: LetterId, version: Version = None) -> Response:
    """Takes a discard back, or else an edit."""
    return said(await acts.undo(console_of(request), letter_id, person_of(request), version=version))


@many.post("/several", **tells(acts.Several))
async def several(request: Request, deal: Deal) -> Response:
    """One act with many letters, at most 1,000, and what became of each."""
    return said(await acts.several(console_of(request), deal.letters(), deal.act, person_of(request),
                                   assignee=deal.assignee, words=deal.words))


@many.post("/take-next", **tells(Case | None))
async def take_next(request: Request, of: Next) -> Response:
    """Gives you the letter that has waited longest and is nobody's; null when there is none."""
    return said(await acts.take_next(console_of(request), person_of(request), of.filter.filter()))


@gone.post("/erase", **tells(Erased))
async def erase(request: Request, what: Erasure) -> Response:
    """Erases what is kept of a key: at the desk, and on the shelf of this group."""
    return said(await acts.forget(console_of(request), what.stream, what.group, what.key, person_of(request),
                                  why=what.why, dry_run=what.dry_run))
