# SPDX-License-Identifier: Apache-2.0
"""A member of a cluster, as it is used.

::

    async with Cluster("one", bind="10.0.0.1:7946", join=["10.0.0.2:7946"], key=KEY, tags={"role": "web"}) as cluster:
        print(cluster.members())
        await cluster.event("deploy", b"v2")
        async for answer in cluster.query("load", nodes=["two"]):
            print(answer.node, answer.payload)

It speaks memberlist's protocol, and Serf's above it, so real Serf agents are members like any other.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.events import Events
from ..._base.secret import Resolver, Secret, SecretRef
from ...errors import ConfigurationError, GossipError, JoinFailed
from ..core.core import Core
from ..core.effects import Exchange
from ..core.events import SetMeta
from ..defence import OFF, Defences
from ..defence import Inspection as DefenceInspection
from ..defence.validation import Validator
from ..keys import Key, Keyring
from ..messages import Address
from ..native import Native
from ..profiles import LAN, Profile
from ..serf.coordinates import distance
from ..serf.effects import Answered, Ended, Heard, LayerSettings, Questioned, Spread
from ..serf.filters import is_expression, linear, passes
from ..serf.key_queries import KeyTally, Step
from ..serf.layer import Layer
from ..serf.members import MemberSettings
from ..serf.messages import UserEvent
from ..serf.queries import Asked
from ..trust import Status as KeyStatus
from .address import text
from .arguments import check
from .courier import reason, unreachable
from .feed import Feed
from .guarding import DEFENDED_NATIVE, AuditTo, Guarding
from .inspect import ClusterInspection, look
from .key_changes import KeyChanges
from .native import REFUSE_KEYS, Resident
from .places import bind_address, own_address
from .questions import Handler, Question, Questions
from .remembering import NOTHING, Before, Remembering
from .settings import Delegate, Settings, keyring_of, meta_of, places, profile_of, voice_of
from .shell import Shell, Told
from .telling import Telling
from .transport import Conversation, Transport, TransportLimits
from .view import Change, Event, MemberView
from .voice import Voice

log = logging.getLogger("holdfast")
T = TypeVar("T")
H = TypeVar("H", bound=Handler)
V = TypeVar("V", bound=Validator)

NO_LAYER: Final = "events, queries, tags and keys belong to Serf's layer: make the Cluster with delegate='serf'"

#: Between two attempts to join while nobody answers.
JOIN_AGAIN_S: Final = 0.5
#: In a native cluster a name is a key's, so whoever comes with it from elsewhere is the same: at once, once it is dead.
RECLAIM_S: Final = 1e-3
#: Of those remembered over a restart, so many are tried.
REMEMBERED_MAX: Final = 16


class Cluster:
    """A member: there while the ``async with`` lasts.

    name: unique in the cluster, at most 128 bytes. bind: ``HOST:PORT`` for datagrams and streams both; port 0 takes one
    that is free. advertise: where others reach it, if that is elsewhere; wanted where ``bind`` is 0.0.0.0 and the
    machine has several addresses.

    join: members to enter by, one that answers is enough; tried for ``join_within_s``, then JoinFailed. must_join=False
    goes on alone and keeps trying.

    key, keyring: what members share, 16, 24 or 32 bytes, in Base64 where it is text; without, anybody may read and
    write. secrets: resolves ``key="secret://name"``. encrypting, insisting: False for a cluster on its way to
    encryption, see ``wire.Framing``. label: keeps clusters apart; members before memberlist 0.3 know none. compress:
    price: some 0.2 ms of CPU for each packet. voice: another way to speak altogether, with ``keyring`` for queries
    about keys alone. refuse_keys: why keys are not changed by queries; empty: they are.

    native: this member has an identity, and so have all others: claims and events are signed, the key is sealed to each
    member, changed with ``rotate`` and kept from whom ``revoke`` expels. In the place of key, keyring, label, voice; it
    does not speak with memberlist or Serf.

    tags: what is shown of it, 512 bytes in all. profile: LAN, WAN, LOCAL or its name; the same for all members.
    delegate: ``"serf"``, or ``"none"`` for memberlist alone, with nothing of events, queries, tags and keys; ``meta``
    are the bytes it shows then.

    defences: limits before decryption, scores, bans, validators of events, places, a flood of own events; see
    ``guarding.DEFENDED``. None: off, so that it behaves as Serf does, and in a native cluster DEFENDED_NATIVE. audit: a
    file for decisions, each chained to the one before, or who is given the lines; 10 a second of 250 bytes.

    snapshot: a file that remembers who was there, to enter by them after a restart, and anchors (``Choosing``), who are
    asked before all others. After a leave it is not used, unless rejoin_after_leave. leave_on_exit: False makes the end
    of ``async with`` a failure to the others' eyes, as for a short restart. replay_events: True hears what was told
    before it joined.

    room: changes and events that wait for a slow reader; beyond that the oldest are dropped, and it is told how many.
    limits: of streams that others open. events: hears what happens, for logs and metrics; price: a look at all counters
    each second. clock, chance: for tests. Raises ConfigurationError.
    """

    def __init__(self, name: str, *, bind: str = "127.0.0.1:0", advertise: str | None = None,
                 join: Sequence[str] = (), join_within_s: float = 10.0, must_join: bool = True,
                 key: Key | str | bytes | Secret[str] | SecretRef | None = None, keyring: Keyring | None = None,
                 secrets: Resolver | None = None, encrypting: bool = True, insisting: bool = True,
                 label: str | bytes = "", compress: bool = False, voice: Voice | None = None, refuse_keys: str = "",
                 tags: Mapping[str, str] | None = None, meta: bytes = b"",
                 profile: Profile | str = LAN, delegate: Delegate = "serf", snapshot: str | Path | None = None,
                 rejoin_after_leave: bool = False, replay_events: bool = False, leave_on_exit: bool = True,
                 native: Native | None = None, defences: Defences | None = None, audit: AuditTo | None = None,
                 room: int = 1024, limits: TransportLimits | None = None, events: Events | None = None,
                 clock: Clock | None = None, chance: Chance | None = None) -> None:
        check(locals())  # guard: types of arguments
        if native is not None:
            if key is not None or keyring is not None or label or compress or voice is not None or refuse_keys:
                raise ConfigurationError("native= has a way to speak and keys of its own, and the label: leave out "
                                         "key, keyring, label, compress, voice and refuse_keys")
            refuse_keys = REFUSE_KEYS
        self._settings = Settings(
            name=name, bind=bind, advertise=advertise, join=places(join), join_within_s=join_within_s,
            must_join=must_join, tags=dict(tags or {}), meta=meta, profile=profile_of(profile), delegate=delegate,
            keyring=keyring_of(key, keyring, secrets), refuse_keys=refuse_keys,
            snapshot=None if snapshot is None else Path(snapshot), rejoin_after_leave=rejoin_after_leave,
            replay_events=replay_events, leave_on_exit=leave_on_exit, room=room)
        self._native = native
        self._resident: Resident | None = None
        self._voice = voice_of(voice, self._settings.keyring, label, compress=compress, encrypting=encrypting,
                               insisting=insisting)
        stream_s = self._settings.profile.stream_timeout_s
        self._limits = limits or TransportLimits(stream_s=stream_s, silent_s=min(5.0, stream_s))
        self._clock, self._chance = clock or SystemClock(), chance or system_chance()
        self._telling = Telling(name, events, self._clock)
        self._guarding = self._guarded(defences, audit)
        self._changes: weakref.WeakSet[Feed[Change]] = weakref.WeakSet()
        self._events: weakref.WeakSet[Feed[Event]] = weakref.WeakSet()
        self._questions = Questions()
        self._shell: Shell | None = None
        self._transport: Transport | None = None
        self._remembering: Remembering | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._error: GossipError | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._left = False
        self._saying: UserEvent | None = None
        #: Keys of the whole cluster.
        self.keys: Final = KeyChanges(self._ask_keys, self._telling)

    def _guarded(self, defences: Defences | None, audit: AuditTo | None) -> Guarding | None:
        native, keyring = self._native is not None, self._settings.keyring
        wanted = DEFENDED_NATIVE if defences is None and native else defences or OFF
        if wanted == OFF:
            if audit is not None:
                raise ConfigurationError("there is nothing to audit without defences: give defences=DEFENDED of "
                                         "holdfast.gossip.agent, or leave out audit")
            return None
        return Guarding(self._settings.name, wanted, self._clock, self._telling, sealed=native or keyring is not None,
                        native=native, label=self._native.anchor.cluster if self._native is not None else b"",
                        audit=audit)

    # -- life -------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._transport is not None:
            raise ConfigurationError("a Cluster is entered once: make another one")
        try:
            await self._begin()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        try:
            if self._settings.leave_on_exit and self._error is None:
                await self.leave()
        finally:
            if self._stopping is not None:
                await self._stopping
            await self._stop()
        if self._error is not None and error is None:
            raise self._error

    async def _begin(self) -> None:
        host, port = await bind_address(self._settings.bind)
        self._transport = await Transport.open(host, port, self._datagram, self._stream, self._limits)
        address = own_address(self._transport.address, self._settings.advertise, self._settings.join)
        if self._native is not None:
            settings = self._settings
            self._resident = await Resident.begin(
                self._native, settings.name, settings.join, self._transport, clock=self._clock,
                chance=self._chance, within_s=settings.join_within_s, stream_s=settings.profile.stream_timeout_s)
            self._voice = self._resident.voice
        self._shell = shell = self._made(address)
        shell.start(self._transport)
        if self._telling.on:
            shell.tasks.start("upkeep", self._telling.run(self.inspect, self._resident))
        if self._guarding is not None:
            shell.tasks.start("upkeep", self._guarding.run(shell.core, self._chance))
        if self._resident is not None:
            self._resident.tell = self._telling.key_effect
            self._resident.start(shell, self._lost)
        before = NOTHING
        if self._settings.snapshot is not None:
            remembering = Remembering(self._settings.snapshot, shell, self._chance)
            before = remembering.begin(rejoin_after_leave=self._settings.rejoin_after_leave)
            self._remembering = remembering  # and closed at the end, now that it could begin
            shell.tasks.start("upkeep", remembering.run())
        await self._enter(before)
        if self._guarding is not None and self._guarding.peering is not None:
            self._guarding.peering.begin(before.anchors)
        if self._resident is not None and not self._settings.join:
            await self._resident.found()

    def _made(self, address: Address) -> Shell:
        settings = self._settings
        profile = settings.profile
        if self._native is not None and not profile.dead_reclaim_s:
            profile = replace(profile, dead_reclaim_s=RECLAIM_S)
        peering = self._guarding.peering if self._guarding is not None else None
        burying = self._guarding.burying if self._guarding is not None else None
        core = Core(settings.name, address, weigh=self._voice.weigh, profile=profile, meta=settings.first_meta,
                    versions=settings.versions, partners=peering.partners if peering is not None else None,
                    burial=burying.may_bury if burying is not None else None)
        layer = None
        if settings.delegate == "serf":
            layer = Layer(settings.name, self._chance, keyring=settings.keyring, refuse_keys=settings.refuse_keys,
                          settings=LayerSettings(gossip_interval_s=settings.profile.gossip_interval_s,
                                                 replay_on_join=settings.replay_events,
                                                 members=MemberSettings(reconnect_s=settings.profile.reconnect_for_s)))
        return Shell(core, layer, self._voice, profile=settings.profile, clock=self._clock, chance=self._chance,
                     tell=self._told, lost=self._lost, telling=self._telling,
                     guarding=self._guarding)

    async def _enter(self, before: Before) -> None:
        """Goes back to whoever was there before the restart, the anchors first, as far as they answer; else joins
        whoever was named."""
        settings = self._settings
        for who, wanted in (("anchors", list(map(text, before.anchors.values()))),
                            ("members remembered", before.others[:REMEMBERED_MAX])):
            if not wanted:
                continue
            try:
                await self._reach(wanted, again=True, every=who == "anchors")
            except JoinFailed as error:
                log.warning("gossip: none of the %s answered: %s", who, error)
            else:
                return  # guard: anchors before newcomers
        if not settings.join:
            return
        if not settings.must_join:
            self._alive.tasks.start("upkeep", self._keep_trying())
            return
        await self._until_joined(settings.join_within_s)

    async def _until_joined(self, within_s: float) -> None:
        ends = self._clock.now() + within_s
        while True:
            try:
                await self._reach(self._settings.join)
            except JoinFailed:
                if self._clock.now() + JOIN_AGAIN_S >= ends:
                    raise
                await asyncio.sleep(JOIN_AGAIN_S)
            else:
                return

    async def _keep_trying(self) -> None:
        while not self._left:
            try:
                await self._reach(self._settings.join)
            except GossipError as error:  # or it is about to leave
                log.info("gossip: not joined yet: %s", error)
            else:
                return
            await asyncio.sleep(max(JOIN_AGAIN_S, self._settings.profile.probe_interval_s))

    async def _stop(self) -> None:
        if self._shell is not None:
            await self._shell.close()
        if self._remembering is not None:
            await self._remembering.close(left=self._left)
        if self._resident is not None:
            await self._resident.close()
        if self._transport is not None:
            await self._transport.close()
        self._questions.end_all()
        for feed in self._feeds():
            feed.end(self._error)
        self._over.set()

    def _feeds(self) -> list[Feed[Any]]:
        return [*self._changes, *self._events]

    def _lost(self, error: GossipError) -> None:
        log.error("gossip: this member stops: %s", error)
        self._error = error
        self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="gossip stop")

    async def stopped(self) -> None:
        """Waits until this member has stopped. Raises NameLost when it had to."""
        await self._over.wait()
        if self._error is not None:
            raise self._error

    @property
    def _alive(self) -> Shell:
        if self._error is not None:
            raise self._error
        if self._shell is None or self._over.is_set():
            raise GossipError("this member is not in a cluster now: use it within `async with Cluster(...)`")
        return self._shell

    @property
    def _present(self) -> Shell:
        if self._left:
            raise GossipError("this member has left its cluster: make another Cluster to come back")
        return self._alive

    @property
    def _layer(self) -> Layer:
        layer = self._present.layer
        if layer is None:
            raise ConfigurationError(NO_LAYER)
        return layer

    # -- what happens -----------------------------------------------------------------------------------------------

    def _datagram(self, data: bytes, source: Address) -> None:
        if self._shell is not None:
            self._shell.datagram(data, source)
            if self._resident is not None:
                self._resident.drain()

    async def _stream(self, talk: Conversation) -> None:
        if self._shell is None or not self._shell.may_talk(talk.source):
            return
        if self._resident is not None:
            await self._resident.serve(talk, self._shell)
        else:
            await self._shell.courier.serve(talk)

    def _told(self, told: Told) -> None:
        if isinstance(told, Change):
            if self._remembering is not None:
                self._remembering.changed(told)
            self._telling.changed(told.what, told.member.name, told.by)
            for feed in list(self._changes):
                feed.put(told)
        elif isinstance(told, Heard):
            event = Event(told.event.name, told.event.payload or b"", told.event.ltime, told.event.coalesce)
            lost = sum(heard.put(event) for heard in list(self._events))
            self._telling.user_event(event.name, own=told.event is self._saying, lost=lost)
        elif isinstance(told, Questioned):
            if self._shell is not None:
                self._questions.questioned(self._shell, told)
        elif isinstance(told, Answered):
            self._questions.answered(told)
        elif isinstance(told, Ended):
            self._questions.ended(told)

    # -- members ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """This member's name."""
        return self._settings.name

    @property
    def address(self) -> str:
        """``host:port`` where others reach it."""
        return text(self._alive.own_address)

    def members(self) -> list[MemberView]:
        """All that are known, this one too, by name: those who failed or left as long as they are kept."""
        return self._alive.views()

    def member(self, name: str) -> MemberView | None:
        """One of them; None: nobody knows it."""
        return self._alive.view(name)

    def changes(self) -> Feed[Change]:
        """What becomes of members from now on: ``async for change in cluster.changes()``. Ends with this member; raises
        NameLost when that had to stop. Asked for before ``async with``, it has the first ones too."""
        return self._fed(self._changes)

    async def join(self, addresses: Sequence[str]) -> int:
        """Enters the clusters of whoever answers there; how many did. Raises JoinFailed when none did."""
        if not addresses:
            raise ConfigurationError("nobody is named to join: give HOST:PORT of a member, one at least")
        return await self._reach(places(addresses))

    async def _reach(self, wanted: Sequence[str], *, again: bool = False, every: bool = False) -> int:
        """again: back to a cluster that this member was in: one that answers is enough unless every one is wanted, and
        what was told meanwhile is heard."""
        reached, tried = 0, dict[str, str]()
        for where in wanted:
            why = await self._reach_one(where, again=again)
            reached += not why
            if why:
                tried[where] = why
            elif again and not every:
                break
        if not reached:
            _ = self._present  # it may have left meanwhile, which ends what it waited for
            raise JoinFailed(f"none of {len(wanted)} members could be joined: {unreachable(tried)}")
        shell = self._present
        if shell.layer is not None:
            shell.do_layer(shell.layer.join(shell.now))
        return reached

    async def _reach_one(self, where: str, *, again: bool) -> str:
        shell = self._present
        try:
            found = await shell.courier.found(where)
        except (OSError, TimeoutError) as error:
            return f"its name was not found: {reason(error)}"
        why = "it has no address of this member's kind (IPv4, IPv6)"
        for address in found:
            if address == shell.own_address:
                why = "that is this member itself"
                continue
            why = await self._resident.enter(address) if self._resident is not None else ""
            if not why:
                why = await shell.courier.exchange(Exchange(address, join=True), entering=not again)
            if not why:
                shell.answered(address)
                return ""
        return why

    async def leave(self) -> None:
        """Leaves as it should: the others know that it went and did not fail. Takes a second or two; the end of
        ``async with`` does it."""
        shell = self._alive
        if not self._left:
            self._left = True
            await shell.leave()

    async def force_leave(self, name: str, *, prune: bool = False) -> None:
        """A failed member counts as one that left; prune: and is forgotten. Raises GossipError for one that lives, or
        that nobody knows."""
        if self._resident is not None:
            raise ConfigurationError("in a native cluster each member speaks for itself: expel one with revoke()")
        view = self._alive.view(name)
        if view is None:
            raise GossipError(f"there is no member {name!r}")
        if name == self.name:
            raise ConfigurationError("a member leaves by itself with leave()")
        if view.status == "alive":  # guard: who lives would deny it, and nothing would have happened
            raise GossipError(f"{name!r} is alive: have it leave itself, or wait until it is seen to have failed")
        self._alive.do_layer(self._layer.force_leave(name, self._alive.now, prune=prune))

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        """Shows these tags from now on, and no others. Raises ConfigurationError beyond 512 bytes."""
        layer, shell = self._layer, self._alive
        self._show(meta_of(tags))
        me = shell.core.member(self.name)
        if me is not None:
            shell.do_layer(layer.updated(me))

    async def set_meta(self, meta: bytes) -> None:
        """The same for a member without Serf's layer: its bytes, 512 at most."""
        if self._alive.layer is not None:
            raise ConfigurationError("meta holds the tags in Serf's layer: use set_tags")
        self._show(meta)

    def _show(self, meta: bytes) -> None:
        self._present.handle(SetMeta(meta))

    def rtt(self, a: str, b: str | None = None) -> float:
        """The round-trip time between two members, in seconds, by their coordinates; b: this one. Raises GossipError
        where a place is not known: this member learns those it has pinged."""
        places = []
        for name in (a, self.name if b is None else b):
            known = self._layer.coordinates.own if name == self.name else self._layer.coordinates.of(name)
            if known is None:
                raise GossipError(f"it is not known yet where {name!r} is: this member has not pinged it so far")
            places.append(known)
        return distance(*places)

    # -- events and queries -----------------------------------------------------------------------------------------

    async def event(self, name: str, payload: bytes = b"", *, coalesce: bool = True) -> None:
        """Tells everybody, this member too: name and payload 512 bytes together. coalesce: of several that come close
        together, peers may hand on the last one only. Raises ConfigurationError."""
        shell, effects = self._alive, self._layer.event(_named("an event", name), _bytes(payload), coalesce=coalesce)
        self._saying = next((effect.event for effect in effects if isinstance(effect, Heard)), None)
        if self._resident is not None:
            for effect in effects:
                if isinstance(effect, Spread):
                    self._resident.voice.say(effect.payload)
        shell.do_layer(effects)
        for effect in effects:
            if isinstance(effect, Spread) and self._saying is not None:
                shell.flood(self._saying, effect.payload)

    def events(self) -> Feed[Event]:
        """What members tell everybody, from now on; asked for before ``async with``, those that are replayed too."""
        if self._settings.delegate == "none":
            raise ConfigurationError(NO_LAYER)
        return self._fed(self._events)

    def _fed(self, feeds: weakref.WeakSet[Feed[T]]) -> Feed[T]:
        feed: Feed[T] = Feed(self._settings.room)
        if self._over.is_set():
            feed.end(self._error)
        feeds.add(feed)
        return feed

    def query(self, name: str, payload: bytes = b"", *, nodes: Collection[str] = (),
              tags: Mapping[str, str] | None = None, ack: bool = False, relay_factor: int = 0,
              timeout_s: float | None = None) -> Question:
        """Asks everybody, this member too, and gives answers as they come: ``async for answer in cluster.query(...)``.

        nodes: only these; tags: only those whose tags match these expressions (RE2). ack: ask for a sign that it came.
        relay_factor: how many others pass each answer on besides, against loss. timeout_s: None for one by the
        cluster's size. 1 kB each, query and answer. Raises ConfigurationError.
        """
        if isinstance(nodes, str):
            raise ConfigurationError(f"nodes is a list of names: write nodes=[{nodes!r}]")
        if relay_factor and self._resident is not None:
            raise ConfigurationError("answers go to who asked alone in a native cluster: leave out relay_factor")
        for expression in (tags or {}).values():
            if not is_expression(expression):
                raise ConfigurationError(f"{expression!r} is no expression that RE2 reads: nobody's tag would match it")
        shell = self._alive
        asked, effects = self._layer.query(_named("a query", name), _bytes(payload), shell.own_address, shell.now,
                                           nodes=tuple(nodes), tags=tags, ack=ack,
                                           relay_factor=relay_factor, timeout_s=timeout_s)
        began, wanted = shell.now, self._wanted(asked)
        question = self._questions.ask(
            shell, asked, lambda answers: self._telling.queried(name, answers, wanted, began))
        shell.do_layer(effects)
        return question

    def _wanted(self, asked: Asked) -> int:
        """How many members a query is for, as far as they are known to be there."""
        return sum(passes(asked.query.filters, view.name, view.tags, linear) for view in self._alive.views()
                   if view.status == "alive")

    def on_query(self, name: str, handler: H | None = None) -> Any:
        """Queries of this name are answered by ``handler(QueryCall) -> bytes | None``, async or not; also as a
        decorator. Raises ConfigurationError for names of the members' own."""
        if handler is not None:
            self._questions.handle(name, handler)
            return handler

        def decorated(given: H) -> H:
            self._questions.handle(name, given)
            return given

        return decorated

    def _ask_keys(self, step: Step, key: Key | None, timeout_s: float | None) -> tuple[Question, frozenset[str]]:
        layer, shell = self._layer, self._alive
        asked, effects = layer.change_keys(step, key, shell.own_address, shell.now, timeout_s=timeout_s)
        question = self._questions.ask(shell, asked)
        members = frozenset(view.name for view in shell.views() if view.status in ("alive", "leaving"))
        shell.do_layer(effects)
        return question, members

    async def key_answers(self, step: Step, key: Key | None = None, *, timeout_s: float | None = None
                          ) -> dict[str, bytes]:
        """What each member answered to one step of a key change, as it came, asked once: for who decides himself what
        follows from it (``keys.rotation_run``). For people there is ``keys``. Raises ConfigurationError."""
        question, members = self._ask_keys(step, key, timeout_s)
        answers: dict[str, bytes] = {}
        began, tally, done = self._telling.now, KeyTally(0), set[str]()
        try:
            async for answer in question:
                if answer.node not in answers:
                    answers[answer.node], failed = answer.payload, tally.failed
                    tally.count(answer.node, answer.payload)
                    done |= {answer.node} if tally.failed == failed else set()
                if members <= answers.keys():
                    break
        finally:
            question.close()
        self._telling.key_step(step, members - done, began)
        return answers

    # -- defences ---------------------------------------------------------------------------------------------------

    @property
    def _guards(self) -> Guarding:
        if self._guarding is None:
            raise ConfigurationError("this member's defences are off: make the Cluster with defences=DEFENDED of "
                                     "holdfast.gossip.agent")
        return self._guarding

    def validates(self, name: str) -> Callable[[V], V]:
        """Decorates who judges events of this name, ``"*"`` all others: ``(Letter) -> Verdict | Judged``. What is not
        accepted is neither handed on nor passed on, and for what is rejected whoever brought it pays. All members have
        to judge alike. It is not waited for: it gets a tenth of each second. Raises ConfigurationError without
        defences."""
        guards = self._guards

        def decorated(validator: V) -> V:
            guards.validate(name, validator)
            return validator

        return decorated

    def defences(self) -> DefenceInspection:
        """What was refused, who is banned, how peers score, as a frozen record. Raises ConfigurationError where they
        are off."""
        return self._guards.inspect()

    def unban(self, name: str) -> bool:
        """A ban ends, by an operator's word, which is written down. False: there was none."""
        return self._guards.guard.unban(name, self._guards.now)

    # -- native clusters --------------------------------------------------------------------------------------------

    @property
    def _native_mode(self) -> Resident:
        _ = self._present
        if self._resident is None:
            raise ConfigurationError("this cluster has no identities: keys are changed with cluster.keys, and members "
                                     "are expelled where the Cluster is made with native=")
        return self._resident

    @property
    def epoch(self) -> int:
        """The number of the key that seals, in a native cluster; it grows with each change. Raises ConfigurationError
        in another."""
        return self._native_mode.epoch

    async def rotate(self, *, within_s: float = 120.0) -> int:
        """Changes the key of a native cluster: the number of the new epoch, with which this member seals by now. Old
        keys open for ``Policy.grace_s`` more, and the next change waits for that. Raises NotTrusted without the role
        "rotate", GossipError when it takes longer, and ConfigurationError in a cluster without identities."""
        return await self._native_mode.rotate(within_s)

    async def revoke(self, name: str, *, reason: str = "", within_s: float = 60.0) -> int:
        """Expels a member of a native cluster, for good, and has the key changed, which it does not get: the number of
        the epoch that it cannot read. Raises as ``rotate``; the role is "revoke"."""
        return await self._native_mode.revoke(name, reason, within_s)

    def invite(self, name: str = "", *, for_s: float = 3600.0) -> Secret[str]:
        """A token with which one node gets a certificate, at this member. name: the only one it may take; empty: any.
        Raises ConfigurationError where this member makes none."""
        return self._native_mode.invite(name, for_s)

    def key_status(self) -> KeyStatus:
        """How things stand with the keys of a native cluster, as a frozen record."""
        return self._native_mode.status()

    # -- what is going on -------------------------------------------------------------------------------------------

    def inspect(self) -> ClusterInspection:
        """What is going on, as a frozen record. Raises GossipError outside ``async with``."""
        transport = self._transport
        return look(self._alive, transport.counts if transport else Counter(), self._settings.keyring,
                    dropped=sum(feed.dropped for feed in self._feeds()),
                    changes_dropped=sum(feed.dropped for feed in self._changes),
                    snapshot_failures=self._remembering.failures if self._remembering else 0)


def _named(what: str, name: str) -> str:
    if not name:
        raise ConfigurationError(f"{what} has a name")
    return name


def _bytes(payload: bytes) -> bytes:
    given: object = payload
    if not isinstance(given, bytes):
        raise ConfigurationError(f"a payload is bytes, and this is a {type(given).__name__}: encode it")
    return payload
