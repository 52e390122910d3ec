# SPDX-License-Identifier: Apache-2.0
"""Records are read one after the other, each in its place; and a file is judged by what was pinned of it.

::

    pinned 7                              the file stands at 7 or later, with the same link at 7     opened
    pinned 7                              it stands at 6                                             an old copy
    pinned 7                              another link at 7                                          another's history
    nothing pinned                        opened, and pinned

A file that was written anew does not have the records before. Its header says what it follows on; a pin that is older
still is taken, since nobody without the root key makes a file that is ahead.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum

from . import entries
from .form import Head, Header, Unfit, next_link, read_record, unfill
from .keys import Keys
from .state import Holding


class Tail(Enum):
    """What comes after the last record that holds."""

    NONE = "none"
    #: A record that is not all there: of a writer that was killed, or whose machine was.
    SHORT = "short"
    #: The last record does not open: of a machine that lost its power, or changed.
    UNSURE = "unsure"
    #: What does not open, and more comes after it.
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class End:
    """Where reading ended. offset: in the file; watched: the link at the generation that was asked for."""

    offset: int
    number: int
    link: bytes
    tail: Tail = Tail.NONE
    watched: bytes | None = None


def replay(data: memoryview, header: Header, keys: Keys, holding: Holding, end: End, *, watch: int = -1) -> End:
    """Applies what follows ``end``; ``data`` begins there. watch: a generation."""
    origin, at, number, link, tail = end.offset, 0, end.number, end.link, Tail.NONE
    watched = link if watch == header.base + number else None
    while at < len(data):
        record = None
        try:
            record = read_record(data, at, origin)
            if record is None:
                tail = Tail.SHORT
                break
            covered = record.lengths + record.digest
            entry = entries.decode(unfill(keys.open_entry(record.nonce, record.sealed, number + 1, link, covered)))
        except Unfit:
            last = record is not None and record.end - origin == len(data)
            tail = Tail.UNSURE if last else Tail.BAD
            break
        holding.apply(entry, (record.offset, record.size))
        number, link, at = number + 1, next_link(link, record), record.end - origin
        if watch == header.base + number:
            watched = link
    return End(origin + at, number, link, tail, watched)


def head_of(header: Header, end: End) -> Head:
    """Where the vault stands."""
    return Head(header.base + end.number, end.link)


def unfit(header: Header, end: End, pinned: Head | None) -> str:
    """Why the file is not taken; empty: it is. ``end`` was reached watching the pinned generation."""
    head = head_of(header, end)
    if end.number < header.least:
        return "records are missing, or were changed"
    if pinned is not None:
        if pinned.generation > head.generation:  # guard: an old copy
            return (f"it stands at generation {head.generation}, and {pinned.generation} was reached: records were "
                    "changed, or an older copy was put back")
        expected = end.watched
        if pinned.generation == header.follows.generation:
            expected = header.follows.link
        if pinned.generation >= header.follows.generation and (
                expected is None or not hmac.compare_digest(expected, pinned.link)):  # guard: another history
            return (f"its history is another one from generation {pinned.generation} on: it is a copy that went its "
                    "own way")
    told = pinned is None or not pinned.same(head)
    if end.tail is Tail.BAD or (end.tail is Tail.UNSURE and told):  # guard: dropped only if nobody was told
        return "a record was changed"
    return ""
