# SPDX-License-Identifier: Apache-2.0
"""A store as the bytes of its sealed file, for somebody who follows it.

A follower has no key of its own for that: it takes bytes that nobody can read, and opens the copy like any store,
with the place that the primary said as its pin. A file grows at its end until it is written anew (compaction, a new
key); ``file`` is another one then, and the follower begins from its first byte.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import msgspec

from ..contract import SecretStore

#: Bytes in one answer, and of a file that is followed.
PIECE_MAX: Final = 4 << 20
COPY_MAX: Final = 1 << 30


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a store has come. store: its id. file: another one whenever the file was written anew. generation: only
    grows. link: hash of all that came before, in hexadecimal digits. size: bytes of the file up to here."""

    store: str
    file: str
    generation: int
    link: str
    size: int


class Piece(msgspec.Struct, frozen=True):
    """Bytes of the file from ``since`` on; more are to be had while they end before ``place.size``. since is 0 when the
    file is another one than that which was asked for."""

    place: Place
    since: int
    data: bytes


class Sealed(Protocol):
    """A store that can be followed."""

    def piece(self, file: str, since: int) -> Piece:
        """Bytes of the file and the place that they lead to, both of one moment; ``PIECE_MAX`` bytes at most."""
        ...


#: Opens a copy as a store that is only read, and sees that it holds up to that place. Raises SecretsDamaged.
Opener = Callable[[Path, Place], SecretStore]
