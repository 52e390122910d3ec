# SPDX-License-Identifier: Apache-2.0
"""What a node writes down of what it saw, a record a line: enough to tell afterwards how each thing spread.

A real node writes a file of these; the simulator can write the same. Times are seconds since 1970 by the node's own
clock, ids are hexadecimal, nodes are names. ``from_json(line, Entry)`` reads one.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

#: A transaction, or a block.
What: TypeAlias = str


#: Seconds, thirty million years either way: more is no time, and would make sums of times infinite.
Seconds: TypeAlias = Annotated[float, Meta(ge=-1e15, le=1e15)]


class _Entry(msgspec.Struct, frozen=True, tag_field="event", omit_defaults=True):
    """t: when. node: whose."""

    t: Seconds
    node: str


class Started(_Entry, frozen=True, tag="started"):
    """The node began. version: of this form."""

    seed: int = 0
    version: int = 1


class Made(_Entry, frozen=True, tag="made"):
    """A transaction or a block came into being at this node. height, parent: of a block."""

    id: str
    what: What = "tx"
    size: int = 0
    height: int = -1
    parent: str = ""


class Arrived(_Entry, frozen=True, tag="arrived"):
    """The whole of it came for the first time, from that neighbour, over so many links."""

    id: str
    peer: str
    what: What = "tx"
    size: int = 0
    hops: int = 0
    height: int = -1
    parent: str = ""


class Copied(_Entry, frozen=True, tag="copied"):
    """It came again, for nothing."""

    id: str
    peer: str
    what: What = "tx"
    size: int = 0


class Refused(_Entry, frozen=True, tag="refused"):
    """It is no good. peer: who brought it; empty: our own user."""

    id: str
    why: str
    peer: str = ""
    what: What = "tx"


class Headed(_Entry, frozen=True, tag="headed"):
    """The chain of this node ends with that block now. undone: how many blocks of the former chain are not in it."""

    id: str
    height: int
    undone: int = 0


class Confirmed(_Entry, frozen=True, tag="confirmed"):
    """A transaction is in a block of the chain, with so many blocks behind it, its own included."""

    id: str
    block: str
    depth: int = 1


class Linked(_Entry, frozen=True, tag="linked"):
    """A neighbour more. outbound: we called it."""

    peer: str
    outbound: bool


class Unlinked(_Entry, frozen=True, tag="unlinked"):
    """A neighbour less, and why."""

    peer: str
    why: str = ""


class Counted(_Entry, frozen=True, tag="counted"):
    """Since the start: bytes sent to each neighbour by kind of message, and how many messages of each kind."""

    sent_bytes: dict[str, dict[str, int]]
    messages: dict[str, int]


class Stopped(_Entry, frozen=True, tag="stopped"):
    """The node ended in good order."""


Entry: TypeAlias = (Started | Made | Arrived | Copied | Refused | Headed | Confirmed | Linked | Unlinked | Counted
                    | Stopped)
