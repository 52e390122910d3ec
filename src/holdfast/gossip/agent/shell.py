# SPDX-License-Identifier: Apache-2.0
"""Drives core and layer: what happened goes in, with the time and chance; what comes out is carried out.

::

    datagram ─▶ Voice.heard ─▶ Core ─┬─▶ packets, exchanges, pings by stream
    timer, stream ─────────────▶     ├─▶ changed, user message ─▶ Layer ─┬─▶ spread, sent
                                     │                                   └─▶ told: events, queries, answers
                                     └─▶ told: changes

It waits for nothing itself: streams are the courier's, tasks have bounds, and there is one timer, for whatever is due
next. That it comes late is seen by the core, which then knows who slept.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from ..._base.chance import Chance
from ..._base.clock import Clock, Instant
from ...errors import BadPacket, GossipError, NameLost
from ..core import effects as core_effects
from ..core.core import Core
from ..core.effects import Effect, Exchange, Packet
from ..core.events import Event, Exchanged, Leave, Received, Spread, Start, StreamAcked, Tick
from ..core.members import Member
from ..messages import Ack, Address, Ping, PushPull, State, User
from ..native.exchange import Proved
from ..profiles import Profile
from ..serf import effects as serf_effects
from ..serf.conflict import keeps_its_name
from ..serf.effects import Answered, Ended, Heard, Questioned, Send
from ..serf.layer import Layer
from ..serf.members import Changed as LayerChanged
from ..serf.messages import UserEvent
from ..serf.queries import Asked
from .address import host_text, place
from .burying import OF_DEATHS
from .courier import Courier
from .guarding import Guarding, only_at
from .strangers import Strangers
from .tasks import Tasks
from .telling import Telling
from .transport import Transport
from .view import Change, MemberView, of_core, of_serf
from .voice import Peer, Voice

log = logging.getLogger("holdfast")

#: Exchanges that this member began, and pings by stream, at once.
LIMITS: Final = {"exchange": 32, "stream ping": 64, "handler": 64, "upkeep": 8}
#: Between two looks of the layer at what is over.
LAYER_S: Final = 1.0
#: Between two votes about this member's name.
DISPUTE_S: Final = 30.0
#: How long a leave waits for its news to get around, at each of its two steps.
LEAVE_S: Final = 5.0

Told: TypeAlias = Change | Heard | Questioned | Answered | Ended


class Shell:
    """tell: called with what happened. lost: called once, when this member may not go on.
    telling: to logs and metrics. guarding: the defences, where they are on."""

    def __init__(self, core: Core, layer: Layer | None, voice: Voice, *, profile: Profile, clock: Clock,
                 chance: Chance, tell: Callable[[Told], None], lost: Callable[[GossipError], None],
                 telling: Telling, guarding: Guarding | None = None) -> None:
        self.core, self.layer, self.voice = core, layer, voice
        self.counts: Counter[str] = Counter()
        self.strangers = Strangers()
        self.tasks = Tasks(LIMITS)
        self.departed = asyncio.Event()
        self.lag_s = 0.0
        self._profile, self._clock, self._chance = profile, clock, chance
        self._tell, self._lost, self.telling, self.guarding = tell, lost, telling, guarding
        self._peering = guarding.peering if guarding is not None else None
        self._by_itself = False
        if layer is not None and guarding is not None:
            layer.judge = guarding.judge
        self._places: dict[str, Address] = {}
        self._names: dict[Address, str] = {}
        self._behind: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = self._layer_due = math.inf
        self._dispute: Asked | None = None
        self._disputed_at = -math.inf
        self._transport: Transport | None = None
        self._courier: Courier | None = None
        self._running = False
        self._carry: dict[type, Callable[[Any], None]] = {
            Packet: self._packet,
            Exchange: self._exchange,
            core_effects.StreamPing: self._stream_ping,
            core_effects.Changed: self._changed,
            core_effects.Conflict: self._conflict,
            core_effects.Probed: self._probed,
            core_effects.Deliver: self._deliver,
            core_effects.Lagged: self._lagged,
            core_effects.Departed: lambda _: self.departed.set(),
            core_effects.Refuted: self._refuted,
            core_effects.Judged: self._judged,
            core_effects.StreamOnly: self._stream_only,
            core_effects.Refused: lambda _: self._count("exchanges_misfit"),
        }

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self, transport: Transport) -> None:
        """Begins: from now on it is there."""
        self._transport = transport
        self._courier = Courier(self, self.voice, transport, self.counts, self._profile.stream_timeout_s,
                                telling=self.telling)
        self._running = True
        if self.layer is not None:
            self.core.set_payload(self.layer.ack_payload())
        self.handle(Start())
        me = self.core.member(self.name)
        if me is not None:
            self._placed(me)
            if self.layer is not None:
                self._layer_due = self.now + LAYER_S
                self.do_layer(self.layer.alive(me, self.now))

    async def leave(self) -> None:
        """Says goodbye and waits for it to get around: first that it means to go, then that it is gone."""
        others = sum(not member.gone for member in self.core.members) - 1
        if self.layer is not None:
            self.do_layer(self.layer.leave(self.now))
            await self._until(lambda: not self.core.inspect().letters, LEAVE_S if others > 0 else 0.0)
        self.handle(Leave())
        await self._until(self.departed.is_set, LEAVE_S)
        await asyncio.sleep(5 * self._profile.gossip_interval_s if others > 0 else 0.0)

    async def close(self) -> None:
        """Stops at once."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        await self.tasks.close()

    async def _until(self, done: Callable[[], bool], within_s: float) -> None:
        ends = self.now + within_s
        while not done() and self.now < ends:  # noqa: ASYNC110 - of two conditions, one has no event
            await asyncio.sleep(self._profile.gossip_interval_s / 2)

    # -- what happens -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> Instant:
        """By the machine's clock that never goes back."""
        return self._clock.now()

    @property
    def name(self) -> str:
        """This member's name."""
        return self.core.name

    def handle(self, event: Event) -> None:
        """Something for the core."""
        if self._running:
            try:
                self._do(self.core.handle(event, self.now, self._chance))
            finally:
                self._arm()

    def datagram(self, data: bytes, source: Address) -> None:
        """One came."""
        node = self._names.get(source, "")
        if self.guarding is not None:
            why = self.guarding.arriving(node, len(data))
            if why:  # guard: limits. Before anything is decrypted
                self.counts[f"packets_refused_{why}"] += 1
                return
        try:
            found = self.voice.heard(data, self.peer(source))
        except BadPacket as error:
            self.counts[f"packets_refused_{error.why}"] += 1
            return
        for refused in found.refused:
            self.counts[f"messages_refused_{refused.why}"] += 1
        if source not in self._names:
            self.strangers.heard(source, len(data))
        messages = found.messages
        if self.guarding is not None:
            messages = self.guarding.heard(messages, node, self.core)
        self.handle(Received(tuple(one for one in messages if not isinstance(one, OF_DEATHS)), source))
        for message in messages:
            if isinstance(message, OF_DEATHS):
                self._of_death(message, source, node)

    def _of_death(self, message: User, source: Address, node: str) -> None:
        burying = self.guarding.burying if self.guarding is not None else None
        try:
            if burying is not None:
                burying.heard(message, source, node or f"host {host_text(source[0])}", self)
            else:
                self.counts["accusations_ignored"] += 1
        except BadPacket as error:
            self.counts[f"messages_refused_{error.why}"] += 1

    def _tick(self) -> None:
        self._timer, self._timer_due = None, math.inf
        try:
            if self.layer is not None and self.now >= self._layer_due:
                self.do_layer(self.layer.tick(self.now))
                self._layer_due = self.now + LAYER_S
            if self.core.next_due <= self.now:
                self.handle(Tick())
        finally:
            self._arm()

    def _arm(self) -> None:
        ends = self.layer.asked.next_due if self.layer is not None else None
        if ends is not None:
            self._layer_due = min(self._layer_due, ends)
        due = min(self.core.next_due, self._layer_due)
        if due == self._timer_due or not self._running:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self.now), self._tick)

    # -- what the core wants ----------------------------------------------------------------------------------------

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._carry[type(effect)](effect)

    def _count(self, word: str) -> None:
        self.counts[word] += 1

    def _refuted(self, refuted: core_effects.Refuted) -> None:
        self.counts["refuted"] += 1
        if self.guarding is not None and self.guarding.burying is not None:
            self.guarding.burying.refuted(self.name, refuted.incarnation)
        self.telling.refuted(refuted.by, refuted.incarnation)

    def _judged(self, judged: core_effects.Judged) -> None:
        if self.guarding is not None and self.guarding.burying is not None:
            self.guarding.burying.judged(judged, self)

    def _packet(self, packet: Packet) -> None:
        self.send(packet.address, packet.messages, packet.node)

    def send(self, to: Address, messages: tuple[Any, ...], node: str = "") -> None:
        """In one datagram, or as few as there can be. node: whose address it is."""
        if self._transport is None:
            return
        to = place(to)
        peer = self.peer(to, node)
        datagrams = self.voice.packets(messages, peer)
        if to not in self._names and not self.strangers.may(to, sum(map(len, datagrams))):  # guard: news for members
            # A ping for somebody else is smaller than the request for it, and an ack alone may have credit.
            datagrams = self.voice.packets(messages[:1], peer)
            if not isinstance(messages[0], Ping) and not self.strangers.may(to, sum(map(len, datagrams))):
                return
        for datagram in datagrams:
            self._transport.send(datagram, to)

    def _exchange(self, wanted: Exchange) -> None:
        if self._courier is not None and not (self.guarding is not None and self.guarding.banned(wanted.node)):
            if self._peering is not None:
                self._peering.asked(wanted.node)
            self.tasks.start("exchange", self._exchanged_aside(self._courier, wanted))

    async def _exchanged_aside(self, courier: Courier, wanted: Exchange) -> None:
        why = await courier.exchange(wanted)
        if why:
            log.debug("gossip: no exchange with %s: %s", wanted.node or wanted.address, why)
        elif self._peering is not None:
            self._peering.answered(wanted.node)

    def _stream_ping(self, wanted: core_effects.StreamPing) -> None:
        if self._courier is not None:
            self.tasks.start("stream ping", self._courier.ping(wanted, self.now))

    def _changed(self, effect: core_effects.Changed) -> None:
        what, member = effect.what, effect.member
        self.counts[f"members_{what}"] += 1
        if self.guarding is not None and what in ("failed", "left", "forgotten"):
            self.guarding.gone(member.node)
        if self._peering is not None and what == "joined":
            self._peering.joined(member.node, by_itself=self._by_itself)
        if what == "forgotten":
            self._forgotten(member)
        else:
            self._placed(member)
        if self.layer is None or what in ("suspected", "restored"):
            self._tell(Change(what, self.view(member.node) or of_core(member), effect.by))
        elif what == "joined":
            self.do_layer(self.layer.alive(member, self.now))
        elif what == "updated":
            self.do_layer(self.layer.updated(member))
        elif what in ("failed", "left"):
            self.do_layer(self.layer.gone(member.node, self.now), effect.by)

    def _placed(self, member: Member) -> None:
        before, here = self._places.get(member.node), place(member.address)
        if before != here:
            if before is not None and self._names.get(before) == member.node:
                del self._names[before]
            self._places[member.node] = here
            self._names[here] = member.node
            self.strangers.known(here)

    def _forgotten(self, member: Member) -> None:
        self._behind.discard(member.node)
        before = self._places.pop(member.node, None)
        if before is not None and self._names.get(before) == member.node:
            del self._names[before]

    def _conflict(self, conflict: core_effects.Conflict) -> None:
        self.counts["conflicts"] += 1
        self.telling.conflict(conflict.claim.node)
        if conflict.claim.node != self.name or self.layer is None:
            log.warning("gossip: two members have the name %r; one of them has to take another", conflict.claim.node)
        elif self._dispute is None and self.now - self._disputed_at >= DISPUTE_S:  # guard: claims cost few votes
            self._disputed_at = self.now
            log.warning("gossip: another member has this one's name, %r: the others are asked whose it is", self.name)
            self._dispute, effects = self.layer.dispute(self.own_address, self.now)
            self.do_layer(effects)

    def _probed(self, probed: core_effects.Probed) -> None:
        self.telling.probed(probed.rtt_s)
        if self.layer is not None:
            try:
                self.layer.acked(probed.node, Ack(0, probed.payload), probed.rtt_s)
            except BadPacket:
                self.counts["coordinates_refused"] += 1
            self.core.set_payload(self.layer.ack_payload())

    def _deliver(self, deliver: core_effects.Deliver) -> None:
        if self.layer is None:
            self.counts["user_messages_ignored"] += 1
            return
        if self.guarding is not None:
            self.guarding.brings(self._names.get(deliver.source, ""), deliver.source[0], by_exchange=False)
        try:
            effects = self.layer.received(deliver.message.payload, self.now)
        except BadPacket as error:
            self.counts[f"user_messages_refused_{error.why}"] += 1
            return
        self.do_layer(effects)

    def _stream_only(self, effect: core_effects.StreamOnly) -> None:
        self.counts["stream_only"] += 1
        if effect.node not in self._behind:
            self._behind.add(effect.node)
            log.warning("gossip: %s answers by streams and not by datagrams: does a firewall let TCP through and UDP "
                        "not?", effect.node)

    def _lagged(self, lagged: core_effects.Lagged) -> None:
        self.counts["lags"] += 1
        self.lag_s = max(self.lag_s, lagged.late_s)
        self.telling.lagged(lagged.late_s)

    # -- what the layer wants ---------------------------------------------------------------------------------------

    def do_layer(self, effects: Iterable[serf_effects.Effect], by: str = "") -> None:
        """Carries out what the layer wants. by: who accuses the member that changes."""
        for effect in effects:
            if isinstance(effect, serf_effects.Spread):
                self.handle(Spread(User(effect.payload)))
            elif isinstance(effect, Send):
                self._sent(effect)
            elif isinstance(effect, LayerChanged):
                view = of_serf(effect.member, self.core.member(effect.member.node))
                self._tell(Change(effect.what, view, by))
            elif isinstance(effect, Ended) and effect.asked is self._dispute:
                self._decided(effect.asked)
            else:
                self._tell(effect)
        self._arm()

    def flood(self, event: UserEvent, payload: bytes) -> None:
        """An event of this member's own goes to some at once, besides the gossip."""
        if self.guarding is None:
            return
        others = {member.node: member.address for member in self.core.members
                  if member.state is State.ALIVE and member.node != self.name}
        for node in self.guarding.said(event, others, self._chance):
            self.send(others[node], (User(payload),), node)

    def _sent(self, send: Send) -> None:
        if send.address == self.own_address:  # an answer to oneself needs no socket
            self._deliver(core_effects.Deliver(User(send.payload), send.address))
        else:
            self.send(send.address, (User(send.payload),), send.node)

    def _decided(self, asked: Asked) -> None:
        self._dispute = None
        if not keeps_its_name(asked, self.name, self.own_address):
            self._lost(NameLost(f"another member has the name {self.name!r} and most others know that one: start this "
                                "one under another name"))

    # -- the courier's owner ----------------------------------------------------------------------------------------

    @property
    def courier(self) -> Courier:
        """For streams. RuntimeError before the start."""
        if self._courier is None:
            raise RuntimeError("the shell was not started")
        return self._courier

    @property
    def own_address(self) -> tuple[bytes, int]:
        """Where others reach this member."""
        me = self.core.member(self.name)
        return (me.host, me.port) if me is not None else (b"", 0)

    def peer(self, address: Address, node: str = "") -> Peer:
        node = node or self._names.get(place(address), "")
        member = self.core.member(node) if node else None
        return Peer(address, node, member.versions.protocol_max if member and member.versions else 0)

    def exchange(self, *, join: bool) -> PushPull:
        return PushPull(tuple(self.core.states()), self.layer.exchange() if self.layer is not None else b"", join)

    def exchanged(self, theirs: PushPull, source: Address, *, join: bool, entering: bool, served: bool = False) -> str:
        if not self._running:
            return "this member stops"
        self._by_itself = served and join  # guard: who came by itself
        try:
            return self._merged(theirs, source, join=join, entering=entering)
        finally:
            self._by_itself = False

    def _merged(self, theirs: PushPull, source: Address, *, join: bool, entering: bool) -> str:
        states = theirs.states
        if self.guarding is not None:
            if self.guarding.banned(self.caller(source)):
                return "it is banned here"
            states = self.guarding.states(states, self.core)
        effects = self.core.handle(Exchanged(states, source, join), self.now, self._chance)
        why = next((effect.reason for effect in effects if isinstance(effect, core_effects.Refused)), "")
        self._do(effects)
        self._arm()
        if why:
            return why
        if self.layer is not None and theirs.user_state:
            if self.guarding is not None:
                self.guarding.brings(self.caller(source), source[0], by_exchange=True)
            try:
                self.do_layer(self.layer.merge(theirs.user_state, self.now, join=entering))
            except BadPacket as error:
                self.counts[f"user_states_refused_{error.why}"] += 1
            else:
                if not (join or theirs.join or entering):  # to enter is not to miss
                    self.telling.covered(*self.layer.merged)
        if isinstance(theirs, Proved) and theirs.more:
            more = theirs.more  # guard: deaths by an exchange
            if self.guarding is not None:
                more = tuple(self.guarding.gated(more, self.core))
            self.handle(Received(more, source))
        return ""

    def caller(self, source: Address) -> str:
        """Whose stream it is, as far as that is sure."""
        return self._names.get(source, "") or only_at(source[0], self._names.items())

    def may_talk(self, source: Address) -> bool:
        """Somebody opened a stream: is it listened to?"""
        why = self.guarding.may_talk(source[0], self.caller(source)) if self.guarding is not None else ""
        if why:
            self.counts[f"streams_refused_{why}"] += 1
        return not why

    def answered(self, address: Address) -> None:
        """An exchange that this member began was done, with whoever is there."""
        if self._peering is not None:
            self._peering.answered(self._names.get(place(address), ""))

    def bad(self, source: Address, why: str) -> None:
        """What came by a stream of somebody's was bad."""
        if self.guarding is not None:
            self.guarding.bad(self.caller(source), why)

    def blamed(self, source: Address, why: str) -> None:
        """A signed message of whoever is there was no honest member's. Held against it where a stream brought it."""
        if source not in self._names:
            self.bad(source, why)

    def stream_acked(self, seq_no: int) -> None:
        self.handle(StreamAcked(seq_no))

    def delivered(self, message: User, source: Address) -> None:
        self.handle(Received((message,), source))

    def ack_payload(self) -> bytes | None:
        return self.layer.ack_payload() if self.layer is not None else None

    # -- views ------------------------------------------------------------------------------------------------------

    def view(self, name: str) -> MemberView | None:
        """A member as users see it; None for one that nobody knows."""
        held = self.core.member(name)
        if self.layer is None:
            return of_core(held) if held is not None else None
        member = self.layer.membership.members.get(name)
        return of_serf(member, held) if member is not None else None

    def views(self) -> list[MemberView]:
        """All members, by name."""
        names = (self.layer.membership.members if self.layer is not None
                 else [member.node for member in self.core.members])
        return [view for view in map(self.view, sorted(names)) if view is not None]
