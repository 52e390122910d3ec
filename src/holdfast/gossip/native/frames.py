# SPDX-License-Identifier: Apache-2.0
"""Datagrams and streams of a native cluster as bytes.

::

    datagram   f4 │ label u8+n │ sealed ( 0 │ parts )                      part: length u16 │ kind u8 │ bytes
    stream     f4 │ label u8+n │ kind u8 │ length u32 │ body
                    kind 1: sealed ( 1 │ exchange, 2 │ part, 3 │ word between defences )
                     kind 2: about keys      kind 3: a step of a join

The label stands before all, so that what another cluster sends is refused by its name, and is bound to what is sealed.
Kinds 2 and 3 are not sealed: whoever says them may have no key yet. They carry what is signed, or sealed to one node.
What a datagram and a stream seal begin with different bytes, so that neither is taken for the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket
from ..messages import User
from ..wire import label as labels

#: What is sealed begins so.
DATAGRAM: Final = 0
EXCHANGE: Final = 1
ALONE: Final = 2
ASIDE: Final = 3

#: Kinds of parts: a message that needs no proof, one that carries it, a question for a key; accusations, which carry
#: their accusers' signatures, and the wish that a member look for itself.
PLAIN: Final = 0
SIGNED: Final = 1
ASK: Final = 2
ACCUSED: Final = 3
SOLICITED: Final = 4

#: Kinds of streams.
SEALED: Final = 1
KEYS: Final = 2
JOIN: Final = 3

#: Bytes of a sealed stream, and of one that is not: nobody has been believed then.
SEALED_MAX: Final = 20 << 20
OPEN_MAX: Final = 2 << 20
PART_MAX: Final = 0xFFFF
PARTS_MAX: Final = 1024
_PART: Final = struct.Struct(">HB")
_HEAD: Final = struct.Struct(">BI")
_MOST: Final = {SEALED: SEALED_MAX, KEYS: OPEN_MAX, JOIN: OPEN_MAX}


class Part(NamedTuple):
    """One message of a datagram."""

    kind: int
    data: bytes


class Word(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Something about keys. peer: the id of the node that says it; nothing vouches for that."""

    peer: str
    data: bytes


class KeyWord(User, frozen=True):
    """A stream about keys, as it was read. payload: a ``Word``."""

    def word(self) -> Word:
        """What it says. Raises BadPacket."""
        try:
            return from_msgpack(self.payload, Word)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadPacket(f"not a word about keys: {error}") from None


class Knock(User, frozen=True):
    """A step of a join, as it was read."""


def joined(parts: Iterable[Part]) -> bytes:
    """What a datagram seals. ValueError for a part that is too large."""
    found = [bytes([DATAGRAM])]
    for kind, data in parts:
        if len(data) > PART_MAX:
            raise ValueError(f"a message of more than {PART_MAX} bytes does not fit into a datagram")
        found += (_PART.pack(len(data), kind), data)
    return b"".join(found)


def split(data: bytes) -> Iterator[Part]:
    """The parts of what a datagram sealed. Raises BadPacket."""
    if data[:1] != bytes([DATAGRAM]):
        raise BadPacket("what a datagram holds is no datagram's", why="type")
    at, count = 1, 0
    while at < len(data):
        count += 1
        if at + _PART.size > len(data) or count > PARTS_MAX:
            raise BadPacket("a datagram ends within a message, or has too many", why="short")
        size, kind = _PART.unpack_from(data, at)
        at += _PART.size
        if at + size > len(data):
            raise BadPacket("a datagram ends within a message", why="short")
        yield Part(kind, data[at:at + size])
        at += size


def stream(label: bytes, kind: int, body: bytes) -> bytes:
    """All bytes of one direction of a stream."""
    return labels.put(label, _HEAD.pack(kind, len(body)) + body)


class Incoming:
    """Bytes of a stream, until all of it is there. ``feed`` raises BadPacket as soon as it can be nothing of ours."""

    def __init__(self, label: bytes) -> None:
        self._prefix = labels.put(label, b"")
        self._data = bytearray()
        self._head = len(self._prefix) + _HEAD.size
        self.wanted = self._head

    def feed(self, data: bytes) -> tuple[int, bytes] | None:
        """Kind and body; None while it is not there as a whole."""
        self._data += data
        begins = bytes(self._data[:len(self._prefix)])
        if begins != self._prefix[:len(begins)]:  # guard: labels. A stream of another cluster ends here
            raise BadPacket("a stream of another cluster, or of none", why="label")
        size = self._head
        if len(self._data) >= size:
            kind, length = _HEAD.unpack_from(self._data, len(self._prefix))
            if kind not in _MOST:
                raise BadPacket(f"a stream of kind {kind}, which nobody knows", why="type")
            if length > _MOST[kind]:  # guard: announced. Refused before a byte of it is kept
                raise BadPacket(f"{length} bytes are announced, and {_MOST[kind]} are the most", why="large")
            size += length
        self.wanted = max(0, size - len(self._data))
        if self.wanted or size == self._head:
            return None
        return kind, bytes(self._data[self._head:size])
