# SPDX-License-Identifier: Apache-2.0
"""A cluster of cores, its network, and its clock: a loop over what happens next.

A member can be *stopped*: what comes for it waits, as in the buffer of its socket, and when it goes on its timers come
first, then what has waited. That is the worst order a real process can see, and the one in which it accuses the most.
A member that has *crashed* hears nothing and has forgotten everything.

Nothing here is random but by the ``chance`` it is given, and nothing depends on the machine's clock: the same seed
gives the same run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import TypeAlias

from ..._base.chance import Chance
from ..core.core import Core
from ..core.effects import Effect, Exchange, Packet, StreamPing
from ..core.events import Event, Exchanged, Join, Received, Start, StreamAcked, Tick
from ..core.members import Member, Roll, States
from ..core.node import Burial, Weigh
from ..messages import SERF_VERSIONS, Address, State
from ..profiles import LAN, Profile
from .network import Network
from .sizes import weigh

#: Datagrams that wait for a stopped member: beyond that its socket drops them.
INBOX_MAX = 1500
PORT = 7946
#: Bytes of a packet besides its messages: compound header, encryption and its framing.
PACKET_BYTES, ENTRY_BYTES = 31, 2

#: Told of every effect that is no packet: when, whose, what.
Watch: TypeAlias = Callable[[float, int, Effect], None]


class Place:
    """Where one member lives. core: None while it is down. wake: when its next tick is on its way. stopped: it runs
    not. sent, sent_bytes: datagrams so far."""

    __slots__ = ("core", "inbox", "profile", "sent", "sent_bytes", "stopped", "wake")

    def __init__(self, profile: Profile) -> None:
        self.core: Core | None = None
        self.profile = profile
        self.inbox: deque[Callable[[], None]] = deque()
        self.stopped = False
        self.wake = math.inf
        self.sent = self.sent_bytes = 0


def name_of(index: int) -> str:
    """The name of the member with that number."""
    return f"node-{index:05d}"


def address_of(index: int) -> Address:
    """Where it is reached."""
    return index.to_bytes(4, "big"), PORT


def index_of(address: Address) -> int:
    """Who is reached there."""
    host = address[0]
    return int.from_bytes(host.encode() if isinstance(host, str) else host, "big")


class World:
    """``count`` members. now: seconds since its beginning; counts: messages sent so far, by kind, and exchanges begun.
    formed: all know all at the start, as a cluster that has
    been running; otherwise each knows itself alone, and steps make them join. later: places for so many more, whose
    members are down and unknown until a step starts them. weigh: how long a message is on the wire.
    """

    def __init__(self, count: int, chance: Chance, *, profile: Profile = LAN, network: Network | None = None,
                 formed: bool = True, later: int = 0, weigh: Weigh = weigh) -> None:
        self.now, self.chance = 0.0, chance
        self.network = Network() if network is None else network
        self.places = [Place(profile) for _ in range(count + later)]
        self.weigh = weigh
        self.watches: list[Watch] = []
        self.counts: dict[str, int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        #: Whom all know at the start.
        self.roll = Roll([_enrolled(index) for index in range(count)]) if formed else Roll()
        for index in range(count):
            self.start(index, self.roll)

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Calls it when the clock says so."""
        self._number += 1
        heappush(self._queue, (when, self._number, what))

    def run(self, until: float, *, enough: Callable[[], bool] | None = None) -> None:
        """Lets everything happen up to that time, or until there is ``enough``."""
        queue = self._queue
        while queue and queue[0][0] <= until and not (enough is not None and enough()):
            self.now, _, what = heappop(queue)
            what()
        self.now = max(self.now, until) if enough is None else self.now

    def start(self, index: int, roll: Roll | None = None) -> None:
        """Begins a member's life, knowing those on the roll, or nobody."""
        place = self.places[index]
        place.core = Core(name_of(index), address_of(index), weigh=self.weigh, profile=place.profile,
                          roll=roll or Roll(), burial=self.burial(index))
        place.stopped, place.wake = False, math.inf
        self.give(index, Start())

    def burial(self, index: int) -> Burial | None:
        """Who is asked before that member declares a death; nobody, unless a world says otherwise."""
        return None

    def crash(self, index: int) -> None:
        """Ends it without a word."""
        place = self.places[index]
        place.core, place.stopped, place.wake = None, False, math.inf
        place.inbox.clear()

    def stop(self, index: int) -> None:
        """Suspends it, as SIGSTOP would."""
        self.places[index].stopped = True

    def go_on(self, index: int) -> None:
        """Resumes it: its timers first, then what has waited."""
        place = self.places[index]
        if not place.stopped:
            return
        place.stopped = False
        if place.core is not None and place.core.next_due <= self.now:
            self.give(index, Tick())
        while place.inbox and not place.stopped:
            place.inbox.popleft()()

    def join(self, index: int, seed: int) -> None:
        """Enters the cluster by way of a member."""
        self.give(index, Join((address_of(seed),)))

    def running(self) -> Iterable[int]:
        """Who is up, stopped ones included."""
        return (index for index, place in enumerate(self.places) if place.core is not None)

    def is_place(self, index: int) -> bool:
        """Is there a place with that number? Addresses may be made up."""
        return index < len(self.places)

    def view(self, index: int) -> dict[str, tuple[State, int]]:
        """Whom a member holds to be what, in which incarnation; those it holds to be gone are left out."""
        core = self.places[index].core
        members = () if core is None else core.members
        return {one.node: (one.state, one.incarnation) for one in members if not one.gone}

    def give(self, index: int, event: Event) -> None:
        """Hands an event to a member and does what it says."""
        place = self.places[index]
        core = place.core
        if core is None:
            return
        for effect in core.handle(event, self.now, self.chance):
            if isinstance(effect, Packet):
                self._packet(index, place, effect)
            elif isinstance(effect, Exchange):
                self._exchange(index, core, effect)
            elif isinstance(effect, StreamPing):
                self._stream_ping(index, effect)
            for watch in self.watches if not isinstance(effect, Packet) else ():
                watch(self.now, index, effect)
        due = core.next_due
        if due < place.wake:
            place.wake = due
            self.at(max(due, self.now), lambda: self._wake(index, due))

    def _wake(self, index: int, due: float) -> None:
        place = self.places[index]
        if place.wake != due:
            return
        place.wake = math.inf
        if place.core is None or place.stopped:
            return
        next_due = place.core.next_due
        if next_due > self.now:
            place.wake = next_due
            self.at(next_due, lambda: self._wake(index, next_due))
        else:
            self.give(index, Tick())

    def _packet(self, index: int, place: Place, packet: Packet) -> None:
        place.sent += 1
        place.sent_bytes += PACKET_BYTES + sum(self.weigh(message) + ENTRY_BYTES for message in packet.messages)
        for message in packet.messages:
            kind = type(message).__name__
            self.counts[kind] = self.counts.get(kind, 0) + 1
        self.carry(index, index_of(packet.address), packet)

    def carry(self, index: int, receiver: int, packet: Packet) -> None:
        """Takes a packet from one member to another, or loses it. What stands on the way takes this one's place."""
        way_s = self.network.way_s(index, receiver, self.chance)
        if way_s is not None and self.is_place(receiver):
            event = Received(packet.messages, address_of(index))
            self.at(self.now + way_s, lambda: self.arrive(receiver, lambda: self.give(receiver, event)))

    def arrive(self, index: int, what: Callable[[], None]) -> None:
        """Something reaches a member: it waits while that is stopped."""
        place = self.places[index]
        if not place.stopped:
            what()
        elif len(place.inbox) < INBOX_MAX:
            place.inbox.append(what)

    def _stream(self, sender: int, receiver: int, what: Callable[[], None]) -> None:
        """One direction of a stream; nothing where the way is cut."""
        if self.is_place(receiver) and self.places[receiver].core is not None and self.network.open(
                sender, receiver) and self.network.open(receiver, sender):
            self.at(self.now + self.network.delay(self.chance), lambda: self.arrive(receiver, what))

    def _stream_ping(self, index: int, effect: StreamPing) -> None:
        receiver = index_of(effect.address)

        def answered() -> None:
            core = self.places[receiver].core
            if core is not None and core.name == effect.ping.node:
                self._stream(receiver, index, lambda: self.give(index, StreamAcked(effect.ping.seq_no)))

        self._stream(index, receiver, answered)

    def _exchange(self, index: int, core: Core, effect: Exchange) -> None:
        receiver = index_of(effect.address)
        self.counts["Exchange"] = self.counts.get("Exchange", 0) + 1
        ours, began = core.states(), self.now

        def asked() -> None:
            peer = self.places[receiver].core
            if peer is None or self.now - began > self.places[index].profile.stream_timeout_s:
                return
            theirs = peer.states()
            self._stream(receiver, index, lambda: self.merge(index, theirs, receiver, effect))
            self.merge(receiver, ours, index, effect)

        self._stream(index, receiver, asked)

    def merge(self, index: int, states: States, peer: int, effect: Exchange) -> None:
        """Hands a member what came of an exchange with a peer."""
        self.give(index, Exchanged(states, address_of(peer), effect.join))


def _enrolled(index: int) -> Member:
    host = index.to_bytes(4, "big")
    return Member(name_of(index), host, PORT, b"", SERF_VERSIONS, 1, State.ALIVE, 0.0)
