# SPDX-License-Identifier: Apache-2.0
"""Do two members see the same cluster?

::

    Claim: signed by the member: round, how many it holds to be live, and 32 hashes
           entry (name, incarnation) ─ hash of the name ─▶ one of 32 buckets ─ hash of its sorted entries

Equal buckets: the same members in the same incarnations. In a cluster in which anything happens two views differ all
the time, for seconds. So a bucket counts only once it has differed ``rounds`` times in a row and for ``persist_s``, and
even then its entries are fetched and compared by name: what this member itself learned a moment ago is left out. What
remains is told to the operator: who sees whom. It happens in a cluster cut in two, and around a member whose peers show
it a world of their own.

The entries a peer sends have to make the hash that it signed before; it cannot show one view in its claim and another
one when asked. Two claims of one round with different hashes are a proof, where ``equivocation.Open`` reads claims too.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from ...errors import BadPacket, ConfigurationError
from .framing import decoded, digest, encoded, framed, read

BUCKETS: Final = 32
#: Bytes of a bucket's hash: what an attacker would have to collide, for a difference to stay hidden.
HASH: Final = 16
#: Bytes of a claim and of an entry on the wire: a name has 128 at most.
CLAIM_MAX: Final = 4_096
ENTRY_MAX: Final = 160
#: A name and its incarnation.
Entry = tuple[str, int]


@dataclass(frozen=True)
class Comparing:
    """every_s: how often with one member at random; a claim has 600 bytes, and
    takes 30 ms to make of 10,000 members. rounds, persist_s: how long a difference has
    to stand; shorter than news and refutations take (30 s of push/pull), and it cries wolf. fresh_s: changes here that
    are younger are left out. entries_max: of a bucket that is fetched: 10,000 members are 313 a bucket. peers_max."""

    every_s: float = 15.0
    rounds: int = 3
    persist_s: float = 60.0
    fresh_s: float = 30.0
    entries_max: int = 4_096
    peers_max: int = 1_024

    def __post_init__(self) -> None:
        if min(self.every_s, self.rounds, self.entries_max, self.peers_max) <= 0 or min(self.persist_s,
                                                                                       self.fresh_s) < 0:
            raise ConfigurationError("comparing views needs rounds and bounds above 0")


class Claim(msgspec.Struct, frozen=True):
    """A member's view, to be signed as ``signed_bytes``. round: it never repeats."""

    member: str
    round: int
    live: int
    buckets: tuple[bytes, ...]

    def signed_bytes(self, cluster: bytes = b"") -> bytes:
        """What the signature is over."""
        return framed("holdfast gossip view 1", cluster, self.member, self.round, self.live, *self.buckets)


class _Wire(msgspec.Struct, frozen=True, array_like=True):
    member: bytes
    round: int
    live: int
    buckets: list[bytes]
    signature: bytes


class Fetch(msgspec.Struct, frozen=True):
    """Ask the peer for the entries of these buckets, of this round of its own."""

    peer: str
    round: int
    buckets: tuple[int, ...]


class Split(msgspec.Struct, frozen=True):
    """A difference that stays. only_here, only_there: who is live in one view alone; other: live in both, in different
    incarnations."""

    peer: str
    since: float
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    other: tuple[str, ...]


def bucket_of(name: str) -> int:
    """Where a member's entry is."""
    return hashlib.sha256(encoded(name)).digest()[0] % BUCKETS


def bucket_hash(entries: Iterable[Entry]) -> bytes:
    """Of entries in any order."""
    parts = sorted((encoded(name), incarnation) for name, incarnation in entries)
    return digest("holdfast gossip bucket 1", *(part for entry in parts for part in entry))[:HASH]


def claim(member: str, round_: int, live: Iterable[Entry]) -> Claim:
    """This member's view, itself included."""
    lists: list[list[Entry]] = [[] for _ in range(BUCKETS)]
    for entry in live:
        lists[bucket_of(entry[0])].append(entry)
    return Claim(member, round_, sum(map(len, lists)), tuple(map(bucket_hash, lists)))


class _Differing:
    __slots__ = ("claim", "reported", "since")

    def __init__(self, claim_: Claim) -> None:
        self.claim = claim_
        #: By bucket: since when it differs, and how many times in a row.
        self.since: dict[int, tuple[float, int]] = {}
        self.reported: Split | None = None


class Views:
    """How views of others differ from this member's."""

    __slots__ = ("_peers", "compared", "comparing", "equal")

    def __init__(self, comparing: Comparing) -> None:
        self.comparing = comparing
        self._peers: OrderedDict[str, _Differing] = OrderedDict()
        #: Claims compared, and those that were equal.
        self.compared = self.equal = 0

    @property
    def splits(self) -> tuple[Split, ...]:
        """Differences that stand now."""
        return tuple(one.reported for one in self._peers.values() if one.reported is not None)

    @property
    def differing(self) -> tuple[str, ...]:
        """Whose view was another one when it was last compared, for however short a time."""
        return tuple(self._peers)

    def forget(self, peer: str) -> None:
        """It is gone, and so is what it saw."""
        self._peers.pop(peer, None)

    def compare(self, ours: Claim, theirs: Claim, now: float) -> Fetch | None:
        """A peer's claim, whose signature was verified. Ours is of this moment. A Fetch: the difference stays."""
        if len(theirs.buckets) != BUCKETS or theirs.member == ours.member:
            return None
        peer = self._peers.get(theirs.member)
        if peer is not None and theirs.round <= peer.claim.round:  # guard: an old view is not today's
            return None
        differ = [at for at in range(BUCKETS) if ours.buckets[at] != theirs.buckets[at]]
        self.compared += 1
        self.equal += not differ
        if not differ:
            self._peers.pop(theirs.member, None)
            return None
        if peer is None:
            self._peers[theirs.member] = peer = _Differing(theirs)
            if len(self._peers) > self.comparing.peers_max:
                self._peers.popitem(last=False)
        before = peer.since
        peer.claim = theirs
        peer.since = {at: (before[at][0], before[at][1] + 1) if at in before else (now, 1) for at in differ}
        stays = tuple(at for at, (since, times) in peer.since.items()
                      if times >= self.comparing.rounds and now - since >= self.comparing.persist_s)  # guard: it stays
        if not stays:
            peer.reported = None
            return None
        return Fetch(theirs.member, theirs.round, stays)  # guard: what stays is looked into

    def name(self, fetch: Fetch, theirs: Iterable[Entry], live: Iterable[tuple[str, int, float]],
             now: float) -> Split | None:
        """The entries that were fetched, and this member's own with when each last changed here. None: there is nothing
        to report, or they are not what the peer signed, or it was reported."""
        peer = self._peers.get(fetch.peer)
        found = [entry for entry, _ in zip(theirs, range(self.comparing.entries_max), strict=False)]
        if peer is None or peer.claim.round != fetch.round or not self.signed(fetch, found):
            return None
        wanted = set(fetch.buckets)
        here = {name: (incarnation, at) for name, incarnation, at in live if bucket_of(name) in wanted}
        there = dict(found)
        fresh = {name for name, (_, at) in here.items() if now - at < self.comparing.fresh_s}
        split = Split(
            fetch.peer, min(peer.since[at][0] for at in fetch.buckets if at in peer.since),
            tuple(sorted(here.keys() - there.keys() - fresh)), tuple(sorted(there.keys() - here.keys())),
            tuple(sorted(name for name in here.keys() & there.keys() - fresh if here[name][0] != there[name])))
        if not (split.only_here or split.only_there or split.other):
            return None
        same = peer.reported is not None and _names(peer.reported) == _names(split)
        peer.reported = split
        return None if same else split

    def signed(self, fetch: Fetch, entries: Iterable[Entry]) -> bool:
        """Do these entries make the hashes of the peer's claim?"""
        peer = self._peers.get(fetch.peer)
        if peer is None:
            return False
        lists: dict[int, list[Entry]] = {at: [] for at in fetch.buckets}
        for entry in entries:
            at = bucket_of(entry[0])
            if at not in lists:
                return False
            lists[at].append(entry)
        return all(bucket_hash(lists[at]) == peer.claim.buckets[at] for at in lists)  # guard: what was signed


def encode(claim_: Claim, signature: bytes) -> bytes:
    """For the wire."""
    return msgspec.msgpack.encode(_Wire(encoded(claim_.member), claim_.round, claim_.live, list(claim_.buckets),
                                        signature))


def decode(data: bytes) -> tuple[Claim, bytes]:
    """A claim and its signature, from the wire. Raises BadPacket."""
    wire = read(data, _Wire, CLAIM_MAX, "a view")
    shaped = len(wire.buckets) == BUCKETS and all(len(each) == HASH for each in wire.buckets)
    if not shaped or min(wire.round, wire.live) < 0:
        raise BadPacket(f"a view is {BUCKETS} hashes of {HASH} bytes, and two numbers from 0")
    return Claim(decoded(wire.member), wire.round, wire.live, tuple(wire.buckets)), wire.signature


def encode_entries(entries: Iterable[Entry]) -> bytes:
    """The entries of buckets, for the wire."""
    return msgspec.msgpack.encode([(encoded(name), incarnation) for name, incarnation in entries])


def decode_entries(data: bytes, comparing: Comparing) -> list[Entry]:
    """From the wire. Raises BadPacket."""
    rows = read(data, list[tuple[bytes, int]], comparing.entries_max * ENTRY_MAX, "a list of a view's entries")
    if len(rows) > comparing.entries_max or not all(0 <= incarnation < 1 << 32 for _, incarnation in rows):
        raise BadPacket(f"a view's entries are {comparing.entries_max} at most, with incarnations of 32 bits")
    return [(decoded(name), incarnation) for name, incarnation in rows]


def _names(split: Split) -> tuple[tuple[str, ...], ...]:
    return split.only_here, split.only_there, split.other
