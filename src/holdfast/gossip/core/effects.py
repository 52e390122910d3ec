# SPDX-License-Identifier: Apache-2.0
"""What a member wants done, and what it has to say: what ``Core.handle`` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from ..messages import Address, Alive, Message, Ping, User
from .members import Member

#: joined: it is there, or back. restored: the accusation was wrong. updated: other meta, versions or address.
Change: TypeAlias = Literal["joined", "updated", "suspected", "restored", "failed", "left", "forgotten"]


class Packet(msgspec.Struct, frozen=True, gc=False):
    """Send these in one datagram, compound if there are several. node: whose address it is, if known."""

    address: Address
    messages: tuple[Message, ...]
    node: str = ""


class StreamPing(msgspec.Struct, frozen=True, gc=False):
    """Ask by stream, until that time; an answer with the right number is the event ``StreamAcked``."""

    address: Address
    ping: Ping
    until: float


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """Open a stream, send ``Core.states`` and read the peer's: the event ``Exchanged``. A failure needs no event."""

    address: Address
    node: str = ""
    join: bool = False


class Changed(msgspec.Struct, frozen=True, gc=False):
    """A member is held to be something else than before. by: who accuses; empty where nobody does."""

    what: Change
    member: Member
    by: str = ""


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Somebody claims the name of a member at another address. The claim was not believed."""

    held: Member
    claim: Alive


class Refuted(msgspec.Struct, frozen=True, gc=False):
    """Something false was said of this member; it now says otherwise. by: who said it; empty where nobody is named."""

    incarnation: int
    by: str = ""


class Probed(msgspec.Struct, frozen=True, gc=False):
    """A ping was answered directly, after so many seconds. payload: what the member's user added."""

    node: str
    rtt_s: float
    payload: bytes | None


class StreamOnly(msgspec.Struct, frozen=True, gc=False):
    """A member answers by stream and not by datagram: a firewall lets only one of the two through."""

    node: str


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """A message for the layer above, and where it came from. It may come many times."""

    message: User
    source: Address


class Departed(msgspec.Struct, frozen=True, gc=False):
    """The goodbye was told as often as it is going to be."""


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Nothing of an exchange was taken over, and why."""

    source: Address
    reason: str


class Lagged(msgspec.Struct, frozen=True, gc=False):
    """This member woke so many seconds late."""

    late_s: float


class Judged(msgspec.Struct, frozen=True, gc=False):
    """Whoever is asked about deaths (``Burial``) was asked about this one. allowed: it is declared now. acts: what is
    to be done about it, as they were given; the core does not look at them."""

    node: str
    incarnation: int
    allowed: bool
    acts: Sequence[object]


Effect: TypeAlias = (Packet | StreamPing | Exchange | Changed | Conflict | Refuted | Probed | StreamOnly | Deliver
                     | Departed | Refused | Lagged | Judged)
