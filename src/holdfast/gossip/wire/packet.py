# SPDX-License-Identifier: Apache-2.0
"""A packet, from messages to the bytes of a datagram and back.

::

    [ label ] ( plain │ encrypted ( [ checksum ] [ compressed ] compound or message ))

How a cluster frames its traffic is one frozen value, ``Framing``; keys change under way, so the keyring in it is asked
anew for each packet. Nonces come from whoever sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...errors import BadPacket, ConfigurationError
from ..messages import Message
from . import compound, label, seal, wrapping
from .codec import encode

Nonce = Callable[[], bytes]


class Keys(Protocol):
    """What framing wants of a keyring: every key opens, the first seals."""

    @property
    def keys(self) -> Sequence[seal.Key]:
        """All of them, the primary one first; at least one."""
        ...


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How packets and streams of one cluster are framed.

    label: which cluster; empty: none, and packets that carry one are refused.
    keys: None: nothing is encrypted.
    verify_incoming: with keys, what is not encrypted is refused. False takes packets as plain when no key opens them:
    for a cluster on its way to encryption, and not longer, since anybody may then write.
    verify_outgoing: with keys, what is sent is encrypted. False for the same way.
    compress: True makes packets smaller where it can; price: some 0.2 ms of CPU for each.
    version: of encryption; 0 only for members of protocol 1.
    """

    label: bytes = b""
    keys: Keys | None = None
    verify_incoming: bool = True
    verify_outgoing: bool = True
    compress: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        label.checked(self.label)
        if self.version not in seal.OVERHEAD:
            raise ConfigurationError("encryption has the versions 0 and 1")

    @property
    def overhead(self) -> int:
        """Bytes that framing adds to a packet at most, checksum included, compression left out."""
        added = len(self.label) + 2 if self.label else 0
        return added + 5 + (seal.OVERHEAD[self.version] if self.sealing else 0)

    @property
    def sealing(self) -> bool:
        """Is what is sent encrypted?"""
        return self.keys is not None and self.verify_outgoing

    def packet(self, body: bytes, nonce: Nonce, *, checksum: bool = False) -> bytes:
        """A datagram of a body that ``compound.join`` made, or of one encoded message.

        checksum: for receivers of protocol 5 alone; the others do not understand it.
        """
        if self.compress:
            smaller = wrapping.compressed(body)
            body = smaller if len(smaller) < len(body) else body
        if checksum:
            body = wrapping.checksummed(body)
        if self.keys is not None and self.verify_outgoing:
            body = seal.seal(self.keys.keys[0], body, nonce=nonce(), associated=self.label, version=self.version)
        return label.put(self.label, body)

    def packets(self, messages: Sequence[Message], nonce: Nonce, *, checksum: bool = False) -> list[bytes]:
        """The fewest datagrams that carry these messages, whatever their size: who has a budget counts before."""
        return [self.packet(body, nonce, checksum=checksum)
                for body in compound.join([encode(message) for message in messages])]

    def messages(self, data: bytes) -> wrapping.Unwrapped:
        """What a datagram holds. Raises BadPacket; a bad message among good ones is named beside them."""
        body = label.take(self.label, data)
        return wrapping.unwrap(self._opened(body))

    def _opened(self, body: bytes) -> bytes:
        if self.keys is None:
            return body
        try:
            return seal.unseal(self.keys.keys, body, associated=self.label)
        except BadPacket:
            if self.verify_incoming:  # guard: plain packets. With keys, nobody without one is heard
                raise
            return body
