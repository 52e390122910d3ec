# SPDX-License-Identifier: Apache-2.0
"""A network of real processes for faults: keys, senders with money, and what each node says of itself."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast.gossip.signing.algorithms import Algorithm, PrivateKey
from holdfast.gossip.trust.identity import Identity
from holdfast.propagation import journal
from holdfast.propagation.mempool import Transaction
from holdfast.propagation.node.fleet import Fleet, Remote
from holdfast.propagation.node.money import pay
from holdfast.propagation.node.orders import Plan
from holdfast.propagation.rehearsal import NETWORK, entries
from holdfast.testing import wait_until_async

DEADLINE_S = 60.0


async def until(condition: Callable[[], Awaitable[Any]], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """What the condition gave when it was true at last."""
    return await wait_until_async(condition, deadline_s, what, poll_s=0.1)


class Town:
    """count: nodes. senders: keys that have money. makers: the first so many nodes make blocks."""

    def __init__(self, folder: Path, count: int, *, senders: int = 4, makers: int = 0, every_s: float = 1.0,
                 drops: frozenset[int] = frozenset(), policy: str = "flood", dead_s: float = 60.0) -> None:
        self.folder = folder
        self.identities = [Identity.generate(os.urandom) for _ in range(count)]
        self.keys = [PrivateKey.generate(Algorithm.ED25519) for _ in range(senders)]
        self.nodes: list[Remote] = []
        self._nonces = [0] * senders
        self.drops = drops
        allowed = [one.signing.hex() for one in self.identities[:makers]]
        self.plans = [Plan(one.reveal(), NETWORK, policy, journal=str(folder / f"{index}.jsonl"), seed=index,
                           balances={key.public.data.hex(): 10**6 for key in self.keys}, drops=index in drops,
                           makers=allowed, make_every_s=every_s if index < makers else 0.0, ping_s=0.5, dead_s=dead_s)
                      for index, one in enumerate(self.identities)]

    async def build(self, fleet: Fleet, links: list[tuple[int, int]]) -> None:
        """All nodes run, and are linked so."""
        self.nodes = [await fleet.spawn(plan) for plan in self.plans]
        for node in self.nodes:
            await node.ready()
        for here, there in links:
            await self.nodes[here].call([self.nodes[there].address])
        for index, node in enumerate(self.nodes):
            degree = len({pair for pair in links if index in pair})
            await until(lambda node=node, degree=degree: _linked(node, degree), f"node {index} has {degree} links")

    def pay(self, sender: int, *, fee: int = 1000, nonce: int | None = None, amount: int = 1) -> Transaction:
        """The sender's next payment, or one with that nonce."""
        if nonce is None:
            nonce = self._nonces[sender]
            self._nonces[sender] += 1
        to = self.keys[sender - 1].public.data
        return pay(self.keys[sender], NETWORK, to=to, nonce=nonce, amount=amount, fee=fee)

    async def held(self, index: int) -> frozenset[bytes]:
        """Ids in a node's mempool."""
        return frozenset((await self.nodes[index].inspect(held=True)).held)

    def entries(self, index: int) -> list[journal.Entry]:
        """A node's journal, so far as it is written."""
        return entries(self.folder / f"{index}.jsonl")

    def confirmed(self, index: int) -> dict[str, str]:
        """By transaction: the block that confirms it, in the chain that this node's journal ends with."""
        parents, blocks, head = {}, {}, ""
        for entry in self.entries(index):
            if isinstance(entry, journal.Made | journal.Arrived) and entry.what == "block":
                parents[entry.id] = entry.parent
            elif isinstance(entry, journal.Headed):
                head = entry.id
            elif isinstance(entry, journal.Confirmed):
                blocks.setdefault(entry.block, set()).add(entry.id)
        found: dict[str, str] = {}
        while head in parents:
            found |= dict.fromkeys(blocks.get(head, ()), head)
            head = parents[head]
        return found


async def _linked(node: Remote, degree: int) -> bool:
    return (await node.inspect()).peers >= degree


def ring(count: int, steps: tuple[int, ...] = (1, 3)) -> list[tuple[int, int]]:
    """Each is linked with those so many places on."""
    return [(here, (here + step) % count) for here in range(count) for step in steps]
