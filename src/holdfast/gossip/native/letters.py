# SPDX-License-Identifier: Apache-2.0
"""Messages of the layer above with their proofs: events, queries, answers, and who means to come or go.

As with claims: whoever hears one keeps the bytes that proved it, and those go out when it is passed on. A message that
names who says it has to be signed by that one; an event names nobody, and is its signer's. Messages about another
member, and those that ask for keys or bring some, are nobody's to say here.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..._base.clock import WallMs
from ...errors import BadPacket
from ..serf.key_queries import step_of
from ..serf.messages import Join, Leave, Query, QueryResponse, SerfMessage, UserEvent
from ..signing import Envelope, Kind, Notary, Reason
from ..wire import serf as wire

#: Messages whose proofs are kept: they are passed on, and shown in exchanges to who missed them.
KEPT_MAX: Final = 2048
TOPICS: Final[dict[type, str]] = {UserEvent: "event", Query: "query", QueryResponse: "answer", Join: "intent",
                                  Leave: "intent"}


def speaker(message: SerfMessage) -> str | None:
    """Who says it by its own words; None: it does not say, as events do."""
    if isinstance(message, Query):
        return message.source_node
    return message.node if isinstance(message, QueryResponse | Join | Leave) else None


class Letters:
    """notary: whose signer and verifier they go by. Takes the place of what its verifier asks about user messages."""

    def __init__(self, notary: Notary, *, kept_max: int = KEPT_MAX) -> None:
        self._notary, self._kept_max = notary, kept_max
        self._proofs: OrderedDict[bytes, tuple[bytes, WallMs, bool]] = OrderedDict()
        self._held: set[bytes] = set()
        notary.verifier.checks[Kind.USER] = self._check

    def say(self, payload: bytes, now: WallMs) -> bytes:
        """This member says it: signed. Raises BadPacket for what it may not say."""
        message = wire.decode(payload)
        if type(message) not in TOPICS or speaker(message) not in (None, self._notary.name) or _of_keys(message):
            raise BadPacket("that is nothing this member may say", why="authority")
        data = self._notary.signer.sign(Kind.USER, TOPICS[type(message)], payload, now)
        self._keep(payload, data, now, shown=not isinstance(message, QueryResponse))
        return data

    def proof_of(self, payload: bytes, now: WallMs) -> bytes | None:
        """The bytes that prove it, to pass it on; None: it cannot be proved, so it is not. What names this member as
        its speaker is signed when it is asked for first; an event has to be said with ``say``."""
        known = self._proofs.get(payload)
        if known is not None:
            return known[0] if self._young(known[1], now) else None
        try:
            if speaker(wire.decode(payload)) != self._notary.name:  # guard: nothing is signed for others
                return None
            return self.say(payload, now)
        except BadPacket:
            return None

    def heard(self, envelope: Envelope, data: bytes) -> bytes:
        """One that was accepted: what is in it, for the layer. Its proof is kept."""
        if envelope.topic != "answer":  # it is for this member alone
            self._keep(envelope.payload, data, WallMs(envelope.time_ms), shown=True)
        return envelope.payload

    def __contains__(self, data: bytes) -> bool:
        """Are these very bytes held already? Then nothing about them is new."""
        return data in self._held

    def recent(self, now: WallMs) -> list[bytes]:
        """Those that are young enough to be told to who missed them, the oldest first."""
        return [data for data, time_ms, shown in self._proofs.values() if shown and self._young(time_ms, now)]

    def young(self, now: WallMs) -> list[tuple[bytes, bytes, WallMs]]:
        """The same with what is in each and when it was signed: payload, bytes, time."""
        return [(payload, data, time_ms) for payload, (data, time_ms, shown) in self._proofs.items()
                if shown and self._young(time_ms, now)]

    def _young(self, time_ms: WallMs, now: WallMs) -> bool:
        return now - time_ms <= self._notary.verifier.lifetimes.user_ms

    def _keep(self, payload: bytes, data: bytes, time_ms: WallMs, *, shown: bool) -> None:
        before = self._proofs.pop(payload, None)
        if before is not None:
            self._held.discard(before[0])
        self._proofs[payload] = data, time_ms, shown
        self._held.add(data)
        if len(self._proofs) > self._kept_max:  # guard: proofs of letters have a bound
            _, (oldest, _, _) = self._proofs.popitem(last=False)
            self._held.discard(oldest)

    def _check(self, envelope: Envelope) -> Reason | None:
        try:
            message = wire.decode(envelope.payload)
        except BadPacket:
            return Reason.MALFORMED
        if TOPICS.get(type(message)) != envelope.topic:
            return Reason.MALFORMED
        registry, said_by = self._notary.verifier.registry, speaker(message)
        if said_by is not None and registry.node_of(said_by) != envelope.origin:  # guard: in one's own name
            return Reason.AUTHORITY
        return Reason.AUTHORITY if _of_keys(message) else None  # guard: no keys by queries


def _of_keys(message: SerfMessage) -> bool:
    return isinstance(message, Query) and step_of(message.name) is not None
