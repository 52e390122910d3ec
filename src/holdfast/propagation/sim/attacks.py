# SPDX-License-Identifier: Apache-2.0
"""What faults and attacks do to a network that keeps a chain: each a scenario, from a seed, with what was measured.

* ``dropped``: a part of the nodes takes everything and passes nothing on; or says that it has it, and does not give it.
* ``churned``: a part of the nodes leaves and comes back all the time.
* ``spammed``: some nodes send forged and cheap payments, as fast as links carry them, at cores that check one thing at
  a time; with doors and without.
* ``parted``: the network falls in two halves that both go on, with double spends in both, and is whole again.
* ``eclipsed``: attackers hold a part of the places that nodes link to; who has no honest link hears of nothing.
* ``deceived``: all of one victim's links are an attacker's, who shows it a chain of his own.

Honest and connected is who reaches an honest majority over honest nodes alone; nobody else can be helped by relaying.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from ..chain import Block, sealed, unsealed
from ..relay import Announce, Flood, Relay
from ..relay.words import Message, Peer
from ..topology import Links, numpy, regular
from .doors import Guarded
from .ledgered import Ledgered, payment, user
from .network import Conditions, Latency
from .world import World

#: How nodes relay transactions.
Relays: TypeAlias = Callable[[Sequence[Peer]], Relay]
#: Bodies that a spammer sends each neighbour, a second; and what the check of one takes under spam, so that it is more
#: than a node can do.
SPAM_S: Final = 40.0
SPAM_CHECKED_S: Final = 0.05
#: Seconds between honest payments.
EVERY_S: Final = 3.0
#: How long nothing new is made before it is asked what everybody has: some of the minutes that a relay waits for who
#: does not answer.
QUIET_S: Final = 300.0
_NETWORK = Conditions(Latency(0.05, 0.02), checked_s=0.005)


@dataclass(frozen=True)
class Outcome:
    """honest: nodes that are, and are connected. payments: honest ones, confirmed: how many of them are in the chain in
    the end; of a double spend one is. reached: the least part of the honest that one of them reached, by itself or in a
    block; t50_s, t100_s: when it reached half and all of them, the median and the latest payment. heads, pools: how
    many different ones the honest have in the end; 1: all agree. undone: blocks of the deepest reorganisation.
    both_confirmed: chains with a double spend in them. blamed: how often nodes were, by reason.
    """

    scenario: str
    nodes: int
    seed: int
    honest: int
    payments: int
    confirmed: int
    reached: float
    t50_s: float | None
    t100_s: float | None
    heads: int
    pools: int
    undone: int
    both_confirmed: int
    blamed: dict[str, int]

    @property
    def agreed(self) -> bool:
        """Were all the honest reached by everything, and do they have one chain, with no double spend, and one
        mempool?"""
        return (self.heads, self.pools, self.both_confirmed, self.reached) == (1, 1, 0, 1.0)


@dataclass(frozen=True)
class Eclipse:
    """share: attackers among the nodes. links: of a node. nodes, eclipsed: honest ones, and those that heard of
    nothing. surrounded: the part that is expected to have no honest neighbour. expected: no honest way (``cut_off``).
    """

    share: float
    links: int
    nodes: int
    eclipsed: int
    surrounded: float
    expected: float


@dataclass(frozen=True)
class Deceived:
    """What a victim saw. shown: confirmations that the attacker's payment had there. links: honest ones it had.
    undone: it was gone in the end, when the victim had a link to the others again (or had one all the time)."""

    seed: int
    links: int
    shown: int
    undone: bool


def dropped(nodes: int = 100, seed: int = 1, *, share: float = 0.3, degree: int = 8, payments: int = 20,
            promises: bool = False) -> Outcome:
    """Droppers. promises: they announce what they do not give, so who asks them waits until it asks the next one."""
    run = _network(nodes, degree, seed, Conditions(_NETWORK.latency, checked_s=0.005, droppers=share))
    for node in run.world.nodes:
        node.promises = promises
    honest = _connected(run.world)
    return _ran("withholders" if promises else "droppers", run, honest, seed, payments)


def churned(nodes: int = 100, seed: int = 1, *, share: float = 0.5, degree: int = 8, payments: int = 20) -> Outcome:
    """Nodes that leave and come back; in the end all are there."""
    run = _network(nodes, degree, seed, Conditions(_NETWORK.latency, checked_s=0.005, churn=share, stays_s=30.0,
                                                   away_s=15.0))
    return _ran("churn", run, list(range(nodes)), seed, payments)


def spammed(nodes: int = 60, seed: int = 1, *, share: float = 0.1, degree: int = 8, payments: int = 15,
            doors: bool = True, spam_s: float = SPAM_S) -> Outcome:
    """Spam. doors: nodes limit what comes in and turn forgers away."""
    run = _network(nodes, degree, seed, Conditions(_NETWORK.latency, checked_s=SPAM_CHECKED_S, one_core=True))
    chance = random.Random(f"spam {seed}")
    spammers = chance.sample(range(nodes), max(1, round(share * nodes)))
    for here in spammers:
        run.world.nodes[here].drops = True
    honest = _connected(run.world)
    if doors:
        for here in honest:
            run.world.nodes[here].door = Guarded()
    for here in spammers:
        _spam(run, here, spammers, until_s=payments * EVERY_S, spam_s=spam_s, chance=chance)
    return _ran("spam" if doors else "spam-no-doors", run, honest, seed, payments)


def parted(nodes: int = 60, seed: int = 1, *, degree: int = 8, payments: int = 20, apart_s: float = 120.0,
           doubles: int = 5, policy: Relays = Announce) -> Outcome:
    """Two halves for ``apart_s``, blocks and payments in both, and double spends: one of each pair in each half."""
    run = _network(nodes, degree, seed, _NETWORK, policy)
    chance = random.Random(f"parted {seed}")
    sides = [number % 2 for number in range(nodes)]
    chance.shuffle(sides)
    halves = [[here for here in range(nodes) if sides[here] == side] for side in (0, 1)]
    world, until = run.world, apart_s
    run.mine(10.0, until)
    world.part(sides)
    for number in range(doubles):
        for side, half in enumerate(halves):
            name = user(nodes + number)
            run.pay(chance.choice(half), payment(name, 0, b"shop %d" % side))
    for turn in range(payments):
        world.at(turn * apart_s / payments * 0.9, lambda: _pays(run, chance.randrange(nodes)))
    world.run(until)
    world.part(None)
    return _told("partition", run, list(range(nodes)), seed, doubles=doubles)


def eclipsed(shares: Sequence[float] = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8), *, nodes: int = 1000, links: int = 8,
             seed: int = 1) -> list[Eclipse]:
    """How often a node has no way to the others but over attackers, and so hears of nothing, by their share."""
    found = []
    for share in shares:
        rng = numpy().random.default_rng([seed, links, round(share * 1000)])
        world = World(regular(nodes, links, rng), Flood, seed, _NETWORK)
        hostile = rng.permutation(nodes)[:round(share * nodes)].tolist()
        for here in hostile:
            world.nodes[here].drops = True
        honest = sorted(set(range(nodes)) - set(hostile))
        # One of these is among the many, unless the attackers are too many for there to be any.
        for number, here in enumerate(honest[:5]):
            world.make(number, 300, here)
        world.run(60.0)
        reached = max(sum(math.isfinite(way.arrived_s[here]) for here in honest) for way in world.spreads())
        found.append(Eclipse(share, links, len(honest), len(honest) - reached, round(share ** links, 5),
                             round(cut_off(share, links), 5)))
    return found


def cut_off(share: float, links: int) -> float:
    """The part of honest nodes that is expected to have no honest way to the others: each link is an attacker's, or
    leads to somebody whose other links are such. In a random graph, the smallest root of u = a + (1 − a)·u^(k − 1),
    to the power k."""
    u = 0.0
    for _ in range(10_000):
        u = share + (1 - share) * u ** (links - 1)
    return float(u ** links)


def deceived(seed: int = 1, *, nodes: int = 40, honest_links: int = 0, blocks: int = 4, released: bool = True
             ) -> Deceived:
    """One victim, whose links are an attacker's but for some honest ones. The attacker is a maker: it shows the victim
    blocks of its own that pay it, while the others' chain grows twice as fast and pays elsewhere."""
    rng = numpy().random.default_rng([seed, 7])
    inner = regular(nodes, 8, rng)
    victim, attacker = nodes, nodes + 1
    np = numpy()
    ends = [victim] + [victim] * honest_links + [victim]
    links = Links(nodes + 2, np.concatenate([inner.opener, ends]),
                  np.concatenate([inner.accepter, [attacker, *range(honest_links), 20]]))
    run = Ledgered(links, seed, _NETWORK, users=nodes + 2)
    world = run.world
    late = (victim, 20)
    world.cut(*late)
    world.nodes[attacker].drops = False
    name = user(attacker)
    shown, elsewhere = payment(name, 0, b"victim"), payment(name, 0, b"itself")
    run.pay(0, elsewhere)
    world.run(5.0)
    attacking = run.nodes[attacker]
    parent, deepest = attacking.tree.head, 0
    for turn in range(blocks):
        txs = (shown,) if not turn else ()
        block = Block(sealed(unsealed(parent, txs, b"node %d" % attacker, int(world.now * 1000)),
                             lambda _: b"node %d" % attacker), txs)
        attacking.blocks.own(block)
        world.make(block.id, block.header.size, attacker)
        parent = block.header
        for _ in range(2):
            run.make_block(turn % nodes)
            world.run(world.now + 5.0)
        deepest = max(deepest, run.nodes[victim].tree.depth(shown.id))
    if released:
        world.mend(*late)
    world.run(world.now + 120.0)
    return Deceived(seed, honest_links, deepest, run.nodes[victim].tree.depth(shown.id) == 0)


#: By name; each takes the number of nodes and a seed.
SCENARIOS: Final[Mapping[str, Callable[[int, int], Outcome]]] = MappingProxyType({
    "droppers": dropped, "withholders": partial(dropped, promises=True), "churn": churned, "spam": spammed,
    "spam-no-doors": partial(spammed, doors=False), "partition": parted})


# -- what the scenarios share ---------------------------------------------------------------------------------------

def _network(nodes: int, degree: int, seed: int, conditions: Conditions, policy: Relays = Announce) -> Ledgered:
    return Ledgered(regular(nodes, degree, numpy().random.default_rng([seed, 0])), seed, conditions, users=2 * nodes,
                    policy=policy)


def _connected(world: World) -> list[int]:
    """The largest part of the honest nodes that hangs together without the others."""
    left = {here for here, node in enumerate(world.nodes) if not node.drops}
    best: list[int] = []
    while left:
        edge = [left.pop()]
        part = list(edge)
        while edge:
            for peer in world.nodes[edge.pop()].ways_s:
                if peer in left:
                    left.discard(peer)
                    part.append(peer)
                    edge.append(peer)
        best = max(best, part, key=len)
    return sorted(best)


def _pays(run: Ledgered, here: int) -> None:
    if not run.world.apart(here):
        run.pay(here)


def _ran(scenario: str, run: Ledgered, honest: Sequence[int], seed: int, payments: int) -> Outcome:
    """Payments and blocks by the honest, while the scenario lasts."""
    chance = random.Random(f"payments {seed}")
    until = payments * EVERY_S
    run.mine(10.0, until, honest)
    for turn in range(payments):
        run.world.at(turn * EVERY_S, lambda: _pays(run, chance.choice(honest)))
    run.world.run(until)
    return _told(scenario, run, honest, seed)


def _told(scenario: str, run: Ledgered, honest: Sequence[int], seed: int, *, doubles: int = 0) -> Outcome:
    """All is quiet again; what is the end of it?"""
    world = run.world
    for here in honest:
        if world.apart(here):
            world.come_back(here)
    world.run(world.now + QUIET_S)
    highest = max(honest, key=lambda here: run.nodes[here].tree.height)
    # Whoever is ahead makes two blocks more, so that no two branches are as long and what waits is confirmed.
    for _ in range(2):
        run.make_block(highest)
        world.run(world.now + QUIET_S)
    # Of a double spend each half hears of its own first, and of the other it need not hear at all.
    single = [run.heard_s(name, honest) for name in list(run.paid)[2 * doubles:]]
    halves = [sorted(times)[(len(times) - 1) // 2] for times in single]
    whole = [max(times) for times in single]
    tree = run.nodes[honest[0]].tree
    blamed: Counter[str] = Counter()
    for (_, why), count in world.blamed.items():
        blamed[why] += count
    return Outcome(
        scenario, len(run.nodes), seed, len(honest), len(run.paid) - doubles,
        sum(tree.depth(name) > 0 for name in run.paid),
        min((sum(map(math.isfinite, times)) / len(times) for times in single), default=0.0),
        _rounded(sorted(halves)[len(halves) // 2] if halves else math.inf),
        _rounded(max(whole, default=math.inf)),
        len(run.heads(honest)), len(run.pools(honest)), max(run.undone_max[here] for here in honest),
        sum(run.both_confirmed(here) for here in honest), dict(sorted(blamed.items())))


def _spam(run: Ledgered, here: int, spammers: Sequence[int], *, until_s: float, spam_s: float, chance: random.Random
          ) -> None:
    """Forged and cheap payments to each honest neighbour, until then."""
    world = run.world
    number = 0

    def turn() -> None:
        nonlocal number
        for peer in [peer for peer in world.nodes[here].ways_s if peer not in spammers]:
            number += 1
            forged = number % 2 == 0
            tx = payment(user(here), 0, b"%d %d" % (here, number), fee=600 if forged else 1,
                         signature=b"forged" if forged else None)
            run.bodies[tx.id] = tx
            world.say(here, peer, Message("body", (tx.id,), tx.size, 1))
        if world.now < until_s:
            world.at(world.now + 1 / spam_s, turn)

    world.at(chance.random() / spam_s, turn)


def _rounded(seconds: float) -> float | None:
    return round(seconds, 3) if math.isfinite(seconds) else None
