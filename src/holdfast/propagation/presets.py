# SPDX-License-Identifier: Apache-2.0
"""Networks by the name of what they model, and what it takes to run one.

A preset is a graph, a policy, what lies between nodes, and how much is made. Its numbers are those of what it is named
after, where those are published, and are said beside it where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError
from .analyse import Spread, Summary, summarise
from .relay import Dandelion, Flood, GossipMesh, Mesh, Reconcile, SqrtPush
from .sim import fast
from .sim.network import Conditions, Latency
from .sim.uncollected import uncollected
from .sim.watch import Watch
from .sim.world import Policy, World
from .topology import Links, near_regular, numpy, two_tier

if TYPE_CHECKING:
    import numpy as np

#: From event to event a node costs some ten kilobytes; beyond this, memory and patience end.
NODES_MAX: Final = 20_000
#: What one shortest path is asked for at most.
FAST_NODES_MAX: Final = 2_000_000
#: A transaction that has not reached everybody after this does not do so.
UNTIL_S: Final = 300.0


@dataclass(frozen=True)
class Preset:
    """graph: makes the links of so many nodes. policy: None: the shortest path, by trickle. nodes: when nobody says how
    many. txs, every_s: how many transactions are made, and how far apart. linger_s: how long after the last arrival
    copies that are under way are still counted."""

    name: str
    what: str
    graph: Callable[[int, np.random.Generator], Links]
    policy: Policy | None
    nodes: int
    size: int
    conditions: Conditions = field(default_factory=Conditions)
    txs: int = 1
    every_s: float = 0.0
    warm_s: float = 0.0
    linger_s: float = 30.0


#: A transaction with one input and two outputs, signed.
_TX_BYTES: Final = 300
#: A beacon block with its transactions, and uplinks of 100 Mbit/s. How long a node holds a block before it passes it on
#: is published nowhere: half a second makes blocks as slow as they are seen to be, and makes copies cross on few links.
_BLOCK_BYTES: Final = 100_000
_TRANSACTIONS = Conditions(Latency(0.05, 0.02), checked_s=0.001)
#: Links as those of Hyperion, the simulator of Bitcoin's relay, with its 10,000 nodes that can be reached and 100,000
#: that cannot.
_BITCOIN = Conditions(Latency(0.01, 0.002), checked_s=0.001)
_BLOCKS = Conditions(Latency(0.05, 0.03), uplink_bytes_s=100e6 / 8, checked_s=0.5, checked_spread_s=0.5)

_ALL: Final = (
    Preset("bitcoin-trickle", "Bitcoin Core's announcements by timers, 8 outbound links, an eleventh can be reached",
           two_tier, None, 110_000, _TX_BYTES, _BITCOIN),
    Preset("ethereum-sqrt", "Ethereum's execution layer: bodies to the root of 50 neighbours, hashes to the others",
           partial(near_regular, degree=50), SqrtPush, 1000, _TX_BYTES, _TRANSACTIONS, linger_s=5.0),
    Preset("gossipsub", "Ethereum's consensus layer: blocks of 100 kB through meshes of 8 among 40 neighbours",
           partial(near_regular, degree=40), GossipMesh, 1000, _BLOCK_BYTES, _BLOCKS, warm_s=5.0, linger_s=3.0),
    Preset("gossipsub-idontwant", "the same, and who has a block says so at once (GossipSub 1.2)",
           partial(near_regular, degree=40), lambda peers: GossipMesh(peers, Mesh(dontwant=True)), 1000, _BLOCK_BYTES,
           _BLOCKS, warm_s=5.0, linger_s=3.0),
    Preset("erlay", "Bitcoin's graph with BIP 330: a few are told, sets are compared; 7 transactions a second",
           two_tier, Reconcile, 1000, _TX_BYTES, _BITCOIN, txs=20, every_s=1 / 7, linger_s=5.0),
    Preset("dandelion", "Bitcoin's graph with BIP 156: a walk of some ten hops, then trickle", two_tier, Dandelion,
           1000, _TX_BYTES, _BITCOIN),
    Preset("flood", "bodies to each of 8 neighbours", partial(near_regular, degree=8), Flood, 1000, _TX_BYTES,
           _TRANSACTIONS),
)
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({preset.name: preset for preset in _ALL})


def simulate(name: str, *, nodes: int | None = None, seed: int = 1, watch: Watch | None = None,
             done: Callable[[int], None] = lambda _: None) -> tuple[Summary, list[Spread]]:
    """Runs a preset: what its spread was like, and each transaction's way. watch: notes who sent what to whom, which
    changes nothing else. done: is told how many nodes and transactions have met, or rounds of the shortest path. Raises
    ConfigurationError for what cannot be run, MissingExtra without NumPy.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise ConfigurationError(f"there is no preset {name!r}: name one of {', '.join(PRESETS)}")
    count = preset.nodes if nodes is None else nodes
    most = FAST_NODES_MAX if preset.policy is None else NODES_MAX
    if not 10 <= count <= most:
        raise ConfigurationError(f"the preset {name} runs with 10 to {most} nodes, not {count}")
    if seed < 0:
        raise ConfigurationError(f"a seed is 0 or greater, not {seed}")
    rng = numpy().random.default_rng([seed, 0])
    links = preset.graph(count, rng)
    if watch is not None:
        watch.linked(links)
    if preset.policy is None:
        origin = int(rng.integers(count))
        spreads = [fast.trickle(links, origin, rng, size=preset.size, latency=preset.conditions.latency,
                                checked_s=preset.conditions.checked_s, watch=watch, done=done)]
    else:
        spreads = ran(preset, preset.policy, links, seed, done, watch=watch)
    return summarise(spreads, seed), spreads


def ran(preset: Preset, policy: Policy, links: Links, seed: int, done: Callable[[int], None] = lambda _: None, *,
        watch: Watch | None = None) -> list[Spread]:
    """From event to event, with that policy on these links."""
    with uncollected():
        world = World(links, policy, seed, preset.conditions, warm_s=preset.warm_s, watch=watch, done=done)
        world.forget_costs()
        for tx in range(preset.txs):
            here = int(world.chance.random() * links.nodes)
            while not world.nodes[here].works:
                here = int(world.chance.random() * links.nodes)
            world.make(tx, preset.size, here)
            if tx + 1 < preset.txs:
                world.run(world.now + preset.every_s)
        world.run(world.now + UNTIL_S, linger_s=preset.linger_s)
        return world.spreads()
