# SPDX-License-Identifier: Apache-2.0
"""How much may come in: token buckets, one for each peer and one for all.

A bucket fills at a rate up to its burst; a message takes a token, and as many byte tokens as it is long. In any t
seconds no more passes than ``burst + rate · t``. A message passes all buckets or takes from none, so what a peer is
refused costs the others nothing.

The table of peers is bounded. A peer that finds no place in it draws from one bucket that all such strangers share:
were the fullest place given away instead, whoever invents names would begin with a full bucket each time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ...errors import ConfigurationError


@dataclass(frozen=True)
class Limits:
    """What a peer, and all together, may send. Sizes in bytes, rates a second; ``burst_s``: for so many seconds' worth
    at once.

    A member of an idle LAN cluster sends about 2 packets a second, one with news under way about 15. The defaults leave
    a peer 10 times that. Price of less: a peer with much to tell is cut short and loses score; of more: one peer can
    take so much of this member's time. 1,000 messages/s of which each is verified (Ed25519, 0.1 ms) take a tenth of a
    core.

    message_bytes_max: one message; 64 KiB is what a datagram can hold. peers_max: places in the table, some 300 bytes
    each.
    """

    message_bytes_max: int = 65_536
    peer_messages_s: float = 150.0
    peer_bytes_s: float = 262_144.0
    all_messages_s: float = 1_000.0
    all_bytes_s: float = 4_194_304.0
    burst_s: float = 4.0
    peers_max: int = 4_096

    def __post_init__(self) -> None:
        if min(self.message_bytes_max, self.peer_messages_s, self.peer_bytes_s, self.all_messages_s, self.all_bytes_s,
               self.burst_s, self.peers_max) <= 0:
            raise ConfigurationError("every limit on what peers send is above 0; leave limits out to have none")


class Bucket:
    """Full at first. rate: tokens a second; burst: how many it holds; now: seconds on a clock that never goes back."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst = rate, burst
        self._level, self._at = burst, now

    def level(self, now: float) -> float:
        """Tokens in it."""
        if now > self._at:
            self._level, self._at = min(self.burst, self._level + (now - self._at) * self.rate), now
        return self._level

    def take(self, tokens: float, now: float) -> bool:
        """Takes so many, or none when there are fewer."""
        if self.level(now) < tokens:  # guard: a bucket gives what it holds
            return False
        self._level -= tokens
        return True

    def force(self, tokens: float, now: float) -> None:
        """Takes them even so: the cost is known only afterwards. The level may go below 0, by no more than a burst."""
        self._level = max(-self.burst, self.level(now) - tokens)


class Pair:
    """A bucket of messages and one of bytes."""

    __slots__ = ("count", "size")

    def __init__(self, messages_s: float, bytes_s: float, limits: Limits, now: float) -> None:
        self.count = Bucket(messages_s, max(1.0, messages_s * limits.burst_s), now)
        # The longest message that is allowed at all passes a full bucket.
        self.size = Bucket(bytes_s, max(float(limits.message_bytes_max), bytes_s * limits.burst_s), now)

    def short_of(self, size: int, now: float) -> str | None:
        """What is missing for a message of that size."""
        if self.count.level(now) < 1:
            return "rate"
        return "bytes" if self.size.level(now) < size else None

    def take(self, size: int, now: float) -> None:
        """Takes what ``short_of`` found."""
        self.count.take(1, now)
        self.size.take(size, now)

    def full(self, now: float) -> bool:
        """Has it forgotten what it gave?"""
        return self.count.level(now) >= self.count.burst and self.size.level(now) >= self.size.burst


class Limiter:
    """The buckets of all peers."""

    __slots__ = ("_all", "_peers", "_strangers", "limits")

    def __init__(self, limits: Limits, now: float = 0.0) -> None:
        self.limits = limits
        self._all = Pair(limits.all_messages_s, limits.all_bytes_s, limits, now)
        self._strangers = self._pair(now)
        self._peers: OrderedDict[str, Pair] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def take(self, peer: str, size: int, now: float) -> str | None:
        """None: a message of that size may pass. Else why not: ``large``, ``peer rate``, ``peer bytes``, ``all rate``,
        ``all bytes``. Only the first three are the peer's own doing."""
        if size > self.limits.message_bytes_max:
            return "large"
        own = self._of(peer, now)
        for whose, pair in (("peer", own), ("all", self._all)):
            missing = pair.short_of(size, now)
            if missing is not None:
                return f"{whose} {missing}"
        own.take(size, now)
        self._all.take(size, now)
        return None

    def _pair(self, now: float) -> Pair:
        return Pair(self.limits.peer_messages_s, self.limits.peer_bytes_s, self.limits, now)

    def _of(self, peer: str, now: float) -> Pair:
        pair = self._peers.get(peer)
        if pair is not None:
            self._peers.move_to_end(peer)
            return pair
        if len(self._peers) >= self.limits.peers_max:
            oldest = next(iter(self._peers))
            if not self._peers[oldest].full(now):  # guard: a new name brings no new bucket where there is no place
                return self._strangers
            del self._peers[oldest]
        self._peers[peer] = pair = self._pair(now)
        return pair
