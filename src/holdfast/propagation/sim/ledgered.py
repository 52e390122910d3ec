# SPDX-License-Identifier: Apache-2.0
"""A network whose nodes keep a chain: payments are made, makers make blocks, and what became of both is written down.

The nodes are ``chain.FullNode``, whole: what a real node decides with. Makers are a Poisson process: somewhere in the
network a block is made every ``interval_s`` on average, by a node drawn for each block, on the head that this node has
then. Signatures are words here (a seal is its maker's name, a signature its sender's); whoever writes another word
forges.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from ..chain import Block, FullNode, Header, Moved, Settings, sealed, transaction_id
from ..mempool import Account, Transaction
from ..relay import Announce, Relay
from ..relay.draws import exponential
from ..relay.words import Peer, TxId
from ..topology import Links
from .network import Conditions
from .watch import Watch
from .world import World

#: What each user has at the beginning.
RICH: Final = Account(10**12, 0)
#: Bytes of a payment, and what it pays.
PAYMENT_BYTES: Final = 300
FEE: Final = 600


def user(number: int) -> bytes:
    """Its name."""
    return b"user %d" % number


def payment(sender: bytes, nonce: int, to: bytes, amount: int = 1, *, fee: int = FEE, size: int = PAYMENT_BYTES,
            signature: bytes | None = None) -> Transaction:
    """Signed, if nobody says otherwise."""
    bare = Transaction(b"", sender, to, nonce, amount, fee, size, sender if signature is None else signature)
    return msgspec.structs.replace(bare, id=transaction_id(bare))


@dataclass
class Found:
    """A block: who made it, when, and which."""

    block: Block
    maker: int
    made_s: float


class Turn(NamedTuple):
    """The chain of a node ended with another block from then on. undone: blocks that it gave up for it."""

    at_s: float
    node: int
    head: bytes
    height: int
    undone: int


@dataclass
class Paid:
    """A payment: where it was made, when, and when its maker's own node first saw it so many blocks deep."""

    tx: Transaction
    at: int
    made_s: float
    depths_s: dict[int, float] = field(default_factory=dict)
    undone: int = 0
    #: When each node first saw it in a block.
    held_s: dict[int, float] = field(default_factory=dict)


class Ledgered:
    """The world, its nodes, and what they did.

    users: how many can pay; user n sits at node n. depth: confirmations that are waited for. policy: how transactions
    are relayed. watch: notes what is noted only on demand.
    """

    def __init__(self, links: Links, seed: int, conditions: Conditions | None = None, *, users: int = 10,
                 depth: int = 6, settings: Settings | None = None,
                 policy: Callable[[Sequence[Peer]], Relay] = Announce, watch: Watch | None = None) -> None:
        self.bodies: dict[TxId, Transaction] = {}
        self.blocks: dict[bytes, Found] = {}
        self.paid: dict[bytes, Paid] = {}
        #: Blocks that were in the chain of a node and are not any more, for the longest reorganisation of each.
        self.undone_max: list[int] = [0] * links.nodes
        self.turns: list[Turn] = []
        self.nodes: list[FullNode] = []
        self._depth = depth
        self._waiting: dict[int, dict[bytes, None]] = {}
        self._chance = random.Random(f"makers {seed}")
        accounts = {user(number): RICH for number in range(users)}

        def made(peers: Sequence[Peer]) -> FullNode:
            here = len(self.nodes)
            self.nodes.append(FullNode.built(
                peers, policy, accounts, seal=_sealed, verify=_signed, look=self.bodies.__getitem__,
                settings=settings, watch=lambda moved, now: self._saw(here, moved, now)))
            return self.nodes[-1]

        self.world = World(links, made, seed, conditions, watch=watch,
                           judge=lambda here, what, now: self.nodes[here].check(what, now))

    # -- what is made -----------------------------------------------------------------------------------------------

    def pay(self, here: int, tx: Transaction | None = None, *, sender: int | None = None) -> Transaction:
        """A payment is made at that node, now; without ``tx``, by the user who sits there, or by that one."""
        if tx is None:
            name = user(here if sender is None else sender)
            tx = payment(name, self.nodes[here].pool.next_nonce(name), b"shop", 1 + len(self.paid))
        self.bodies[tx.id] = tx
        self.paid[tx.id] = Paid(tx, here, self.world.now)
        self._waiting.setdefault(here, {})[tx.id] = None
        self.world.make(tx.id, tx.size, here)
        return tx

    def make_block(self, here: int) -> bytes:
        """That node makes a block on its head, now."""
        node, maker = self.nodes[here], b"node %d" % here
        header, txs = node.template(maker, self.world.now)
        block = Block(sealed(header, lambda _: maker), txs)
        name = block.id
        self.blocks[name] = Found(block, here, self.world.now)
        node.blocks.own(block)
        self.world.make(name, header.size, here)
        return name

    def mine(self, interval_s: float, until_s: float, among: Sequence[int] | None = None) -> None:
        """From now until then, blocks are made every ``interval_s`` on average, by one of these nodes each; by one of
        all that are there without ``among``."""
        makers = list(range(len(self.nodes))) if among is None else list(among)

        def turn() -> None:
            here = makers[int(self._chance.random() * len(makers))]
            if self.world.nodes[here].works and not self.world.apart(here):
                self.make_block(here)
            following()

        def following() -> None:
            when = self.world.now + exponential(interval_s, self._chance)
            if when < until_s:
                self.world.at(when, turn)

        following()

    def settle(self, here: int, *, wait_s: float = 60.0, blocks: int = 2) -> None:
        """What is under way arrives; then that node makes some blocks, so that no two branches are of one length and
        what waits is confirmed."""
        self.world.run(self.world.now + wait_s)
        for _ in range(blocks):
            self.make_block(here)
            self.world.run(self.world.now + wait_s)

    # -- what came of it --------------------------------------------------------------------------------------------

    def heads(self, among: Sequence[int]) -> set[bytes]:
        """Of these nodes."""
        return {self.nodes[here].tree.head_id for here in among}

    def pools(self, among: Sequence[int]) -> set[frozenset[bytes]]:
        """What waits at these nodes: one set, if all have the same."""
        return {frozenset(tx.id for tx in self.nodes[here].pool.transactions()) for here in among}

    def confirmed_s(self, depth: int) -> list[float]:
        """How long each payment took until it was so deep, where it was made; infinite: it is not."""
        return [one.depths_s.get(depth, math.inf) - one.made_s for one in self.paid.values()]

    def heard_s(self, tx: bytes, among: Sequence[int]) -> list[float]:
        """When each of these nodes had a payment, by itself or in a block, since it was made; infinite: never."""
        paid, arrived = self.paid[tx], self.world.spread(tx).arrived_s
        return [min(arrived[here], paid.held_s.get(here, math.inf) - paid.made_s) for here in among]

    def forks(self, here: int = 0) -> tuple[int, int]:
        """(heights at which more than one block was made, heights) of the chain of that node."""
        by_height: dict[int, int] = {}
        for found in self.blocks.values():
            height = found.block.header.height
            by_height[height] = by_height.get(height, 0) + 1
        return sum(count > 1 for count in by_height.values()), len(by_height)

    def delay_s(self, blocks: Sequence[bytes] | None = None) -> float:
        """How long a node takes to have a block in its tree, on average over nodes and blocks that reached all."""
        found = [sum(spread.arrived_s) / len(spread.arrived_s) for name in (self.blocks if blocks is None else blocks)
                 if all(map(math.isfinite, (spread := self.world.spread(name)).arrived_s))]
        return sum(found) / len(found) + self.world.conditions.checked_s if found else math.inf

    def both_confirmed(self, here: int) -> bool:
        """Does the chain of that node hold two payments with one sender and one nonce? It never may."""
        tree, seen = self.nodes[here].tree, set()
        for height in range(1, tree.height + 1):
            block = tree.block(tree.at(height) or b"")
            for tx in block.transactions if block is not None else ():
                if (tx.sender, tx.nonce) in seen:
                    return True
                seen.add((tx.sender, tx.nonce))
        return False

    def _saw(self, here: int, moved: Moved, now: float) -> None:
        self.undone_max[here] = max(self.undone_max[here], len(moved.undone))
        self.turns.append(Turn(now, here, moved.head, self.nodes[here].tree.height, len(moved.undone)))
        for block in moved.undone:
            for tx in block.transactions:
                if tx.id in self.paid and self.paid[tx.id].at == here:
                    self.paid[tx.id].undone += 1
                    self._waiting.setdefault(here, {})[tx.id] = None
        for block in moved.done:
            for tx in block.transactions:
                if tx.id in self.paid:
                    self.paid[tx.id].held_s.setdefault(here, now)
        tree = self.nodes[here].tree
        for name in list(self._waiting.get(here, ())):
            depth = tree.depth(name)
            for reached in range(1, min(depth, self._depth) + 1):
                self.paid[name].depths_s.setdefault(reached, now)
            if depth >= self._depth:
                del self._waiting[here][name]


def _sealed(header: Header) -> bool:
    return header.seal == header.maker and header.maker.startswith(b"node ")


def _signed(tx: Transaction) -> bool:
    return tx.signature == tx.sender  # not secret: a word that stands for a signature
