# SPDX-License-Identifier: Apache-2.0
"""Who says two things under one number is caught by its own signature.

A member numbers what it says of a slot (its own state, a topic, a key). Two statements with the same origin, slot and
number and different values are a **proof**: both carry its signature, so anybody who can verify signatures is convinced
and nobody can make one up. A proof is spread once by each who learns of it, and the origin is banned by all.

What is signed stays bytes here. ``Open`` verifies such bytes and says what they claim; where it says None, they prove
nothing. It must hold for old keys too as long as proofs travel, and it must read all of the bytes.

**For whoever numbers statements**: a member that forgets its numbers (a restored backup, a copied machine) convicts
itself. Numbers begin at a time or are kept on disk before they are used.

Two records of one value under two signatures (ECDSA is random) are no proof; only values are compared.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ..._base.typed import from_msgpack
from ...errors import ConfigurationError
from .framing import read

#: Bytes of a proof on the wire besides its two statements.
_FRAME_MAX: Final = 64


class Statement(msgspec.Struct, frozen=True):
    """What signed bytes say. value: all that has to be equal under one number; a digest does."""

    origin: str
    slot: str
    number: int
    value: bytes


#: Signed bytes → what they say, or None where the signature is not the origin's.
Open = Callable[[bytes], Statement | None]


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """Two signed statements that cannot both be honest. The smaller bytes come first: one proof has one form."""

    first: bytes
    second: bytes


@dataclass(frozen=True)
class Watching:
    """statement_max: bytes of a signed statement that is kept; longer ones prove nothing. per_origin: slots kept for
    each origin, the oldest go first; origins_max: likewise. Both bound memory: 64 · 1,024 · 4 KiB is 256 MiB at worst,
    and some 10 MiB with statements of 200 bytes. Price of less: a lie between two members that are slow to compare goes
    unseen. proofs_max: origins convicted."""

    statement_max: int = 4_096
    per_origin: int = 64
    origins_max: int = 1_024
    proofs_max: int = 1_024

    def __post_init__(self) -> None:
        if min(self.statement_max, self.per_origin, self.origins_max, self.proofs_max) < 1:
            raise ConfigurationError("watching for equivocation needs bounds above 0")


class Equivocations:
    """Remembers what was said and compares."""

    __slots__ = ("_open", "_proofs", "_said", "watching")

    def __init__(self, watching: Watching, open_: Open) -> None:
        self.watching, self._open = watching, open_
        self._said: OrderedDict[str, OrderedDict[tuple[str, int], tuple[bytes, bytes]]] = OrderedDict()
        self._proofs: OrderedDict[str, Proof] = OrderedDict()

    def __len__(self) -> int:
        """Statements kept."""
        return sum(map(len, self._said.values()))

    @property
    def proofs(self) -> dict[str, Proof]:
        """Who was convicted, and by what."""
        return dict(self._proofs)

    def said(self, statement: Statement, signed: bytes) -> Proof | None:
        """A statement whose signature was verified. A proof: it contradicts an earlier one, spread it and ban the
        origin. None: nothing is known against it, or it is convicted already."""
        if len(signed) > self.watching.statement_max or statement.origin in self._proofs:
            return None
        said = self._said.setdefault(statement.origin, OrderedDict())
        self._said.move_to_end(statement.origin)
        key, value = (statement.slot, statement.number), hashlib.sha256(statement.value).digest()
        known = said.get(key)
        if known is None:
            said[key] = value, signed
            if len(said) > self.watching.per_origin:
                said.popitem(last=False)
            if len(self._said) > self.watching.origins_max:
                self._said.popitem(last=False)
            return None
        if known[0] == value:
            return None
        proof = Proof(*sorted((known[1], signed)))
        return proof if self.convict(proof) is not None else None

    def convict(self, proof: Proof) -> str | None:
        """A proof, from here or from a peer: the origin it convicts; None when it proves nothing (the peer that sent it
        pays: ``holds`` tells the two apart) or the origin is convicted already (it is not spread again)."""
        origin = self.holds(proof)
        if origin is None or origin in self._proofs:  # guard: a proof is verified, and spread once
            return None
        self._proofs[origin] = proof
        self._said.pop(origin, None)
        if len(self._proofs) > self.watching.proofs_max:
            self._proofs.popitem(last=False)
        return origin

    def forget(self, origin: str) -> None:
        """Nothing is proved against whoever is called so now."""
        self._proofs.pop(origin, None)

    def holds(self, proof: Proof) -> str | None:
        """Whom it convicts; None for nobody."""
        if max(len(proof.first), len(proof.second)) > self.watching.statement_max:
            return None
        one, other = self._open(proof.first), self._open(proof.second)
        if one is None or other is None:
            return None
        same = (one.origin, one.slot, one.number) == (other.origin, other.slot, other.number)
        return one.origin if same and one.value != other.value else None  # guard: one number, two values


def encode(proof: Proof) -> bytes:
    """For the wire."""
    return msgspec.msgpack.encode(proof)


def decode(data: bytes, watching: Watching) -> Proof:
    """From the wire. Raises BadPacket."""
    return read(data, Proof, 2 * watching.statement_max + _FRAME_MAX, "a proof")


def first_of(data: bytes) -> bytes:
    """The first of the two signed statements of a proof that was encoded here."""
    return from_msgpack(data, Proof).first
