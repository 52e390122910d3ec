# SPDX-License-Identifier: Apache-2.0
"""A simulation as a run, and a run as the journals that its nodes would have written. Pure.

The clock of a simulation begins with 1970, so that no time loses digits to a date.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..analyse import Spread
from ..journal import Arrived, Confirmed, Copied, Counted, Entry, Headed, Linked, Made, Started, Stopped
from ..relay.words import TxId
from ..sim.ledgered import Ledgered
from ..sim.watch import Watch
from .run import Block, Confirmation, Reorganised, Run


def of_simulation(name: str, seed: int, spreads: Sequence[Spread], watch: Watch) -> Run:
    """What ``simulate`` gave and noted."""
    messages: Counter[str] = Counter()
    for (_, kind), number in watch.messages.items():
        messages[kind] += number
    return Run(name, seed, names(len(spreads[0].arrived_s)), [id_of(tx) for tx in range(len(spreads))], spreads,
               dict(watch.sent), dict(sorted(messages.items())), links=len(watch.links))


def of_chain(name: str, seed: int, kept: Ledgered, watch: Watch) -> Run:
    """The same of nodes that keep a chain: payments, blocks, how chains turned, and when who paid was sure. A payment
    that came to a node in a block alone came as that block did."""
    world = kept.world
    ways = len(kept.paid) or len(kept.blocks) or 1
    shares = [node.sent_bytes / ways for node in world.nodes]

    def way(what: bytes) -> Spread:
        return replace(world.spread(what), sent_bytes=shares)

    blocks = [Block(id_of(what), found.block.header.height, id_of(found.block.header.parent), way(what))
              for what, found in kept.blocks.items()]
    heads = [Reorganised(turn.at_s, turn.node, id_of(turn.head), turn.height, turn.undone) for turn in kept.turns]
    sure = [Confirmation(id_of(tx), paid.at, depth, at_s - paid.made_s)
            for tx, paid in kept.paid.items() for depth, at_s in sorted(paid.depths_s.items())]
    within: dict[bytes, list[Spread]] = {tx: [] for tx in kept.paid}
    for block, found in zip(blocks, kept.blocks.values(), strict=True):
        for tx in found.block.transactions:
            within[tx.id].append(block.spread)
    ids, ways_of = [id_of(tx) for tx in kept.paid], [_brought(way(tx), within[tx]) for tx in kept.paid]
    return Run(name, seed, names(len(world.nodes)), ids, ways_of,
               dict(watch.sent), dict(sorted(world.messages.items())), blocks, heads, sure, links=len(watch.links))


def journals(run: Run, watch: Watch) -> Iterator[tuple[str, list[Entry]]]:
    """Each node's name and what it would have written, by time. watch: copies one by one, links, and messages by node,
    which a run has no place for."""
    nodes = run.nodes
    entries: list[list[Entry]] = [[] for _ in nodes]
    blocks = {block.id for block in run.blocks}
    for copy in watch.copies:
        known = id_of(copy.tx)
        entries[copy.node].append(Copied(copy.at_s, nodes[copy.node], known, nodes[copy.peer],
                                         what="block" if known in blocks else "tx"))
    for tx, one in zip(run.ids, run.spreads, strict=True):
        _way(entries, nodes, one, tx)
    for block in run.blocks:
        _way(entries, nodes, block.spread, block.id, what="block", height=block.height, parent=block.parent)
    for head in run.heads:
        entries[head.node].append(Headed(head.at_s, nodes[head.node], head.block, head.height, head.undone))
    made = {tx: one.made_s for tx, one in zip(run.ids, run.spreads, strict=True)}
    for sure in run.confirmations:
        entries[sure.node].append(Confirmed(made[sure.tx] + sure.after_s, nodes[sure.node], sure.tx, "", sure.depth))
    linked: list[list[Entry]] = [[] for _ in nodes]
    for opener, accepter in watch.links:
        linked[opener].append(Linked(0.0, nodes[opener], nodes[accepter], outbound=True))
        linked[accepter].append(Linked(0.0, nodes[accepter], nodes[opener], outbound=False))
    sent: list[dict[str, dict[str, int]]] = [{} for _ in nodes]
    for (sender, receiver, kind), size in run.sent.items():
        sent[sender].setdefault(nodes[receiver], {})[kind] = size
    messages: list[dict[str, int]] = [{} for _ in nodes]
    for (sender, kind), number in watch.messages.items():
        messages[sender][kind] = number
    ends = max((one.t for each in entries for one in each), default=0.0)
    for node, called in enumerate(nodes):
        yield called, [Started(0.0, called, run.seed), *linked[node], *sorted(entries[node], key=lambda one: one.t),
                       Counted(ends, called, sent[node], messages[node]), Stopped(ends, called)]


def _brought(spread: Spread, blocks: Sequence[Spread]) -> Spread:
    """A payment's way, where it did not come by itself that of the first block that held it."""
    arrived, hops, first = list(spread.arrived_s), list(spread.hops), list(spread.first_peer)
    for node, when in enumerate(arrived):
        if math.isinf(when) and blocks:
            block = min(blocks, key=lambda one: one.made_s + one.arrived_s[node])
            arrived[node] = block.made_s + block.arrived_s[node] - spread.made_s
            hops[node], first[node] = block.hops[node], block.first_peer[node]
    return replace(spread, arrived_s=arrived, hops=hops, first_peer=first)


def names(count: int) -> list[str]:
    """Of simulated nodes: n000, n001, …"""
    width = len(str(count - 1))
    return [f"n{node:0{width}d}" for node in range(count)]


def id_of(tx: TxId) -> str:
    """As journals write it."""
    return tx.hex() if isinstance(tx, bytes) else f"{tx:08x}"


def _way(entries: list[list[Entry]], nodes: Sequence[str], spread: Spread, known: str, *, what: str = "tx",
         height: int = -1, parent: str = "") -> None:
    for node, when in enumerate(spread.arrived_s):
        at, called = spread.made_s + when, nodes[node]
        if spread.hops[node] == 0:
            entries[node].append(Made(at, called, known, what=what, height=height, parent=parent))
        elif math.isfinite(when):
            entries[node].append(Arrived(at, called, known, nodes[spread.first_peer[node]], what=what,
                                         hops=spread.hops[node], height=height, parent=parent))
