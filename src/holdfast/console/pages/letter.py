# SPDX-License-Identifier: Apache-2.0
"""One letter on the screen, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ...errors import CaseMoved, LetterError, LetterNotFound
from .. import acts, views
from ..acts.jobs import GO
from ..api.common import LetterId, console_of, person_of
from ..console import Console
from ..gate import Needs
from ..problem import Refused
from ..roles import Person
from .forms import Form, form_of, go
from .render import page
from .words import lasting

router = APIRouter(prefix="/letters/{letter_id}", include_in_schema=False, dependencies=[Depends(Needs("viewer"))])
act = [Depends(Needs("operator", changes=True))]
WORDS_MAX: Final = 10_000


@router.get("")
async def letter(request: Request, letter_id: LetterId) -> Response:
    """All there is about it. The look is recorded."""
    console = console_of(request)
    found = await views.detail(console, letter_id, person_of(request))
    return page(console, request.scope, "letter.html", found=found, case=found.case, may_go=GO)


@router.get("/payload")
async def payload(request: Request, letter_id: LetterId, edited: bool = False) -> Response:
    """The whole payload as a file, as the role may see it. The look is recorded."""
    whole = await views.payload(console_of(request), letter_id, person_of(request), edited=edited)
    return Response(whole.text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers={
        "Content-Disposition": f'attachment; filename="{whole.name}"'})  # guard: a payload is no page


def place(letter_id: str) -> str:
    """Its page."""
    return f"/letters/{quote(letter_id, safe='')}"


Deed = Callable[[Console, Form, Person], Awaitable[Response]]


async def tried(request: Request, letter_id: str, deed: Deed) -> Response:
    """Does it. What cannot be done, or was decided on by somebody else meanwhile, is said on the letter's page."""
    console, person, form = console_of(request), person_of(request), await form_of(request)
    try:
        return await deed(console, form, person)
    except LetterNotFound:
        raise
    except (LetterError, CaseMoved) as error:
        return go(console, person, place(letter_id), f"Not done. {error}", trouble=True)


@router.post("/assign", dependencies=act)
async def assign(request: Request, letter_id: LetterId) -> Response:
    """Gives it to somebody, or to nobody."""
    async def deed(console: Console, form: Form, person: Person) -> Response:
        to = form.text("assignee").strip()
        await acts.assign(console, letter_id, person, to, version=form.whole("version"))
        return go(console, person, place(letter_id), f"Assigned to {to}." if to else "Assigned to nobody.")

    return await tried(request, letter_id, deed)


@router.post("/comment", dependencies=act)
async def comment(request: Request, letter_id: LetterId) -> Response:
    """Says something about it."""
    async def deed(console: Console, form: Form, person: Person) -> Response:
        words = form.text("words", WORDS_MAX).strip()
        if not words:
            raise Refused(422, "the comment is empty")
        await acts.comment(console, letter_id, person, words)
        return go(console, person, place(letter_id) + "#h-comments", "The comment is kept.")

    return await tried(request, letter_id, deed)


@router.post("/replay", dependencies=act)
async def replay(request: Request, letter_id: LetterId) -> Response:
    """Sends it back: a job of one letter, whose page tells what becomes of it."""
    async def deed(console: Console, _: Form, person: Person) -> Response:
        job = await acts.replay(console, letter_id, person)
        return go(console, person, f"/jobs/{job.id}", "The replay waits for a second person to approve it."
                  if job.state == "waiting" else "The letter is being replayed.")

    return await tried(request, letter_id, deed)


@router.post("/discard", dependencies=act)
async def discard(request: Request, letter_id: LetterId) -> Response:
    """Throws it away; the next page offers to take it back."""
    async def deed(console: Console, form: Form, person: Person) -> Response:
        await acts.discard(console, letter_id, person, version=form.whole("version"))
        undo_ms = console.settings.undo_ms
        return go(console, person, place(letter_id), f"Discarded. It stays on its shelf for {lasting(undo_ms / 1000)}.",
                  undo=(letter_id,), undo_until_ms=console.clock.wall_ms() + undo_ms)

    return await tried(request, letter_id, deed)


@router.post("/undo", dependencies=act)
async def undo(request: Request, letter_id: LetterId) -> Response:
    """Takes a discard back, or else an edit."""
    async def deed(console: Console, form: Form, person: Person) -> Response:
        await acts.undo(console, letter_id, person, version=form.whole("version"))
        return go(console, person, place(letter_id), "Undone: the letter waits for a person again.")

    return await tried(request, letter_id, deed)
