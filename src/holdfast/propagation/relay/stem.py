# SPDX-License-Identifier: Apache-2.0
"""Stem and fluff: a transaction walks a while from one to the next, and is only then told to many (Dandelion, BIP 156).

Who sees it spread sees where the walk ended, not where it began. Each node has two outbound neighbours for its stems,
chosen anew each epoch, and sends what one neighbour brought always to the same one of the two: who sends many learns no
more of the way than who sends one. Each hop ends the walk with a chance of one tenth.

A walk may end at somebody who drops what he gets. So everyone on the way waits a while (the embargo) for it to come
back by the ordinary way, and spreads it otherwise. While it is quiet it is given to nobody who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from .announcing import Timing, Trickle
from .draws import exponential, some
from .words import Effect, Message, Peer, Tell, TxId, Wake


@dataclass(frozen=True)
class Stems:
    """Dandelion's numbers. end: the chance that a hop ends the walk; smaller hides better and takes longer. epoch_s:
    how long routes stay. embargo_s, embargo_mean_s: how long a quiet one is waited for, at least and on average
    more."""

    end: float = 0.1
    routes: int = 2
    epoch_s: float = 600.0
    embargo_s: float = 10.0
    embargo_mean_s: float = 20.0


class Dandelion(Trickle):
    """A walk, then trickle."""

    def __init__(self, peers: Sequence[Peer], settings: Stems | None = None, timing: Timing | None = None) -> None:
        super().__init__(peers, timing)
        self.settings = settings or Stems()
        #: What is held and not spoken of, and who brought it.
        self.quiet: dict[TxId, int | None] = {}
        self._routes: list[int] = []
        self._ways: dict[int | None, int] = {}
        self._until = -1.0

    def passed(self, tx: TxId, sender: int | None, now: float, chance: Chance, *, quiet: bool) -> list[Effect]:
        if not quiet:
            return self.spread(tx, sender, now, chance)
        way = self._way(sender, now, chance)
        if way is None or (sender is not None and chance.random() < self.settings.end):
            return self.spread(tx, sender, now, chance)
        self.quiet[tx] = sender
        size, hops = self.held[tx]
        embargo = self.settings.embargo_s + exponential(self.settings.embargo_mean_s, chance)
        return [Tell(way, Message("stem", (tx,), size, hops + 1)), Wake(now + embargo, ("embargo", tx))]

    def other(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if message.kind != "stem":
            return []
        return self._new(message.txs[0], message.size, message.hops, peer, quiet=True)

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        if key[0] != "embargo":
            return super().woke(key, now, chance)
        return self._aloud(key[1], now, chance)  # type: ignore[arg-type]

    def again(self, tx: TxId, peer: int, now: float, chance: Chance) -> list[Effect]:
        return self._aloud(tx, now, chance)

    def _offered(self, tx: TxId, peer: int, now: float) -> list[Effect]:
        if tx in self.quiet:
            # It is told in public: the walk is over. We ask for it like anybody else, so as not to show that it is
            # here.
            self.learned(tx, peer)
            return [Wake(now, ("embargo", tx))]
        return super()._offered(tx, peer, now)

    def _may_have(self, tx: TxId, peer: int) -> bool:
        return tx not in self.quiet  # guard: stem-quiet

    def _aloud(self, tx: TxId, now: float, chance: Chance) -> list[Effect]:
        if tx not in self.quiet:
            return []
        return self.spread(tx, self.quiet.pop(tx), now, chance)

    def _way(self, sender: int | None, now: float, chance: Chance) -> int | None:
        """Where this neighbour's stems go, for this epoch."""
        self._routes = [peer for peer in self._routes if peer in self.peers]
        if now >= self._until or not self._routes:
            outbound = [peer.id for peer in self.peers.values() if peer.outbound]
            self._routes, self._ways = some(self.settings.routes, outbound, chance), {}
            self._until = now + self.settings.epoch_s
        if not self._routes:
            return None
        if self._ways.get(sender) not in self._routes:
            self._ways[sender] = self._routes[int(chance.random() * len(self._routes))]
        return self._ways[sender]
