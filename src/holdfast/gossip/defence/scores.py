# SPDX-License-Identifier: Apache-2.0
"""What a peer has been worth, as a sum of parts that each can be read.

::

    part         grows with                                        sign   bound (default)
    first        messages it was the first to bring                  +      20
    uptime       hours it has been connected                         +      10
    invalid      messages that were false, forged or rejected        −     200
    repeat       messages it brought again and again                 −      40
    rate         messages beyond its limits                          −      45
    missing      messages it ought to have passed on, and did not    −      60
    application  what validators hold against it                     −     100
    colocation   others at its address, squared                      −      80

A part is a count that halves every ``half_life_s``, times a weight, within a bound. The bound is on the count as well:
what was done long ago is forgotten in a time that can be said, however much of it there was. Good deeds are bounded so
low that they buy no licence: ``first`` and ``uptime`` together outweigh three invalid messages.

**Honest peers.** A quiet topic costs nothing: there is no part for messages that were expected and did not come (the
deficit of gossipsub's P3 punishes every peer of a topic without traffic). Duplicates are natural in gossip, and a
member passes an item on to the same peer more than once by chance: each message that a peer delivers, first or not,
lets it repeat itself ``repeats_per_delivery`` times, and only what is beyond that is a repeat. Rate alone reaches the
graylist at most, never a ban. Passing on a message that only *this* member holds to be false costs the peer too:
validators must agree everywhere.

**Graylist and ban.** What a peer on the graylist brings is not looked at, so it does not sink further by it: it stays
there as long as it goes on, some three false messages in ten minutes away. Whoever forges signatures, or is told on by
an audit, sinks to the ban.

Source of the idea: the GossipSub specification, version 1.1 (github.com/libp2p/specs); parts and figures are our own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from ...errors import ConfigurationError

#: Parts that are counts and decay.
Deed = Literal["first", "invalid", "repeat", "rate", "missing", "application"]
Standing = Literal["good", "graylist", "ban"]
_DEEDS: Final[tuple[Deed, ...]] = ("first", "invalid", "repeat", "rate", "missing", "application")
#: A count below this is none.
_NOTHING: Final = 1e-3
#: Repeats that are free whatever a peer delivers, and the most it can have saved up.
_FREE_REPEATS: Final = 8.0
_SAVED_REPEATS: Final = 256.0


@dataclass(frozen=True)
class Part:
    """weight: points for each; bound: points at most, always above 0."""

    weight: float
    bound: float


@dataclass(frozen=True)
class Scoring:
    """half_life_s: a shorter one forgives sooner, and an attacker comes back sooner. graylist, ban: below these a peer
    is not listened to, or banned for a time. Closer to 0: attackers go sooner, and so do honest members with a fault.

    repeats_per_delivery: how often a peer may repeat itself for each message it delivers. colocated_free: peers
    at one address that cost nothing; members behind one NAT or on one host share it, so raise it there, or exempt their
    network (``subnets.Places``, as loopback is): 4 lets an attacker have four names. With the defaults the 7th peer at
    an address puts all of them on the graylist. peers_max: records kept, some 500 bytes each; beyond it the record that
    was not touched for the longest goes, whose bans stand elsewhere.
    """

    half_life_s: float = 600.0
    first: Part = Part(0.5, 20.0)
    uptime: Part = Part(1.0, 10.0)
    invalid: Part = Part(10.0, 200.0)
    repeat: Part = Part(0.5, 40.0)
    rate: Part = Part(0.5, 45.0)
    missing: Part = Part(10.0, 60.0)
    application: Part = Part(1.0, 100.0)
    colocation: Part = Part(5.0, 80.0)
    colocated_free: int = 4
    repeats_per_delivery: float = 4.0
    graylist: float = -40.0
    ban: float = -80.0
    peers_max: int = 4_096

    def __post_init__(self) -> None:
        parts = [getattr(self, name) for name in (*_DEEDS, "uptime", "colocation")]
        if self.half_life_s <= 0 or any(part.weight < 0 or part.bound <= 0 for part in parts):
            raise ConfigurationError("scores need a half-life above 0, weights from 0 and bounds above 0")
        if not self.ban <= self.graylist < 0:
            raise ConfigurationError("scores ban below the graylist, and the graylist is below 0")


class Score(msgspec.Struct, frozen=True):
    """A peer's score and where it comes from. parts: points by part, those that are 0 included."""

    peer: str
    total: float
    standing: Standing
    parts: dict[str, float]


class _Record:
    __slots__ = ("address", "at", "counts", "free", "since")

    def __init__(self, now: float) -> None:
        self.at = now
        self.counts: dict[Deed, float] = {}
        self.free = _FREE_REPEATS
        self.since: float | None = None
        self.address: bytes | None = None


class Scores:
    """The records of all peers. now: seconds on a clock that never goes back."""

    __slots__ = ("_at_address", "_records", "scoring")

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._at_address: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, peer: object) -> bool:
        return peer in self._records

    def connected(self, peer: str, address: bytes | None, now: float) -> None:
        """It is there, at that address (the host's bytes: ports are free to invent); None: where many share one on
        purpose, and it counts for nothing."""
        record = self._of(peer, now)
        self._left(record)
        record.since = now if record.since is None else record.since
        record.address = address
        if address is not None:
            self._at_address[address] += 1

    def disconnected(self, peer: str, now: float) -> None:
        """It is gone. What it did stays, and decays: whoever comes back is who it was."""
        record = self._records.get(peer)
        if record is not None:
            self._decay(record, now)
            self._left(record)
            record.address = record.since = None

    def note(self, peer: str, deed: Deed, now: float, times: float = 1.0) -> None:
        """It did that, so many times. times is from 0 up."""
        record = self._of(peer, now)
        part: Part = getattr(self.scoring, deed)
        times = max(0.0, times)
        if deed == "repeat":
            used = min(record.free, times)
            record.free -= used
            times -= used
        most = part.bound / part.weight if part.weight else 0.0
        record.counts[deed] = min(most, record.counts.get(deed, 0.0) + times)  # guard: what is counted has an end

    def delivered(self, peer: str, now: float) -> None:
        """It brought a message that it had not brought before, first or not: some repeats of it are free."""
        record = self._of(peer, now)
        record.free = min(_SAVED_REPEATS, record.free + self.scoring.repeats_per_delivery)

    def score(self, peer: str, now: float) -> Score:
        """Its score; 0 for a peer that is not known."""
        record = self._records.get(peer)
        parts = dict.fromkeys((*_DEEDS, "uptime", "colocation"), 0.0) if record is None else self._parts(record, now)
        total = sum(parts.values())
        scoring = self.scoring
        standing: Standing = "ban" if total < scoring.ban else "graylist" if total < scoring.graylist else "good"
        return Score(peer, total, standing, parts)

    def total(self, peer: str, now: float) -> float:
        """Only the sum."""
        record = self._records.get(peer)
        return 0.0 if record is None else sum(self._parts(record, now).values())

    def heard(self, peer: str, now: float) -> bool:
        """Is it above the graylist? Asked of every message and target: most peers have nothing against them, and for
        these nothing is computed."""
        record = self._records.get(peer)
        if record is None or (not record.counts.keys() - {"first"} and self._crowd(record) <= 0):
            return True
        return self.total(peer, now) >= self.scoring.graylist

    def all(self, now: float) -> list[Score]:
        """Everybody's, the worst first."""
        return sorted((self.score(peer, now) for peer in self._records), key=lambda one: (one.total, one.peer))

    def distribution(self, now: float) -> dict[str, int]:
        """How many peers are ``banned`` (low enough for it), ``graylisted``, ``negative``, ``zero``, ``positive``."""
        found = Counter({"banned": 0, "graylisted": 0, "negative": 0, "zero": 0, "positive": 0})
        for peer in self._records:
            one = self.score(peer, now)
            found["banned" if one.standing == "ban" else "graylisted" if one.standing == "graylist" else
                  "negative" if one.total < 0 else "positive" if one.total > 0 else "zero"] += 1
        return dict(found)

    def tidy(self, now: float) -> None:
        """Forgets those who are gone and of whom nothing is left."""
        for peer in list(self._records):
            record = self._records[peer]
            self._decay(record, now)
            if record.since is None and not record.counts:
                del self._records[peer]

    def _parts(self, record: _Record, now: float) -> dict[str, float]:
        self._decay(record, now)
        scoring, counts = self.scoring, record.counts
        hours = 0.0 if record.since is None else max(0.0, now - record.since) / 3_600
        return {
            "first": _points(scoring.first, counts.get("first", 0.0)),
            "invalid": -_points(scoring.invalid, counts.get("invalid", 0.0)),
            "repeat": -_points(scoring.repeat, counts.get("repeat", 0.0)),
            "rate": -_points(scoring.rate, counts.get("rate", 0.0)),
            "missing": -_points(scoring.missing, counts.get("missing", 0.0)),
            "application": -_points(scoring.application, counts.get("application", 0.0)),
            "uptime": _points(scoring.uptime, hours),
            "colocation": -_points(scoring.colocation, float(self._crowd(record) ** 2)),
        }

    def _crowd(self, record: _Record) -> int:
        if record.address is None:
            return 0
        return max(0, self._at_address[record.address] - self.scoring.colocated_free)

    def _decay(self, record: _Record, now: float) -> None:
        if now <= record.at:
            return
        left = 0.5 ** ((now - record.at) / self.scoring.half_life_s)
        record.at = now
        record.counts = {deed: count * left for deed, count in record.counts.items() if count * left >= _NOTHING}

    def _of(self, peer: str, now: float) -> _Record:
        record = self._records.get(peer)
        if record is None:
            self._records[peer] = record = _Record(now)
            if len(self._records) > self.scoring.peers_max:
                _, oldest = self._records.popitem(last=False)
                self._left(oldest)
        else:
            self._records.move_to_end(peer)
            self._decay(record, now)
        return record

    def _left(self, record: _Record) -> None:
        if record.address is not None:
            self._at_address[record.address] -= 1
            if not self._at_address[record.address]:
                del self._at_address[record.address]


def _points(part: Part, count: float) -> float:
    return min(part.bound, part.weight * count)  # guard: each part has its bound
