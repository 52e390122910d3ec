# SPDX-License-Identifier: Apache-2.0
"""What callers ask nodes, and what they answer: MessagePack in sealed boxes."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from ..._base.typed import from_msgpack
from ...errors import SecretsDamaged
from .circle import Circle
from .ledger import Receipt
from .record import Ballot, Deal, Proposal

#: What a box with a request is for, and what its signature is of.
REQUEST: Final = b"request"
#: What a writer signs, and who makes a circle.
PROPOSAL: Final = b"proposal"
CIRCLE: Final = b"circle"
#: What an envelope with a share is for.
SHARE: Final = b"share"
#: Bytes of a request or an answer; a record of the longest, with room for its envelopes.
BYTES_MAX: Final = 24 << 20
#: How old a request may be, and how far ahead: clocks differ.
AGE_MS_MAX: Final = 120_000

S = TypeVar("S")


class Read(msgspec.Struct, frozen=True, tag=True):
    """The record, and this node's share of one version: its decision. access: of the caller's act, on all nodes."""

    name: str
    version: int | None
    label: str
    access: str


class Look(msgspec.Struct, frozen=True, tag=True):
    """The record without the share."""

    name: str


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """A promise, and the record."""

    name: str
    ballot: Ballot


class Accept(msgspec.Struct, frozen=True, tag=True):
    """Keep this record."""

    proposal: Proposal


class Names(msgspec.Struct, frozen=True, tag=True):
    """All names that the caller may list."""


class Redeal(msgspec.Struct, frozen=True, tag=True):
    """Deal your shares of all versions to the holders of a circle: the present one, or one that was adopted."""

    name: str
    to: Circle
    access: str


class Adopt(msgspec.Struct, frozen=True, tag=True):
    """Write nothing more under the present circle: this one is being made."""

    circle: Circle


class Abandon(msgspec.Struct, frozen=True, tag=True):
    """It is not made after all."""


class Retire(msgspec.Struct, frozen=True, tag=True):
    """This circle is in force: forget what was of the one before."""

    circle: Circle


class Activate(msgspec.Struct, frozen=True, tag=True):
    """Everybody knows: write again."""


class Lines(msgspec.Struct, frozen=True, tag=True):
    """The node's ledger, from an entry on, and no more than ``most``."""

    since: int = 1
    most: int = 10_000


Ask = Read | Look | Prepare | Accept | Names | Redeal | Adopt | Abandon | Retire | Activate | Lines


class Request(msgspec.Struct, frozen=True):
    """epoch: of the circle that the caller knows. at: ms since 1970. to: the node. seen: receipts of other nodes."""

    circle: bytes
    epoch: int
    caller: str
    to: str
    at: int
    ask: Ask
    seen: tuple[Receipt, ...] = ()
    signature: bytes = b""

    def bare(self, box: bytes) -> bytes:
        """What is signed. box: the first bytes of the box that it is in: it fits into no other."""
        return box + msgspec.msgpack.encode(msgspec.structs.replace(self, signature=b""))


class Reply(msgspec.Struct, frozen=True):
    """error: empty, or ``denied``, ``frozen`` (a re-share is under way), ``moved`` (circle says where to), ``behind``
    (the node missed a re-share), ``damaged``, ``refused``."""

    error: str = ""
    why: str = ""
    body: bytes = b""
    circle: Circle | None = None
    receipt: Receipt | None = None


class Seen(msgspec.Struct, frozen=True):
    """A node's record, and what it says of its share. opened: salt and data, by dealer; empty where it was not asked
    for, or there is none. done: a promise was given, a record kept."""

    done: bool = True
    number: int = 0
    proposal: Proposal | None = None
    promised: Ballot = (0, "", "")
    opened: dict[int, bytes] = {}
    fault: str = ""


class Redealt(msgspec.Struct, frozen=True):
    """A node's deals, by the number of the version. of: the set and the turn of the shares that it dealt."""

    of: dict[int, tuple[bytes, int]]
    deals: dict[int, Deal]


class Named(msgspec.Struct, frozen=True):
    """What a node knows of one name."""

    name: str
    ballot: Ballot
    live: bool


def pack(message: Any) -> bytes:
    """As bytes."""
    return msgspec.msgpack.encode(message)


def unpack(raw: bytes, kind: type[S]) -> S:
    """From bytes. Raises SecretsDamaged."""
    try:
        return from_msgpack(raw, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise SecretsDamaged("what was sent is nothing that nodes and callers say to each other") from None
