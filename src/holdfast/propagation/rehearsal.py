# SPDX-License-Identifier: Apache-2.0
"""The same scenario twice: as real processes on loopback, and in the simulator. How far apart are they?

A scenario is a graph, a policy, links of so many milliseconds and transactions made here and there, all from a seed.
The simulator builds its world of it; the fleet is linked as that world is, with words held back as long as its links
are. Then both make the same transactions at the same nodes, and what is compared is when each node had each of them.

What a difference may come from: real processes share the cores of this machine, check signatures, and take the network
stack's time. Links of 100 ms and more make that small; the rest is what a simulator leaves out.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import msgspec

from .._base.typed import from_json
from ..errors import ConfigurationError
from ..gossip.signing.algorithms import Algorithm, PrivateKey
from ..gossip.trust.identity import Identity
from . import journal
from .analyse import Spread, Summary, part_s, summarise
from .analysis.shapes import distance
from .node.fleet import Fleet, Remote
from .node.money import pay
from .node.orders import Plan
from .relay.named import named
from .sim.network import Conditions, Latency
from .sim.world import World
from .topology import numpy, regular

#: Bytes of a transaction as the nodes write it; what the simulator is told.
TX_BYTES = 145
#: Processes that one machine is asked for at most.
NODES_MAX = 500
NETWORK = "run"


@dataclass(frozen=True)
class Scenario:
    """nodes, degree: of a regular random graph. policy, pace: see ``relay.named``. latency: of a link, one way. txs,
    every_s: how many are made, and how far apart. droppers: the part of nodes that pass nothing on. warm_s: how long
    they run before the first, so that meshes have formed. until_s: how long
    the last one may take.
    """

    nodes: int = 50
    degree: int = 8
    policy: str = "trickle"
    pace: float = 1.0
    latency: Latency = field(default_factory=lambda: Latency(0.15, 0.05))
    txs: int = 10
    every_s: float = 0.5
    droppers: float = 0.0
    seed: int = 1
    until_s: float = 60.0
    warm_s: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.nodes <= NODES_MAX:
            raise ConfigurationError(f"2 to {NODES_MAX} nodes run as processes, not {self.nodes}: simulate more")
        if self.txs < 1 or self.every_s < 0 or self.until_s <= 0 or self.seed < 0:
            raise ConfigurationError("a run has a transaction or more, and a seed of 0 or greater")

    def world(self) -> World:
        """The simulator's, before anything was made. A real run takes its links from it."""
        rng = numpy().random.default_rng([self.seed, 0])
        degree = min(self.degree, self.nodes - 1)
        degree -= self.nodes * degree % 2
        return World(regular(self.nodes, max(degree, 2), rng), named(self.policy, self.pace), self.seed,
                     Conditions(self.latency, droppers=self.droppers), warm_s=self.warm_s)

    def origins(self, world: World) -> list[int]:
        """Where each transaction is made: at nodes that pass things on."""
        chance = random.Random(f"origins {self.seed}")
        honest = [index for index, node in enumerate(world.nodes) if not node.drops]
        return [honest[int(chance.random() * len(honest))] for _ in range(self.txs)]


def simulated(scenario: Scenario, turns: int = 1) -> list[Spread]:
    """The scenario in the simulator. turns: so many times on the same links, each time with other chance."""
    return [spread for turn in range(turns) for spread in _simulated(scenario, turn)]


def _simulated(scenario: Scenario, turn: int) -> list[Spread]:
    world = scenario.world()
    if turn:
        world.chance = random.Random(f"{scenario.seed} {turn}")
    world.forget_costs()
    for tx, origin in enumerate(scenario.origins(world)):
        world.make(tx, TX_BYTES, origin)
        world.run(world.now + scenario.every_s)
    world.run(world.now + scenario.until_s, linger_s=1.0)
    return world.spreads()


async def rehearsed(scenario: Scenario, folder: Path, done: Callable[[int], None] = lambda _: None) -> list[Spread]:
    """The scenario as real processes, whose journals are in the folder afterwards. done: is told how many transactions
    have met how many nodes. Raises FleetError, ConfigurationError."""
    world = scenario.world()
    # From the seed, as all else: which keys there are decides what each node draws.
    identities = [Identity.generate(_drawn(f"{scenario.seed} node {index}")) for index in range(scenario.nodes)]
    keys = [PrivateKey(Algorithm.ED25519, _drawn(f"{scenario.seed} sender {tx}")(32)) for tx in range(scenario.txs)]
    plans = plans_of(scenario, world, identities, {one.public.data.hex(): 1_000_000 for one in keys}, folder)
    txs = [pay(one, NETWORK, to=keys[0].public.data, nonce=0, amount=1, fee=1000) for one in keys]
    async with Fleet() as fleet:
        nodes = [await fleet.spawn(plan) for plan in plans]
        for node in nodes:
            await node.ready()
        await linked(nodes, world)
        await asyncio.sleep(scenario.warm_s)
        began = time.monotonic()
        for turn, (tx, origin) in enumerate(zip(txs, scenario.origins(world), strict=True)):
            await asyncio.sleep(max(0.0, began + turn * scenario.every_s - time.monotonic()))
            why = await nodes[origin].submit(tx)
            if why:
                raise ConfigurationError(f"a node refused the transaction of this run: {why}")
        await _all_met(nodes, scenario, done)
    return spreads(folder, [tx.id.hex() for tx in txs], [one.id for one in identities])


def _drawn(name: str) -> Callable[[int], bytes]:
    """Bytes for keys of a network that is thrown away; nobody may use them for another one."""
    chance = random.Random(f"rehearsal {name}")
    return chance.randbytes


def plans_of(scenario: Scenario, world: World, identities: Sequence[Identity], balances: dict[str, int], folder: Path
             ) -> list[Plan]:
    """What each node is told, so that it is linked as its twin in the world is."""
    return [Plan(identity.reveal(), NETWORK, scenario.policy, scenario.pace, str(folder / f"{index}.jsonl"),
                 scenario.seed, balances, {identities[peer].id: way for peer, way in node.ways_s.items()}, node.drops)
            for index, (identity, node) in enumerate(zip(identities, world.nodes, strict=True))]


async def linked(nodes: Sequence[Remote], world: World) -> None:
    """Each node calls whom its twin opened a link to; all links are there when this returns."""
    for node, twin in zip(nodes, world.nodes, strict=True):
        await node.call([nodes[peer.id].address for peer in twin.relay.peers.values() if peer.outbound])
    for node, twin in zip(nodes, world.nodes, strict=True):
        while (await node.inspect()).peers < len(twin.relay.peers):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)


async def _all_met(nodes: Sequence[Remote], scenario: Scenario, done: Callable[[int], None]) -> None:
    ends = time.monotonic() + scenario.until_s
    missing = list(nodes)
    while missing and time.monotonic() < ends:
        # One node after the other is asked, and seldom: what is measured shares the cores with who asks.
        if (await missing[-1].inspect()).mempool >= scenario.txs:
            missing.pop()
            done((len(nodes) - len(missing)) * scenario.txs)
        else:
            await asyncio.sleep(0.25)
    await asyncio.sleep(2 * scenario.latency.mean_s + 0.2)  # copies that are under way are counted, too


def entries(path: Path) -> list[journal.Entry]:
    """A node's journal. A line that is none, as the last one of a killed node may be, is skipped."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(from_json(line, journal.Entry))
        except (msgspec.MsgspecError, ValueError):
            continue
    return found


def spreads(folder: Path, txs: Sequence[str], names: Sequence[str]) -> list[Spread]:
    """How each transaction spread, by the journals of the nodes, ``0.jsonl`` and on. names: their ids, in order."""
    at = {name: index for index, name in enumerate(names)}
    made: dict[str, float] = {}
    arrived = {tx: [math.inf] * len(names) for tx in txs}
    hops = {tx: [-1] * len(names) for tx in txs}
    copies = {tx: [0] * len(names) for tx in txs}
    first = {tx: [-1] * len(names) for tx in txs}
    sent = [0.0] * len(names)
    by_kind: dict[str, int] = {}
    messages: dict[str, int] = {}
    for index in range(len(names)):
        for entry in entries(folder / f"{index}.jsonl"):
            if isinstance(entry, journal.Counted):
                for kinds in entry.sent_bytes.values():
                    for kind, size in kinds.items():
                        sent[index] += size
                        by_kind[kind] = by_kind.get(kind, 0) + size
                for kind, number in entry.messages.items():
                    messages[kind] = messages.get(kind, 0) + number
            elif isinstance(entry, journal.Made | journal.Arrived) and entry.id in arrived:
                # What arrives where it is already is a copy, as it is for analyse and in the simulator.
                copies[entry.id][index] += isinstance(entry, journal.Arrived) and arrived[entry.id][index] < math.inf
                if entry.t < arrived[entry.id][index]:
                    arrived[entry.id][index] = entry.t
                    hops[entry.id][index] = entry.hops if isinstance(entry, journal.Arrived) else 0
                    first[entry.id][index] = at.get(entry.peer, -1) if isinstance(entry, journal.Arrived) else -1
                if isinstance(entry, journal.Made):
                    made[entry.id] = entry.t
            elif isinstance(entry, journal.Copied) and entry.id in copies:
                copies[entry.id][index] += 1
    share = max(len(txs), 1)
    return [Spread([when - made.get(tx, math.nan) for when in arrived[tx]], hops[tx], copies[tx],
                   [size / share for size in sent], {kind: size // share for kind, size in by_kind.items()},
                   {kind: number // share for kind, number in messages.items()}, first[tx]) for tx in txs]


@dataclass(frozen=True)
class Compared:
    """How far apart two runs of a scenario are. ks: the largest distance between the two distributions of arrival
    times; 1 where one has none. t50, t90: the real one's, divided by the simulated one's. missed: arrivals that one of
    both lacks, in part of all."""

    seed: int
    ks: float
    t50: float
    t90: float
    missed: float
    real: Summary
    simulated: Summary


def compared(seed: int, real: Sequence[Spread], twin: Sequence[Spread]) -> Compared:
    """Of all transactions together. Where one was made is no arrival."""
    ours, theirs = ([when for one in run for when in one.arrived_s if math.isfinite(when) and when > 0]
                    for run in (real, twin))
    met = [fmean(sum(map(math.isfinite, one.arrived_s)) for one in run) for run in (real, twin)]

    def ratio(part: float) -> float:
        mean = [median(part_s(one.arrived_s, part) for one in run) for run in (real, twin)]
        return round(mean[0] / mean[1], 4)

    ks = distance(ours, theirs) if ours and theirs else 1.0
    return Compared(seed, round(ks, 4), ratio(0.5), ratio(0.9),
                    round(abs(met[0] - met[1]) / max(met), 4), summarise(real, seed), summarise(twin, seed))
