# SPDX-License-Identifier: Apache-2.0
"""One scenario for whoever simulates it: a graph, and every delay and timer drawn beforehand from the seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from holdfast.propagation.relay.announcing import Timing
from holdfast.propagation.sim import fast
from holdfast.propagation.sim.network import Latency
from holdfast.propagation.topology import Links, regular, two_tier

How = Literal["flood", "trickle"]
#: What a check takes, and how long a body is.
CHECKED_S, BODY_BYTES = 0.001, 300
LATENCY = Latency(0.05, 0.02)


@dataclass(frozen=True)
class Scenario:
    """neighbours: by node, each with whether the node opened the link, and how long one way over it takes. own_s: by
    node and neighbour, how long the node waits before it tells one to whom it opened a link; shared_s: before it tells
    the others. Both are trickle's."""

    how: How
    origin: int
    links: Links
    neighbours: list[dict[int, tuple[bool, float]]]
    own_s: list[dict[int, float]]
    shared_s: list[float]
    timing: Timing


def scenario(how: How, nodes: int, seed: int) -> Scenario:
    """8 links of each node, or Bitcoin's two tiers."""
    rng = np.random.default_rng([seed, 0])
    links = regular(nodes, 8, rng) if how == "flood" else two_tier(nodes, rng)
    origin = int(rng.integers(nodes))
    timing = Timing()
    ways = fast.drawn(links, rng, timing=timing, latency=LATENCY)
    neighbours: list[dict[int, tuple[bool, float]]] = [{} for _ in range(nodes)]
    own: list[dict[int, float]] = [{} for _ in range(nodes)]
    shared = [0.0] * nodes
    for a, b, delay, forth, back in zip(links.opener.tolist(), links.accepter.tolist(), ways.delay.tolist(),
                                        ways.forth.tolist(), ways.back.tolist(), strict=True):
        neighbours[a][b] = True, delay
        neighbours[b][a] = False, delay
        own[a][b] = forth
        shared[b] = back
    return Scenario(how, origin, links, neighbours, own, shared, timing)


def digest(arrived_s: Sequence[float], duplicates: Sequence[int], messages: int) -> str:
    """Of an answer: to a nanosecond when each node had it, its copies, and all messages."""
    said = ",".join("-" if math.isinf(when) else f"{when:.9f}" for when in arrived_s)
    return hashlib.sha256(f"{said};{list(duplicates)};{messages}".encode()).hexdigest()[:16]
