# SPDX-License-Identifier: Apache-2.0
"""What signatures stand for, for the defences: letters are numbered, views are signed, and names have keys.

A member numbers its letters from 1 at each start, behind a number of that start that is random. So two letters with one
signer, start and number are the signer's doing, whichever of them came first: its key is copied, or it tells each side
something else.
"""

from __future__ import annotations

from typing import Final

from ...errors import BadPacket
from ..defence.equivocation import Statement
from ..signing import Envelope, Kind, Notary, decode
from ..signing.envelope import signed_part_of


class Evidence:
    """notary: whose key signs, and whose registry says whose keys the others' are."""

    def __init__(self, notary: Notary) -> None:
        self._notary: Final = notary

    def stated(self, envelope: Envelope, data: bytes) -> Statement | None:
        """What a letter whose signature was verified stands for; None: it is no letter, or nobody's by name."""
        registry = self._notary.verifier.registry
        name = registry.name_of(envelope.origin)
        if envelope.kind is not Kind.USER or name is None:  # only letters are numbered for themselves
            return None
        if registry.node_of(name) != envelope.origin:  # guard: who takes a name over takes no guilt over
            return None
        return Statement(name, f"{envelope.epoch:016x}", envelope.sequence, signed_part_of(data, envelope))

    def open(self, data: bytes) -> Statement | None:
        """The same of bytes that anybody may have made; None: they prove nothing. However old they are, and though
        their key was revoked."""
        try:
            envelope = decode(data)
        except BadPacket:
            return None
        verifier = self._notary.verifier
        known = verifier.registry.find(envelope.key_id)
        if known is None or known.node_id != envelope.origin or envelope.cluster != verifier.cluster:
            return None
        if known.public.algorithm is not envelope.algorithm:
            return None
        if not known.public.verify(envelope.signature, signed_part_of(data, envelope)):
            return None  # guard: a proof is verified by each
        return self.stated(envelope, data)

    def stands(self, data: bytes) -> bool:
        """A statement of a proof that was verified: is its signer still who bears the name?"""
        envelope = decode(data)
        return self.stated(envelope, data) is not None

    def strange(self, data: bytes) -> bool:
        """Is it a signed message by a key that is not known here? Then whoever brings it is not to blame."""
        try:
            return self._notary.verifier.registry.find(decode(data).key_id) is None
        except BadPacket:
            return False

    def knows(self, name: str) -> bool:
        """Is the key of the member of this name known here, and good?"""
        registry = self._notary.verifier.registry
        known = registry.find(registry.node_of(name) or b"")
        return known is not None and known.revoked_ms is None

    def sign(self, data: bytes) -> bytes:
        """By this member's key. What is signed begins with what it is for."""
        return self._notary.signer.vouch(data)

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        """Did the member of this name sign it?"""
        registry = self._notary.verifier.registry
        known = registry.find(registry.node_of(name) or b"")
        return known is not None and known.revoked_ms is None and known.public.verify(signature, data)
