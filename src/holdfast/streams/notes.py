# SPDX-License-Identifier: Apache-2.0
"""Notes: what is remembered beside a pending entry between its attempts, as MessagePack with one-letter names.

The scripts read and write ``c`` (charged crashes) and ``s`` (suspect); the rest is ours alone. A note that cannot be
read counts as empty: it is advice, the pending list is the truth.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .._base.typed import msgpack_decoder
from ..consume.contract import Note

_DEATHS_MAX = 8


class _Packed(msgspec.Struct, omit_defaults=True):
    a: int = 0
    c: int = 0
    s: bool = False
    f: int = 0
    l: int = 0  # noqa: E741 - one letter a field; this is the last failure
    r: str = ""
    d: list[list[Any]] | dict[str, Any] = []  # Lua packs an empty list as an empty map
    k: list[str] | dict[str, Any] = []


_decoder = msgpack_decoder(_Packed, strict=False)
_encoder = msgspec.msgpack.Encoder()


def pack(note: Note) -> bytes:
    """A note as it lies in the hash."""
    return _encoder.encode(
        _Packed(note.attempts, note.crashes, note.suspect, note.first_failed_ms, note.last_failed_ms, note.reason,
                note.deaths[-_DEATHS_MAX:], note.links[-_DEATHS_MAX:])
    )


def unpack(raw: bytes) -> Note | None:
    """The note in ``raw``; None when there is none or it cannot be read."""
    if not raw:
        return None
    try:
        p = _decoder.decode(raw)
    except msgspec.MsgspecError:
        return None
    deaths = p.d if isinstance(p.d, list) else []
    links = p.k if isinstance(p.k, list) else []
    return Note(p.a, p.c, p.s, p.f, p.l, p.r, deaths, links)


def joined(own: Note | None, beside: Note | None) -> Note | None:
    """The note of an entry that brought one along (``own``) and has one lying beside it.

    What attempts leave beside it contains what it brought; a take-over leaves nothing but suspicion, charged or not.
    """
    if own is None or beside is None:
        return own or beside
    if beside.attempts or beside.deaths or beside.links or beside.reason:
        return beside
    own.crashes += beside.crashes
    own.suspect = beside.suspect
    return own
