# SPDX-License-Identifier: Apache-2.0
"""Transactions that came before the one they stand on: another way through the network was quicker.

A mempool refuses a gap in a sender's numbers, because what waits behind one is paid by nobody. Refused for good they
would be lost, since neighbours say once that they have it. So a few wait here for a short while, each with a
signature that was checked, and come again when their turn does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ..mempool import Transaction


@dataclass(frozen=True)
class Waiting:
    """One that waits: who brought it, over how many links, since when."""

    tx: Transaction
    peer: int | None
    hops: int
    since_s: float


class Early:
    """most: of all, the oldest goes first; of_sender: of one sender; for_s: no longer than that."""

    def __init__(self, most: int = 1000, of_sender: int = 25, for_s: float = 60.0) -> None:
        self._most, self._of_sender, self._for_s = most, of_sender, for_s
        self._waiting: OrderedDict[bytes, Waiting] = OrderedDict()
        self._places: dict[bytes, dict[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, one: Waiting) -> list[Transaction]:
        """It waits. Gives those that lost their place, which may be it."""
        places = self._places.setdefault(one.tx.sender, {})
        if one.tx.nonce in places or len(places) >= self._of_sender:  # guard: early-bound
            return [one.tx]
        self._waiting[one.tx.id] = one
        places[one.tx.nonce] = one.tx.id
        gone = []
        while len(self._waiting) > self._most:
            gone.append(self._remove(next(iter(self._waiting))).tx)
        return gone

    def follow(self, sender: bytes, nonce: int) -> Waiting | None:
        """The one of this sender with this number: its turn has come."""
        found = self._places.get(sender, {}).get(nonce)
        return None if found is None else self._remove(found)

    def expire(self, now: float) -> list[Transaction]:
        """Those leave that waited long enough."""
        old = [tx for tx, one in self._waiting.items() if now - one.since_s >= self._for_s]
        return [self._remove(tx).tx for tx in old]

    def _remove(self, tx: bytes) -> Waiting:
        one = self._waiting.pop(tx)
        places = self._places[one.tx.sender]
        del places[one.tx.nonce]
        if not places:
            del self._places[one.tx.sender]
        return one
