# SPDX-License-Identifier: Apache-2.0
"""How what members tell each other becomes bytes, and back: the one place where the modes of a cluster differ.

A ``Voice`` is asked for each datagram and each stream, with the peer it goes to or came from. It opens no socket and
holds no timers. ``SharedVoice`` is memberlist's: a label, keys that all members share, or nothing at all.

::

    shell ── messages, peer ──▶ Voice.packets ──▶ datagrams          Voice.stream ──▶ all bytes of one direction
    shell ◀── messages, refused ── Voice.heard ◀── a datagram        Voice.reader ──▶ Reader.feed(bytes as they come)
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ..messages import Address, Message
from ..wire import Framing, StreamReader, Unwrapped, encode, join, write
from ..wire.packet import Nonce

#: From this version of memberlist's protocol on a member understands checksums of packets.
CHECKSUM_PROTOCOL: Final = 5
#: Bytes of a random nonce.
NONCE: Final = 12


class Peer(NamedTuple):
    """Whom it is for, or from: where, and as far as that is known, who. protocol: the latest version of memberlist's
    protocol that it understands; 0: not known."""

    address: Address
    node: str = ""
    protocol: int = 0


class Reader(Protocol):
    """One direction of one stream."""

    @property
    def wanted(self) -> int:
        """How many more bytes have to come before anything can be said."""
        ...

    def feed(self, data: bytes) -> Message | None:
        """The message once it is there, None before. Raises BadPacket; the stream is of no use then."""
        ...


class Voice(Protocol):
    """See above. Called on the event loop, ``stream`` and ``Reader.feed`` in a thread too, never two at once for one
    stream."""

    def weigh(self, message: Message) -> int:
        """Bytes of a message in a packet, its type included and the packet's envelope left out: the core fills packets
        by it."""
        ...

    def packets(self, messages: Sequence[Message], to: Peer) -> list[bytes]:
        """The fewest datagrams that carry these messages."""
        ...

    def heard(self, data: bytes, source: Peer) -> Unwrapped:
        """What a datagram holds. Raises BadPacket when all of it is bad; bad messages among good ones are named beside
        them."""
        ...

    def stream(self, message: Message, to: Peer) -> bytes:
        """All bytes of one direction of a stream: one message."""
        ...

    def reader(self, source: Peer) -> Reader:
        """Reads one direction of a stream."""
        ...


def random_nonce() -> bytes:
    """12 bytes of the operating system's."""
    return secrets.token_bytes(NONCE)


@dataclass(frozen=True)
class SharedVoice:
    """memberlist's, byte for byte: whoever has a key may say anything in anybody's name.

    checksums: packets for members that understand them carry a CRC-32, as memberlist's do. nonce: 12 bytes, never the
    same twice under one key.
    """

    framing: Framing
    checksums: bool = True
    nonce: Nonce = random_nonce

    def weigh(self, message: Message) -> int:
        return len(encode(message))

    def packets(self, messages: Sequence[Message], to: Peer) -> list[bytes]:
        checksum = self.checksums and to.protocol >= CHECKSUM_PROTOCOL
        return [self.framing.packet(body, self.nonce, checksum=checksum) for body in join([*map(encode, messages)])]

    def heard(self, data: bytes, source: Peer) -> Unwrapped:
        return self.framing.messages(data)

    def stream(self, message: Message, to: Peer) -> bytes:
        return write(message, self.framing, self.nonce)

    def reader(self, source: Peer) -> Reader:
        return StreamReader(self.framing)
