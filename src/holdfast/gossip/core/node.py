# SPDX-License-Identifier: Apache-2.0
"""What a member knows and is about to say: the state that the rules of this folder work on. It decides nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from ..._base.chance import Chance
from ..messages import Address, Alive, Dead, Message, Suspect, User, Versions
from ..profiles import Profile
from .broadcasts import Broadcasts
from .effects import Effect, Packet
from .formulas import transmissions
from .health import Health
from .members import NOBODY, Live, Member, Members, Roll
from .suspicion import Suspicion
from .timers import Timers

#: How many bytes a message has on the wire, its type byte included.
Weigh: TypeAlias = Callable[[Message], int]


class Judgement(Protocol):
    """What is said of a death that a member is about to declare. acts: see ``effects.Judged``."""

    @property
    def allowed(self) -> bool: ...

    @property
    def acts(self) -> Sequence[object]: ...


#: Asked when a suspicion of this member's own ran out: may it declare the death? (accused, who is held to be live, now,
#: chance). Where not, it is asked again after the suspicion's shortest time, for as long as the suspicion stands.
Burial: TypeAlias = Callable[[Member, Live, float, Chance], Judgement]

#: Asked with whom to exchange all that is known: names, whoever is wanted most first. The first one that is alive is
#: taken; where nobody is, one at random.
Partners: TypeAlias = Callable[[Chance], Sequence[str]]

#: Incarnations and numbers of pings are unsigned 32 bits on the wire.
NUMBER_MAX: Final = 0xFFFF_FFFF
#: Of a compound packet: its type and count, and the length of each message in it.
COMPOUND_BYTES, ENTRY_BYTES = 2, 2

#: Timers. Those of one member or one relay are tuples: (kind, name or number).
PROBE, PROBE_TIMEOUT, PROBE_END, GOSSIP, PUSH_PULL, RECONNECT = range(6)
SUSPICION, RELAY = "suspicion", "relay"


class Probe:
    """The ping under way: whom, since when, and what has come of it. nacks_wanted: helpers that say when they hear
    nothing; nacks: that have said so. streamed: it answered by stream. again: how often it was begun again."""

    __slots__ = ("again", "began", "member", "nacks", "nacks_wanted", "seq_no", "streamed")

    def __init__(self, seq_no: int, member: Member, began: float, again: int = 0) -> None:
        self.seq_no, self.member, self.began, self.again = seq_no, member, began, again
        self.nacks_wanted = self.nacks = 0
        self.streamed = False


class Relay:
    """A ping for somebody else: their number, where they are, and whether they want to hear of silence."""

    __slots__ = ("nack", "requester", "seq_no")

    def __init__(self, seq_no: int, requester: Address, nack: bool) -> None:
        self.seq_no, self.requester, self.nack = seq_no, requester, nack


class Node:
    """All of one member's state. now, chance, out: of the event being handled.

    news: claims to be passed on; letters: the layer above's. failed: members to be tried again: where, and since when.
    relays_dropped: requests turned down because ``relays_max`` were under way. probes, probes_failed: begun, and ended
    without an answer. last_words: whom the last ping before a death was for, by its number. burial: who is asked before
    a death, partners: before an exchange; None: nobody. outdated: what is being handled accuses an earlier incarnation
    of this member.
    """

    __slots__ = ("_gossip_phase", "_limit", "burial", "chance", "failed", "health", "host", "ignored", "incarnation",
                 "last_words", "leaving", "letters", "members", "meta", "name", "news", "now", "out", "outdated",
                 "partners", "payload", "port", "probe", "probes", "probes_failed", "profile", "relays",
                 "relays_dropped", "seq_no", "started", "suspicions", "timers", "versions", "weigh")

    def __init__(self, profile: Profile, name: str, address: Address, *, meta: bytes, versions: Versions,
                 weigh: Weigh, roll: Roll = NOBODY, burial: Burial | None = None,
                 partners: Partners | None = None) -> None:
        self.burial, self.partners = burial, partners
        self.profile, self.name, self.meta, self.versions, self.weigh = profile, name, meta, versions, weigh
        self.host, self.port = bytes(address[0]) if isinstance(address[0], bytes) else address[0].encode(), address[1]
        self.members = Members(roll)
        self.timers = Timers()
        self.health = Health(profile.health_max_mult, off=not profile.lifeguard.probe)
        self.news: Broadcasts[Message] = Broadcasts(profile.queue_max)
        self.letters: Broadcasts[Message] = Broadcasts(profile.queue_max)
        self.suspicions: dict[str, Suspicion] = {}
        self.relays: dict[int, Relay] = {}
        self.failed: dict[str, tuple[Address, float]] = {}
        self.last_words: dict[int, str] = {}
        self.probe: Probe | None = None
        self.payload: bytes | None = None
        self.incarnation = self.seq_no = self.relays_dropped = self.ignored = self.probes = self.probes_failed = 0
        self.started = self.leaving = self.outdated = False
        self._gossip_phase, self._limit = 0.0, (0, 0)
        self.now, self.chance, self.out = 0.0, _no_chance(), list[Effect]()

    @property
    def me(self) -> Member:
        """What is held of this member itself."""
        return self.members[self.name]

    def number(self) -> int:
        """A number for a ping, not used lately."""
        self.seq_no = self.seq_no + 1 & NUMBER_MAX
        return self.seq_no

    def spread(self, claim: Alive | Suspect | Dead, mark: object = None) -> None:
        """Passes a claim on, in place of an older one about the same member."""
        self.news.add(claim, self.weigh(claim), claim.node, mark)
        self.wake_gossip()

    def spread_letter(self, message: User, name: str | None) -> None:
        """Passes on a message of the layer above."""
        self.letters.add(message, self.weigh(message), name)
        self.wake_gossip()

    def take(self, room: int) -> list[Message]:
        """News for a packet with so many bytes left; claims come before letters."""
        limit = self._transmissions()
        taken = self.news.take(room, ENTRY_BYTES, limit)
        if len(self.letters):
            room -= sum(self.weigh(each) + ENTRY_BYTES for each in taken)
            taken += self.letters.take(room, ENTRY_BYTES, limit)
        return taken

    def send(self, address: Address, message: Message, node: str = "") -> None:
        """Sends a message at once, and news with it as far as the packet has room."""
        if not len(self.news) and not len(self.letters):
            self.out.append(Packet(address, (message,), node))
            return
        room = self.profile.packet_bytes - COMPOUND_BYTES - ENTRY_BYTES - self.weigh(message)
        self.out.append(Packet(address, (message, *self.take(room)), node))

    def set_gossip_phase(self) -> None:
        """Chooses when, within an interval, this member gossips."""
        self._gossip_phase = self.now + self.chance.random() * self.profile.gossip_interval_s

    def wake_gossip(self) -> None:
        """There is something to pass on: at this member's next turn. Without news it has no turns and sleeps."""
        if GOSSIP not in self.timers and self.started:
            interval_s = self.profile.gossip_interval_s
            turns = math.floor((self.now - self._gossip_phase) / interval_s + 1e-6) + 1
            self.timers.set(GOSSIP, self._gossip_phase + turns * interval_s)

    def _transmissions(self) -> int:
        count = len(self.members)
        if self._limit[0] != count:
            self._limit = count, transmissions(self.profile.retransmit_mult, count)
        return self._limit[1]


class _NoChance:
    """Before the first event there is none."""

    def random(self) -> float:
        raise AssertionError("chance comes with an event")

    def getrandbits(self, k: int, /) -> int:
        raise AssertionError("chance comes with an event")


def _no_chance() -> Chance:
    return _NoChance()
