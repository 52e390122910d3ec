# SPDX-License-Identifier: Apache-2.0
"""What members tell each other, as records: the vocabulary of memberlist's protocol, free of its bytes.

The core takes and gives these; ``wire`` turns them into bytes and back. Node names are text as Python keeps it, with
bytes that are no UTF-8 as surrogates (``surrogateescape``): any name that a peer has goes out as it came in.

A host is the 4 or 16 bytes of an IP address; empty: the message does not name one. Source of the vocabulary:
github.com/hashicorp/memberlist, net.go.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

import msgspec

#: Host (4 or 16 bytes on the wire; a simulation may name hosts by text) and port.
Address: TypeAlias = tuple[bytes | str, int]


class Versions(NamedTuple):
    """The protocol versions a member understands and speaks, and those of what it carries for its user (delegate)."""

    protocol_min: int
    protocol_max: int
    protocol: int
    delegate_min: int
    delegate_max: int
    delegate: int


#: Speaks memberlist's protocol 2 and understands 1 to 5, as memberlist itself does, with Serf's layer above it.
SERF_VERSIONS: Final = Versions(1, 5, 2, 2, 5, 4)
#: The same with nothing above it.
BARE_VERSIONS: Final = Versions(1, 5, 2, 0, 0, 0)


class State(IntEnum):
    """What a member is held to be. The numbers are those of the wire."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Are you there? Answered by an ``Ack`` with the same number. A ping for another name than one's own is dropped."""

    seq_no: int
    node: str
    source_host: bytes = b""
    source_port: int = 0
    source_node: str = ""


class IndirectPing(msgspec.Struct, frozen=True, gc=False):
    """Ask for me whether that one is there. nack: the requester understands ``Nack``."""

    seq_no: int
    host: bytes
    port: int
    node: str
    nack: bool = True
    source_host: bytes = b""
    source_port: int = 0
    source_node: str = ""


class Ack(msgspec.Struct, frozen=True, gc=False):
    """Yes. payload: what the answering member's user adds; Serf adds its coordinate. None: nothing."""

    seq_no: int
    payload: bytes | None = None


class Nack(msgspec.Struct, frozen=True, gc=False):
    """I asked for you, and heard nothing so far."""

    seq_no: int


class Suspect(msgspec.Struct, frozen=True, gc=False):
    """``accuser`` could not reach ``node`` in this incarnation."""

    incarnation: int
    node: str
    accuser: str


class Alive(msgspec.Struct, frozen=True, gc=False):
    """``node`` lives, in this incarnation, at this address, with this meta (at most 512 bytes).

    versions: None when the sender names none.
    """

    incarnation: int
    node: str
    host: bytes
    port: int
    meta: bytes = b""
    versions: Versions | None = BARE_VERSIONS

    @property
    def address(self) -> Address:
        """Where it can be reached."""
        return self.host, self.port


class Dead(msgspec.Struct, frozen=True, gc=False):
    """``node`` is dead, says ``accuser``; who says it of itself leaves."""

    incarnation: int
    node: str
    accuser: str

    @property
    def graceful(self) -> bool:
        """Did it say so itself?"""
        return self.accuser == self.node


class NodeState(msgspec.Struct, frozen=True, gc=False):
    """A member as a peer sees it, in an exchange of all that is known.

    state: a number that ``State`` does not know stays a number; whoever merges decides.
    """

    node: str
    host: bytes
    port: int
    meta: bytes = b""
    incarnation: int = 0
    state: int = State.ALIVE
    versions: Versions | None = BARE_VERSIONS

    @property
    def address(self) -> Address:
        """Where it can be reached."""
        return self.host, self.port


class PushPull(msgspec.Struct, frozen=True):
    """All that a member knows. Goes over a stream, and the same comes back.

    join: the sender enters. user_state: what its user adds; Serf's own exchange.
    """

    states: tuple[NodeState, ...]
    user_state: bytes = b""
    join: bool = False


class User(msgspec.Struct, frozen=True, gc=False):
    """Bytes for the layer above."""

    payload: bytes


class Err(msgspec.Struct, frozen=True, gc=False):
    """The stream's other end could not do what was asked."""

    error: str


Message: TypeAlias = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead | PushPull | User | Err
