# SPDX-License-Identifier: Apache-2.0
"""What can happen to a member: what ``Core.handle`` takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from ..messages import Address, Message, NodeState, User
from .members import States


class Start(msgspec.Struct, frozen=True):
    """Begin: the first event."""


class Tick(msgspec.Struct, frozen=True):
    """``next_due`` has come. Early or late does no harm; late is noticed."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """The messages of one packet, decoded, and where it came from."""

    messages: tuple[Message, ...]
    source: Address


class StreamAcked(msgspec.Struct, frozen=True, gc=False):
    """A ping that went by stream was answered with the right number."""

    seq_no: int


class Exchanged(msgspec.Struct, frozen=True):
    """All that a peer knows has come in: the answer to an ``Exchange``, or a peer's own wish (answer that first, with
    ``Core.states``). join: the peer enters, or we do."""

    states: States | Iterable[NodeState]
    source: Address
    join: bool = False


class Join(msgspec.Struct, frozen=True):
    """Enter the cluster of whoever answers there."""

    addresses: tuple[Address, ...]


class Leave(msgspec.Struct, frozen=True):
    """Say goodbye. Ends in the effect ``Departed``; go on calling until then, or until you have no time left."""


class SetMeta(msgspec.Struct, frozen=True):
    """Show other meta (at most 512 bytes)."""

    meta: bytes


class Hasten(msgspec.Struct, frozen=True):
    """A member that is suspected here in this incarnation has the last ping now, and not at the end of its time:
    somebody waits for what this member finds. Nothing happens where it is not suspected."""

    node: str
    incarnation: int


class Spread(msgspec.Struct, frozen=True):
    """Pass this on to everybody. name: what it is about: it replaces an older one; None: it replaces nothing."""

    message: User
    name: str | None = None


Event: TypeAlias = (Start | Tick | Received | StreamAcked | Exchanged | Join | Leave | SetMeta | Hasten
                    | Spread)
