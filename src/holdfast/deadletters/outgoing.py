# SPDX-License-Identifier: Apache-2.0
"""What goes out when a letter is sent back, and the script that moves it. One letter or many: the same entries, the
same script.

The script takes any number of letters and moves each of them once, off its shelf and onto the group's replay stream in
the same step. Letters of one call lie on one shelf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from .._base.letter_lineage import resent
from .._base.letter_text import utf8
from .._base.message import F_IDENTITY, F_NOTE
from .._base.typed import from_json
from .._redis.scripts import load_script
from ..consume.contract import Note
from ..streams.notes import pack
from .letters import LetterInfo

if TYPE_CHECKING:
    from .._redis.errand import Arg
    from .._redis.keys import GroupKeys

REPLAY: Final = load_script("holdfast.deadletters", "replay")
#: Field of a redirected message that names the letter it came from.
F_LETTER: Final = b"hf:letter"


def entry_of(letter: LetterInfo, *, by: str, at_ms: int, prefix: str, job: str = "", body: bytes | None = None,
             redirect_to: str = "") -> list[bytes]:
    """The entry that goes out: the message, what names it elsewhere, and its lineage. at_ms: now, by this machine.

    body: sent in place of the message's. redirect_to: the stream it goes to, if that is not the group's own.
    """
    metadata, message = letter.metadata, list(letter.fields)
    if not letter.has_own_identity and (identity := letter.identity):
        message += (F_IDENTITY, utf8(identity))  # guard: identity survives the move
    if redirect_to:
        message += (F_LETTER, utf8(letter.id))
    if "letter-id" not in metadata:  # written by somebody else: it is known by its entry
        metadata = {**metadata, "letter-id": letter.id}
    return resent(metadata, message, by=by, at_ms=at_ms, job=job, edited_body=body, redirect_to=redirect_to,
                  prefix=prefix)


def links_of(trace_links: str | bytes) -> list[str]:
    """Places of the attempts that led to a letter: of its ``trace-links``."""
    try:
        return from_json(trace_links or "[]", list[str])
    except msgspec.MsgspecError:  # written by somebody else; a trace is no reason to refuse a replay
        return []


def noted(entry: list[bytes], links: Sequence[str]) -> list[bytes]:
    """The same, with what the next attempt links to."""
    return [*entry, F_NOTE, pack(Note(links=list(links)))] if links else entry


def names_of(keys: GroupKeys) -> tuple[bytes, ...]:
    """Keys of the script."""
    return keys.dead, keys.letters, keys.replay, keys.door


def part_of(letter_id: str, entry_id: str, entry: Sequence[bytes]) -> list[Arg]:
    """A letter's part of the script's arguments; the group's name goes before the first."""
    return [letter_id, entry_id, len(entry), *entry]


def calls_of(group: str, going: Iterable[tuple[str, str, Sequence[bytes]]], *, most: int, most_bytes: int
             ) -> list[list[Arg]]:
    """Arguments of as few calls as keep to so many letters and bytes each; a letter that is larger goes alone."""
    calls: list[list[Arg]] = []
    letters = size = 0
    for letter_id, entry_id, entry in going:
        weight = sum(map(len, entry))
        if not calls or letters == most or size + weight > most_bytes:
            calls.append([group])
            letters = size = 0
        calls[-1] += part_of(letter_id, entry_id, entry)
        letters, size = letters + 1, size + weight
    return calls
