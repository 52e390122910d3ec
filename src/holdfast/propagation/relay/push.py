# SPDX-License-Identifier: Apache-2.0
"""Push: the body goes out unasked, to everybody or to some.

``Flood`` is the plainest and quickest, and sends almost each body over almost each link twice. ``SqrtPush`` is what
Ethereum's execution layer does since eth/65: the body to the root of the neighbours, its hash to the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from ..._base.chance import Chance
from .base import Relay
from .draws import some
from .words import Effect, Peer, TxId

#: Larger bodies are announced and never pushed (geth's ``txMaxBroadcastSize``).
PUSHED_BYTES_MAX: Final = 4096
#: How long what was announced may still arrive by push before it is asked for (geth's ``txArriveTimeout``).
ARRIVE_S: Final = 0.5


class Flood(Relay):
    """The body to each neighbour that is not known to have it."""

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        return self.push(tx, self.lacking(tx))


class SqrtPush(Relay):
    """The body to ⌈√neighbours⌉ that lack it, an announcement to the others that do.

    arrive_s: how long an announcement waits for a push. Shorter asks for bodies that are on their way; longer makes
    those wait whom no push reaches.
    """

    def __init__(self, peers: Sequence[Peer], *, arrive_s: float = ARRIVE_S) -> None:
        super().__init__(peers)
        self._arrive_s = arrive_s

    def fetch_wait_s(self, peer: int) -> float:
        return self._arrive_s

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        lacking = self.lacking(tx)
        pushed: list[int] = []
        if self.held[tx][0] <= PUSHED_BYTES_MAX:
            pushed = some(math.ceil(math.sqrt(len(self.peers))), lacking, chance)
        return [*self.push(tx, pushed), *self.announce(tx, (peer for peer in lacking if peer not in set(pushed)))]
