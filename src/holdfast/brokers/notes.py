# SPDX-License-Identifier: Apache-2.0
"""Notes as they travel with a message to where it waits: MessagePack with names. Pure.

A note that cannot be read counts as empty: it is advice, the message is the truth.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .._base.typed import msgpack_decoder
from ..consume.contract import Note

#: Rows of ``deaths`` and places in ``links`` that travel.
ROWS_MAX: Final = 8
_decoder: Final = msgpack_decoder(Note)


def pack(note: Note) -> bytes:
    """A note as it travels."""
    kept = Note(note.attempts, note.crashes, note.suspect, note.first_failed_ms, note.last_failed_ms, note.reason,
                note.deaths[-ROWS_MAX:], note.links[-ROWS_MAX:])
    return msgspec.msgpack.encode(kept)


def unpack(raw: bytes) -> Note | None:
    """The note in ``raw``; None when there is none, or it cannot be read."""
    if not raw:
        return None
    try:
        return _decoder.decode(raw)
    except msgspec.MsgspecError:
        return None


__all__ = ["pack", "unpack"]
