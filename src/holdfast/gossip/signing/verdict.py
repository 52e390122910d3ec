# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message that came in, what else is to be done, and how often each happened."""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from .envelope import Envelope

#: Who handed a message over: a name or an address, as the caller keeps them.
Peer: TypeAlias = Hashable


class Reason(StrEnum):
    """Why a message was refused."""

    #: Not in the one form of a signed message.
    MALFORMED = "malformed"
    #: Of another cluster.
    CLUSTER = "cluster"
    #: Not signed, where it has to be.
    UNSIGNED = "unsigned"
    #: Another algorithm than its key's.
    ALGORITHM = "algorithm"
    #: The key's algorithm is not on the list here.
    UNLISTED = "unlisted"
    #: The key is not the origin's, or what travels along is not the key that is named.
    IDENTITY = "identity"
    #: The signature does not hold.
    SIGNATURE = "signature"
    #: The key was revoked.
    REVOKED = "revoked"
    #: The key travelled along, and whoever has it was not admitted.
    ADMISSION = "admission"
    #: Signed too long ago.
    EXPIRED = "expired"
    #: Signed in what is the future here: a clock is wrong.
    FUTURE = "future"
    #: Too far behind for anybody to tell whether it was seen.
    BEHIND = "behind"
    #: Of an unknown key, and nothing more is put aside.
    CROWDED = "crowded"
    #: The signer may not say that.
    AUTHORITY = "authority"


#: What no honest member passes on. The others happen among honest ones: clocks and lists differ, a revocation is on
#: its way.
BLAMED: Final = frozenset({Reason.MALFORMED, Reason.CLUSTER, Reason.ALGORITHM, Reason.IDENTITY, Reason.SIGNATURE,
                           Reason.AUTHORITY})


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """Take it, and pass these very bytes on. proved: False where the topic's mode asks for no proof: then nobody knows
    who said it, whatever it names."""

    envelope: Envelope
    data: bytes
    proved: bool = True


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """Its signature holds, and its number, or the claim, was accepted before. Do not pass it on again."""

    envelope: Envelope
    data: bytes


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """Neither take it nor pass it on. detail: for a log."""

    reason: Reason
    detail: str = ""


class Quarantined(msgspec.Struct, frozen=True, gc=False):
    """Its key is not known: put aside for a while. Neither take it nor pass it on; ``Verifier.release`` may give it."""

    key_id: bytes


class Unproved(msgspec.Struct, frozen=True, gc=False):
    """A message without a signature was let in: the topic's mode asks for none. Nobody knows who said it."""


class Blame(msgspec.Struct, frozen=True, gc=False):
    """That peer handed over what no honest member passes on."""

    peer: Peer
    reason: Reason


class AskForKey(msgspec.Struct, frozen=True, gc=False):
    """Ask that peer for the ``Kind.KEY`` message of this key."""

    peer: Peer
    key_id: bytes
    origin: bytes


Result: TypeAlias = Accepted | Duplicate | Rejected | Quarantined | Unproved
Effect: TypeAlias = Blame | AskForKey


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """result: of the message; effects: what else is to be done."""

    result: Result
    effects: tuple[Effect, ...] = ()


class Counts(msgspec.Struct):
    """How often what happened since the start.

    verified: signatures that were computed and held; cached: that were known to hold. unsigned: let in without one.
    seconds: what computing took, of those that did not hold too; 0 without a timer.
    """

    accepted: int = 0
    verified: int = 0
    cached: int = 0
    replays: int = 0
    unsigned: int = 0
    quarantined: int = 0
    released: int = 0
    asked: int = 0
    blamed: int = 0
    seconds: float = 0.0
    rejected: dict[Reason, int] = {}

    def reject(self, reason: Reason) -> None:
        """One more."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
