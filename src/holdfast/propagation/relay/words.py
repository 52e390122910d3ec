# SPDX-License-Identifier: Apache-2.0
"""What a relay is told and what it wants done: the words between a decision and whoever carries it out.

A relay opens no socket, sets no timer and draws nothing by itself. A node and the simulator feed it the same events and
carry out the same effects, so what was measured in one is what runs in the other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import msgspec

#: What a transaction is known by: its hash on a real node, a number in a simulation.
TxId: TypeAlias = int | bytes

#: body: the transaction itself. stem: the same, to be kept quiet. announce: I have these. want: send me these.
#: dontwant: do not send me these. reconcile: so many are in my set for you, compare; -1: that failed. sketch: of
#: my set for you. graft, prune: into the mesh, out of it. heard: I had that body already. The others are about blocks:
#: ``chain/words.py``.
Kind: TypeAlias = Literal[
    "body", "stem", "announce", "want", "dontwant", "reconcile", "sketch", "graft", "prune", "heard",
    "headers", "getheaders", "getblock", "getcompact", "compact", "getparts", "parts", "block", "absent",
]


class Peer(NamedTuple):
    """A neighbour. outbound: we opened the connection, so nobody chose us; who may be trusted more for that."""

    id: int
    outbound: bool


class Message(msgspec.Struct, frozen=True, gc=False):
    """What one neighbour tells another. size: of a body, in bytes. hops: how many links it has gone. count: elements of
    a set or a sketch."""

    kind: Kind
    txs: tuple[TxId, ...] = ()
    size: int = 0
    hops: int = 0
    count: int = 0


class Made(msgspec.Struct, frozen=True, gc=False):
    """Event: our own user made a transaction of so many bytes."""

    tx: TxId
    size: int


class Heard(msgspec.Struct, frozen=True, gc=False):
    """Event: a neighbour said this."""

    peer: int
    message: Message


class Checked(msgspec.Struct, frozen=True, gc=False):
    """Event: a transaction was validated (``Check``) and is good, or is not. for_good: and never will be; else it may
    be offered once more."""

    tx: TxId
    good: bool
    for_good: bool = True


class Woke(msgspec.Struct, frozen=True, gc=False):
    """Event: it is the time that ``Wake`` asked for."""

    key: tuple[object, ...]


Event: TypeAlias = Made | Heard | Checked | Woke


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Effect: say this to a neighbour. What waits in a queue is asked about once more (``Relay.still``) when its turn
    comes."""

    peer: int
    message: Message


class Check(msgspec.Struct, frozen=True, gc=False):
    """Effect: validate this transaction; the answer is the event ``Checked``. Until then it goes nowhere."""

    tx: TxId


class Wake(msgspec.Struct, frozen=True, gc=False):
    """Effect: come back at that time, with this key."""

    at_s: float
    key: tuple[object, ...]


class Blame(msgspec.Struct, frozen=True, gc=False):
    """Effect: this neighbour did what no honest one does; hold it against it as you see fit."""

    peer: int
    why: str


Effect: TypeAlias = Tell | Check | Wake | Blame
