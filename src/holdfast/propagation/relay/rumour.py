# SPDX-License-Identifier: Apache-2.0
"""Rumours and when to stop: "most have it" cannot be seen from one node, so each rule goes by what a node can see.

Every round a node that is still interested tells ``fanout`` random neighbours. It stops

* ``hops``: when the rumour has gone so many links (TTL): cheap, and blind to what is going on;
* ``seen``: when it has heard it so many times: quiet where many talk, loud where few do;
* ``interest``: with a chance of 1/k each time it told somebody who had it (Demers and others, 1987).

Some never hear of it, whichever rule: the residue. With ``pull_s`` each node asks a random neighbour now and then what
it lacks, also when it thinks that it lacks nothing, and the tail is fetched. By Demers' analysis ``interest`` with k
leaves s = e^{-(k+1)(1-s)}: a fifth for k = 1, six in a hundred for k = 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..._base.chance import Chance
from .base import Relay
from .draws import some
from .words import Effect, Message, Peer, Tell, TxId, Wake


@dataclass(frozen=True)
class Stop:
    """When to stop: ``limit`` hops, times heard, or the k of the loss of interest. fanout: how many are told in a round
    of ``round_s``. pull_s: how often a neighbour is asked what is new; 0: never. rounds: a bound for the other
    rules."""

    rule: Literal["hops", "seen", "interest"] = "interest"
    limit: int = 2
    fanout: int = 1
    round_s: float = 0.1
    pull_s: float = 0.0
    rounds: int = 200


class Rumour(Relay):
    """Tells random neighbours until its rule says stop."""

    def __init__(self, peers: Sequence[Peer], stop: Stop | None = None) -> None:
        super().__init__(peers)
        self.stop = stop or Stop()
        #: What is still told: how many rounds it was, and how many times it came again.
        self.hot: dict[TxId, list[int]] = {}

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        if not self.stop.pull_s:
            return []
        return [Wake(now + chance.random() * self.stop.pull_s, ("pull",))]

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        if self.stop.rule == "hops" and self.held[tx][1] >= self.stop.limit:
            return []
        self.hot[tx] = [0, 1]
        # Nodes' rounds do not begin together.
        return [Wake(now + chance.random() * self.stop.round_s, ("round", tx))]

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        if key[0] == "pull":
            return [*(Tell(peer, Message("reconcile")) for peer in some(1, list(self.peers), chance)),
                    Wake(now + self.stop.pull_s, ("pull",))]
        tx: TxId = key[1]  # type: ignore[assignment]
        hot = self.hot.get(tx)
        if hot is None:
            return []
        hot[0] += 1
        if hot[0] >= (1 if self.stop.rule == "hops" else self.stop.rounds):
            del self.hot[tx]
        size, hops = self.held[tx]
        said = Message("body", (tx,), size, hops + 1)
        told: list[Effect] = [Tell(peer, said) for peer in some(self.stop.fanout, list(self.peers), chance)]
        return [*told, Wake(now + self.stop.round_s, key)] if tx in self.hot else told

    def still(self, peer: int, message: Message) -> bool:
        return peer in self.peers  # a rumour's teller looks at nobody's knowledge: that is what its rule is for

    def again(self, tx: TxId, peer: int, now: float, chance: Chance) -> list[Effect]:
        if tx in self.hot:
            self.hot[tx][1] += 1
            if self.stop.rule == "seen" and self.hot[tx][1] >= self.stop.limit:
                del self.hot[tx]
        return [Tell(peer, Message("heard", (tx,)))] if self.stop.rule == "interest" else []

    def other(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if message.kind == "reconcile":
            return [Tell(peer, Message("announce", tuple(self.held)))] if self.held else []
        if message.kind == "heard" and self.stop.rule == "interest":
            for tx in message.txs:
                if tx in self.hot and chance.random() * self.stop.limit < 1.0:
                    del self.hot[tx]
        return []
