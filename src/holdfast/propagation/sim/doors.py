# SPDX-License-Identifier: Apache-2.0
"""A node's door: how much each neighbour may send, and when it is turned away. What decides is ``gossip.defence``'s,
the same buckets and bans that keep a cluster's members in bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ...gossip.defence.bans import Banning, Bans
from ...gossip.defence.buckets import Limiter, Limits

#: What a blame costs. A forged signature, or a block that cannot be, is no accident; a fee that is too low may be
#: another setting, and who does not answer may be slow.
POINTS: Final[Mapping[str, float]] = MappingProxyType({"fee": 2.0, "stall": 5.0})
POINTS_ELSE: Final = 20.0


@dataclass(frozen=True)
class Defence:
    """limits: what comes in. banning: how long somebody is turned away. points: at how many that happens; half of them
    are forgotten each ``half_s``."""

    limits: Limits = field(default_factory=lambda: Limits(
        message_bytes_max=4_000_000, peer_messages_s=50.0, peer_bytes_s=2_000_000.0, all_bytes_s=16_000_000.0))
    banning: Banning = field(default_factory=Banning)
    points: float = 100.0
    half_s: float = 60.0


class Guarded:
    """The door of one node. Fits ``world.Door``."""

    def __init__(self, defence: Defence | None = None) -> None:
        self.defence = defence or Defence()
        self._limiter, self._bans = Limiter(self.defence.limits), Bans(self.defence.banning)
        self._points: dict[int, tuple[float, float]] = {}
        self.refused = 0

    def takes(self, peer: int, size: int, now: float) -> bool:
        """May a message of so many bytes come in?"""
        passes = self._limiter.take(str(peer), size, now) is None  # guard: door-rate
        self.refused += not passes
        return passes

    def blamed(self, peer: int, why: str, now: float) -> float:
        """This neighbour is blamed. For how long is it turned away? 0: it is not."""
        points, since = self._points.get(peer, (0.0, now))
        points = points * 0.5 ** ((now - since) / self.defence.half_s) + POINTS.get(why, POINTS_ELSE)
        if points < self.defence.points:
            self._points[peer] = (points, now)
            return 0.0
        self._points.pop(peer, None)
        return self._bans.ban(str(peer), why, now).until - now  # guard: door-ban
