# SPDX-License-Identifier: Apache-2.0
"""A simulation as a run, and as the journals that its nodes would have written. Pure.

The clock of a simulation begins with 1970, so that no time loses digits to a date.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ..analyse import Spread
from ..journal import Arrived, Copied, Counted, Entry, Linked, Made, Started, Stopped
from ..relay.words import TxId
from ..sim.watch import Watch
from .run import Run


def of_simulation(name: str, seed: int, spreads: Sequence[Spread], watch: Watch) -> Run:
    """What ``simulate`` gave and noted."""
    nodes = names(len(spreads[0].arrived_s))
    messages: Counter[str] = Counter()
    for (_, kind), number in watch.messages.items():
        messages[kind] += number
    return Run(name, seed, nodes, [_id(tx) for tx in range(len(spreads))], spreads, dict(watch.sent),
               dict(sorted(messages.items())), links=len(watch.links), notes=[])


def journals(seed: int, spreads: Sequence[Spread], watch: Watch) -> Iterator[tuple[str, list[Entry]]]:
    """Each node's name and what it would have written, by time."""
    nodes = names(len(spreads[0].arrived_s))
    ends = max((one.made_s + when for one in spreads for when in one.arrived_s if math.isfinite(when)), default=0.0)
    entries: list[list[Entry]] = [[] for _ in nodes]
    for copy in watch.copies:
        entries[copy.node].append(Copied(copy.at_s, nodes[copy.node], _id(copy.tx), nodes[copy.peer]))
        ends = max(ends, copy.at_s)
    for tx, one in enumerate(spreads):
        for node, when in enumerate(one.arrived_s):
            at = one.made_s + when
            if one.hops[node] == 0:
                entries[node].append(Made(at, nodes[node], _id(tx)))
            elif math.isfinite(when):
                entries[node].append(Arrived(at, nodes[node], _id(tx), nodes[one.first_peer[node]],
                                             hops=one.hops[node]))
    linked: list[list[Entry]] = [[] for _ in nodes]
    for opener, accepter in watch.links:
        linked[opener].append(Linked(0.0, nodes[opener], nodes[accepter], outbound=True))
        linked[accepter].append(Linked(0.0, nodes[accepter], nodes[opener], outbound=False))
    sent: list[dict[str, dict[str, int]]] = [{} for _ in nodes]
    for (sender, receiver, kind), size in watch.sent.items():
        sent[sender].setdefault(nodes[receiver], {})[kind] = size
    messages: list[dict[str, int]] = [{} for _ in nodes]
    for (sender, kind), number in watch.messages.items():
        messages[sender][kind] = number
    for node, called in enumerate(nodes):
        yield called, [Started(0.0, called, seed), *linked[node], *sorted(entries[node], key=lambda one: one.t),
                       Counted(ends, called, sent[node], messages[node]), Stopped(ends, called)]


def names(count: int) -> list[str]:
    """Of simulated nodes: n000, n001, …"""
    width = len(str(count - 1))
    return [f"n{node:0{width}d}" for node in range(count)]


def _id(tx: TxId) -> str:
    return tx.hex() if isinstance(tx, bytes) else f"{tx:08x}"
