# SPDX-License-Identifier: Apache-2.0
"""What messages are wrapped in for a packet: a checksum, compression, a compound.

::

    [ checksum [ compressed [ compound [ messages ]]]]

Any layer may be missing, and peers take them in any order but the checksum, which is outermost; so do we, up to a
depth. The bytes that all layers together may inflate to are one budget: a compound of compressed compounds is no way
round it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from ...errors import BadPacket
from ..messages import Message
from . import compound, lzw
from .codec import Type, decode
from .dialect import RAW, U8
from .form import Field, Form

DEPTH_MAX: Final = 4
#: Messages of one packet, over all its compounds: one compound has 255 at most, and peers nest none.
MESSAGES_MAX: Final = 1024
#: What a packet may inflate to. Peers build a packet for 1400 bytes, and compress it only if that makes it smaller.
PACKET_INFLATED_MAX: Final = 1 << 20
#: The same for a stream: as much as memberlist takes.
STREAM_INFLATED_MAX: Final = 40 << 20

_CHECKSUM: Final = 5


class _Compressed(msgspec.Struct, frozen=True, gc=False):
    algorithm: int
    data: bytes


_COMPRESSED: Final = Form(_Compressed, Field("Algo", "algorithm", U8), Field("Buf", "data", RAW))


class Unwrapped(NamedTuple):
    """What a packet held. refused: messages in it that were bad, one error each; the others count."""

    messages: list[Message]
    refused: list[BadPacket]


def compressed(data: bytes) -> bytes:
    """The data as a message that is compressed."""
    return bytes([Type.COMPRESS]) + _COMPRESSED.write(_Compressed(0, lzw.deflate(data)))


def inflated(body: bytes, most: int) -> bytes:
    """What a compressed message holds, given without its type byte. Raises BadPacket."""
    message = _COMPRESSED.all_of(body)
    return expand(message.algorithm, message.data, most)


def expand(algorithm: int, data: bytes, most: int) -> bytes:
    """The same for one whose map was read already."""
    if algorithm != 0:
        raise BadPacket(f"compressed by algorithm {algorithm}, and 0, LZW, is the only one", why="compression")
    return lzw.inflate(data, most)


def checksummed(data: bytes) -> bytes:
    """The data behind its CRC-32. Understood by members of protocol 5."""
    return bytes([Type.HAS_CRC]) + zlib.crc32(data).to_bytes(4, "big") + data


def unwrap(data: bytes) -> Unwrapped:
    """The messages of a packet that is not, or no longer, encrypted. Raises BadPacket when all of it is bad."""
    found = Unwrapped([], [])
    if data[:1] == b"\x0c":
        if len(data) < _CHECKSUM or zlib.crc32(data[_CHECKSUM:]).to_bytes(4, "big") != data[1:_CHECKSUM]:
            raise BadPacket("its checksum is another one", why="crc")
        data = data[_CHECKSUM:]
    budget = _Budget(PACKET_INFLATED_MAX)
    for part in _parts(data, budget, 0, found.refused):
        try:
            found.messages.append(decode(part))
        except BadPacket as error:
            found.refused.append(_bare(error))
    if found.refused and not found.messages:
        raise found.refused[0]
    return found


class _Budget:
    """Bytes that may still be inflated, and messages that may still come."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.messages = MESSAGES_MAX

    def split(self, body: bytes) -> list[bytes]:
        parts = compound.split(body)
        self.messages -= len(parts)
        if self.messages < 0:  # guard: messages. Compounds in compounds are no way to more of them
            raise BadPacket(f"more than {MESSAGES_MAX} messages in one packet", why="large")
        return parts

    def inflated(self, body: bytes) -> bytes:
        try:
            found = inflated(body, self.left)
        except BadPacket as error:
            if error.why == "large":
                self.left = 0  # guard: trying. Or each of two hundred more inflates up to the limit in vain
            raise
        self.left -= len(found)  # guard: budget. One for all layers of a packet
        return found


def _bare(error: BadPacket) -> BadPacket:
    """Without its traceback and its context's, which keep all that was inflated for as long as the error is kept."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)  # guard: tracebacks


def _parts(data: bytes, budget: _Budget, depth: int, refused: list[BadPacket]) -> Iterator[bytes]:
    if data[:1] not in (b"\x07", b"\x09"):
        yield data
        return
    if depth == DEPTH_MAX:
        refused.append(BadPacket(f"wrapped more than {DEPTH_MAX} times", why="deep"))
        return
    try:
        inner = budget.split(data[1:]) if data[0] == Type.COMPOUND else [budget.inflated(data[1:])]
    except BadPacket as error:
        refused.append(_bare(error))
        return
    for part in inner:
        yield from _parts(part, budget, depth + 1, refused)
