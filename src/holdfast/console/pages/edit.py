# SPDX-License-Identifier: Apache-2.0
"""Editing a letter's body: write, look at both side by side, keep. Nothing is kept before it was looked at."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ...errors import CaseMoved, LetterError, LetterNotFound
from .. import acts
from ..api.common import LetterId, console_of, person_of
from ..gate import Needs
from ..views.editing import editing, preview
from .forms import form_of, go
from .letter import place
from .render import page

router = APIRouter(prefix="/letters/{letter_id}/edit", include_in_schema=False,
                   dependencies=[Depends(Needs("operator", changes=True))])
#: Characters of a body that a form takes; longer ones take a file and the command line.
TEXT_MAX: Final = 4 << 20


@router.get("")
async def edit_page(request: Request, letter_id: LetterId) -> Response:
    """The body as a text. The look is recorded."""
    now = await editing(console_of(request), letter_id, person_of(request))
    return _page(request, now=now, text=now.draft.text)


@router.post("")
async def edit(request: Request, letter_id: LetterId) -> Response:
    """Shows what the text would change; keeps it when that was what was shown."""
    console, person, form = console_of(request), person_of(request), await form_of(request)
    text, version = form.text("body", TEXT_MAX), form.whole("version")
    try:
        now = await editing(console, letter_id, person)
        seen = await preview(console, now, text, person)
        if form.text("act") != "keep" or seen.why_not or not seen.diff.changed:  # guard: looked at before it is kept
            return _page(request, now=now, text=text, seen=seen)
        await acts.edit(console, letter_id, person, seen.body, version=version)
    except LetterNotFound:
        raise
    except (LetterError, CaseMoved) as error:
        return go(console, person, place(letter_id), f"The edit is not kept. {error}", trouble=True)
    return go(console, person, place(letter_id), "The edit is kept. Replay sends it in place of the original.")


def _page(request: Request, **context: Any) -> Response:
    return page(console_of(request), request.scope, "edit.html", most=TEXT_MAX, **{"seen": None, **context})
