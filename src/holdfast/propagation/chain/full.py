# SPDX-License-Identifier: Apache-2.0
"""A whole node as one decision: a relay for transactions, one for blocks, a mempool and a tree, and what each has to
know of the others.

::

    the chain moved on      what it holds leaves the mempool, and the relay, with what it made impossible
    the chain moved back    what only the undone blocks held is in the mempool again, before all else, and told anew
    a block in short form   is rebuilt from the mempool
    a transaction too early is asked for again when what it waits for has come: gossip keeps no order

The shape is a relay's: ``handle(event, now, chance)`` gives effects; ``Check(id)`` of either is answered by
``check(id, now)`` and the event ``Checked``. A simulated node and one with sockets hold the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ..._base.chance import Chance
from ..mempool import Accepted, Account, Mempool, Rules, Transaction
from ..relay.base import Relay
from ..relay.words import Blame, Checked, Effect, Event, Heard, Made, Message, Peer, TxId, Wake, Woke
from .block import Block, Header
from .ledger import fitting
from .orphans import OrphanLimits
from .relay import BlockRelay
from .tree import ChainRules, Moved, Tree, sealed, unsealed
from .wanted import Fetching
from .words import BLOCK_KINDS

#: How often what is too old is looked for.
TICK_S: Final = 30.0
#: What a neighbour should have refused itself, had it looked.
BLAMED: Final = frozenset({"signature", "malformed", "fee"})
#: Ids of transactions that came before what they stand on: of so many senders, and so many of each.
EARLY_MAX: Final = 2000
EARLY_PER_SENDER: Final = 25


@dataclass(frozen=True)
class Settings:
    """Those of a node's parts. compact: blocks are fetched in short form."""

    chain: ChainRules = field(default_factory=ChainRules)
    mempool: Rules = field(default_factory=Rules)
    fetching: Fetching = field(default_factory=Fetching)
    orphans: OrphanLimits = field(default_factory=OrphanLimits)
    compact: bool = True


class FullNode:
    """One node that keeps the chain.

    look: the transaction that a relay knows by this id, while it is being checked: a node with sockets has read its
    body by then. watch: told how the chain moved, and when.
    """

    def __init__(self, relay: Relay, blocks: BlockRelay, pool: Mempool, look: Callable[[TxId], Transaction], *,
                 watch: Callable[[Moved, float], None] = lambda *_: None) -> None:
        self.relay, self.blocks, self.pool, self.tree = relay, blocks, pool, blocks.tree
        #: Why things were refused, by reason: how often. And why what was refused last was.
        self.refusals: dict[str, int] = {}
        self.why = ""
        self._look, self._watch = look, watch
        self._soft: set[TxId] = set()
        self._blames: dict[TxId, Blame] = {}
        self._early: dict[bytes, dict[int, tuple[TxId, int]]] = {}

    @classmethod
    def built(cls, peers: Sequence[Peer], policy: Callable[[Sequence[Peer]], Relay], accounts: Mapping[bytes, Account],
              *, seal: Callable[[Header], bool], verify: Callable[[Transaction], bool],
              look: Callable[[TxId], Transaction], settings: Settings | None = None,
              watch: Callable[[Moved, float], None] = lambda *_: None) -> FullNode:
        """A node with everything new. policy: how it relays transactions. accounts: what each has at the beginning.
        seal: is this header sealed by a maker who may? verify: is it signed by its sender, and is its id its own
        (``transaction_id``)? It is asked once for each transaction, and not again when a block holds it."""
        said = settings or Settings()
        tree = Tree(accounts, seal, lambda tx: pool.get(tx.id) == tx or verify(tx), said.chain)
        pool = Mempool(verify, tree.account, said.mempool)
        blocks = BlockRelay(peers, tree, pool.transactions, fetching=said.fetching, orphans=said.orphans,
                            compact=said.compact)
        return cls(policy(peers), blocks, pool, look, watch=watch)

    @property
    def peers(self) -> dict[int, Peer]:
        """The neighbours."""
        return self.relay.peers

    # -- the shape of a relay ---------------------------------------------------------------------------------------

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        """The node starts."""
        return [*self.relay.begin(now, chance), *self.blocks.begin(now, chance), Wake(now + TICK_S, ("node", "tick"))]

    def handle(self, event: Event, now: float, chance: Chance) -> list[Effect]:
        """What happened; what is to be done about it."""
        if isinstance(event, Heard):
            mine = event.message.kind in BLOCK_KINDS
        elif isinstance(event, Woke):
            if event.key[0] == "node":
                return self._tick(now, chance)
            mine = event.key[0] == "chain"
        elif isinstance(event, Made):
            mine = self.blocks.made(event.tx)
        else:
            mine = isinstance(event.tx, bytes) and self.blocks.checks(event.tx)
        if mine:
            effects = self.blocks.handle(event, now, chance)
        elif isinstance(event, Checked):
            effects = self._checked(event, now, chance)
        else:
            effects = self.relay.handle(event, now, chance)
        while self.blocks.moves:
            effects = [*effects, *self._moved(self.blocks.moves.pop(0), now, chance)]
        return effects

    def check(self, what: TxId, now: float) -> bool:
        """The answer to ``Check``: is this block, or this transaction, good? A good transaction is in the mempool
        then."""
        if isinstance(what, bytes) and self.blocks.checks(what):
            reason = self.blocks.verdict(what)
            if reason is not None:
                self._refused(f"block {reason}")
            return reason is None
        tx, brought = self._look(what), self.relay.brought(what)
        answer = self.pool.offer(tx, now, ours=brought is None)
        for gone in answer.evicted:
            self.relay.drop(gone.id)
        if isinstance(answer, Accepted):
            return True
        self._refused(answer.reason)
        if answer.reason in BLAMED and brought is not None:
            self._blames[what] = Blame(brought, answer.reason)
        if not answer.for_good:
            self._soft.add(what)
            if answer.reason == "nonce" and brought is not None:
                self._too_early(tx, what, brought)
        return False

    def joined(self, peer: Peer, now: float, chance: Chance) -> list[Effect]:
        """A neighbour more: it is told where our chain ends and what waits."""
        return [*self.blocks.joined(peer), *self.relay.joined(peer, now, chance)]

    def left(self, peer: int, now: float) -> list[Effect]:
        """A neighbour less."""
        return [*self.relay.left(peer, now), *self.blocks.left(peer, now)]

    def still(self, peer: int, message: Message) -> bool:
        """Its turn has come to be sent: is there still any use?"""
        return (self.blocks if message.kind in BLOCK_KINDS else self.relay).still(peer, message)

    # -- makers -----------------------------------------------------------------------------------------------------

    def template(self, maker: bytes, now: float) -> tuple[Header, tuple[Transaction, ...]]:
        """A block after the head with what pays best: its unsealed header, and its transactions."""
        rules = self.tree.rules
        best = self.pool.best(rules.bytes_max)
        txs = tuple(fitting(best, self.tree.account))[:rules.count_max]
        return unsealed(self.tree.head, txs, maker, int(now * 1000)), txs

    def make(self, maker: bytes, seal: Callable[[bytes], bytes], now: float) -> Made:
        """A block of ours, without work: the event to be handed to ``handle``."""
        header, txs = self.template(maker, now)
        return self.blocks.own(Block(sealed(header, seal), txs))

    # -- what one has to know of the other --------------------------------------------------------------------------

    def _checked(self, event: Checked, now: float, chance: Chance) -> list[Effect]:
        if not event.good:
            soft = event.tx in self._soft
            self._soft.discard(event.tx)
            blame = self._blames.pop(event.tx, None)
            effects = self.relay.handle(msgspec.structs.replace(event, for_good=not soft), now, chance)
            return effects if blame is None else [*effects, blame]
        effects = self.relay.handle(event, now, chance)
        tx = self.pool.get(event.tx) if isinstance(event.tx, bytes) else None
        if tx is None:  # it gave way while the verdict was on its way
            self.relay.drop(event.tx)
            return []
        return [*effects, *self._asked_again(tx.sender, now, chance)]

    def _moved(self, moved: Moved, now: float, chance: Chance) -> list[Effect]:
        self._watch(moved, now)
        held = [tx for block in moved.done for tx in block.transactions]
        known = {tx.id for tx in held}
        effects: list[Effect] = []
        if moved.undone:  # guard: reorganised. What the chain lost waits again
            back = [tx for block in reversed(moved.undone) for tx in block.transactions if tx.id not in known]
            again, gone = self.pool.undone(back, now)
            for tx in again:
                effects += self.relay.renewed(tx.id, tx.size, now, chance)
        else:
            gone = self.pool.confirmed(held)
        for tx in (*held, *gone):
            self.relay.drop(tx.id)
        for sender in dict.fromkeys(tx.sender for tx in held):
            effects += self._asked_again(sender, now, chance)
        return effects

    def _too_early(self, tx: Transaction, what: TxId, brought: int) -> None:
        """Its nonce is after the next: it is remembered and not kept."""
        if tx.nonce <= self.pool.next_nonce(tx.sender):
            return
        while len(self._early) >= EARLY_MAX:
            del self._early[next(iter(self._early))]
        waiting = self._early.setdefault(tx.sender, {})
        if len(waiting) < EARLY_PER_SENDER:
            waiting.setdefault(tx.nonce, (what, brought))

    def _asked_again(self, sender: bytes, now: float, chance: Chance) -> list[Effect]:
        """The sender's next nonce is another one: what came too early may be its turn."""
        waiting = self._early.get(sender)
        found = waiting.pop(self.pool.next_nonce(sender), None) if waiting else None
        if not waiting:
            self._early.pop(sender, None)
        if found is None:
            return []
        return self.relay.handle(Heard(found[1], Message("announce", (found[0],))), now, chance)

    def _tick(self, now: float, chance: Chance) -> list[Effect]:
        for tx in self.pool.expire(now):
            self.relay.drop(tx.id)
        effects = self.blocks.expire(now)
        for tx in self.pool.due(now):
            effects += self.relay.renewed(tx.id, tx.size, now, chance)
        return [*effects, Wake(now + TICK_S, ("node", "tick"))]

    def _refused(self, reason: str) -> None:
        self.why = reason
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
