# SPDX-License-Identifier: Apache-2.0
"""Who was expelled: a set that only grows, and the same everywhere once it got about.

An entry names a node for good, or one certificate of it by its serial. It is signed by an issuer or a member with the
role "revoke", and whether it counts depends on nothing but itself: not on the order in which entries came, nor on
others. So lists are merged in any order, as often as one likes. Of two entries for the same target the one with the
smaller hash stands.

That is why nothing is taken back, not even what was signed by a member who was expelled later: else an expelled member
would come back when the one who expelled it goes. Who was expelled by mistake gets a new identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from ..._base.clock import WallMs
from ...errors import NotTrusted
from .admission import REVOKE, SERIAL, Anchor, Credential, Vouched
from .identity import Identity, short_id
from .records import Record

#: Entries: some 600 bytes each.
ENTRIES_MAX: Final = 65_536
REASON_MAX: Final = 200
#: Bytes by which an entry is told apart when lists are compared.
MARK: Final = 8


class Revocation(Record, frozen=True, tag="revocation"):
    """node: an id, or empty; serial: a certificate's, or empty: one of both. at_ms: since 1970, when."""

    node: str
    serial: bytes
    reason: str
    at_ms: int

    @property
    def target(self) -> tuple[str, bytes]:
        """What it is about."""
        return self.node, self.serial


class Digest(Record, frozen=True, tag="digest"):
    """version: how many entries. root: a hash of all; equal roots, equal lists."""

    version: int
    root: bytes


def revoke(identity: Identity, credential: Credential | None, cluster: bytes, *, node: str = "", serial: bytes = b"",
           reason: str, at_ms: WallMs) -> Vouched:
    """An entry. credential: of who expels; None: it is an issuer."""
    return Vouched(identity.sign(cluster, Revocation(node, serial, reason, at_ms)), credential)


class Revocations:
    """The list of one member. entries: what it begins with, checked as if it came in."""

    __slots__ = ("_anchor", "_entries", "_nodes", "_root", "_senders", "_serials")

    def __init__(self, anchor: Anchor, entries: Iterable[Vouched] = ()) -> None:
        self._anchor = anchor
        self._entries: dict[tuple[str, bytes], tuple[Vouched, Revocation]] = {}
        self._nodes: set[str] = set()
        self._senders: set[bytes] = set()
        self._serials: set[bytes] = set()
        self._root: bytes | None = None
        self.merge(entries)

    def add(self, entry: Vouched) -> bool:
        """Takes an entry. False: nothing new. Raises NotTrusted, BadPacket for one that does not count."""
        found = self._checked(entry)
        before = self._entries.get(found.target)
        if before is not None and before[0].hash <= entry.hash:
            return False
        if before is None and len(self._entries) >= ENTRIES_MAX:
            raise NotTrusted(f"the list holds {ENTRIES_MAX} entries: give the cluster a new issuer", why="revoked")
        self._entries[found.target] = entry, found
        self._root = None
        if found.node:
            self._nodes.add(found.node)
            self._senders.add(short_id(found.node))
        else:
            self._serials.add(found.serial)
        return True

    def _checked(self, entry: Vouched) -> Revocation:
        # Its own time, so that it counts the same today and in a year; and nobody's being expelled since.
        found = self._anchor.verify(entry.said, Revocation)
        self._anchor.said(entry, Revocation, WallMs(found.at_ms), role=REVOKE)
        if bool(found.node) == bool(found.serial) or len(found.reason) > REASON_MAX:
            raise NotTrusted("an entry names a node or a serial, and one of them", why="revoked")
        if found.node:
            short_id(found.node)
        elif len(found.serial) != SERIAL:
            raise NotTrusted("an entry whose serial is none", why="revoked")
        return found

    def merge(self, entries: Iterable[Vouched]) -> list[Vouched]:
        """Takes entries and gives those that were new. Raises at the first that does not count; those before stay."""
        return [entry for entry in entries if self.add(entry)]

    def names(self, id: str, serial: bytes) -> bool:
        """Is this node expelled, or this certificate?"""
        return id in self._nodes or serial in self._serials

    def sends(self, sender: bytes) -> bool:
        """Is it an expelled node that packets name by these eight bytes?"""
        return sender in self._senders

    @property
    def digest(self) -> Digest:
        """What to compare with somebody else's."""
        if self._root is None:
            hashes = sorted(entry.hash for entry, _ in self._entries.values())
            self._root = hashlib.sha256(b"".join(hashes)).digest()
        return Digest(len(self._entries), self._root)

    @property
    def marks(self) -> tuple[bytes, ...]:
        """Eight bytes of each entry, sorted: what somebody else needs to find what is missing."""
        return tuple(sorted(entry.hash[:MARK] for entry, _ in self._entries.values()))

    def missing(self, marks: Iterable[bytes]) -> tuple[Vouched, ...]:
        """Entries of ours that are not among theirs."""
        theirs = set(marks)
        return tuple(entry for entry, _ in self._sorted() if entry.hash[:MARK] not in theirs)

    @property
    def entries(self) -> tuple[Vouched, ...]:
        """All entries, as they are passed on and kept."""
        return tuple(entry for entry, _ in self._sorted())

    @property
    def nodes(self) -> frozenset[str]:
        """The ids of all nodes that are named by id."""
        return frozenset(self._nodes)

    def _sorted(self) -> list[tuple[Vouched, Revocation]]:
        return sorted(self._entries.values(), key=lambda each: each[0].hash)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Revocations({len(self)}, {self.digest.root.hex()[:8]})"
