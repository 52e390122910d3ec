# SPDX-License-Identifier: Apache-2.0
"""What Serf's layer tells its peers inside memberlist's user messages, as records.

Times are Lamport times: how many joins and leaves, events, or queries somebody had heard of, not a clock's. Source:
github.com/hashicorp/serf, serf/messages.go; the bytes are ``wire/serf.py``'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

import msgspec

#: Names of queries that members answer themselves begin so, and those of users may not.
INTERNAL: Final = "_serf_"


class Join(msgspec.Struct, frozen=True, gc=False):
    """``node`` means to be a member, from this time on."""

    ltime: int
    node: str


class Leave(msgspec.Struct, frozen=True, gc=False):
    """``node`` means to leave, or is made to. prune: forget it at once, do not keep it as one that left."""

    ltime: int
    node: str
    prune: bool = False


class UserEvent(msgspec.Struct, frozen=True, gc=False):
    """Something a user tells everybody. coalesce: of several that come close together only the last one matters."""

    ltime: int
    name: str
    payload: bytes | None = None
    coalesce: bool = True


class PastEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it is told to those who enter."""

    name: str
    payload: bytes | None = None


class PastEvents(msgspec.Struct, frozen=True):
    """All events of one time."""

    ltime: int
    events: tuple[PastEvent, ...]


class Exchange(msgspec.Struct, frozen=True):
    """What goes with memberlist's exchange of states.

    status_ltimes: of each member, the time of the join or leave that counts. left: those of them that left.
    events: the last ones, by their places in the sender's ring; None where nothing lies.
    """

    ltime: int
    status_ltimes: Mapping[str, int]
    left: tuple[str, ...] = ()
    event_ltime: int = 0
    events: tuple[PastEvents | None, ...] = ()
    query_ltime: int = 0


class QueryFlag(IntFlag):
    """Of a query: ACK asks for a sign that it came; NO_BROADCAST: do not pass it on. Of a response: ACK: it is one."""

    ACK = 1
    NO_BROADCAST = 2


class Query(msgspec.Struct, frozen=True):
    """A question to everybody whom the filters let pass, who answer to ``host`` and ``port``.

    filters: as bytes, see ``filters.py``. relay_factor: how many others pass each answer on besides, against loss.
    timeout_ns: from arrival on.
    """

    ltime: int
    id: int
    host: bytes
    port: int
    source_node: str
    name: str
    payload: bytes | None = None
    filters: tuple[bytes, ...] | None = None
    flags: int = 0
    relay_factor: int = 0
    timeout_ns: int = 0

    def __repr__(self) -> str:
        return f"Query({self.name!r}, ltime={self.ltime}, id={self.id}, from {self.source_node!r})"  # no payload: keys

    @property
    def wants_ack(self) -> bool:
        """Is a sign asked for that it came?"""
        return bool(self.flags & QueryFlag.ACK)

    @property
    def passed_on(self) -> bool:
        """May it be passed on?"""
        return not self.flags & QueryFlag.NO_BROADCAST


class QueryResponse(msgspec.Struct, frozen=True, gc=False):
    """An answer to the query of this time and id, or the sign that it came."""

    ltime: int
    id: int
    node: str
    flags: int = 0
    payload: bytes | None = None

    def __repr__(self) -> str:
        return f"QueryResponse(ltime={self.ltime}, id={self.id}, from {self.node!r}, ack={self.is_ack})"  # no payload

    @property
    def is_ack(self) -> bool:
        """Does it only say that the query came?"""
        return bool(self.flags & QueryFlag.ACK)


class Status(IntEnum):
    """What a member is in Serf's eyes."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


class Described(msgspec.Struct, frozen=True):
    """A member as somebody knows it: the answer when two claim one name."""

    node: str
    host: bytes
    port: int
    tags: Mapping[str, str]
    status: int = Status.ALIVE
    protocol_min: int = 2
    protocol_max: int = 5
    protocol: int = 4
    delegate_min: int = 2
    delegate_max: int = 5
    delegate: int = 4


class KeyRequest(msgspec.Struct, frozen=True, gc=False):
    """The key that a query about keys speaks of, as raw bytes; empty for the list."""

    key: bytes | None = None

    def __repr__(self) -> str:
        return "KeyRequest(***)" if self.key else "KeyRequest()"


class KeyResponse(msgspec.Struct, frozen=True):
    """What a member did with its keyring. keys and primary_key: in Base64, in answers to ``list-keys`` alone."""

    result: bool
    message: str = ""
    keys: tuple[str, ...] | None = None
    primary_key: str = ""

    def __repr__(self) -> str:
        return f"KeyResponse(result={self.result}, message={self.message!r}, keys={len(self.keys or ())})"


class Relay(msgspec.Struct, frozen=True, gc=False):
    """Pass ``inner``, a message of this layer with its type byte, on to this address. zone: of IPv6."""

    host: bytes
    port: int
    inner: bytes
    zone: str = ""
    node: str = ""


SerfMessage: TypeAlias = (Join | Leave | UserEvent | Exchange | Query | QueryResponse | Described | KeyRequest
                          | KeyResponse | Relay)
