# SPDX-License-Identifier: Apache-2.0
"""What the guard wants done, and what it is told: the records at its seams."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from .bans import Ban
from .deaths import Solicit
from .equivocation import Statement
from .validation import Verdict
from .views import Split


class Incoming(msgspec.Struct, frozen=True):
    """A message whose signature was verified, before anything is done with it.

    peer: who brought it; id: 16 bytes of a hash over what was signed, computed here, never taken from the sender;
    origin: who signed; statement and signed: what the signature stands for, where the origin numbers what it says.
    """

    peer: str
    topic: str
    id: bytes
    payload: bytes
    origin: str = ""
    statement: Statement | None = None
    signed: bytes = b""


class Tell(msgspec.Struct, frozen=True):
    """Spread this to everybody. what: which of the guard's own messages it is; data: for ``Guard.proof``, or for
    ``Guard.accused`` (an accusation is a certificate that is short of others)."""

    what: Literal["proof", "accusation", "certificate"]
    data: bytes


class Banned(msgspec.Struct, frozen=True):
    """Close what is open with it, and listen to it no more until then."""

    ban: Ban


class Report(msgspec.Struct, frozen=True):
    """Views that stay different: for an operator."""

    split: Split


class AuditWith(msgspec.Struct, frozen=True):
    """Exchange digests with that peer: ``Guard.digest``, then ``Guard.audited``."""

    peer: str


class CompareWith(msgspec.Struct, frozen=True):
    """Exchange signed views with that peer: ``Guard.view``, then ``Guard.viewed``."""

    peer: str


class Rotate(msgspec.Struct, frozen=True):
    """Look over the choice of peers: ``Guard.choose``."""


Act: TypeAlias = Tell | Banned | Report | AuditWith | CompareWith | Rotate | Solicit


class Decision(msgspec.Struct, frozen=True):
    """What becomes of a message: ACCEPT it is handed on and passed on; else neither. why: short, as it is counted."""

    verdict: Verdict
    why: str = ""
    acts: tuple[Act, ...] = ()


class Burial(msgspec.Struct, frozen=True):
    """May the core declare the death of ``node`` in this incarnation? If not, do what ``acts`` say and ask again."""

    allowed: bool
    acts: tuple[Act, ...] = ()
    node: str = ""
    incarnation: int = 0
