# SPDX-License-Identifier: Apache-2.0
"""A network of relays and its clock: from event to event, with queues, loss and nodes that misbehave.

::

    heap (time, turn, node, event) ─▶ relay.handle(event, now, chance) ─▶ effects ─▶ heap
                                 or an act: a link is cut, a node leaves, somebody makes something

All randomness comes from one seed, and equal times keep the order in which they were made, so a run is the same each
time.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from ..._base.chance import Chance
from ...errors import ConfigurationError
from ..analyse import Spread
from ..relay.draws import exponential
from ..relay.words import Check, Checked, Effect, Event, Heard, Made, Message, Peer, Tell, TxId, Wake, Woke
from ..topology import Links, numpy
from ..wire import weigh
from .network import Conditions, log_normal
from .watch import Copy, Watch


class Talks(Protocol):
    """What a node decides with: a ``Relay``, or a node that keeps a chain besides."""

    @property
    def peers(self) -> dict[int, Peer]:
        """The neighbours."""
        ...

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        """The node starts."""
        ...

    def handle(self, event: Event, now: float, chance: Chance) -> list[Effect]:
        """What happened; what is to be done about it."""
        ...

    def joined(self, peer: Peer, now: float, chance: Chance) -> list[Effect]:
        """A neighbour more."""
        ...

    def left(self, peer: int, now: float) -> list[Effect]:
        """A neighbour less."""
        ...

    def still(self, peer: int, message: Message) -> bool:
        """Is there still any use in sending this?"""
        ...


class Door(Protocol):
    """What a node lets in, and whom it turns away: its defences, if it has any."""

    def takes(self, peer: int, size: int, now: float) -> bool:
        """May a message of so many bytes come in?"""
        ...

    def blamed(self, peer: int, why: str, now: float) -> float:
        """This neighbour is blamed. For how long is it turned away? 0: it is not."""
        ...


#: What makes a node's relay, by its neighbours.
Policy: TypeAlias = Callable[[Sequence[Peer]], Talks]
#: Does this node find this transaction good, now? A ``Mempool`` may answer.
Judge: TypeAlias = Callable[[int, TxId, float], bool]
#: TCP repeats what is lost, so loss is delay: this long the first time, twice as long each further time.
REPEAT_S: Final = 0.2
#: Events between two words about how far it is.
_TELL_EVERY: Final = 20_000


class _Free:
    """Event of the world: a node's uplink has sent what it was sending."""

    __slots__ = ()


_FREE = _Free()
#: Bodies, which may go more than one way to a node.
_BODIES: Final = frozenset({"body", "stem", "block", "compact"})
#: What waits for the uplink; all else is short and overtakes it.
_QUEUED: Final = frozenset({"body", "block", "parts"})
#: What a dropper keeps to itself: all that it might give; without what says that it has it.
_KEPT: Final = frozenset({"body", "stem", "compact", "parts", "block", "absent"})
_DROPPED: Final = frozenset({*_KEPT, "announce", "sketch", "headers"})


@dataclass
class _Heard:
    """What is known of one transaction."""

    made_s: float
    arrived_s: list[float]
    hops: list[int]
    duplicates: list[int]
    first_peer: list[int]

    def spread(self, sent_bytes: Sequence[float], by_kind: dict[str, int], messages: dict[str, int]) -> Spread:
        """It and what is said to be its share of the costs."""
        return Spread([when - self.made_s for when in self.arrived_s], self.hops, self.duplicates, sent_bytes, by_kind,
                      messages, self.first_peer, self.made_s)


@dataclass(slots=True)
class Node:
    """One node: its relay, how long its links are, what it waits to send, what it sent. drops: it passes nothing
    on; promises: though it says that it has it. free_s: when its core has checked what it has to."""

    relay: Talks
    ways_s: dict[int, float]
    works: bool = True
    drops: bool = False
    promises: bool = False
    away: bool = False
    door: Door | None = None
    free_s: float = 0.0
    queue: deque[Tell] = field(default_factory=deque)
    busy: bool = False
    sent_bytes: int = 0


class World:
    """Nodes, linked as ``links`` says, each with a relay of that policy.

    judge: what nodes find good; without it, everything. warm_s: how long they run before the first transaction, so that
    meshes have formed. watch: notes what is noted only on demand. done: is told how many nodes and transactions have
    met.
    """

    def __init__(self, links: Links, policy: Policy, seed: int, conditions: Conditions | None = None, *,
                 judge: Judge = lambda *_: True, warm_s: float = 0.0, watch: Watch | None = None,
                 done: Callable[[int], None] = lambda _: None) -> None:
        self.conditions = conditions or Conditions()
        self.chance = random.Random(seed)
        self.now = 0.0
        self.by_kind: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        #: Bodies that were not sent after all, because their receiver said that it has them.
        self.spared = 0
        self.watch = watch
        #: How often a node was blamed by a neighbour, and for what.
        self.blamed: Counter[tuple[int, str]] = Counter()
        self._heap: list[tuple[float, int, int, Event | _Free | Callable[[], None]]] = []
        #: Links: (who opened it, to whom) → one way, in seconds.
        self._lines: dict[tuple[int, int], float] = {}
        self._down: set[tuple[int, int]] = set()
        self._cut: set[tuple[int, int]] = set()
        self._side: Sequence[int] | None = None
        self._turned: dict[tuple[int, int], float] = {}
        self._turn = 0
        self._seen: dict[TxId, _Heard] = {}
        self._met = 0
        self._missing = 0
        self._done, self._judge = done, judge
        self.nodes = self._built(links, policy, seed)
        for index, node in enumerate(self.nodes):
            if node.works:
                self._do(index, node.relay.begin(0.0, self.chance))
        self._churn(seed)
        self.run(warm_s)

    def make(self, tx: TxId, size: int, at: int) -> None:
        """A user of that node makes a transaction, now."""
        if not self.nodes[at].works:
            raise ConfigurationError(f"node {at} is not there, so nothing can be made at it")
        count = len(self.nodes)
        self._seen[tx] = _Heard(self.now, [math.inf] * count, [-1] * count, [0] * count, [-1] * count)
        self._missing += sum(node.works for node in self.nodes)
        self._push(self.now, at, Made(tx, size))

    def run(self, until_s: float, *, linger_s: float | None = None) -> None:
        """Until then, or until nothing is left to do. linger_s: or this long after everybody had everything."""
        heap, nodes, pop = self._heap, self.nodes, heapq.heappop
        ends, events = until_s, 0
        while heap and heap[0][0] <= ends:
            self.now, _, index, event = pop(heap)
            node = nodes[index]
            events += 1
            if events % _TELL_EVERY == 0:
                self._done(self._met)
            if isinstance(event, _Free):
                node.busy = False
                self._send_next(index, node)
                continue
            if callable(event):
                event()
                continue
            before = self._met
            if isinstance(event, Heard):
                if node.door is not None and not node.door.takes(event.peer, weigh(event.message), self.now):
                    continue
                if event.message.kind in _BODIES:
                    self._body(index, event)
            self._do(index, node.relay.handle(event, self.now, self.chance))
            if linger_s is not None and self._met != before and not self._missing:
                ends = min(until_s, self.now + linger_s)
        self.now = ends if math.isfinite(ends) else self.now

    def at(self, when_s: float, act: Callable[[], None]) -> None:
        """Something is done then, from outside."""
        self._push(when_s, 0, act)

    def say(self, index: int, peer: int, message: Message) -> None:
        """A node says something that its relay does not know of: attackers do."""
        if peer in self.nodes[index].ways_s:
            self._send(index, self.nodes[index], Tell(peer, message), self.now)

    def part(self, sides: Sequence[int] | None) -> None:
        """The network falls apart: links hold between nodes that have the same number. None: it is whole again."""
        self._side = sides
        for line in self._lines:
            self._hold(line)

    def cut(self, opener: int, accepter: int) -> None:
        """One link is down until it is mended."""
        self._cut.add((opener, accepter))
        self._hold((opener, accepter))

    def mend(self, opener: int, accepter: int) -> None:
        """It may hold again."""
        self._cut.discard((opener, accepter))
        self._hold((opener, accepter))

    def leave(self, index: int) -> None:
        """A node is unplugged: its links end, its clock goes on."""
        self._plug(index, away=True)

    def come_back(self, index: int) -> None:
        """It is plugged in again."""
        self._plug(index, away=False)

    def apart(self, index: int) -> bool:
        """Is it there and unplugged?"""
        return self.nodes[index].away

    def spread(self, tx: TxId) -> Spread:
        """What became of this transaction, or block. Bytes are of everything there was."""
        return self._seen[tx].spread([node.sent_bytes for node in self.nodes], dict(self.by_kind), dict(self.messages))

    def spreads(self) -> list[Spread]:
        """What became of each transaction. Bytes and messages are of all together, in equal parts."""
        count = max(len(self._seen), 1)
        sent = [node.sent_bytes / count for node in self.nodes]
        by_kind = {kind: round(size / count) for kind, size in self.by_kind.items()}
        messages = {kind: round(number / count) for kind, number in self.messages.items()}
        return [seen.spread(sent, by_kind, messages) for seen in self._seen.values()]

    def forget_costs(self) -> None:
        """Bytes and messages are counted from now on."""
        self.by_kind.clear()
        self.messages.clear()
        if self.watch is not None:
            self.watch.clear()
        for node in self.nodes:
            node.sent_bytes = 0

    # -- inside -----------------------------------------------------------------------------------------------------

    def _built(self, links: Links, policy: Policy, seed: int) -> list[Node]:
        rng = numpy().random.default_rng([seed, 1])
        said = self.conditions
        delays = said.latency.drawn(rng, len(links.opener)).tolist()
        slow, drops, gone = ((rng.random(links.nodes) < part).tolist()
                             for part in (said.slow, said.droppers, said.gone))
        peers: list[list[Peer]] = [[] for _ in range(links.nodes)]
        ways: list[dict[int, float]] = [{} for _ in range(links.nodes)]
        for a, b, delay in zip(links.opener.tolist(), links.accepter.tolist(), delays, strict=True):
            if gone[a] or gone[b]:
                continue
            peers[a].append(Peer(b, outbound=True))
            peers[b].append(Peer(a, outbound=False))
            ways[a][b] = ways[b][a] = delay * (said.slower if slow[a] or slow[b] else 1.0)
            self._lines[a, b] = ways[a][b]
        return [Node(policy(peers[index]), ways[index], not gone[index], drops[index]) for index in range(links.nodes)]

    def _churn(self, seed: int) -> None:
        """Some nodes come and go."""
        said = self.conditions
        if not said.churn:
            return
        drawn = random.Random(f"churn {seed}")

        def turn(index: int) -> None:
            self._plug(index, away=not self.nodes[index].away)
            mean = said.away_s if self.nodes[index].away else said.stays_s
            self.at(self.now + exponential(mean, drawn), lambda: turn(index))

        for index, node in enumerate(self.nodes):
            if node.works and drawn.random() < said.churn:
                self.at(exponential(said.stays_s, drawn), lambda index=index: turn(index))  # type: ignore[misc]

    def _plug(self, index: int, *, away: bool) -> None:
        self.nodes[index].away = away
        for line in self._lines:
            if index in line:
                self._hold(line)

    def _hold(self, line: tuple[int, int]) -> None:
        """A link is up or down, as it should be now."""
        a, b = line
        down = line in self._cut or self.nodes[a].away or self.nodes[b].away \
            or (self._side is not None and self._side[a] != self._side[b]) \
            or max(self._turned.get((a, b), 0.0), self._turned.get((b, a), 0.0)) > self.now
        if down == (line in self._down):
            return
        for here, there in ((a, b), (b, a)):
            node = self.nodes[here]
            if down:
                del node.ways_s[there]
                self._do(here, node.relay.left(there, self.now))
            else:
                node.ways_s[there] = self._lines[line]
        if down:
            self._down.add(line)
            return
        self._down.discard(line)
        for here, peer in ((a, Peer(b, outbound=True)), (b, Peer(a, outbound=False))):
            self._do(here, self.nodes[here].relay.joined(peer, self.now, self.chance))

    def _blame(self, index: int, peer: int, why: str) -> None:
        self.blamed[peer, why] += 1
        door = self.nodes[index].door
        length = door.blamed(peer, why, self.now) if door is not None else 0.0
        if length <= 0:
            return
        self._turned[index, peer] = self.now + length
        line = (index, peer) if (index, peer) in self._lines else (peer, index)
        if line in self._lines:
            self._hold(line)
            self.at(self.now + length, lambda: self._hold(line))

    def _push(self, when: float, index: int, event: Event | _Free | Callable[[], None]) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (when, self._turn, index, event))

    def _do(self, index: int, effects: Sequence[Effect]) -> None:
        node = self.nodes[index]
        for effect in effects:
            if isinstance(effect, Tell):
                self._tell(index, node, effect)
            elif isinstance(effect, Check):
                self._arrived(index, effect.tx)
                good = self._judge(index, effect.tx, self.now)
                self._push(self._checked_at(node), index, Checked(effect.tx, good))
            elif isinstance(effect, Wake):
                self._push(effect.at_s, index, Woke(effect.key))
            else:
                self._blame(index, effect.peer, effect.why)

    def _tell(self, index: int, node: Node, tell: Tell) -> None:
        if (node.drops and tell.message.kind in (_KEPT if node.promises else _DROPPED)) or tell.peer not in node.ways_s:
            return
        if self.conditions.uplink_bytes_s and tell.message.kind in _QUEUED:
            node.queue.append(tell)
            self._send_next(index, node)
        else:
            self._send(index, node, tell, self.now)

    def _send_next(self, index: int, node: Node) -> None:
        while node.queue and not node.busy:
            tell = node.queue.popleft()
            if not node.relay.still(tell.peer, tell.message):
                self.spared += 1
                continue
            node.busy = True
            sent_s = self.now + weigh(tell.message) / self.conditions.uplink_bytes_s
            self._push(sent_s, index, _FREE)
            self._send(index, node, tell, sent_s)

    def _send(self, index: int, node: Node, tell: Tell, when: float) -> None:
        size, kind = weigh(tell.message), tell.message.kind
        node.sent_bytes += size
        self.by_kind[kind] += size
        count = len(tell.message.txs) if kind == "announce" else 1
        self.messages[kind] += count
        if self.watch is not None:
            self.watch.told(index, tell.peer, kind, size, count)
        delay, repeat = node.ways_s[tell.peer], REPEAT_S
        while self.conditions.loss and self.chance.random() < self.conditions.loss:
            delay, repeat = delay + repeat, repeat * 2
        self._turn += 1
        heapq.heappush(self._heap, (when + delay, self._turn, tell.peer, Heard(index, tell.message)))

    def _body(self, index: int, event: Heard) -> None:
        seen = self._seen.get(event.message.txs[0])
        if seen is None:
            return
        if math.isfinite(seen.arrived_s[index]):
            seen.duplicates[index] += 1
            if self.watch is not None:
                self.watch.copies.append(Copy(self.now, index, event.peer, event.message.txs[0]))
        else:
            seen.first_peer[index], seen.hops[index] = event.peer, event.message.hops

    def _arrived(self, index: int, tx: TxId) -> None:
        seen = self._seen.get(tx)
        if seen is None or math.isfinite(seen.arrived_s[index]):
            return
        seen.arrived_s[index] = self.now
        seen.hops[index] = max(seen.hops[index], 0)
        self._missing -= 1
        self._met += 1

    def _checked_at(self, node: Node) -> float:
        """When a check that begins now ends: behind the others, where a node has one core for them."""
        begins = max(self.now, node.free_s) if self.conditions.one_core else self.now
        node.free_s = begins + self._check_s()
        return node.free_s

    def _check_s(self) -> float:
        mean, spread = self.conditions.checked_s, self.conditions.checked_spread_s
        if not mean or not spread:
            return mean
        return self.chance.lognormvariate(*log_normal(mean, spread))
