# SPDX-License-Identifier: Apache-2.0
"""What is signed here, as bytes that have one form only.

::

    signature = Ed25519("holdfast gossip trust 1" │ 0 │ cluster's length u16 │ cluster │ body)
    body      = MessagePack of an array: the kind's name, then its fields in order

The cluster stands in what is signed and is not carried: what was said in one cluster is nothing in another. The kind is
part of the body: what was signed as one thing cannot be shown as another, and nobody has bytes of his own choice
signed. A body that would be written differently from how it came is refused, so a record has one hash.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, TypeVar

import msgspec

from ..._base.typed import from_msgpack
from ...errors import BadPacket, NotTrusted

DOMAIN: Final = b"holdfast gossip trust 1\0"
#: Bytes of one record: an answer with a hundred revocations stays under it.
RECORD_MAX: Final = 1 << 20
#: Bytes of a cluster's label.
CLUSTER_MAX: Final = 255


def transcript(domain: bytes, *said: bytes) -> bytes:
    """One hash of all that was said in a conversation, each piece with its length. domain: what conversation it is."""
    whole = hashlib.sha256(domain)
    for each in said:
        whole.update(len(each).to_bytes(4, "big") + each)
    return whole.digest()


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=True):
    """Something that is signed, or carries what is."""


R = TypeVar("R", bound=Record)


class Signed(Record, frozen=True, tag="signed"):
    """body: a record's bytes. signer: an Ed25519 public key, which proves nothing until somebody vouches for it."""

    body: bytes
    signer: bytes
    signature: bytes

    @property
    def hash(self) -> bytes:
        """SHA-256 of what was said and by whom; not of the signature."""
        return hashlib.sha256(DOMAIN + self.signer + self.body).digest()


def encode(record: Record) -> bytes:
    """The one form of a record."""
    return msgspec.msgpack.encode(record)


def decode(data: bytes, kind: Any, most: int = RECORD_MAX) -> Any:
    """A record of this kind, or of one of several. Raises BadPacket for all that is not exactly one."""
    if len(data) > most:  # guard: size
        raise BadPacket(f"a record of more than {most} bytes", why="large")
    try:
        record = from_msgpack(data, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadPacket(f"not a record of this kind: {error}") from None
    if msgspec.msgpack.encode(record) != data:  # guard: one form. Or a record could have many hashes
        raise BadPacket("a record in a form that nobody writes")
    return record


def signing_input(cluster: bytes, body: bytes) -> bytes:
    """What a signature is over."""
    return DOMAIN + len(cluster).to_bytes(2, "big") + cluster + body


def verify(cluster: bytes, signed: Signed, kind: type[R]) -> R:
    """What was said, when the signer did say it in this cluster. Raises NotTrusted, BadPacket.

    Says nothing about who the signer is: that is for ``admission`` to know.
    """
    from ._primitives import Ed25519PublicKey, InvalidSignature
    try:
        Ed25519PublicKey.from_public_bytes(signed.signer).verify(signed.signature, signing_input(cluster, signed.body))
    except (InvalidSignature, ValueError):
        raise NotTrusted("a signature that its signer did not make, or not in this cluster", why="signature") from None
    found: R = decode(signed.body, kind)
    return found
