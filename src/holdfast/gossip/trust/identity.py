# SPDX-License-Identifier: Apache-2.0
"""Who a node is: a key that signs (Ed25519), a key that others seal to (X25519), and an id that follows from the first.

The id is a hash of the public signing key, so nobody gives it and nobody can take another's. Both private keys come
from the system's generator, each by itself, and are shown by one word, ``reveal()``, as ``keys`` does it. There is no
way to have bytes of somebody else's choice signed: ``sign`` takes a record.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final

from ..._base.secret import Secret
from ...errors import ConfigurationError, MissingExtra, NotTrusted
from .records import Record, Signed, encode, signing_input

Entropy = Callable[[int], bytes]

KEY: Final = 32
#: Bytes of the hash that the id shows: 160 bits, 32 letters.
ID: Final = 20
#: Bytes of the id that a packet carries.
SHORT: Final = 8


def node_id(signing: bytes) -> str:
    """The id of whoever holds this public key: 32 letters and digits (RFC 4648 base32, in lower case)."""
    digest = hashlib.sha256(b"holdfast gossip node\0" + signing).digest()[:ID]
    return base64.b32encode(digest).decode().lower()


def short_id(id: str) -> bytes:
    """The eight bytes by which packets name a node. Raises NotTrusted for what is no id."""
    try:
        digest = base64.b32decode(id.upper())
    except ValueError:
        raise NotTrusted("this is no node's id", why="identity") from None
    if len(digest) != ID:
        raise NotTrusted("this is no node's id", why="identity")
    return digest[:SHORT]


def signed_with(seed: Secret[bytes], cluster: bytes, record: Record) -> Signed:
    """The record, as said by the holder of this Ed25519 key in this cluster. Raises ValueError for no such key."""
    from ._primitives import Ed25519PrivateKey
    key, body = Ed25519PrivateKey.from_private_bytes(seed.reveal()), encode(record)
    return Signed(body, key.public_key().public_bytes_raw(), key.sign(signing_input(cluster, body)))


class Identity:
    """signing, sealing: 32 bytes each, from a generator made for secrets. Raises MissingExtra without the extra."""

    __slots__ = ("_sealing", "_sealing_key", "_signing", "_signing_key", "id", "sealing", "signing")

    def __init__(self, signing: Secret[bytes], sealing: Secret[bytes]) -> None:
        try:
            from ._primitives import Ed25519PrivateKey, X25519PrivateKey
        except ImportError as error:
            raise MissingExtra("gossip", "identities of nodes") from error
        if len(signing.reveal()) != KEY or len(sealing.reveal()) != KEY:
            raise ConfigurationError(f"an identity has two keys of {KEY} bytes: make one with Identity.generate")
        self._signing, self._sealing = signing, sealing
        self._signing_key: Any = Ed25519PrivateKey.from_private_bytes(signing.reveal())
        self._sealing_key: Any = X25519PrivateKey.from_private_bytes(sealing.reveal())
        #: Public keys, and the id that follows from the first.
        self.signing: Final[bytes] = self._signing_key.public_key().public_bytes_raw()
        self.sealing: Final[bytes] = self._sealing_key.public_key().public_bytes_raw()
        self.id: Final = node_id(self.signing)

    @classmethod
    def generate(cls, entropy: Entropy) -> Identity:
        """A new one. entropy: ``os.urandom``."""
        return cls(Secret(entropy(KEY)), Secret(entropy(KEY)))

    def sign(self, cluster: bytes, record: Record) -> Signed:
        """The record, as said by this node in this cluster."""
        body = encode(record)
        return Signed(body, self.signing, self._signing_key.sign(signing_input(cluster, body)))

    def shared(self, public: bytes) -> bytes:
        """What X25519 makes of our sealing key and theirs. Raises NotTrusted for a key that makes nothing of it."""
        from ._primitives import X25519PublicKey
        try:
            return bytes(self._sealing_key.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError:
            raise NotTrusted("a public key that is none", why="sealed") from None

    def reveal(self) -> bytes:
        """Both private keys, one behind the other, for the file they are kept in."""
        return self._signing.reveal() + self._sealing.reveal()

    @classmethod
    def revealed(cls, kept: bytes) -> Identity:
        """What ``reveal`` gave. Raises ConfigurationError for another length."""
        return cls(Secret(kept[:KEY]), Secret(kept[KEY:]))

    def __repr__(self) -> str:
        return f"Identity({self.id})"

    def __reduce__(self) -> Any:
        raise TypeError("an identity is not pickled: keep it in a file with trust.kept")
