# SPDX-License-Identifier: Apache-2.0
"""Many letters at once, each by itself: one that cannot be dealt with is said, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import msgspec

from ...deadletters.desk import Case, Filter
from ...errors import HoldfastError, ServerUnreachable
from ..console import Console
from ..roles import Person
from .letters import assign, comment, discard, undo

#: Letters of one request, and of those at a time.
SEVERAL_MAX: Final = 1_000
AT_ONCE: Final = 50

Act = Literal["assign", "comment", "discard", "undo"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one letter. state: its own now, empty where that is not known; why: it was not done."""

    letter_id: str
    done: bool
    state: str = ""
    why: str = ""


class Several(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each. more: how many a filter chose beyond those."""

    results: list[Result]
    more: int = 0


async def chosen(console: Console, which: Sequence[str] | Filter, most: int) -> tuple[list[str], int]:
    """The letters that are meant, the oldest first, and how many more there are."""
    if not isinstance(which, Filter):
        ids = list(dict.fromkeys(which))
        return ids[:most], max(0, len(ids) - most)
    desk = await console.desk()
    found = await desk.find(which, newest_first=False, limit=most)
    return [case.letter_id for case in found], max(0, await desk.count(which) - len(found))


async def several(console: Console, which: Sequence[str] | Filter, act: Act, person: Person, *, assignee: str = "",
                  words: str = "") -> Several:
    """Does it with each of these: by id, or all that a filter chooses, at most ``SEVERAL_MAX``.

    Raises ServerUnreachable when the desk is away; those that were done until then are done.
    """
    ids, more = await chosen(console, which, SEVERAL_MAX)
    done: Callable[[str], Awaitable[Case]] = {
        "assign": lambda letter_id: assign(console, letter_id, person, assignee),
        "comment": lambda letter_id: comment(console, letter_id, person, words),
        "discard": lambda letter_id: discard(console, letter_id, person),
        "undo": lambda letter_id: undo(console, letter_id, person),
    }[act]
    results: list[Result] = []
    for at in range(0, len(ids), AT_ONCE):  # what is asked for at the same time shares a commit
        results += await asyncio.gather(*(_one(letter_id, done) for letter_id in ids[at:at + AT_ONCE]))
    return Several(results=results, more=more)


async def _one(letter_id: str, done: Callable[[str], Awaitable[Case]]) -> Result:
    try:
        case = await done(letter_id)
    except ServerUnreachable:
        raise
    except HoldfastError as error:
        return Result(letter_id=letter_id, done=False, state=getattr(error, "state", ""), why=str(error))
    return Result(letter_id=letter_id, done=True, state=case.state)
