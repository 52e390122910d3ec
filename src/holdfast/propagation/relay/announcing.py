# SPDX-License-Identifier: Apache-2.0
"""Announce, and send when asked: at once, or when a timer without memory says so.

``Trickle`` is Bitcoin Core's policy. Neighbours that opened the connection to us (inbound) share one timer, so that a
spy who opens many of them learns no more than from one; each that we opened has its own. Who comes anew is told of what
waits by the same timers. What an inbound neighbour announces is asked for two seconds later than what an outbound one
does, so that who connects to us cannot make us wait for him. The timers have no memory, so the time until their next
turn may be drawn when there is something to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from .base import Relay
from .draws import exponential
from .words import Effect, Peer, TxId, Wake

#: Announcements of one message, at most; the others wait for the next turn (Bitcoin Core's bound).
ANNOUNCED_MAX = 1000


class Announce(Relay):
    """An announcement at once to each neighbour that is not known to have it."""

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        return self.announce(tx, self.lacking(tx))


@dataclass(frozen=True)
class Timing:
    """Trickle's numbers, in seconds. Longer timers tell a spy less about who was first, and everybody later.

    inbound_s, outbound_s: means of the timers. unpreferred_s: how much longer what an inbound neighbour announces
    waits.
    """

    inbound_s: float = 5.0
    outbound_s: float = 2.0
    unpreferred_s: float = 2.0

    def mean_s(self, outbound: bool) -> float:
        """Of the timer by which we announce to a neighbour."""
        return self.outbound_s if outbound else self.inbound_s

    def fetch_wait_s(self, outbound: bool) -> float:
        """Before what a neighbour announced is asked for."""
        return 0.0 if outbound else self.unpreferred_s


class Trickle(Relay):
    """Announcements by timers: one for all inbound neighbours, one for each outbound one."""

    def __init__(self, peers: Sequence[Peer], timing: Timing | None = None) -> None:
        super().__init__(peers)
        self.timing = timing or Timing()
        self._queues: dict[int, dict[TxId, None]] = {}
        #: Does the timer of the inbound neighbours run?
        self._shared_set = False

    def fetch_wait_s(self, peer: int) -> float:
        return self.timing.fetch_wait_s(self.peers[peer].outbound)

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        return self.queue(tx, self.lacking(tx), now, chance)

    def greet(self, peer: int, txs: Sequence[TxId], now: float, chance: Chance) -> list[Effect]:
        # Were it at once, who connects anew each second would learn of everything sooner than who stays.
        return [effect for tx in txs for effect in self.queue(tx, [peer], now, chance)]  # guard: greeted-by-timer

    def left(self, peer: int, now: float) -> list[Effect]:
        self._queues.pop(peer, None)
        return super().left(peer, now)

    def queue(self, tx: TxId, peers: Sequence[int], now: float, chance: Chance) -> list[Effect]:
        """To be announced to these when their timers say so."""
        effects: list[Effect] = []
        inbound = False
        for peer in peers:
            waiting = self._queues.setdefault(peer, {})
            waiting[tx] = None
            if not self.peers[peer].outbound:
                inbound = True
            elif len(waiting) == 1:
                effects.append(self._turn(peer, now, chance))
        if inbound and not self._shared_set:
            self._shared_set = True
            effects.append(self._turn(None, now, chance))
        return effects

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        if key[0] != "trickle":
            return []
        peer = key[1]
        if peer is not None:
            return self._say([peer], now, chance)  # type: ignore[list-item]
        self._shared_set = False
        return self._say([one.id for one in self.peers.values() if not one.outbound], now, chance)

    def _turn(self, peer: int | None, now: float, chance: Chance) -> Wake:
        return Wake(now + exponential(self.timing.mean_s(peer is not None), chance), ("trickle", peer))

    def _say(self, peers: Sequence[int], now: float, chance: Chance) -> list[Effect]:
        effects: list[Effect] = []
        for peer in peers:
            waiting = self._queues.pop(peer, None)
            if not waiting or peer not in self.peers:
                continue
            lacking = self.lacking_here(peer, waiting)
            effects += self.tell_of(lacking[:ANNOUNCED_MAX], peer)
            for tx in lacking[ANNOUNCED_MAX:]:
                effects += self.queue(tx, [peer], now, chance)
        return effects
