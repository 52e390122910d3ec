# SPDX-License-Identifier: Apache-2.0
"""Removing letters for good. What is removed is told as an event, which sinks may keep: nothing goes silently."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .._base import events as ev
from .._redis.scripts import load_script
from .letters import Choice, LetterInfo
from .shelf import Shelf

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys

_DISCARD = load_script("holdfast.deadletters", "discard")


class Discarded(ev.OfGroup, frozen=True, kw_only=True):
    """A person removed a dead letter. ``why``: in their words."""

    letter_id: str
    message_id: str
    reason: str
    by: str
    why: str
    level: int = logging.WARNING


async def remove(shelf: Shelf, keys: GroupKeys, letter: LetterInfo) -> bool:
    """Takes a letter off its stream and its index in one step; False when it was gone."""
    return bool(await shelf.link(keys).run(_DISCARD, (keys.dead, keys.letters), (letter.id, letter.entry_id)))


async def discard(shelf: Shelf, letter: LetterInfo, *, by: str, why: str, events: ev.Events | None = None) -> bool:
    """Removes one letter for good and says so; False when it was gone."""
    removed = await _removed(shelf, letter)
    if removed and events is not None:
        events.emit(Discarded(stream=letter.stream, group=letter.group, letter_id=letter.id,
                              message_id=letter.message_id, reason=letter.reason, by=by, why=why))
    return removed


async def _removed(shelf: Shelf, letter: LetterInfo) -> bool:
    """Wherever it lies: one script on Redis, its own step elsewhere."""
    own = getattr(shelf, "removed", None)
    if own is not None:
        return bool(await own(letter))
    keys = next(keys for keys in await shelf.keys() if keys.stream == letter.stream)
    return await remove(shelf, keys, letter)


async def discard_many(shelf: Shelf, choice: Choice, *, by: str, why: str, limit: int | None = None,
                       events: ev.Events | None = None) -> AsyncIterator[LetterInfo]:
    """Removes all chosen letters that are there now, oldest first; gives each that it removed."""
    async for letter in shelf.letters(choice, until_ms=await shelf.now_ms(), limit=limit):
        if await discard(shelf, letter, by=by, why=why, events=events):
            yield letter
