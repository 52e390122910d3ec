# SPDX-License-Identifier: Apache-2.0
"""Dead letters at a broker, as whoever looks after them sees them.

Where burying is at least once, a letter may lie there twice. It is known by its letter id, which follows from where its
message came from and from the message's id; so what is read is told apart here, once for all brokers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from .._base.letter_text import ms_of, readable, utf8


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A letter where it lies. place: ``ms-n``, when it was buried and where in line; handles: the broker's own, of each
    copy. fields: flat, metadata and message."""

    place: str
    handles: tuple[Any, ...]
    fields: list[bytes]


class Box(Protocol):
    """The dead letters of one group."""

    async def make(self) -> None:
        """Sees to it that there is a place for them, where no consumer of the group has made it."""
        ...

    def held(self, most: int | None = None) -> AbstractAsyncContextManager[Sequence[Kept]]:
        """All of them, or ``most`` at most; the oldest first, each once; nobody else reads them while the block
        lasts."""
        ...

    async def mark(self) -> object:
        """What is the same again while nothing was added or removed, asked cheaply; None: that is not known."""
        ...

    async def post(self, entry: Sequence[bytes]) -> bytes:
        """Puts ``entry`` where its group alone takes it, and leaves letters as they are. Returns when the broker has it
        for good. Answers its id."""
        ...

    async def send_back(self, kept: Kept, entry: Sequence[bytes]) -> bytes:
        """Inside ``held``: puts ``entry`` where its group alone takes it, then removes the letter. Answers its id."""
        ...

    async def remove(self, kept: Kept) -> None:
        """Inside ``held``: removes the letter, with its copies."""
        ...

    async def remove_all(self, kept: Sequence[Kept]) -> None:
        """The same with several, in one go."""
        ...

    async def bury(self, fields: Sequence[bytes], letter_id: str) -> None:
        """Another letter, from elsewhere. Returns when the broker has it for good."""
        ...


def told_apart(found: Iterable[tuple[Any, str, list[bytes]]], prefix: str) -> list[Kept]:
    """Letters (handle, letter id, fields), each once, in order. The first copy counts; all handles go along. One
    without an id was written by somebody else, and is like no other."""
    by_id: dict[str, int] = {}
    kept: list[Kept] = []
    for n, (handle, letter_id, fields) in enumerate(found):
        known_by = letter_id or _value(fields, prefix + "letter-id")
        if known_by and known_by in by_id:  # guard: one record a letter
            at = by_id[known_by]
            kept[at] = msgspec.structs.replace(kept[at], handles=(*kept[at].handles, handle))
            continue
        by_id[known_by] = len(kept)
        kept.append(Kept(place=f"{_ms(_value(fields, prefix + 'burial-timestamp'))}-{n}", handles=(handle,),
                         fields=fields))
    return kept


def _value(fields: Sequence[bytes], name: str) -> str:
    raw = utf8(name)
    return readable(fields[list(fields[::2]).index(raw) * 2 + 1]) if raw in fields[::2] else ""


def _ms(text: str) -> int:
    return max(0, ms_of(text) or 0)


__all__ = ["Box", "Kept", "told_apart"]
