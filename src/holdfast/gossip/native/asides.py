# SPDX-License-Identifier: Apache-2.0
"""What the defences of two members tell each other, by sealed streams of their own.

::

    proof                                                    two letters under one number, and the key that signed them
    look ─▶ view    fetch ─▶ entries                         who is there, as each of the two sees it
    audit ─▶ digest    pull ─▶ gave                          letters that one has and the other may have missed

Whoever opens the stream asks, twice at most, and learns; the other one answers and learns nothing, so that nobody has
to be believed but for a signature: views and letters carry their own.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket
from ..defence.views import BUCKETS
from ..messages import User

#: Ids in a digest, of a pull, and proofs that are asked for at once.
DIGEST_MAX: Final = 4096
PULL_MAX: Final = 1024
NAMES_MAX: Final = 64
PROOFS_MAX: Final = 8

_Id: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _Word(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    pass


class Proof(_Word, frozen=True, tag=1):
    """data: as ``equivocation.encode`` has it. shown: the message that shows the signer's key; empty: there is none."""

    data: bytes
    shown: bytes = b""


class Look(_Word, frozen=True, tag=2):
    """Show who is there."""


class View(_Word, frozen=True, tag=3):
    """data: a signed view."""

    data: bytes


class Fetch(_Word, frozen=True, tag=4):
    """The entries of these buckets of the view that was shown."""

    buckets: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, lt=BUCKETS)], ...], msgspec.Meta(max_length=BUCKETS)]


class Entries(_Word, frozen=True, tag=5):
    """data: as ``views.encode_entries`` has them."""

    data: bytes


class Audit(_Word, frozen=True, tag=6):
    """Tell what was heard lately."""


class Digest(_Word, frozen=True, tag=7):
    """ids: of events, each with when it was signed, in ms. convicted: hashes of the names of those with a proof against
    them."""

    ids: Annotated[tuple[tuple[_Id, _Number], ...], msgspec.Meta(max_length=DIGEST_MAX)]
    convicted: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=NAMES_MAX)]


class Pull(_Word, frozen=True, tag=8):
    """Give these events, and the proofs against these."""

    ids: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=PULL_MAX)]
    convicted: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=PROOFS_MAX)]


class Gave(_Word, frozen=True, tag=9):
    """letters: signed messages, byte for byte."""

    letters: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=PULL_MAX)]
    proofs: Annotated[tuple[Proof, ...], msgspec.Meta(max_length=PROOFS_MAX)]


Word: TypeAlias = Proof | Look | View | Fetch | Entries | Audit | Digest | Pull | Gave


class Aside(User, frozen=True):
    """A stream between defences, as it was read. payload: a ``Word``."""

    def word(self) -> Word:
        """What it says. Raises BadPacket."""
        try:
            found: Word = from_msgpack(self.payload, Word)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadPacket(f"not a word between defences: {error}", why="type") from None
        return found


def encode(word: Word) -> bytes:
    """The bytes."""
    return msgspec.msgpack.encode(word)
