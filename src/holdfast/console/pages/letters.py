# SPDX-License-Identifier: Apache-2.0
"""Dead letters on the screen: gathered by what they died of, as a list in which several can be chosen, as a queue."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from ...errors import LetterError
from .. import acts, views
from ..acts import Several
from ..api.common import console_of, person_of
from ..console import Console
from ..gate import Needs
from ..problem import Refused
from ..roles import Person
from .forms import form_of, go, local
from .letter import place
from .render import page
from .wanted import STATES, wanted_of
from .words import counted

router = APIRouter(include_in_schema=False, dependencies=[Depends(Needs("viewer"))])
act = [Depends(Needs("operator", changes=True))]
#: Rows of one page.
ROWS: Final = 50
GROUPS_MAX: Final = 200
_CHOICES: Final = [(state, state) for state in STATES]
_DONE: Final = {"assign": "assigned", "discard": "discarded", "undo": "taken back"}


@router.get("/letters")
async def groups(request: Request) -> Response:
    """By fingerprint, the largest group first."""
    console, wanted = console_of(request), wanted_of(request.query_params)
    found = await views.groups(console, wanted.filter(console.clock.wall_ms()), GROUPS_MAX)
    return page(console, request.scope, "letters.html", wanted=wanted, states=_CHOICES, groups=found, most=GROUPS_MAX)


@router.get("/letters/list")
async def listed(request: Request, after: Annotated[str, Query(max_length=64)] = "") -> Response:
    """A page of letters, the latest first."""
    console, wanted = console_of(request), wanted_of(request.query_params)
    found = await views.letters(console, wanted.filter(console.clock.wall_ms()), ROWS + 1, after)
    more = len(found) > ROWS
    return page(console, request.scope, "letters_list.html", wanted=wanted, states=_CHOICES, cases=found[:ROWS],
                after=after, following=found[ROWS - 1].letter_id if more else "")


@router.get("/queue")
async def queue(request: Request, whose: Annotated[str, Query(max_length=255, pattern=r"^[^\x00]*$")] = "all"
                ) -> Response:
    """What waits for a person, the oldest first. whose: all, mine, nobody."""
    console, person = console_of(request), person_of(request)
    assignee = {"mine": person.name, "nobody": "", "all": None}.get(whose, whose)
    found = await views.queue(console, assignee, ROWS + 1)
    return page(console, request.scope, "queue.html", whose=whose, cases=found[:ROWS], more=len(found) > ROWS)


@router.post("/queue/next", dependencies=act)
async def take_next(request: Request) -> Response:
    """Gives the letter that has waited longest and is nobody's to whoever asks."""
    console, person = console_of(request), person_of(request)
    case = await acts.take_next(console, person)
    if case is None:
        return go(console, person, "/queue", "There is no letter that waits for a person and is nobody's.")
    return go(console, person, place(case.letter_id), "This one has waited longest. It is yours now.")


@router.post("/letters/bulk", dependencies=act)
async def bulk(request: Request) -> Response:
    """One act for all that were chosen, each by itself."""
    console, person, form = console_of(request), person_of(request), await form_of(request)
    back, chosen = local(form.text("back", 8_192), "/letters/list"), form.several("letter")
    if not chosen:
        return go(console, person, back, "No letter was chosen.", trouble=True)
    if form.text("act") == "replay":
        return await _replay(console, person, chosen, back)
    what = form.text("act")
    if what not in ("assign", "discard"):
        raise Refused(422, "act: replay, assign or discard")
    done = await acts.several(console, chosen, "assign" if what == "assign" else "discard", person,
                              assignee=form.text("assignee").strip())
    ids = tuple(one.letter_id for one in done.results if one.done)
    undo = ids if what == "discard" else ()
    text, trouble = _told(done, _DONE[what])
    return go(console, person, back, text, trouble=trouble, undo=undo,
              undo_until_ms=console.clock.wall_ms() + console.settings.undo_ms)


@router.post("/letters/undo", dependencies=act)
async def undo(request: Request) -> Response:
    """Takes discards back."""
    console, person, form = console_of(request), person_of(request), await form_of(request)
    desk, chosen = await console.desk(), form.several("letter")
    still = [one for one in chosen if (await desk.get(one)).state == "discarded"]  # an edit is not to be undone by this
    done = await acts.several(console, still, "undo", person)
    text, trouble = _told(done, _DONE["undo"], others=len(chosen) - len(still))
    target = place(chosen[0]) if len(chosen) == 1 else "/queue"
    return go(console, person, target, text, trouble=trouble)


async def _replay(console: Console, person: Person, chosen: list[str], back: str) -> Response:
    try:
        started = await acts.start(console, chosen, person)
    except LetterError as error:
        return go(console, person, back, f"Nothing was replayed. {error}", trouble=True)
    left = f" {counted(len(started.refused), 'letter')} cannot be sent back now." if started.refused else ""
    target = f"/jobs/{started.jobs[0].id}" if len(started.jobs) == 1 else "/jobs"
    return go(console, person, target, f"{counted(len(started.jobs), 'replay job')} made.{left}", trouble=bool(left))


def _told(done: Several, word: str, others: int = 0) -> tuple[str, bool]:
    well = sum(one.done for one in done.results)
    failed = [one for one in done.results if not one.done]
    text = f"{counted(well, 'letter')} {word}."
    if failed:
        text += f" {counted(len(failed), 'letter')} not: {failed[0].why}"
    if others:
        text += f" {counted(others, 'letter')} had moved on."
    return text, bool(failed or others)
