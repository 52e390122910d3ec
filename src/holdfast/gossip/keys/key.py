# SPDX-License-Identifier: Apache-2.0
"""One key that all members share: AES with 128, 192 or 256 bits, by its length.

Its bytes are shown by one word, ``reveal()``, and in nothing that is printed; its ``id`` may be logged. It counts what
it seals: random nonces are good for 2³² packets of a whole cluster under one key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from ..._base.clock import WallMs
from ..._base.secret import Secret
from ...errors import ConfigurationError, MissingExtra

SIZES: Final = (16, 24, 32)


class Key:
    """material: 16, 24 or 32 bytes. since_ms: since 1970, when it was made or came; None: nobody knows.

    Raises ConfigurationError for another length, MissingExtra without the extra.
    """

    __slots__ = ("_cipher", "_invalid", "_material", "encryptions", "id", "since_ms")

    def __init__(self, material: bytes, since_ms: WallMs | None = None) -> None:
        if len(material) not in SIZES:
            raise ConfigurationError(f"a key has 16, 24 or 32 bytes, and this one {len(material)}: "
                                     "`head -c 32 /dev/urandom | base64` makes one")
        try:
            from ._primitives import AESGCM, InvalidTag
        except ImportError as error:
            raise MissingExtra("gossip", "encrypting what members tell each other") from error
        self._material = Secret(bytes(material))
        self._cipher, self._invalid = AESGCM(material), InvalidTag
        #: Eight hexadecimal digits that tell keys apart and nothing about them.
        self.id: Final = hashlib.blake2b(material, digest_size=4, person=b"hf-gossip-key").hexdigest()
        self.since_ms: Final = since_ms
        #: Packets and streams that this process sealed under it.
        self.encryptions = 0

    @classmethod
    def from_text(cls, text: str, since_ms: WallMs | None = None) -> Key:
        """A key in Base64, as Serf's tools print it. Raises ConfigurationError, which does not quote it."""
        try:
            return cls(base64.b64decode(text, validate=True), since_ms)
        except (binascii.Error, ValueError):
            raise ConfigurationError("a key is given in Base64, and this text is none") from None

    def reveal(self) -> bytes:
        """Its bytes. Pass them on at once."""
        return self._material.reveal()

    @property
    def text(self) -> str:
        """Its bytes in Base64, for keyring files and answers to ``list-keys``: as secret as they are."""
        return base64.b64encode(self.reveal()).decode()

    def seal(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        """Ciphertext and tag."""
        self.encryptions += 1
        return self._cipher.encrypt(nonce, data, associated)

    def open(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
        """What was sealed; None when it was not by this key, or was changed since."""
        try:
            return self._cipher.decrypt(nonce, sealed, associated)
        except self._invalid:
            return None

    def __eq__(self, other: object) -> bool:
        return hmac.compare_digest(self.reveal(), other.reveal()) if isinstance(other, Key) else NotImplemented

    def __hash__(self) -> int:
        return hash((Key, self.id))

    def __repr__(self) -> str:
        return f"Key({self.id})"
