# SPDX-License-Identifier: Apache-2.0
"""The numbers of key management, what happens to a member, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from .admission import Credential, Vouched
from .epochs import Epoch

Step: TypeAlias = Literal["install", "activate", "drain", "retire"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Times in seconds.

    age_s: how old a key may be; None: as old as it likes. sealed_max: packets of all members under one key; far below
    what AES-GCM bears, since it is counted by what members tell each other. spread: an age or a count is cut by up to
    this part at random, so that clusters set up together do not change keys together.

    grace_s: how long older keys open after all members seal with the new one. More: late packets arrive; less: a
    stolen key is of use for a shorter time. urgent_grace_s: the same after a revocation. hold_s: the longest that
    older keys are kept by a member whom nobody tells to forget them; after a revocation urgent_hold_s.

    retry_s: a step is said again to who did not answer. stall_s: who did not answer by then is named. patience_s: then
    a rotation is cancelled and tried again after backoff_s; after a revocation it goes on without those who are
    missing, who ask later. takeover_s: how long the one who leads may be silent before another goes on in his place.

    stagger_s: between those who may rotate, so that one begins. sync_s: between questions to a member at random.
    ask_s: the least between two questions to one member. fanout: to how many a new revocation is passed on at once.
    joiners: what a new member can read: "current": all that is sealed in the epoch it enters in, so what was recorded
    since that began, too; "fresh": nothing before the next epoch, which is begun for it; "history": older epochs that
    are still held.
    """

    age_s: float | None = 7 * 86_400.0
    sealed_max: int | None = 1 << 30
    spread: float = 0.1
    grace_s: float = 60.0
    urgent_grace_s: float = 0.0
    hold_s: float = 600.0
    urgent_hold_s: float = 15.0
    retry_s: float = 1.0
    stall_s: float = 10.0
    patience_s: float = 60.0
    backoff_s: float = 30.0
    takeover_s: float = 10.0
    stagger_s: float = 2.0
    sync_s: float = 10.0
    ask_s: float = 1.0
    fanout: int = 3
    joiners: Literal["current", "fresh", "history"] = "current"


# -- what happens


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed. Some four times in each ``retry_s`` is often enough."""


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A message about keys. peer: the id of the node it came from, as far as is known."""

    peer: str
    data: bytes


class Live(msgspec.Struct, frozen=True, gc=False):
    """nodes: the ids of those that are alive, as membership has it."""

    nodes: frozenset[str]


class Met(msgspec.Struct, frozen=True):
    """A credential was seen, in a join or a claim. It is checked before it is believed."""

    credential: Credential


class Found(msgspec.Struct, frozen=True, gc=False):
    """Begin a cluster: announce its first epoch. Once in a cluster's life, by a member who may rotate."""


class Rotate(msgspec.Struct, frozen=True, gc=False):
    """Somebody wants the key changed."""


class Expel(msgspec.Struct, frozen=True):
    """An entry for the list of the revoked, made here."""

    entry: Vouched


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A packet came whose key is not held. sender: its eight bytes, which nothing vouches for."""

    sender: bytes


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """How many packets this member sealed under the present key."""

    count: int


Event: TypeAlias = Tick | Heard | Live | Met | Found | Rotate | Expel | Unreadable | Sealed


# -- what to do. In order; when one fails, none after it


class Keep(msgspec.Struct, frozen=True, gc=False):
    """Put ``Trust.state()`` on disk, then call ``Trust.kept()``. What follows says to others that it is there."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Bring these bytes to this node, by stream or packet, sealed or not. They may get lost."""

    to: str
    data: bytes


class Turned(msgspec.Struct, frozen=True):
    """An epoch changed: what seals is ``Trust.epochs.current`` now. retired: its windows may go."""

    what: Literal["installed", "active", "cancelled", "retired"]
    epoch: Epoch


class Straggling(msgspec.Struct, frozen=True, gc=False):
    """A live member does not answer.

    since: on the clock of ``now``, when it was asked first. known: its certificate is known here, so something could be
    sealed to it.
    """

    node: str
    step: Step
    since: float
    known: bool


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A rotation that this member led is over. done: false: it was cancelled. missing: who did not take part."""

    number: int
    reason: str
    done: bool
    took_s: float
    missing: tuple[str, ...]


class Out(msgspec.Struct, frozen=True):
    """Somebody was revoked, as this member learns now."""

    entry: Vouched
    node: str
    serial: bytes
    reason: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A message was not believed. why: as ``NotTrusted`` and ``BadPacket`` count."""

    peer: str
    why: str
    text: str


Effect: TypeAlias = Keep | Send | Turned | Straggling | Finished | Out | Refused
