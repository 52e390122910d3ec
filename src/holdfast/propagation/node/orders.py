# SPDX-License-Identifier: Apache-2.0
"""What a node in a process of its own is told, and what it answers: JSON, a line each, over a pair of sockets."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """What a node begins with. keys: both private ones, of a network that is made for a run and thrown away.

    policy, pace: see ``relay.named``. balances: what the ledger says of each sender, from the start. latencies_s: by
    neighbour's id. drops: it takes everything and passes nothing on. makers: public keys, in
    hexadecimal; make_every_s: see ``Settings``. inbound: places. outbound: links it opens besides
    what it is told to call.
    """

    keys: bytes
    network: str = "run"
    policy: str = "flood"
    pace: float = 1.0
    journal: str = ""
    seed: int = 0
    balances: dict[str, int] = {}
    latencies_s: dict[str, float] = {}
    drops: bool = False
    makers: list[str] = []
    make_every_s: float = 0.0
    inbound: int = 200
    outbound: int = 0
    ping_s: float = 20.0
    dead_s: float = 60.0


class _Order(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Told to a node."""


class Call(_Order, frozen=True, tag="call"):
    """These are always called from now on."""

    addresses: list[tuple[str, int]]


class Submit(_Order, frozen=True, tag="submit"):
    """A transaction of this node's user."""

    tx: bytes


class Inspect(_Order, frozen=True, tag="inspect"):
    """How are you? held: the ids in the mempool, too."""

    held: bool = False


class Stop(_Order, frozen=True, tag="stop"):
    """End in good order."""


Order: TypeAlias = Call | Submit | Inspect | Stop


class _Answer(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Said by a node."""


class Ready(_Answer, frozen=True, tag="ready"):
    """It listens there."""

    id: str
    host: str
    port: int
    pid: int


class Taken(_Answer, frozen=True, tag="taken"):
    """What became of a transaction; why: empty when it was taken."""

    why: str


class State(_Answer, frozen=True, tag="state"):
    """How it is. own_kb: memory that is its alone. held: the ids in its mempool, if they were
    asked for."""

    peers: int
    mempool: int
    known: int
    height: int
    head: str
    counted: dict[str, int]
    own_kb: int
    held: list[bytes] = []


class Failed(_Answer, frozen=True, tag="failed"):
    """It cannot do that, or cannot go on."""

    why: str


class Done(_Answer, frozen=True, tag="done"):
    """It did that."""


Answer: TypeAlias = Ready | Taken | State | Failed | Done
