# SPDX-License-Identifier: Apache-2.0
"""What the tests of blocks share: payments and blocks that are signed by a toy, and nodes that talk to each other."""

from __future__ import annotations

import random
from collections import deque

import msgspec

from holdfast.propagation.chain import Block, FullNode, Tree, sealed, transaction_id, unsealed
from holdfast.propagation.mempool import Account, Transaction
from holdfast.propagation.relay import Announce
from holdfast.propagation.relay.words import Blame, Check, Checked, Heard, Made, Peer, Tell, Wake, Woke

ANNA, BERT, CLEO, MAKER = b"anna", b"bert", b"cleo", b"maker"
ACCOUNTS = {ANNA: Account(100_000, 0), BERT: Account(100_000, 0), CLEO: Account(100_000, 0)}


def pay(sender=ANNA, nonce=0, amount=10, *, to=CLEO, fee=300, size=300, good=True):
    """A payment under the id that its contents have."""
    bare = Transaction(b"", sender, to, nonce, amount, fee, size, b"good" if good else b"bad")
    return msgspec.structs.replace(bare, id=transaction_id(bare))


def is_signed(tx):
    return tx.signature == b"good" and tx.id == transaction_id(tx)


def may_make(header):
    return header.seal == b"sealed " + header.maker and header.maker != b"stranger"


def block(parent, *txs, maker=MAKER, time_ms=None):
    """The next one after this header, or after a block."""
    parent = getattr(parent, "header", parent)
    header = unsealed(parent, txs, maker, parent.time_ms + 1000 if time_ms is None else time_ms)
    return Block(sealed(header, lambda _: b"sealed " + maker), tuple(txs))


def branch(parent, count, maker=MAKER):
    """So many empty blocks, one after the other."""
    found = []
    for _ in range(count):
        found.append(block(found[-1] if found else parent, maker=maker))
    return found


def tree(rules=None, accounts=ACCOUNTS):
    return Tree(accounts, may_make, is_signed, rules)


def node(peers, bodies, settings=None, policy=Announce):
    """A whole node; ``bodies``: what transactions there are, by id."""
    return FullNode.built(peers, policy, ACCOUNTS, seal=may_make, verify=is_signed, look=bodies.__getitem__,
                          settings=settings)


class Table:
    """Nodes around a table: what one says the other hears, in order; timers ring when nothing is left to hear."""

    def __init__(self, count, links, settings=None, lost=lambda sender, tell: False):
        self.bodies, self.now, self.lost = {}, 1000.0, lost
        self.chance = random.Random(1)
        self.nodes = [node([Peer(b, outbound=True) for a, b in links if a == here]
                           + [Peer(a, outbound=False) for a, b in links if b == here], self.bodies, settings)
                      for here in range(count)]
        self.heard, self.wakes, self.blames, self.said = deque(), [], [], []
        for here, one in enumerate(self.nodes):
            self.do(here, one.begin(self.now, self.chance))

    def do(self, here, effects):
        for effect in effects:
            if isinstance(effect, Tell):
                self.said.append((here, effect.peer, effect.message))
                if not self.lost(here, effect):
                    self.heard.append((effect.peer, Heard(here, effect.message)))
            elif isinstance(effect, Check):
                good = self.nodes[here].check(effect.tx, self.now)
                self.heard.append((here, Checked(effect.tx, good)))
            elif isinstance(effect, Wake):
                self.wakes.append((effect.at_s, here, effect.key))
            else:
                assert isinstance(effect, Blame)
                self.blames.append((here, effect.peer, effect.why))

    def tell(self, here, event):
        self.do(here, self.nodes[here].handle(event, self.now, self.chance))

    def run(self, seconds=0.0):
        """Until nothing is left to hear, and timers for so long."""
        ends = self.now + seconds
        while True:
            while self.heard:
                self.tell(*self.heard.popleft())
            due = [one for one in self.wakes if one[0] <= ends]
            if not due:
                self.now = ends
                return
            first = min(due, key=lambda one: one[0])
            self.wakes.remove(first)
            self.now = max(self.now, first[0])
            self.tell(first[1], Woke(first[2]))

    def pays(self, here, tx):
        self.bodies[tx.id] = tx
        self.tell(here, Made(tx.id, tx.size))

    def makes(self, here, maker=MAKER):
        self.tell(here, self.nodes[here].make(maker, lambda _: b"sealed " + maker, self.now))
        return self.nodes[here].tree.head_id

    def link(self, a, b):
        self.do(a, self.nodes[a].joined(Peer(b, outbound=True), self.now, self.chance))
        self.do(b, self.nodes[b].joined(Peer(a, outbound=False), self.now, self.chance))

    def cut(self, a, b):
        for here, peer in ((a, b), (b, a)):
            self.do(here, self.nodes[here].left(peer, self.now))
        self.heard = deque((to, event) for to, event in self.heard
                           if not (isinstance(event, Heard) and {to, event.peer} == {a, b}))

    def heads(self):
        return [one.tree.head_id for one in self.nodes]
