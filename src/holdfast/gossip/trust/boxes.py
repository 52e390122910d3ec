# SPDX-License-Identifier: Apache-2.0
"""A group's key, sealed to one member.

::

    X25519(a key made for this box, the member's) ─ HKDF-SHA-256 ─▶ AES-256-GCM

Cluster, epoch, member and both public keys go into the derivation and are bound to what is sealed. So a box is good for
one member, one epoch and one cluster, whatever is written on it; each has a key of its own, so the nonce is fixed. Who
sealed it does not matter: the key has to be the one that the signed announcement speaks of. Source: the way of HPKE
(RFC 9180), base mode.
"""

from __future__ import annotations

from typing import Final

from ...errors import NotTrusted
from .identity import KEY, Entropy, Identity
from .records import Record

DOMAIN: Final = b"holdfast gossip box 1\0"
_NONCE: Final = bytes(12)


class Box(Record, frozen=True, tag="box"):
    """epoch: its hash. to: a node's id. ephemeral: the public half of the key that was made for it."""

    epoch: bytes
    to: str
    ephemeral: bytes
    sealed: bytes


def _context(cluster: bytes, epoch: bytes, to: str, ephemeral: bytes, public: bytes) -> bytes:
    parts = (cluster, epoch, to.encode(), ephemeral, public)  # guard: for whom
    return DOMAIN + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def _key(shared: bytes, context: bytes) -> bytes:
    from ._primitives import HKDF, SHA256
    return HKDF(algorithm=SHA256(), length=KEY, salt=None, info=context).derive(shared)


def check_key(public: bytes) -> None:
    """Raises NotTrusted for a sealing key that nothing can be sealed to: one of low order, or none at all."""
    from ._primitives import X25519PrivateKey, X25519PublicKey
    try:
        X25519PrivateKey.from_private_bytes(bytes(KEY)).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise NotTrusted("nothing can be sealed to this key", why="sealed") from None


def seal(content: bytes, cluster: bytes, epoch: bytes, to: str, public: bytes,
         *, entropy: Entropy) -> Box:
    """A box for the node ``to``, whose sealing key is ``public``. Raises NotTrusted for a key that is none."""
    from ._primitives import AESGCM, X25519PrivateKey, X25519PublicKey
    own = X25519PrivateKey.from_private_bytes(entropy(KEY))
    ephemeral = own.public_key().public_bytes_raw()
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise NotTrusted("nothing can be sealed to this key", why="sealed") from None
    context = _context(cluster, epoch, to, ephemeral, public)
    return Box(epoch, to, ephemeral, AESGCM(_key(shared, context)).encrypt(_NONCE, content, context))


def unseal(box: Box, cluster: bytes, identity: Identity) -> bytes:
    """What was sealed to us. Raises NotTrusted when it was not, or was changed."""
    from ._primitives import AESGCM, InvalidTag
    context = _context(cluster, box.epoch, identity.id, box.ephemeral, identity.sealing)
    try:
        return AESGCM(_key(identity.shared(box.ephemeral), context)).decrypt(_NONCE, box.sealed, context)
    except InvalidTag:
        raise NotTrusted("a box that was not sealed to this node, for this epoch and cluster", why="sealed") from None
