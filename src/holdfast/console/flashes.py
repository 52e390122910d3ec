# SPDX-License-Identifier: Apache-2.0
"""What the next page says about what was just done: kept here, found by a cookie, said once.

It is not in the URL, where it could be bookmarked, sent, or written by somebody else.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final, Literal

import msgspec

from .._base.clock import Clock

#: Kept at once; the oldest gives way. And for how long, in seconds.
NOTES_MAX: Final = 1_000
KEPT_S: Final = 120.0


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is said. kind: done, or trouble. undo: letters whose discard can be taken back until ``undo_until_ms``."""

    text: str
    kind: Literal["done", "trouble"] = "done"
    undo: tuple[str, ...] = ()
    undo_until_ms: int = 0


class Flashes:
    """Those of all people."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[str, float, Note]] = OrderedDict()

    def leave(self, name: str, note: Note) -> str:
        """Keeps it for whoever is called so; gives the cookie's value."""
        token = secrets.token_urlsafe(16)
        self._kept[token] = (name, self._clock.now(), note)
        if len(self._kept) > NOTES_MAX:
            self._kept.popitem(last=False)
        return token

    def taken(self, token: str, name: str) -> Note | None:
        """It, once; None for none, for somebody else's, and for an old one."""
        owner, at, note = self._kept.get(token, ("", 0.0, None))
        if note is None or owner != name:  # guard: said to whom it was left for
            return None
        del self._kept[token]
        return note if self._clock.now() - at <= KEPT_S else None
