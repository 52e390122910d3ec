# SPDX-License-Identifier: Apache-2.0
"""One transaction through a hundred thousand nodes in a second: the first arrival is a shortest path.

Trickle's timers have no memory, so how long a node waits before it tells a neighbour may be drawn beforehand, and does
not depend on when it is told itself. Then a node has the transaction after the shortest way to it over links of these
lengths:

    sender's timer (shared where the receiver connected to it) + receiver's wait before asking + three times the latency

The lengths are the policy's own (``Timing``). The paths are relaxed for all links at once until nothing gets shorter,
some thirty times; a heap would do each link once and take ten times as long in Python. What a path cannot say (queues,
several transactions, loss, adversaries, who was asked and did not answer) is for ``world.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..analyse import Spread
from ..relay.announcing import Timing
from ..topology import Links, numpy
from ..wire import ID_BYTES
from .network import Latency
from .watch import Watch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: An announcement, a request, the body.
WAYS = 3


@dataclass(frozen=True)
class Ways:
    """What one transaction's way depends on. source, target, length: of each link in both directions, those that were
    opened first. forth, back: by link, how long its opener and its accepter wait before they tell the other. delay: one
    way over it."""

    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    length: npt.NDArray[np.float64]
    forth: npt.NDArray[np.float64]
    back: npt.NDArray[np.float64]
    delay: npt.NDArray[np.float64]


def drawn(links: Links, rng: np.random.Generator, *, timing: Timing | None = None, latency: Latency | None = None,
          checked_s: float = 0.0) -> Ways:
    """Trickle's timers and the links' delays."""
    np = numpy()
    timing, latency = timing or Timing(), latency or Latency()
    count = len(links.opener)
    delay = latency.drawn(rng, count)
    shared = rng.exponential(timing.inbound_s, links.nodes)
    # To whom the opener connected: its own timer, and the accepter asks an inbound neighbour late. And the other way.
    forth = rng.exponential(timing.outbound_s, count)
    back = shared[links.accepter]
    source = np.concatenate([links.opener, links.accepter])
    target = np.concatenate([links.accepter, links.opener])
    wait = np.concatenate([np.full(count, timing.fetch_wait_s(outbound=False)),
                           np.full(count, timing.fetch_wait_s(outbound=True))])
    length = np.concatenate([forth, back]) + wait + np.concatenate([delay, delay]) * WAYS + checked_s
    return Ways(source, target, length, forth, back, delay)


def trickle(links: Links, origin: int, rng: np.random.Generator, *, size: int, timing: Timing | None = None,
            latency: Latency | None = None, checked_s: float = 0.0, watch: Watch | None = None,
            done: Callable[[int], None] = lambda _: None) -> Spread:
    """How a transaction of ``size`` bytes spreads by trickle from one node. checked_s: what a check takes. watch: notes
    who told whom. done: is told how many rounds there were."""
    np = numpy()
    ways = drawn(links, rng, timing=timing, latency=latency, checked_s=checked_s)
    arrived, before = shortest(ways.source, ways.target, ways.length, nodes=links.nodes, origin=origin, done=done)
    hops = hops_of(before, origin, arrived)
    senders, receivers = _announced(links, arrived + checked_s, ways)
    told = np.bincount(senders, minlength=links.nodes)
    if watch is not None:
        _noted(watch, zip(senders.tolist(), receivers.tolist(), strict=True), before.tolist(), size)
    reached = np.isfinite(arrived)
    sent = told * ID_BYTES + np.where(reached & (np.arange(links.nodes) != origin), ID_BYTES, 0)
    sent = sent + np.bincount(before[before >= 0], minlength=links.nodes) * size
    bodies = int(reached.sum()) - 1
    return Spread(arrived.tolist(), hops.tolist(), [0] * links.nodes, sent.tolist(),
                  {"announce": int(told.sum()) * ID_BYTES, "want": bodies * ID_BYTES, "body": bodies * size},
                  {"announce": int(told.sum()), "want": bodies, "body": bodies}, before.tolist())


def shortest(source: npt.NDArray[np.int64], target: npt.NDArray[np.int64], length: npt.NDArray[np.float64], *,
             nodes: int, origin: int, done: Callable[[int], None] = lambda _: None
             ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """When each node is reached over links of these lengths (none negative), and from which one: -1 for the origin and
    for whoever is not reached, who is infinitely late."""
    np = numpy()
    arrived = np.full(nodes, np.inf)
    arrived[origin] = 0.0
    order = np.argsort(source, kind="stable")
    source, target, length = source[order], target[order], length[order]
    begins = np.searchsorted(source, np.arange(nodes + 1))
    fresh = np.array([origin])
    rounds = 0
    while len(fresh):
        counts = begins[fresh + 1] - begins[fresh]
        offsets = np.repeat(begins[fresh] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        edges = offsets + np.arange(len(offsets))
        ends, then = target[edges], np.repeat(arrived[fresh], counts) + length[edges]
        better = then < arrived[ends]
        ends, then = ends[better], then[better]
        np.minimum.at(arrived, ends, then)
        fresh = np.unique(ends)
        rounds += 1
        done(rounds)
    before = np.full(nodes, -1, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        tight = np.isfinite(arrived[source]) & (arrived[source] + length == arrived[target]) & (target != origin)
    before[target[tight]] = source[tight]
    return arrived, before


def hops_of(before: npt.NDArray[np.int64], origin: int, arrived: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Over how many links each was reached; -1 for who was not. Goes back from all at once."""
    np = numpy()
    hops = np.where(np.isfinite(arrived), 0, -1)
    walking, here = np.flatnonzero(before >= 0), before[before >= 0]
    while len(walking):
        hops[walking] += 1
        on = here != origin
        walking, here = walking[on], before[here[on]]
    return hops  # type: ignore[no-any-return]


def _announced(links: Links, ready: npt.NDArray[np.float64], ways: Ways
               ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Who announced to whom: over each link one, or both where two announcements crossed."""
    np = numpy()
    there = ready[links.opener] + ways.forth
    here = ready[links.accepter] + ways.back
    with np.errstate(invalid="ignore"):
        by_opener = np.isfinite(there) & ~(here + ways.delay <= there)
        by_accepter = np.isfinite(here) & ~(there + ways.delay <= here)
    return (np.concatenate([links.opener[by_opener], links.accepter[by_accepter]]),
            np.concatenate([links.accepter[by_opener], links.opener[by_accepter]]))


def _noted(watch: Watch, announced: Iterable[tuple[int, int]], before: Sequence[int], size: int) -> None:
    for sender, receiver in announced:
        watch.told(sender, receiver, "announce", ID_BYTES, 1)
    for node, peer in enumerate(before):
        if peer >= 0:
            watch.told(node, peer, "want", ID_BYTES, 1)
            watch.told(peer, node, "body", size, 1)
