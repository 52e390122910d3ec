# SPDX-License-Identifier: Apache-2.0
"""A mesh: bodies to a few neighbours who agreed to it, hints to some of the others. GossipSub's rules.

A heartbeat keeps the mesh between ``low`` and ``high`` neighbours. Those outside of it are told now and then what was
seen lately, and fetch what they lack. With ``dontwant``, whoever gets a large body tells its mesh at once, before the
check, that it needs no other copy; what still waits in a queue for it is then not sent (IDONTWANT, GossipSub 1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from .base import Relay
from .draws import some
from .words import Effect, Message, Peer, Tell, TxId, Wake


@dataclass(frozen=True)
class Mesh:
    """GossipSub's numbers, as Ethereum's consensus layer sets them. A larger mesh is quicker and sturdier, and each
    neighbour more in it costs half a copy of each body or more.

    size, low, high: neighbours in the mesh: wanted, at least, at most. lazy, lazy_part: how many outside of it are
    given hints at a heartbeat, at least, and which part. window: of how many heartbeats hints speak. dontwant: say what
    is not needed, about bodies of at least ``dontwant_bytes``.
    """

    size: int = 8
    low: int = 6
    high: int = 12
    lazy: int = 6
    lazy_part: float = 0.25
    window: int = 3
    heartbeat_s: float = 0.7
    dontwant: bool = False
    dontwant_bytes: int = 1024


class GossipMesh(Relay):
    """Bodies through the mesh, hints beside it."""

    def __init__(self, peers: Sequence[Peer], settings: Mesh | None = None) -> None:
        super().__init__(peers)
        self.settings = settings or Mesh()
        self.mesh: dict[int, None] = {}
        self._lately: list[list[TxId]] = [[]]
        self._young = True

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        return [Wake(now + chance.random() * self.settings.heartbeat_s, ("heartbeat",))]

    def left(self, peer: int, now: float) -> list[Effect]:
        self.mesh.pop(peer, None)
        return super().left(peer, now)

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        self._lately[0].append(tx)
        # Our own goes to all: whoever is surrounded by a hostile mesh is still heard (flood publishing, 1.1).
        return self.push(tx, self.lacking(tx, None if sender is None else self.mesh))

    def arrived(self, tx: TxId, peer: int, size: int, now: float, chance: Chance) -> list[Effect]:
        if not self.settings.dontwant or size < self.settings.dontwant_bytes:
            return []
        said = Message("dontwant", (tx,))
        return [Tell(other, said) for other in self.mesh if other != peer]

    def other(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if message.kind == "dontwant":
            for tx in message.txs:
                self.learned(tx, peer)
        elif message.kind == "graft":
            if peer not in self.mesh and len(self.mesh) >= self.settings.high:
                return [Tell(peer, Message("prune"))]
            self.mesh[peer] = None
        elif message.kind == "prune":
            self.mesh.pop(peer, None)
        return []

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        if key[0] != "heartbeat":
            return []
        effects = [*self._kept(chance), *self._hints(chance)]
        self._lately = [[], *self._lately[:self.settings.window - 1]]
        return [*effects, Wake(now + self.settings.heartbeat_s, ("heartbeat",))]

    def _kept(self, chance: Chance) -> list[Effect]:
        """The mesh has the size it should."""
        if len(self.mesh) < self.settings.low:
            others = [peer for peer in self.peers if peer not in self.mesh]
            # Where all start together, as many graft us as we graft: all of them at once would fill meshes up to
            # ``high``, which no running network shows. Where they do not, the next heartbeat makes up for it.
            wanted = self.settings.size // 2 if self._young else self.settings.size
            self._young = False
            chosen = some(wanted - len(self.mesh), others, chance)
            self.mesh.update(dict.fromkeys(chosen))
            return [Tell(peer, Message("graft")) for peer in chosen]
        if len(self.mesh) > self.settings.high:
            chosen = some(len(self.mesh) - self.settings.size, list(self.mesh), chance)
            for peer in chosen:
                del self.mesh[peer]
            return [Tell(peer, Message("prune")) for peer in chosen]
        return []

    def _hints(self, chance: Chance) -> list[Effect]:
        """What was seen lately, to some outside of the mesh; there is nothing to say most of the time."""
        lately = [tx for turn in self._lately for tx in turn if tx in self.held]
        if not lately:
            return []
        outside = [peer for peer in self.peers if peer not in self.mesh]
        count = max(self.settings.lazy, int(len(outside) * self.settings.lazy_part))
        said = Message("announce", tuple(lately))
        return [Tell(peer, said) for peer in some(count, outside, chance)]
