# SPDX-License-Identifier: Apache-2.0
"""How often a chain forks, against how long blocks take; and how long payments wait.

While a block is on its way, whoever has not got it yet makes the next one on the old head. With blocks every T seconds,
made anywhere in the network, and a node having a block D seconds after it was made, on average over nodes, another one
is made meanwhile with probability

    1 − exp(−D / T)

(Decker and Wattenhofer, 2013). D is measured here, and so is the part of heights at which more than one block was made.
The formula leaves out that a fork may be prolonged on both sides before it ends, which matters when D is near T.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..topology import near_regular, numpy
from .ledgered import Ledgered
from .network import Conditions, Latency
from .watch import Watch

#: Seconds between blocks, from forks that are rare to forks that are half of it.
INTERVALS_S: Final = (20.0, 10.0, 5.0, 2.0, 1.0)
#: What blocks go through: a header, a request and a body over each link, and a tenth of a second for the check.
NETWORK: Final = Conditions(Latency(0.05, 0.02), checked_s=0.1)
#: Is given the time between blocks, a run that is over, and what was noted of it.
Keep: TypeAlias = Callable[[float, Ledgered, Watch], None]
#: Confirmations that a payment waits for.
DEPTH: Final = 6


@dataclass(frozen=True)
class Forks:
    """interval_s: between blocks. delay_s: until a node has a block, on average. blocks: made. stale: the part of them
    that is in no chain in the end. fork_rate: the part of heights with more than one. theory: what the formula says.
    undone_max: blocks of the deepest reorganisation. confirmed_s, deep_s: how long payments waited for one confirmation
    and for six, medians; None: half of them do not have it. heads: how many different ones there are in the end.
    """

    interval_s: float
    delay_s: float
    blocks: int
    stale: float
    fork_rate: float
    theory: float
    undone_max: int
    confirmed_s: float | None
    deep_s: float | None
    heads: int


def swept(nodes: int = 40, seed: int = 1, *, intervals_s: Sequence[float] = INTERVALS_S, blocks: int = 300,
          payments: int = 60, keep: Keep | None = None, done: Callable[[int], None] = lambda _: None) -> list[Forks]:
    """One row for each interval, with about so many blocks each. keep: is given each run. done: is told how many rows
    there are."""
    found: list[Forks] = []
    for interval in intervals_s:
        found.append(measured(nodes, seed, interval, blocks=blocks, payments=payments, keep=keep))
        done(len(found))
    return found


def measured(nodes: int, seed: int, interval_s: float, *, blocks: int, payments: int = 60,
             conditions: Conditions = NETWORK, keep: Keep | None = None) -> Forks:
    """One row. keep: is given the run when it is over, with what was noted of it."""
    links = near_regular(nodes, numpy().random.default_rng([seed, 0]), degree=8)
    watch = None if keep is None else Watch()
    if watch is not None:
        watch.linked(links)
    run = Ledgered(links, seed, conditions, users=nodes, depth=DEPTH, watch=watch)
    chance, until = random.Random(f"payments {seed}"), blocks * interval_s
    run.mine(interval_s, until)

    def pay() -> None:
        run.pay(chance.randrange(nodes))

    # The last ones have time to become deep.
    paying_s = max(until - 4 * DEPTH * interval_s, until / 2)
    for number in range(payments):
        run.world.at(number * paying_s / payments, pay)
    run.world.run(until)
    run.settle(0)
    if keep is not None and watch is not None:
        keep(interval_s, run, watch)
    forked, heights = run.forks()
    delay = run.delay_s()
    stale = sum(not run.nodes[0].tree.in_chain(name) for name in run.blocks) / len(run.blocks)
    return Forks(interval_s, round(delay, 4), len(run.blocks), round(stale, 4), round(forked / heights, 4),
                 round(1 - math.exp(-delay / interval_s), 4), max(run.undone_max), _middle(run.confirmed_s(1)),
                 _middle(run.confirmed_s(DEPTH)), len(run.heads(range(nodes))))


def _middle(times_s: Sequence[float]) -> float | None:
    found = sorted(times_s)[len(times_s) // 2] if times_s else math.inf
    return round(found, 3) if math.isfinite(found) else None
