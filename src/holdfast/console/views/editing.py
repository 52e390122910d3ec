# SPDX-License-Identifier: Apache-2.0
"""A letter's body for whoever edits it: the one that would be sent as things stand, with what is hidden from them."""

from __future__ import annotations

import asyncio

import msgspec

from ...deadletters.desk import Case
from ...deadletters.people import content_type_of, shown, view
from ...deadletters.service.entries import body_of
from ...errors import LetterError, LetterNotFound
from ..acts.letters import by
from ..console import Console
from ..diffs import SideBySide, side_by_side
from ..edits import Draft, draft, edited, line_ends
from ..roles import Person


class Editing(msgspec.Struct, frozen=True, kw_only=True):
    """body: that would be sent, edited before or not. seen: as the role may see it. draft: as it may be edited."""

    case: Case
    body: bytes
    content_type: str
    seen: str
    draft: Draft


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """An edit before it is kept. body: what it means; none when ``why_not`` says why it means nothing."""

    diff: SideBySide
    body: bytes
    why_not: str = ""


async def editing(console: Console, letter_id: str, person: Person) -> Editing:
    """The look is recorded. Raises LetterNotFound when the letter is not on its shelf any more."""
    desk, rules = await console.desk(), console.settings.rules
    case = await desk.get(letter_id)
    letter = await (await console.shelf(case.logical, case.group)).get(letter_id)
    kind, seen, body = content_type_of(letter), await view(desk, letter, by(person), role=person.role, rules=rules), \
        body_of(letter)
    if case.edited:
        sent = await desk.body(case.edited)
        if sent is None:
            raise LetterNotFound(f"the edit of letter {letter_id} is not kept any more: undo it first")
        body, seen = sent, await asyncio.to_thread(shown, sent, kind, person.role, rules)
    made = await asyncio.to_thread(draft, body, kind, seen)
    return Editing(case=case, body=body, content_type=kind, seen=seen, draft=made)


async def preview(console: Console, now: Editing, text: str, person: Person) -> Preview:
    """What a text would change, as the role may see it."""
    return await asyncio.to_thread(_preview, console, now, text, person)


def _preview(console: Console, now: Editing, text: str, person: Person) -> Preview:
    try:
        body = edited(now.body, now.content_type, now.seen, line_ends(text, now.body))
    except LetterError as error:
        return Preview(diff=SideBySide(rows=[], changed=0, more=0), body=b"", why_not=str(error))
    then = shown(body, now.content_type, person.role, console.settings.rules)
    return Preview(diff=side_by_side(now.seen, then), body=body)
