# SPDX-License-Identifier: Apache-2.0
"""The door of the state machine: an event goes in, effects come out.

A shell owns a socket, a clock and a source of chance, and calls ``handle`` with what happened; the simulator does the
same for thousands of members with a clock of its own. Nothing here waits: what is due later is ``next_due``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from ..._base.chance import Chance
from ...errors import ConfigurationError
from ..messages import (
    SERF_VERSIONS,
    Ack,
    Address,
    Alive,
    Dead,
    IndirectPing,
    Nack,
    Ping,
    State,
    Suspect,
    User,
    Versions,
)
from ..profiles import LAN, Profile
from . import claims, exchange, lag, probing, spreading
from .effects import Deliver, Departed, Effect, Exchange, Packet
from .events import Event, Exchanged, Hasten, Join, Leave, Received, SetMeta, Spread, Start, StreamAcked, Tick
from .members import NOBODY, Live, Member, Roll, States
from .node import (
    GOSSIP,
    PROBE,
    PROBE_END,
    PROBE_TIMEOUT,
    PUSH_PULL,
    RECONNECT,
    SUSPICION,
    Burial,
    Node,
    Partners,
    Weigh,
)

#: Of a member's meta, in bytes.
META_MAX: Final = 512


class Inspection(msgspec.Struct, frozen=True):
    """What is going on in a member. suspicions, relays: under way; news, letters: waiting to be passed on; dropped:
    what fell out of full queues, in all and of each (relays: pings for others); ignored: messages that do not come by
    datagram, and did; probes, probes_failed: pings begun, and those that nothing answered."""

    incarnation: int
    health: int
    alive: int
    suspect: int
    dead: int
    left: int
    failed: int
    suspicions: int
    relays: int
    news: int
    letters: int
    dropped: int
    ignored: int
    news_dropped: int
    letters_dropped: int
    relays_dropped: int
    probes: int
    probes_failed: int


class Core:
    """One member's protocol.

    name: at most 128 bytes, unique in the cluster; address: where others reach it. versions: what it speaks. weigh: how
    long a message is on the wire, for filling packets. roll: members it begins with, in a simulation. burial: asked
    before this member declares a death itself, and what it says is the effect ``Judged``; None: the member decides
    alone, as memberlist's does. Price of one: deaths wait for as long as it says no. Deaths that others tell are not
    asked about: what is not to be believed of them is not handed in. partners: asked with whom to exchange all that is
    known; None: with anybody. It changes nothing about whom this member pings and gossips with.
    """

    __slots__ = ("_node",)

    def __init__(self, name: str, address: Address, *, weigh: Weigh, profile: Profile = LAN, meta: bytes = b"",
                 versions: Versions = SERF_VERSIONS, roll: Roll = NOBODY,
                 burial: Burial | None = None, partners: Partners | None = None) -> None:
        if not name or len(meta) > META_MAX:
            raise ConfigurationError(f"a member needs a name ({name!r}) and at most {META_MAX} bytes of meta "
                                     f"({len(meta)})")
        self._node = Node(profile, name, address, meta=meta, versions=versions, weigh=weigh, roll=roll,
                          burial=burial, partners=partners)

    def handle(self, event: Event, now: float, chance: Chance) -> list[Effect]:
        """What is to be done about it. now: seconds on a clock that never goes back."""
        node = self._node
        node.now, node.chance, node.out = now, chance, []
        lag.notice(node)
        _EVENTS[type(event)](node, event)
        if node.news.finished:
            node.news.finished.clear()
            node.out.append(Departed())
        return node.out

    @property
    def next_due(self) -> float:
        """When it wants the next ``Tick``; infinity before ``Start``."""
        return self._node.timers.next

    @property
    def name(self) -> str:
        """This member's name."""
        return self._node.name

    @property
    def members(self) -> Iterator[Member]:
        """All it holds, itself included, the dead as long as they are kept."""
        return iter(self._node.members)

    @property
    def live(self) -> Live:
        """Whom it holds to be live, itself included: as it is now whenever it is looked at."""
        return self._node.members.live

    def member(self, name: str) -> Member | None:
        """What it holds of one; None when it knows of none."""
        return self._node.members.get(name)

    def states(self) -> States:
        """All it holds now, for an exchange."""
        return self._node.members.states()

    def set_payload(self, payload: bytes | None) -> None:
        """What its acks carry from now on, such as a network coordinate."""
        self._node.payload = payload

    def inspect(self) -> Inspection:
        """What is going on."""
        node = self._node
        alive, suspect, dead, left = (node.members.count(state) for state in State)
        return Inspection(node.incarnation, node.health.score, alive, suspect, dead, left, len(node.failed),
                          len(node.suspicions), len(node.relays), len(node.news), len(node.letters),
                          node.news.dropped + node.letters.dropped + node.relays_dropped, node.ignored,
                          node.news.dropped, node.letters.dropped, node.relays_dropped, node.probes,
                          node.probes_failed)


def _start(node: Node, _: Start) -> None:
    if node.started:
        return
    node.started = True
    node.set_gossip_phase()
    profile, chance = node.profile, node.chance
    if node.members.get(node.name) is None:
        claims.proclaim(node, 1)
    else:
        node.incarnation = node.me.incarnation
    node.timers.set(PROBE, node.now + chance.random() * profile.probe_interval_s)
    exchange.set_push_pull(node, chance.random() * profile.push_pull_interval_s)
    exchange.set_reconnect(node, chance.random() * profile.reconnect_interval_s)
    if len(node.news) or len(node.letters):
        node.wake_gossip()


def _tick(node: Node, _: Tick) -> None:
    while (key := node.timers.pop(node.now)) is not None:
        if isinstance(key, tuple):
            (claims.expired if key[0] == SUSPICION else probing.relay_ended)(node, key[1])
        else:
            _TIMERS[key](node)


def _received(node: Node, event: Received) -> None:
    node.outdated = False
    for message in event.messages:
        rule = _MESSAGES.get(type(message))
        if rule is None:
            node.ignored += 1
        else:
            rule(node, message, event.source)
    if node.outdated and node.profile.lifeguard.last_word and not node.leaving:
        # Whoever says so missed the refutation: it is told at once, by the one who knows.
        node.out.append(Packet(event.source, (node.me.alive(),)))


def _meta(node: Node, event: SetMeta) -> None:
    if len(event.meta) > META_MAX:
        raise ConfigurationError(f"a member's meta is at most {META_MAX} bytes; this has {len(event.meta)}")
    node.meta = event.meta
    if node.started and not node.leaving:
        claims.proclaim(node, node.incarnation + 1)


def _join(node: Node, event: Join) -> None:
    node.out.extend(Exchange(address, join=True) for address in event.addresses)


_TIMERS: Final[dict[Any, Callable[[Node], None]]] = {
    PROBE: probing.tick,
    PROBE_TIMEOUT: probing.timed_out,
    PROBE_END: probing.ended,
    GOSSIP: spreading.gossip,
    PUSH_PULL: exchange.push_pull,
    RECONNECT: exchange.reconnect,
}

#: Messages that come by datagram. Others are ignored: they belong on streams.
_MESSAGES: Final[dict[type, Callable[[Node, Any, Address], None]]] = {
    Ping: probing.pinged,
    IndirectPing: probing.asked,
    Ack: lambda node, message, _: probing.acked(node, message),
    Nack: lambda node, message, _: probing.nacked(node, message),
    Suspect: lambda node, message, _: claims.suspect(node, message),
    Alive: lambda node, message, _: claims.alive(node, message),
    Dead: lambda node, message, _: claims.dead(node, message),
    User: lambda node, message, source: node.out.append(Deliver(message, source)),
}

_EVENTS: Final[dict[type, Callable[[Node, Any], None]]] = {
    Start: _start,
    Tick: _tick,
    Received: _received,
    StreamAcked: lambda node, event: probing.streamed(node, event.seq_no),
    Exchanged: lambda node, event: exchange.merge(node, event.states, event.source),
    Join: _join,
    Leave: lambda node, _: claims.leave(node),
    SetMeta: _meta,
    Hasten: lambda node, event: claims.hasten(node, event.node, event.incarnation),
    Spread: lambda node, event: node.spread_letter(event.message, event.name),
}
