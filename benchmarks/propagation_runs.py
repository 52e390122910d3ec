# SPDX-License-Identifier: Apache-2.0
"""One run of one contestant: ``python -m benchmarks.propagation_runs WHO HOW NODES SEED`` prints JSON. A child.

``seconds``: of the processor, from the links and delays in memory to the answer, nodes and graphs of the contestant's
own included; the search alone is ``search_seconds`` where a graph is built first. ``grown_bytes``: by how much the most
that was in memory (VmHWM) is above what it was before, imports and scenario included. From event to event the search
for cycles is off for everybody, as it is in ``simulate``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast._base.chance import Chance
from holdfast.propagation import simulate
from holdfast.propagation.relay import Flood, Trickle
from holdfast.propagation.relay.words import Peer, Wake
from holdfast.propagation.sim import fast
from holdfast.propagation.sim.network import Conditions
from holdfast.propagation.sim.uncollected import uncollected
from holdfast.propagation.sim.world import World
from holdfast.propagation.topology import Links, two_tier

from .propagation_scenario import BODY_BYTES, CHECKED_S, LATENCY, How, Scenario, digest, scenario

#: After this nothing is left to happen but asking again whoever was asked.
_UNTIL_S = 300.0


class Drawn(Trickle):
    """Our relay, with timers that were drawn beforehand instead of when they are set."""

    def __init__(self, peers: Sequence[Peer], own_s: dict[int, float], shared_s: float) -> None:
        super().__init__(peers)
        self._own_s, self._shared_s = own_s, shared_s

    def _turn(self, peer: int | None, now: float, chance: Chance) -> Wake:
        return Wake(now + (self._shared_s if peer is None else self._own_s[peer]), ("trickle", peer))


def ours(asked: Scenario) -> tuple[list[float], list[int], int]:
    """From event to event, by the world that ships; its links are as long as the scenario's."""
    index = iter(range(asked.links.nodes))

    def policy(peers: Sequence[Peer]) -> Flood | Drawn:
        here = next(index)
        return Flood(peers) if asked.how == "flood" else Drawn(peers, asked.own_s[here], asked.shared_s[here])

    world = World(asked.links, policy, 1, Conditions(LATENCY, checked_s=CHECKED_S))
    for node, neighbours in zip(world.nodes, asked.neighbours, strict=True):
        node.ways_s = {there: delay for there, (_, delay) in neighbours.items()}
    world.make(0, BODY_BYTES, asked.origin)
    world.run(_UNTIL_S)
    (spread,) = world.spreads()
    return list(spread.arrived_s), list(spread.duplicates), sum(world.messages.values())


def _events(who: str, how: How, nodes: int, seed: int) -> dict[str, Any]:
    asked = scenario(how, nodes, seed)
    if who != "holdfast":
        from .propagation_simpy import simulated
    before, began = _peak_bytes(), time.process_time()
    with uncollected():
        arrived, copies, messages = ours(asked) if who == "holdfast" else simulated(asked, who.removeprefix("simpy-"))
    seconds = time.process_time() - began
    return {"seconds": seconds, "messages": messages, "per_s": messages / seconds,
            "grown_bytes": _peak_bytes() - before, "peak_bytes": _peak_bytes(),
            "answer": digest(arrived, copies, messages)}


def _paths(who: str, nodes: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 0])
    links = two_tier(nodes, rng)
    origin = int(rng.integers(nodes))
    ways = fast.drawn(links, rng, latency=LATENCY, checked_s=CHECKED_S)
    if who != "holdfast":
        import networkx as nx  # noqa: F401 - imported before the clock starts
    before, began = _peak_bytes(), time.process_time()
    arrived, search = (_ours if who == "holdfast" else _networkx)(links, origin, ways)
    seconds = time.process_time() - began
    return {"seconds": seconds, "search_seconds": search, "grown_bytes": _peak_bytes() - before,
            "peak_bytes": _peak_bytes(), "answer": digest(arrived, (), len(ways.length))}


def _ours(links: Links, origin: int, ways: fast.Ways) -> tuple[list[float], float]:
    began = time.process_time()
    arrived, _ = fast.shortest(ways.source, ways.target, ways.length, nodes=links.nodes, origin=origin)
    search = time.process_time() - began
    return arrived.tolist(), search


def _networkx(links: Links, origin: int, ways: fast.Ways) -> tuple[list[float], float]:
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_weighted_edges_from(zip(ways.source.tolist(), ways.target.tolist(), ways.length.tolist(), strict=True))
    began = time.process_time()
    found = nx.single_source_dijkstra_path_length(graph, origin)
    search = time.process_time() - began
    return [found.get(node, float("inf")) for node in range(links.nodes)], search


def _whole(preset: str, nodes: int, seed: int) -> dict[str, Any]:
    """A preset as the command runs it, its graph and its figures included."""
    before, began = _peak_bytes(), time.process_time()
    summary, _ = simulate(preset, nodes=nodes, seed=seed)
    return {"seconds": time.process_time() - began, "reached": summary.reached, "grown_bytes": _peak_bytes() - before,
            "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """The most that this process has had in memory."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(what: str, who: str, nodes: int, seed: int) -> dict[str, Any]:
    """what: flood, trickle, paths, or whole, where who is a preset."""
    if what == "paths":
        return _paths(who, nodes, seed)
    return _whole(who, nodes, seed) if what == "whole" else _events(who, what, nodes, seed)  # type: ignore[arg-type]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
