# SPDX-License-Identifier: Apache-2.0
"""What is signed or hashed here, as bytes that can be read in one way only.

Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ, and everything by the name of what it
is, so that a signature under one kind of statement is none under another (domain separation).
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket

T = TypeVar("T")


def read(data: bytes, kind: type[T], most: int, what: str) -> T:
    """A record of the wire (msgpack). Raises BadPacket for whatever else it is, and for more than ``most`` bytes."""
    if len(data) > most:
        raise BadPacket(f"{what} has {most} bytes at most; this has {len(data)}", why="large")
    try:
        return from_msgpack(data, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # text that is none; arrays without end
        raise BadPacket(f"this is no {what.removeprefix('a ')}: {error}") from None


def framed(domain: str, *parts: bytes | str | int) -> bytes:
    """The parts under their domain. Text as UTF-8 with surrogates kept, as node names have them; numbers as 8 bytes,
    so 0 to 2⁶⁴ - 1. Raises OverflowError beyond."""
    out = [domain.encode(), b"\0"]
    for part in parts:
        raw = part if isinstance(part, bytes) else encoded(part) if isinstance(part, str) else part.to_bytes(8, "big")
        out += [len(raw).to_bytes(4, "big"), raw]
    return b"".join(out)


def digest(domain: str, *parts: bytes | str | int) -> bytes:
    """SHA-256 of that, 32 bytes."""
    return hashlib.sha256(framed(domain, *parts)).digest()


def encoded(name: str) -> bytes:
    """A node's name as it stands on the wire."""
    return name.encode("utf-8", "surrogateescape")


def decoded(name: bytes) -> str:
    """The name that stands so on the wire."""
    return name.decode("utf-8", "surrogateescape")
