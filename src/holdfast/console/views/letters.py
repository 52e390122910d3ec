# SPDX-License-Identifier: Apache-2.0
"""Dead letters at the desk: gathered, listed, one by one, and what was done with them."""

from __future__ import annotations

import asyncio

import msgspec

from ...deadletters.desk import Case, CaseGroup, Desk, Filter, Step
from ...deadletters.desk.log import Chosen, steps
from ...deadletters.letters import LetterInfo
from ...deadletters.people import comments, shown, view
from ...deadletters.people import queue as waiting
from ...deadletters.people.edit import content_type_of
from ...deadletters.service.entries import body_of
from ...errors import LetterNotFound
from ..acts.letters import by
from ..compare import difference
from ..console import Console
from ..roles import Person


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said."""

    at_ms: int
    person: str
    words: str


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A payload as a role may see it. cut: it goes on after ``text``; bytes: of the payload itself."""

    text: str
    cut: bool
    bytes: int


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """One letter with its log. body: as the role may see it; None when it is not on its shelf any more. edited: what is
    sent instead, None without an edit; diff: what it changes. body_max: characters after which a text is cut."""

    case: Case
    body: Text | None
    edited: Text | None
    content_type: str
    diff: str
    body_max: int
    steps: list[Step]
    comments: list[Comment]


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many letters."""

    letters: int


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A whole payload as a role may see it, to be kept as a file."""

    name: str
    text: str


async def groups(console: Console, wanted: Filter, limit: int) -> list[CaseGroup]:
    """By fingerprint, the largest first."""
    await console.taking_in.soon()
    return await (await console.desk()).groups(wanted, limit=limit)


async def letters(console: Console, wanted: Filter, limit: int, after: str) -> list[Case]:
    """A page, the latest first. after: the last letter of the page before."""
    await console.taking_in.soon()
    return await (await console.desk()).find(wanted, limit=limit, after=after)


async def count(console: Console, wanted: Filter) -> int:
    """How many letters there are."""
    await console.taking_in.soon()
    return await (await console.desk()).count(wanted)


async def queue(console: Console, assignee: str | None, limit: int) -> list[Case]:
    """What waits for a person, the oldest first."""
    return await waiting(await console.desk(), assignee=assignee, limit=limit)


async def log(console: Console, chosen: Chosen, limit: int) -> list[Step]:
    """The handling log: the last steps, oldest first."""
    return await steps(await console.desk(), chosen, limit=limit)


async def detail(console: Console, letter_id: str, person: Person) -> Detail:
    """One letter. Who looks at the payload is recorded first. Raises LetterNotFound."""
    desk, settings = await console.desk(), console.settings
    case = await _case(console, desk, letter_id)
    letter = await _letter(console, case)
    body = edited = None
    kind, diff = "", ""
    if letter is not None:
        kind = content_type_of(letter)
        now = await view(desk, letter, by(person), role=person.role, rules=settings.rules)
        body = _text(now, body_of(letter), settings.body_max)
        if sent := await desk.body(case.edited) if case.edited else None:
            then = await asyncio.to_thread(shown, sent, kind, person.role, settings.rules)
            edited = _text(then, sent, settings.body_max)
            diff = await asyncio.to_thread(difference, now, then, settings.body_max)
    said = [Comment(at_ms=at, person=who, words=words) for at, who, words in await comments(desk, letter_id)]
    return Detail(case=case, body=body, edited=edited, content_type=kind, diff=diff, body_max=settings.body_max,
                  steps=await desk.steps(letter_id), comments=said)


async def payload(console: Console, letter_id: str, person: Person, *, edited: bool = False) -> Whole:
    """The whole payload, or that of its edit, as the role may see it. The look is recorded. Raises LetterNotFound."""
    desk, rules = await console.desk(), console.settings.rules
    case = await desk.get(letter_id)
    letter = await _letter(console, case)
    if letter is None:
        raise LetterNotFound(f"letter {letter_id} is not on its shelf any more: it was replayed, discarded or trimmed")
    text = await view(desk, letter, by(person), role=person.role, rules=rules)
    if edited:
        sent = await desk.body(case.edited) if case.edited else None
        if sent is None:
            raise LetterNotFound(f"letter {letter_id} has no edit")
        text = await asyncio.to_thread(shown, sent, content_type_of(letter), person.role, rules)
    return Whole(name=f"letter-{_safe(letter_id)}{'-edited' if edited else ''}.txt", text=text)


async def _case(console: Console, desk: Desk, letter_id: str) -> Case:
    """Whoever follows a link may be the first to look."""
    try:
        return await desk.get(letter_id)
    except LetterNotFound:
        await console.taking_in.soon()
        return await desk.get(letter_id)


async def _letter(console: Console, case: Case) -> LetterInfo | None:
    try:
        return await (await console.shelf(case.logical, case.group)).get(case.letter_id)
    except LetterNotFound:
        return None


def _text(text: str, body: bytes, most: int) -> Text:
    return Text(text=text[:most], cut=len(text) > most, bytes=len(body))  # guard: no more than is stated


def _safe(letter_id: str) -> str:
    return "".join(c if (c.isalnum() and c.isascii()) or c in "-_." else "_" for c in letter_id)
