# SPDX-License-Identifier: Apache-2.0
"""Encryption of packets and streams: AES-GCM under keys that all members share.

::

    version u8 │ nonce, 12 bytes │ ciphertext │ tag, 16 bytes

Version 1 adds 29 bytes. Version 0 pads to whole blocks first (PKCS #7) and adds up to 45; members of protocol 1 write
it, everybody reads both. A receiver cannot tell an encrypted packet from a plain one, since 0 and 1 are types of
messages too: which one it takes is a setting.

Whoever seals brings the nonce: 12 random bytes, never the same twice under one key. Random ones are good for 2³²
packets of a whole cluster under one key (NIST SP 800-38D, 8.3), so keys count what they seal. Source:
github.com/hashicorp/memberlist, security.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ...errors import BadPacket

NONCE: Final = 12
TAG: Final = 16
BLOCK: Final = 16
#: The least that a version adds.
OVERHEAD: Final = {0: 1 + NONCE + BLOCK + TAG, 1: 1 + NONCE + TAG}


class Key(Protocol):
    """A key as ``keys`` keeps it."""

    def seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Ciphertext and tag."""
        ...

    def open(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
        """What was sealed; None when it was not by this key, or was changed since."""
        ...


def sealed_size(size: int, version: int = 1) -> int:
    """How long so many bytes are when they are encrypted."""
    padding = BLOCK - size % BLOCK if version == 0 else 0
    return 1 + NONCE + size + padding + TAG


def seal(key: Key, data: bytes, *, nonce: bytes, associated: bytes = b"", version: int = 1) -> bytes:
    """The data, encrypted. associated: what is bound to it and not carried."""
    if len(nonce) != NONCE or version not in OVERHEAD:
        raise ValueError(f"a nonce has {NONCE} bytes and a version is 0 or 1")
    if version == 0:
        padding = BLOCK - len(data) % BLOCK
        data += bytes([padding]) * padding
    return bytes([version]) + nonce + key.seal(nonce, data, associated)


def unseal(keys: Sequence[Key], data: bytes, *, associated: bytes = b"") -> bytes:
    """What was encrypted, by whichever of the keys. Raises BadPacket when none of them opens it."""
    if not data or data[0] not in OVERHEAD:
        raise BadPacket("not encrypted in a version that is known", why="version")
    if len(data) < OVERHEAD[data[0]]:
        raise BadPacket("too short to be encrypted", why="short")
    nonce, sealed = data[1:1 + NONCE], data[1 + NONCE:]
    for key in keys:
        opened = key.open(nonce, sealed, associated)
        if opened is not None:
            return opened if data[0] else _unpadded(opened)
    raise BadPacket(f"none of {len(keys)} keys opens it: another cluster, a key that this member does not have yet, or "
                    "it was changed on its way", why="key")


def _unpadded(data: bytes) -> bytes:
    padding = data[-1] if data else 0
    if not 1 <= padding <= BLOCK or data[-padding:] != bytes([padding]) * padding:
        raise BadPacket("encrypted in version 0, with padding that is none")
    return data[:-padding]
