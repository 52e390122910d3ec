# SPDX-License-Identifier: Apache-2.0
"""Blocks whose headers are good and whose transactions are not here: who has each, who is asked, and who next.

One neighbour is asked for one block at a time, and different neighbours for different blocks, within a window from the
lowest on: so a late node is served by several at once and keeps no more unfinished blocks than the window has. Who does
not answer in time is asked last from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from .block import Header
from .compact import Rebuilt


@dataclass(frozen=True)
class Fetching:
    """How blocks are fetched.

    retry_s: how long a neighbour may take before the next one is asked; shorter asks for what is on its way, longer
    waits for the dead. rounds: how often all who have it are asked before a block is given up until somebody speaks of
    it again. window: blocks that are fetched beside each other. per_peer: of one neighbour. headers: good ones that
    wait for their blocks. headers_per_peer: of those, brought by one. stalls: unanswered questions until a neighbour
    is blamed.
    """

    retry_s: float = 10.0
    rounds: int = 3
    window: int = 32
    per_peer: int = 8
    headers: int = 5000
    headers_per_peer: int = 2000
    stalls: int = 3


@dataclass
class Want:
    """One block. by: who brought its header. has: who has it. tried: who was asked in this round. asked: who is, and
    since when. whole: not in short form. partial: what was rebuilt so far. here: it waits for its parent, or for the
    check."""

    header: Header
    by: int
    has: dict[int, None] = field(default_factory=dict)
    tried: set[int] = field(default_factory=set)
    rounds: int = 0
    asked: tuple[int, float] | None = None
    whole: bool = False
    partial: Rebuilt | None = None
    here: bool = False


class Wanted:
    """All of them; parents before children."""

    def __init__(self, fetching: Fetching | None = None) -> None:
        self.fetching = fetching or Fetching()
        self.blocks: dict[bytes, Want] = {}
        self.flying: Counter[int] = Counter()
        self.stalls: Counter[int] = Counter()
        self._by: Counter[int] = Counter()
        self._children: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self.blocks)

    def __contains__(self, block: bytes) -> bool:
        return block in self.blocks

    def room(self, peer: int) -> bool:
        """May this neighbour bring another header?"""
        return len(self.blocks) < self.fetching.headers \
            and self._by[peer] < self.fetching.headers_per_peer  # guard: headers-bound

    def room_for(self, peer: int, count: int) -> bool:
        """Is it time to ask this neighbour for so many more? Where so many may never wait, once none waits."""
        said = self.fetching
        return len(self.blocks) + min(count, said.headers) <= said.headers \
            and self._by[peer] + min(count, said.headers_per_peer) <= said.headers_per_peer

    def add(self, header: Header, peer: int) -> None:
        """Its parent is here or wanted."""
        self.blocks[header.id] = Want(header, peer)
        self._by[peer] += 1
        self._children[header.parent] += 1

    def leads_on(self, block: bytes) -> bool:
        """Is a child of it wanted?"""
        return self._children[block] > 0

    def has(self, peer: int, block: bytes) -> None:
        """This neighbour has it, and so all that come before it."""
        want = self.blocks.get(block)
        while want is not None and peer not in want.has:
            want.has[peer] = None
            want = self.blocks.get(want.header.parent)

    def next(self, peers: Iterable[int]) -> tuple[list[tuple[bytes, int]], list[bytes]]:
        """Which blocks to ask whom for, now; and which to give up, because all who have them were asked often enough.
        Those asked for are taken down as asked only by ``ask``."""
        there, load = set(peers), Counter(self.flying)
        found, lost = [], []
        for name, want in islice(self.blocks.items(), self.fetching.window):
            if want.asked is not None or want.here:  # guard: one-asked-block
                continue
            having = [peer for peer in want.has if peer in there]
            left = [peer for peer in having if peer not in want.tried]
            if having and not left:
                want.rounds += 1
                want.tried.clear()
                left = having if want.rounds < self.fetching.rounds else []
            if not left:
                lost.append(name)
                continue
            free = [peer for peer in left if load[peer] < self.fetching.per_peer]
            if free:
                peer = min(free, key=lambda one: (self.stalls[one], load[one]))
                load[peer] += 1
                found.append((name, peer))
        return found, lost

    def ask(self, block: bytes, peer: int, now: float) -> None:
        """This neighbour is asked for it, or for what of it is missing."""
        want = self.blocks[block]
        self.release(block)
        want.asked = (peer, now)
        want.tried.add(peer)
        self.flying[peer] += 1

    def asked(self, block: bytes, peer: int) -> Want | None:
        """The block, if this neighbour is the one who is asked for it."""
        want = self.blocks.get(block)
        return want if want is not None and want.asked is not None and want.asked[0] == peer else None

    def release(self, block: bytes) -> None:
        """Nobody is asked for it any more."""
        want = self.blocks[block]
        if want.asked is not None:
            self.flying[want.asked[0]] -= 1
            want.asked = None

    def late(self, block: bytes, now: float) -> int | None:
        """Who was asked for it and did not answer in time. Nobody is asked any more then."""
        want = self.blocks.get(block)
        if want is None or want.asked is None or now < want.asked[1] + self.fetching.retry_s:
            return None
        peer = want.asked[0]
        self.release(block)
        want.partial = None
        return peer

    def stalled(self, peer: int) -> bool:
        """It did not answer. True: once too often."""
        self.stalls[peer] += 1
        return self.stalls[peer] % self.fetching.stalls == 0

    def remove(self, block: bytes) -> None:
        """It is here, or no good."""
        want = self.blocks.get(block)
        if want is None:
            return
        self.release(block)
        del self.blocks[block]
        self._by[want.by] -= 1
        self._children[want.header.parent] -= 1
        if not self._children[want.header.parent]:
            del self._children[want.header.parent]

    def with_later(self, block: bytes) -> list[bytes]:
        """It, and those that stand on it."""
        found = {block: None}
        for name, want in self.blocks.items():
            if want.header.parent in found:
                found[name] = None
        return [name for name in found if name in self.blocks]

    def left(self, peer: int) -> None:
        """A neighbour less."""
        for name, want in self.blocks.items():
            want.has.pop(peer, None)
            if want.asked is not None and want.asked[0] == peer:
                self.release(name)
                want.partial = None
        for counted in (self.flying, self.stalls):
            counted.pop(peer, None)
