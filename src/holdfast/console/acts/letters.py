# SPDX-License-Identifier: Apache-2.0
"""One letter. One that nobody has judged yet is the person's from their first act on; a service then lets it be.

version: the case's when it was looked at; one that has moved meanwhile is refused with CaseMoved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ...deadletters import people
from ...deadletters.desk import Actor, Case, Filter
from ...deadletters.people import FieldRule
from ...deadletters.service.entries import body_of
from ...errors import CaseMoved
from ..console import Console
from ..edits import edited
from ..roles import Person

#: Letters of a queue that are tried, of which others may take one first.
_TRIED = 20


def by(person: Person) -> Actor:
    """As the handling log names them."""
    return Actor(person.name, person=True)


async def _theirs(console: Console, letter_id: str, person: Person, version: int | None) -> Case:
    """A letter that waits for a person. Raises LetterNotFound, LetterError, CaseMoved."""
    desk = await console.desk()
    case = await people.claimed(desk, _as_seen(await desk.get(letter_id), version), by(person))
    people.check_waits(case)
    return case


def _as_seen(case: Case, version: int | None) -> Case:
    if version is not None and version != case.version:  # guard: nobody acts on what they have not seen
        raise CaseMoved(f"letter {case.letter_id} was changed by somebody while you looked at it: it is {case.state} "
                        "now", state=case.state)
    return case


async def assign(console: Console, letter_id: str, person: Person, assignee: str, *, version: int | None = None
                 ) -> Case:
    """Gives a letter to somebody; with "" to nobody."""
    case = await _theirs(console, letter_id, person, version)
    return await people.assign(await console.desk(), case, assignee, by(person))


async def take_next(console: Console, person: Person, wanted: Filter | None = None) -> Case | None:
    """Gives the letter that has waited longest and is nobody's to whoever asks; None when there is none."""
    desk = await console.desk()
    waiting = replace(wanted or Filter(), states=("manual",), assignee="")
    for case in await desk.find(waiting, newest_first=False, limit=_TRIED):
        try:
            return await people.assign(desk, case, person.name, by(person))
        except CaseMoved:  # somebody else took it
            continue
    return None


async def comment(console: Console, letter_id: str, person: Person, words: str) -> Case:
    """Says something about a letter, whatever its state."""
    desk = await console.desk()
    case = await desk.get(letter_id)
    await people.comment(desk, case, words, by(person))
    return case


async def edit(console: Console, letter_id: str, person: Person, body: bytes, *, version: int | None = None) -> Case:
    """Sends another body when the letter is replayed. Raises LetterError for one that its handler could not read."""
    seen = await (await console.desk()).get(letter_id)
    letter = await (await console.shelf(seen.logical, seen.group)).get(letter_id)
    case = await _theirs(console, letter_id, person, version)
    return await people.edit(await console.desk(), case, letter, body, by(person))


async def edit_text(console: Console, letter_id: str, person: Person, text: str, *, version: int | None = None) -> Case:
    """As ``edit``, from the text that the person sees, changed: what they left as it was shown stays as it was.

    Raises LetterError for a text that would send a mask for what it hides.
    """
    desk = await console.desk()
    case = await desk.get(letter_id)
    letter = await (await console.shelf(case.logical, case.group)).get(letter_id)
    now = (await desk.body(case.edited) if case.edited else None) or body_of(letter)
    body = await asyncio.to_thread(_meant, now, people.content_type_of(letter), text, person.role,
                                   console.settings.rules)
    return await edit(console, letter_id, person, body, version=version or case.version)


def _meant(now: bytes, kind: str, text: str, role: str, rules: Sequence[FieldRule]) -> bytes:
    return edited(now, kind, people.shown(now, kind, role, rules), text)


async def discard(console: Console, letter_id: str, person: Person, *, version: int | None = None) -> Case:
    """Throws a letter away. It can be taken back until ``due_ms`` of the case."""
    case = await _theirs(console, letter_id, person, version)
    return await people.discard(await console.desk(), case, by(person), undo_ms=console.settings.undo_ms)


async def undo(console: Console, letter_id: str, person: Person, *, version: int | None = None) -> Case:
    """Takes a discard back, or else an edit. Raises LetterError when there is nothing to undo."""
    desk = await console.desk()
    return await people.undo(desk, _as_seen(await desk.get(letter_id), version), by(person))
