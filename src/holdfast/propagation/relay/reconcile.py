# SPDX-License-Identifier: Apache-2.0
"""Announce to few, and compare sets with the others: Erlay's idea (Naumenko and others, 2019; BIP 330).

A transaction is announced at once to a few neighbours that we opened a connection to. To each other one it is put into
a set. Now and then one of our outbound neighbours is asked for a sketch of its set for us; a sketch is as long as the
difference it can tell, not as the sets are. What one of both lacks is then announced or asked for.

::

    initiator ──reconcile(size of my set)──▶ responder
              ◀──sketch(of my set for you)──
              ──announce(you lack), want(I lack)──▶   or, if the sketch was too short, both announce all

What is here is the protocol's decisions and costs. The sketch itself (PinSketch over GF(2³²)) is not: the responder's
set goes along in ``txs``, and ``count`` is how many elements of four bytes the sketch would have. BIP 330 extends a
sketch that was too short once before it gives up; here it is given up at once, which costs a little more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from .announcing import Timing, Trickle
from .draws import exponential, some
from .words import Effect, Message, Peer, Tell, TxId, Wake


@dataclass(frozen=True)
class Sets:
    """Erlay's numbers. flood: how many outbound neighbours are told at once, and
    flood_inbound: which part of the inbound ones; more are quicker and dearer. every_s: how
    often each node compares with one of its outbound neighbours, on average. margin: how much of the smaller set is
    added to the expected difference (``q``)."""

    flood: int = 1
    flood_inbound: float = 0.0
    every_s: float = 1.0
    margin: float = 0.1


class Reconcile(Trickle):
    """A few are told, the others are compared with."""

    def __init__(self, peers: Sequence[Peer], settings: Sets | None = None, timing: Timing | None = None) -> None:
        super().__init__(peers, timing)
        self.settings = settings or Sets()
        self._sets: dict[int, dict[TxId, None]] = {}
        self._turns: list[int] = []
        self._comparing: dict[int, dict[TxId, None]] = {}
        self._sketched: dict[int, tuple[TxId, ...]] = {}

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        return [self._next(now, chance)]

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        lacking = self.lacking(tx)
        told = some(self.settings.flood, [peer for peer in lacking if self.peers[peer].outbound], chance)
        told += [peer for peer in lacking if not self.peers[peer].outbound
                 and chance.random() < self.settings.flood_inbound]
        for peer in lacking:
            if peer not in told:
                self._sets.setdefault(peer, {})[tx] = None
        return self.queue(tx, told, now, chance)

    def left(self, peer: int, now: float) -> list[Effect]:
        for kept in (self._sets, self._comparing, self._sketched):
            kept.pop(peer, None)
        return super().left(peer, now)

    def drop(self, tx: TxId) -> None:
        super().drop(tx)
        for waiting in self._sets.values():  # guard: sets-dropped. Who never compares would keep all that ever was
            waiting.pop(tx, None)

    def learned(self, tx: TxId, peer: int) -> None:
        super().learned(tx, peer)
        self._sets.get(peer, {}).pop(tx, None)

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        if key[0] != "reconcile":
            return super().woke(key, now, chance)
        self._turns = [peer for peer in self._turns if peer in self.peers]
        if not self._turns:
            outbound = [peer.id for peer in self.peers.values() if peer.outbound]
            self._turns = some(len(outbound), outbound, chance)
        effects: list[Effect] = [self._next(now, chance)]
        if self._turns:
            peer = self._turns.pop()
            ours = self._comparing[peer] = {**self._comparing.get(peer, {}), **self._sets.pop(peer, {})}
            effects.append(Tell(peer, Message("reconcile", count=len(ours))))
        return effects

    def other(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if message.kind == "reconcile":
            if message.count < 0:
                return self._whole(peer, self._sketched.pop(peer, ()))
            ours = self._sketched[peer] = tuple(self._sets.pop(peer, ()))
            length = sketch_length(len(ours), message.count, self.settings.margin)
            return [Tell(peer, Message("sketch", ours, count=length))]
        return self._compared(peer, message, now) if message.kind == "sketch" else []

    def _compared(self, peer: int, message: Message, now: float) -> list[Effect]:
        ours, theirs = self._comparing.pop(peer, {}), dict.fromkeys(message.txs)
        if len(ours.keys() ^ theirs.keys()) > message.count:  # guard: sketch-length. It cannot be decoded
            return [*self._whole(peer, ours), Tell(peer, Message("reconcile", count=-1))]
        for tx in theirs:
            self.learned(tx, peer)
        asked = [effect for tx in theirs if tx not in ours for effect in self._offered(tx, peer, now)]
        return [*asked, *self._whole(peer, [tx for tx in ours if tx not in theirs])]

    def _whole(self, peer: int, txs: Iterable[TxId]) -> list[Effect]:
        """All of these are announced that it is not known to have."""
        return self.tell_of(self.lacking_here(peer, txs), peer)

    def _next(self, now: float, chance: Chance) -> Wake:
        return Wake(now + exponential(self.settings.every_s, chance), ("reconcile",))


def sketch_length(ours: int, theirs: int, margin: float = 0.1) -> int:
    """How many elements a sketch is made for, by how large both sets are: BIP 330's estimate of their difference."""
    return abs(ours - theirs) + math.ceil(margin * min(ours, theirs)) + 1
