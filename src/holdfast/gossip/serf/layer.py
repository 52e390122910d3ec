# SPDX-License-Identifier: Apache-2.0
"""Serf's layer of one member: what comes in user messages, exchanges and acks goes in, what to do comes out.

::

    core's User, Exchanged, joined, left ──▶ Layer ──▶ [Spread, Send, Heard, Questioned, Answered, MemberChanged, …]

It sits on memberlist's core and knows nothing of it but its vocabulary: ``Spread`` is to be broadcast, ``Send`` is one
datagram, both with the payload of a ``User`` message. What is passed on goes out as it came in, byte for byte, so that
fields this version does not know survive.

A query names the address its answers go to, and each member may send several. So that a forged one does not point a
whole cluster at a stranger, answers go to addresses of members only, and ``relay_max`` bounds the copies. Whoever asks
whether its name is its own may be no member to those it asks, and is answered all the same; what goes to strangers is
bounded where it is sent (``agent/strangers.py``). Source: github.com/hashicorp/serf, serf/serf.go, delegate.go,
query.go, internal_query.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from ..._base.chance import Chance
from ..._base.clock import Instant
from ...errors import BadPacket, ConfigurationError
from ..keys import Key, Keyring
from ..messages import Ack, Address, Versions
from ..wire import serf as wire
from .clock import TIME_MAX, LamportClock
from .conflict import QUERY as CONFLICT
from .coordinates import Coordinates
from .effects import (
    EVENT_ENCODED_MAX,
    RELAYS_FROM,
    Answered,
    Effect,
    Ended,
    Heard,
    LayerSettings,
    Questioned,
    Send,
    Spread,
)
from .filters import Matches, linear, passes
from .key_queries import KeyDesk, Step, fitted, query_name, step_of
from .members import Membership, Seen, SerfMember
from .messages import (
    INTERNAL,
    Described,
    Exchange,
    Join,
    KeyRequest,
    Leave,
    Query,
    QueryFlag,
    QueryResponse,
    Relay,
    Status,
    UserEvent,
)
from .queries import RELAYS_MAX, TIMEOUT_MAX_S, Asked, QueryBook, default_timeout_s
from .recent import RecentEvents, RecentQueries


class Layer:
    """node: who we are. matches: ``(expression, text)``, for queries that look at tags.

    keyring, refuse_keys: see ``KeyDesk``. Raises MissingExtra without RE2, unless another ``matches`` is given.
    """

    def __init__(self, node: str, chance: Chance, *, settings: LayerSettings | None = None,
                 keyring: Keyring | None = None, refuse_keys: str = "", matches: Matches = linear) -> None:
        self.node = node
        self.settings = settings or LayerSettings()
        self.clock, self.event_clock, self.query_clock = LamportClock(), LamportClock(), LamportClock()
        for clock in (self.clock, self.event_clock, self.query_clock):
            clock.increment()  # as peers: 0 is told to nobody
        self.membership = Membership(node, self.settings.members)
        self.events = RecentEvents(self.event_clock, self.settings.ring)
        self.queries = RecentQueries(self.query_clock, self.settings.ring)
        self.asked = QueryBook()
        self.coordinates = Coordinates(chance, self.settings.space)
        self._chance = chance
        self._keys = KeyDesk(keyring, refuse=refuse_keys)
        self._matches = matches
        #: Events that the last exchange brought, and how many of them had not come here before.
        self.merged = 0, 0
        #: Is an event of somebody's heard at all? Asked before it counts as heard; what is not heard is not passed on.
        self.judge: Callable[[UserEvent], bool] = lambda _: True
        matches("", "")  # what it lacks is found out now, not when a peer asks

    # -- what this member says --------------------------------------------------------------------------------------

    def join(self, now: Instant) -> list[Effect]:
        """This member is here: to be said after each join, and when somebody says that it leaves."""
        join = Join(self._said(), self.node)
        self.membership.join_intent(join, now)
        return [Spread("intent", wire.encode(join))]

    def leave(self, now: Instant) -> list[Effect]:
        """This member means to go. Then memberlist's leave, once this has got around."""
        self.membership.leaving = True
        return self._left(Leave(self._said(), self.node), now)

    def force_leave(self, node: str, now: Instant, *, prune: bool = False) -> list[Effect]:
        """A failed member is to count as one that left; prune: and be forgotten."""
        return self._left(Leave(self._said(), node, prune), now)

    def _said(self) -> int:
        time = self.clock.time
        self.clock.witness(time)
        return time

    def _left(self, leave: Leave, now: Instant) -> list[Effect]:
        verdict = self.membership.leave_intent(leave, now)
        return [Spread("intent", wire.encode(leave)), *verdict.changes]

    def event(self, name: str, payload: bytes = b"", *, coalesce: bool = True) -> list[Effect]:
        """Tells everybody, this member too. Raises ConfigurationError for more bytes than an event may have."""
        most = self.settings.event_max
        if len(name.encode()) + len(payload) > most:
            raise ConfigurationError(f"an event has at most {most} bytes, name and payload together: send a reference "
                                     "to what is larger")
        event = UserEvent(self.event_clock.time, name, payload, coalesce)
        encoded = wire.encode(event)
        if len(encoded) > EVENT_ENCODED_MAX:
            raise ConfigurationError(f"an event has at most {EVENT_ENCODED_MAX} bytes when it is encoded")
        self.event_clock.increment()
        self.events.hear(event)
        return [Heard(event), Spread("event", encoded)]

    def query(self, name: str, payload: bytes, address: tuple[bytes, int], now: Instant, *,
              nodes: tuple[str, ...] = (), tags: Mapping[str, str] | None = None, ack: bool = False,
              relay_factor: int = 0, timeout_s: float | None = None) -> tuple[Asked, list[Effect]]:
        """Asks everybody whom the filters let pass, this member too.

        address: where answers come in. timeout_s: None for one by the cluster's size. Raises ConfigurationError for
        more bytes than a query may have, and for the names of what members answer themselves.
        """
        if name.startswith(INTERNAL):
            raise ConfigurationError(f"names of queries that begin with {INTERNAL} are the members' own: take another")
        return self._ask(name, payload, address, now, nodes=nodes, tags=tags, ack=ack, relay_factor=relay_factor,
                         timeout_s=timeout_s)

    def change_keys(self, step: Step, key: Key | None, address: tuple[bytes, int], now: Instant, *,
                    relay_factor: int = 0, timeout_s: float | None = None) -> tuple[Asked, list[Effect]]:
        """Asks everybody for a step of a key change; ``KeyTally`` counts the answers. key: None for the list.

        Raises ConfigurationError where queries about keys are refused.
        """
        if self._keys.refuse:
            raise ConfigurationError(f"keys are not changed by queries here: {self._keys.refuse}")
        payload = wire.encode(KeyRequest(key.reveal())) if key else b""
        return self._ask(query_name(step), payload, address, now, relay_factor=relay_factor, timeout_s=timeout_s)

    def dispute(self, address: tuple[bytes, int], now: Instant) -> tuple[Asked, list[Effect]]:
        """Asks everybody who has this member's name, for ``conflict.keeps_its_name`` when it has ended."""
        return self._ask(CONFLICT, self.node.encode("utf-8", "surrogateescape"), address, now)

    def _ask(self, name: str, payload: bytes, address: tuple[bytes, int], now: Instant, *,
             nodes: tuple[str, ...] = (), tags: Mapping[str, str] | None = None, ack: bool = False,
             relay_factor: int = 0, timeout_s: float | None = None) -> tuple[Asked, list[Effect]]:
        filters = ([wire.nodes_to_filter(nodes)] if nodes else []) + [
            wire.tag_to_filter(wire.TagFilter(tag, expression)) for tag, expression in (tags or {}).items()]
        if timeout_s is not None and not 0 < timeout_s <= TIMEOUT_MAX_S:
            raise ConfigurationError(f"a query is waited for 0 to {TIMEOUT_MAX_S:g} s, and not {timeout_s:g}")
        if not 0 <= relay_factor <= RELAYS_MAX:
            raise ConfigurationError(f"relay_factor is 0 to {RELAYS_MAX}, and not {relay_factor}")
        if timeout_s is None:
            timeout_s = default_timeout_s(max(1, len(self.membership.members)), self.settings.gossip_interval_s)
        query = Query(self.query_clock.time, self._chance.getrandbits(32), *address, self.node, name, payload,
                      tuple(filters) or None, QueryFlag.ACK if ack else 0, relay_factor, int(timeout_s * 1e9))
        encoded = wire.encode(query)
        if len(encoded) > self.settings.query_max:
            raise ConfigurationError(f"a query has at most {self.settings.query_max} bytes when it is encoded, and "
                                     f"this one {len(encoded)}")
        asked = self.asked.ask(query, now)
        self.query_clock.increment()
        self.queries.hear(query)
        return asked, [*self._questioned(query, now), Spread("query", encoded)]

    def respond(self, query: Query, payload: bytes) -> list[Effect]:
        """Answers a query. Raises ConfigurationError for more bytes than an answer may have."""
        response = QueryResponse(query.ltime, query.id, self.node, 0, payload)
        if len(wire.encode(response)) > self.settings.response_max:
            raise ConfigurationError(f"an answer has at most {self.settings.response_max} bytes when it is encoded")
        return self._responses(query, response)

    # -- what comes -------------------------------------------------------------------------------------------------

    def received(self, payload: bytes, now: Instant) -> list[Effect]:
        """A user message of memberlist's. Raises BadPacket."""
        message = wire.decode(payload)
        if isinstance(message, UserEvent):
            heard = self.judge(message) and self.events.hear(message)
            return [Heard(message), Spread("event", payload)] if heard else []
        if isinstance(message, Query):
            return self._query_heard(message, payload, now)
        if isinstance(message, Join | Leave):
            self.clock.witness(message.ltime)
            return self._intent_heard(message, payload, now)
        if isinstance(message, QueryResponse):
            return self._response(message, now)
        if isinstance(message, Relay):
            return self._relayed(message)
        raise BadPacket(f"a {type(message).__name__} does not come by itself", why="type")

    def _query_heard(self, query: Query, payload: bytes, now: Instant) -> list[Effect]:
        if not self.queries.hear(query):
            return []
        passed_on: list[Effect] = [Spread("query", payload)] if query.passed_on else []
        return [*self._questioned(query, now), *passed_on]

    def _intent_heard(self, intent: Join | Leave, payload: bytes, now: Instant) -> list[Effect]:
        heard = self.membership.join_intent if isinstance(intent, Join) else self.membership.leave_intent
        verdict = heard(intent, now)  # type: ignore[arg-type]
        refuted = self.join(now) if verdict.refute else []
        return [*verdict.changes, *refuted, *([Spread("intent", payload)] if verdict.spread else [])]

    def _response(self, response: QueryResponse, now: Instant) -> list[Effect]:
        asked = self.asked.answered(response, now)
        if asked is None:
            return []
        return [Answered(asked, response.node, None if response.is_ack else response.payload or b"")]

    def _relayed(self, relay: Relay) -> list[Effect]:
        address = relay.host, relay.port
        if relay.inner[0] != wire.SerfType.QUERY_RESPONSE or not self._is_member(address):  # guard: relays
            return []
        return [Send(address, relay.inner, relay.node)]

    # -- queries that come ------------------------------------------------------------------------------------------

    def _questioned(self, query: Query, now: Instant) -> list[Effect]:
        tags = self.membership.members[self.node].tags if self.node in self.membership.members else {}
        if not passes(query.filters, self.node, tags, self._matches):
            return []
        effects: list[Effect] = []
        if query.wants_ack:
            effects += self._responses(query, QueryResponse(query.ltime, query.id, self.node, QueryFlag.ACK))
        if query.name.startswith(INTERNAL):
            return [*effects, *self._internal(query)]
        return [*effects, Questioned(query, Instant(now + query.timeout_ns / 1e9))]

    def _internal(self, query: Query) -> list[Effect]:
        step = step_of(query.name)
        bare = QueryResponse(query.ltime, query.id, self.node)
        if step is not None:
            answer = self._keys.answer(step, query.payload or b"")
            payload = fitted(answer, bare, self.settings.response_max)
        elif query.name == CONFLICT:
            member = self.membership.members.get((query.payload or b"").decode("utf-8", "surrogateescape"))
            if member is None or member.node == self.node:  # who is asked about itself is no witness
                return []
            payload = wire.encode(Described(member.node, member.host, member.port, member.tags, member.status,
                                            *_serf_versions(member.versions)))
        else:
            return []  # a ping: its ack says all
        return self._responses(query, msgspec.structs.replace(bare, payload=payload))

    def _responses(self, query: Query, response: QueryResponse) -> list[Effect]:
        address = query.host, query.port
        encoded = wire.encode(response)
        effects: list[Effect] = [Send(address, encoded, query.source_node)]
        if not self._is_member(address):  # guard: answers. They go to members, not to whom a query names
            return effects if query.name == CONFLICT else []
        relayed = wire.encode(Relay(query.host, query.port, encoded, node=query.source_node))
        return effects + [Send((m.host, m.port), relayed, m.node) for m in self._relays(query)]

    def _relays(self, query: Query) -> list[SerfMember]:
        count = min(query.relay_factor, self.settings.relay_max)
        if not count:
            return []
        able = [m for m in self.membership.members.values()
                if m.status == Status.ALIVE and m.node not in (self.node, query.source_node)
                and m.versions is not None and m.versions.delegate_max >= RELAYS_FROM]
        keyed = sorted((self._chance.random(), m.node) for m in able)[:count]
        return [self.membership.members[node] for _, node in keyed]

    def _is_member(self, address: Address) -> bool:
        return any((m.host, m.port) == address for m in self.membership.members.values())

    # -- memberlist's part ------------------------------------------------------------------------------------------

    def alive(self, seen: Seen, now: Instant) -> list[Effect]:
        """It is reachable: a member of the core's, or a claim."""
        return [self.membership.joined(seen, now)]

    def updated(self, seen: Seen) -> list[Effect]:
        """Its tags or its address changed."""
        changed = self.membership.updated(seen)
        return [changed] if changed else []

    def gone(self, node: str, now: Instant) -> list[Effect]:
        """It is not reachable any more."""
        changed = self.membership.gone(node, now)
        return [changed] if changed else []

    def exchange(self) -> bytes:
        """What goes along with memberlist's exchange, as its user state."""
        members = self.membership.members.values()
        return wire.encode(Exchange(
            self.clock.time, {m.node: m.status_ltime for m in members}, self.membership.left(), self.event_clock.time,
            self.events.all(), self.query_clock.time))

    def merge(self, user_state: bytes, now: Instant, *, join: bool) -> list[Effect]:
        """What a peer's exchange brought. join: it was this member that entered by it. Raises BadPacket."""
        theirs = wire.decode(user_state)
        if not isinstance(theirs, Exchange):
            raise BadPacket(f"a {type(theirs).__name__} where an exchange was wanted", why="type")
        if max(_times(theirs)) > TIME_MAX:  # guard: whole exchanges. Half of one would mark events heard and lose them
            raise BadPacket("an exchange with a Lamport time that was made up")
        for clock, time in ((self.clock, theirs.ltime), (self.event_clock, theirs.event_ltime),
                            (self.query_clock, theirs.query_ltime)):
            if time:
                clock.witness(time - 1)  # nothing was said at that time yet
        effects = self._merge_members(theirs, now)
        if join and not self.settings.replay_on_join:
            self.events.begins = max(self.events.begins, theirs.event_ltime)
        brought = new = 0
        for past in filter(None, theirs.events):
            for event in past.events:
                told = UserEvent(past.ltime, event.name, event.payload, coalesce=False)
                heard = self.judge(told) and self.events.hear(told)
                brought += past.ltime >= self.events.begins
                new += heard
                effects += [Heard(told)] if heard else []
        self.merged = brought, new
        return effects

    def _merge_members(self, theirs: Exchange, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        left = set(theirs.left)
        for node in theirs.left:  # first, or the others' times would be in the way
            known = self.membership.members.get(node)
            if known is not None and known.status == Status.LEFT:  # guard: known leaves. They get no later
                continue
            # One past the join it was accepted after: the leave's own time is not told.
            leave = Leave(theirs.status_ltimes.get(node, 0) + 1, node)
            self.clock.witness(min(leave.ltime, TIME_MAX))
            verdict = self.membership.leave_intent(leave, now)
            effects += [*verdict.changes, *(self.join(now) if verdict.refute else [])]
        for node, ltime in theirs.status_ltimes.items():
            if node not in left:
                self.membership.join_intent(Join(ltime, node), now)
        return effects

    def ack_payload(self) -> bytes:
        """What this member's acks carry: where it is."""
        return wire.coordinate_to_payload(self.coordinates.own)

    def acked(self, node: str, ack: Ack, rtt_s: float) -> None:
        """A ping of ours was answered. Raises BadPacket; an ack without a coordinate is none."""
        if ack.payload:
            self.coordinates.heard(node, wire.payload_to_coordinate(ack.payload), rtt_s)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> list[Effect]:
        """What is over: queries of ours, members that are gone for long. Some once a second is enough."""
        forgotten = self.membership.reap(now)
        for change in forgotten:
            self.coordinates.forget(change.member.node)
        return [*(Ended(asked) for asked in self.asked.expire(now)), *forgotten]


def _serf_versions(versions: Versions | None) -> tuple[int, ...]:
    """Both triples of a description: the protocol's and the delegate's are the same to Serf's eyes."""
    spoken = (versions.delegate_min, versions.delegate_max, versions.delegate) if versions else (0, 0, 0)
    return (*(versions[:3] if versions else (0, 0, 0)), *spoken)


def _times(exchange: Exchange) -> Iterator[int]:
    """Every Lamport time in it."""
    yield from (exchange.ltime, exchange.event_ltime, exchange.query_ltime)
    yield from exchange.status_ltimes.values()
    yield from (past.ltime for past in exchange.events if past)
