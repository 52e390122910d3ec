# SPDX-License-Identifier: Apache-2.0
"""Blocks that came before their parents: a few, for a while, and from nobody too many.

When there are too many, whoever brought most gives way, the highest of his first: it is the furthest from being of use.
What gave way can be asked for again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .block import Block


@dataclass(frozen=True)
class OrphanLimits:
    """count, bytes: of all. per_peer: of what one neighbour brought; less than a catch-up's window makes it fetch
    twice. expire_s: how long one waits for its parent."""

    count: int = 256
    bytes: int = 64_000_000
    per_peer: int = 32
    expire_s: float = 600.0


class Orphans:
    """The pool. All methods that take blocks away name them."""

    def __init__(self, limits: OrphanLimits | None = None) -> None:
        self.limits = limits or OrphanLimits()
        self.bytes = 0
        self._held: dict[bytes, tuple[Block, int, float]] = {}
        self._of: Counter[int] = Counter()
        self._by_parent: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, block: bytes) -> bool:
        return block in self._held

    def add(self, block: Block, peer: int, now: float) -> list[bytes]:
        """It waits for its parent. Gives the ids of those that gave way, which may be its own."""
        name = block.id
        if name in self._held:
            return []
        self._held[name] = (block, peer, now)
        self._of[peer] += 1
        self._by_parent.setdefault(block.header.parent, {})[name] = None
        self.bytes += block.header.size
        gone = []
        while self._of[peer] > self.limits.per_peer:  # guard: orphans-per-peer
            gone.append(self._highest(peer))
            self.drop(gone[-1])
        while len(self._held) > self.limits.count or self.bytes > self.limits.bytes:  # guard: orphans-bound
            gone.append(self._highest(self._of.most_common(1)[0][0]))
            self.drop(gone[-1])
        return gone

    def children(self, parent: bytes) -> list[tuple[Block, int]]:
        """Those that waited for this block, and who brought them; they wait no more."""
        found = [self._held[name][:2] for name in self._by_parent.get(parent, ())]
        for block, _ in found:
            self.drop(block.id)
        return found

    def expire(self, now: float) -> list[bytes]:
        """Those that waited too long leave."""
        old = [name for name, (_, _, since) in self._held.items() if now - since >= self.limits.expire_s]
        for name in old:
            self.drop(name)
        return old

    def drop(self, name: bytes) -> None:
        """It is not waited for any more."""
        held = self._held.pop(name, None)
        if held is None:
            return
        block, peer, _ = held
        self._of[peer] -= 1
        if not self._of[peer]:
            del self._of[peer]
        self.bytes -= block.header.size
        siblings = self._by_parent[block.header.parent]
        del siblings[name]
        if not siblings:
            del self._by_parent[block.header.parent]

    def _highest(self, peer: int) -> bytes:
        return max((name for name, (_, brought, _) in self._held.items() if brought == peer),
                   key=lambda name: self._held[name][0].header.height)
