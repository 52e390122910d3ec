# SPDX-License-Identifier: Apache-2.0
"""What a node tells of itself each second: how it stands, and what it did since it told last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Final

from ..._base.events import PropagationStood
from .carrying import Carrier
from .link import Link
from .neighbours import Neighbours

#: What is counted, and as what it is told.
_DID: Final = {"received": "received", "forwarded": "forwarded", "copied": "duplicate", "invalid": "invalid",
               "too much": "too_much", "confirmed": "confirmed", "undone": "undone"}


class Telling:
    """Remembers what was told. started: when the node did; a node is alone from then on, until it is not."""

    def __init__(self, node: str, started: float) -> None:
        self._node, self._linked_s = node, started
        self._told: Counter[str] = Counter()

    def stood(self, links: Collection[Link], carrier: Carrier, neighbours: Neighbours, counted: Counter[str],
              *, now: float, loop_s: float) -> PropagationStood:
        """The event of now. counted: by the node, since its start. loop_s: now, as the bans have it."""
        if links:
            self._linked_s = now
        did = counted + carrier.counted
        did["invalid"] = sum(number for what, number in did.items()
                             if what.startswith("refused ") and not what.startswith("refused link"))
        since = {told: did[what] - self._told[what] for what, told in _DID.items()}
        self._told = did
        fetch_s, carrier.fetch_s = tuple(carrier.fetch_s), []
        block_s, carrier.block_s = tuple(carrier.block_s), []
        pool = carrier.full.pool
        return PropagationStood(
            node=self._node, peers=len(links), outbound=sum(link.outbound for link in links),
            alone_s=now - self._linked_s, mempool=len(pool), mempool_bytes=pool.bytes,
            filled=pool.bytes / pool.rules.bytes_max, height=carrier.height, head_age_s=now - carrier.moved_s,
            banned=len(neighbours.standing.bans.all(loop_s)), known=len(neighbours.book), **since,
            fetch_s=fetch_s, block_s=block_s)
