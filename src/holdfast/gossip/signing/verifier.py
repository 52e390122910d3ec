# SPDX-License-Identifier: Apache-2.0
"""What comes in is verified before it is kept or passed on: (bytes, who delivered it, now) → what becomes of it.

::

    one form ▸ our cluster ▸ mode ▸ time ▸ key: known, the origin's, its algorithm, not revoked ▸ signature ▸ once
       │           │                  │          └ unknown: put aside, ask the peer │                │        │
       └───────────┴── blame ─────────│─────────────────── blame ───────────────────┴────────────────┘        │
                                      └ expired, future: refused, nobody is blamed                    duplicate

Cheap questions come first. A signature that held is remembered by the hash of all bytes, so a message that ten peers
deliver is computed once; whether its key is still good is asked each time.

A message that its key's owner signed is passed on as it is. Who passes it on signs nothing, and so answers for nothing
but this: that it verified. Hence the blame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeAlias

import msgspec

from ..._base.clock import WallMs
from ...errors import BadPacket, ConfigurationError, NotTrusted
from .algorithms import PublicKey, key_id
from .envelope import Envelope, Kind, decode, signed_part_of
from .quarantine import Quarantine, Waiting
from .registry import KEYS_MAX, Admission, Binding, Registry
from .replay import Replays, Seen
from .verdict import (
    BLAMED,
    Accepted,
    AskForKey,
    Blame,
    Counts,
    Duplicate,
    Effect,
    Peer,
    Quarantined,
    Reason,
    Rejected,
    Result,
    Unproved,
    Verdict,
)

#: Signatures that are remembered to hold: some 150 bytes each.
CACHE_MAX: Final = 16_384
#: Bytes of a shown key that is kept for those who ask; certificates are shorter.
ANNOUNCED_MAX: Final = 4096

#: Why a message that is properly signed is refused all the same; None: it is not.
Check: TypeAlias = Callable[[Envelope], Reason | None]


class Mode(Enum):
    """What a topic asks for."""

    #: A signature that holds. The default.
    STRICT = "strict"
    #: Unsigned messages are let in and counted, for as long as members are being changed over; a bad signature never.
    PERMISSIVE = "permissive"
    #: Nothing: signatures are not looked at, and nobody knows who said what. Members that ask for more blame those that
    #: pass on what they did not look at, so a topic is off everywhere or nowhere.
    OFF = "off"


class Modes:
    """default: for every topic that is not named. topics: by kind and topic."""

    __slots__ = ("_default", "_topics")

    def __init__(self, default: Mode = Mode.STRICT, topics: Mapping[tuple[Kind, str], Mode] | None = None) -> None:
        self._default, self._topics = default, dict(topics or {})

    def of(self, kind: Kind, topic: str) -> Mode:
        """The mode of this topic."""
        return self._topics.get((kind, topic), self._default)


class Lifetimes(msgspec.Struct, frozen=True):
    """How old a message may be, by the clocks of two machines, in ms.

    claim_ms: also how often a member has to renew what it says of itself: at half of it (``Notary``). user_ms: how
    long a message may be under way. key_ms: of a key that is shown. future_ms: how far clocks may differ. Price of
    more: what a thief recorded or signed works for longer. Of less: slow ways and clocks that differ lose messages.
    """

    claim_ms: int = 3_600_000
    user_ms: int = 120_000
    key_ms: int = 86_400_000
    future_ms: int = 30_000

    def of(self, kind: Kind) -> int:
        """Of this kind of message."""
        return {Kind.CLAIM: self.claim_ms, Kind.USER: self.user_ms, Kind.KEY: self.key_ms}[kind]


class _Refused(Exception):
    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


class Verifier:
    """cluster: ours. admission: who may enter with a key that travels along; None: nobody. replays: give it the time of
    this start as its floor, see there. cache_max: price of less: signatures are computed again. timer: in seconds, for
    ``counts.seconds``; None: not measured."""

    def __init__(self, cluster: str, registry: Registry, *, modes: Modes | None = None,
                 lifetimes: Lifetimes | None = None, admission: Admission | None = None,
                 replays: Replays | None = None, quarantine: Quarantine | None = None,
                 cache_max: int = CACHE_MAX, timer: Callable[[], float] | None = None) -> None:
        if not cluster:
            raise ConfigurationError("a cluster with signed messages has a name")
        self.cluster: Final = cluster
        self.registry: Final = registry
        self.modes: Final = modes or Modes()
        self.lifetimes: Final = lifetimes or Lifetimes()
        self._admission = admission
        self._replays = Replays() if replays is None else replays
        self._quarantine = Quarantine() if quarantine is None else quarantine
        self._cache: dict[bytes, None] = {}
        self._cache_max, self._timer = cache_max, timer or (lambda: 0.0)
        self._announced: dict[bytes, tuple[int, bytes]] = {}
        #: By kind: what a message has to be besides being signed. Asked before it counts as seen.
        self.checks: Final[dict[Kind, Check]] = {}
        self.counts: Final = Counts()

    def verify(self, data: bytes, peer: Peer, now: WallMs) -> Verdict:
        """What becomes of these bytes, which that peer delivered now. Raises nothing: whatever comes has a verdict."""
        try:
            return self._judged(data, peer, now)
        except _Refused as refused:
            return self._rejected(refused.reason, peer, refused.detail)

    def unsigned(self, kind: Kind, topic: str, peer: Peer) -> Verdict:
        """What becomes of a message that came without a signature. In permissive mode it is let in: honest members of
        an older version send such, so nobody is blamed."""
        if self.modes.of(kind, topic) is Mode.STRICT:  # guard: strict topics
            return self._rejected(Reason.UNSIGNED, peer)
        self.counts.unsigned += 1
        return Verdict(Unproved())

    def release(self, wanted: bytes, now: WallMs) -> list[tuple[Peer, Verdict]]:
        """What waited for this key, and what became of it, once the registry knows the key. Empty: nothing did."""
        if self.registry.find(wanted) is None:
            return []
        found = self._quarantine.take(wanted, now)
        self.counts.released += len(found)
        return [(one.peer, self.verify(one.data, one.peer, now)) for one in found]

    def announcement(self, wanted: bytes, now: WallMs) -> bytes | None:
        """The message by which a key was shown here, to answer who asks for it; None: there is none that is young."""
        known = self.registry.find(wanted)
        time_ms, data = self._announced.get(wanted, (0, b""))
        good = known is not None and known.revoked_ms is None and now - time_ms <= self.lifetimes.key_ms
        return data if data and good else None

    def _holds(self, public: PublicKey, envelope: Envelope, data: bytes) -> bool:
        began = self._timer()
        holds = public.verify(envelope.signature, signed_part_of(data, envelope))
        self.counts.seconds += self._timer() - began
        return holds

    @property
    def waiting(self) -> int:
        """Messages by keys that nobody vouches for so far."""
        return len(self._quarantine)

    def _judged(self, data: bytes, peer: Peer, now: WallMs) -> Verdict:
        envelope = self._opened(data)
        if self.modes.of(envelope.kind, envelope.topic) is Mode.OFF:
            return self._accepted(Accepted(envelope, data, proved=False))
        self._young(envelope, now)
        known = self.registry.find(envelope.key_id)
        public = self._key(envelope, known)
        if public is None:
            return self._put_aside(envelope, data, peer, now)
        digest = hashlib.sha256(data).digest()
        before = digest in self._cache
        if before:
            self.counts.cached += 1
        elif self._holds(public, envelope, data):  # guard: signatures
            self.counts.verified += 1
        else:
            raise _Refused(Reason.SIGNATURE)
        if known is None:
            self._admit(envelope, public, now)
        check = self.checks.get(envelope.kind)
        refused = None if check is None else check(envelope)
        if refused is not None:  # guard: who may say what
            raise _Refused(refused)
        self._remember(digest)
        return self._once(envelope, data, before)

    def _opened(self, data: bytes) -> Envelope:
        try:
            envelope = decode(data)
        except BadPacket as error:
            raise _Refused(Reason.MALFORMED, str(error)) from None
        if envelope.cluster != self.cluster:  # guard: another cluster's messages mean nothing here
            raise _Refused(Reason.CLUSTER)
        return envelope

    def _young(self, envelope: Envelope, now: WallMs) -> None:
        if now - envelope.time_ms > self.lifetimes.of(envelope.kind):  # guard: old messages are over
            raise _Refused(Reason.EXPIRED)
        if envelope.time_ms - now > self.lifetimes.future_ms:
            raise _Refused(Reason.FUTURE)

    def _key(self, envelope: Envelope, known: Binding | None) -> PublicKey | None:
        """The key that speaks for the origin in this way; None: nobody knows it, and it did not travel along."""
        travels = bool(envelope.key)
        if travels and not key_id(envelope.algorithm, envelope.key) == envelope.key_id == envelope.origin:
            raise _Refused(Reason.IDENTITY)  # guard: a key that travels along is the origin's
        if known is not None and known.node_id != envelope.origin:  # guard: a key speaks for its own node
            raise _Refused(Reason.IDENTITY)
        if known is not None and envelope.algorithm is not known.public.algorithm:
            raise _Refused(Reason.ALGORITHM)  # guard: no downgrade. The algorithm is the key's
        if known is None and not travels:
            return None
        if envelope.algorithm not in self.registry.algorithms:  # guard: the list of algorithms
            raise _Refused(Reason.UNLISTED)
        if known is None:
            try:
                return PublicKey(envelope.algorithm, envelope.key)
            except ConfigurationError as error:
                raise _Refused(Reason.MALFORMED, str(error)) from None
        if known.revoked_ms is not None and envelope.time_ms >= known.revoked_ms:  # guard: revoked keys
            raise _Refused(Reason.REVOKED)
        return known.public

    def _admit(self, envelope: Envelope, public: PublicKey, now: WallMs) -> None:
        """May it enter? Then it is known from now on. Asked once the signature has shown that it holds the key."""
        shown = envelope.payload if envelope.kind is Kind.KEY else b""
        name = None if self._admission is None else self._admission(envelope.origin, public, shown, now)
        if name is None:  # guard: admission. A key that merely travels along proves nothing
            raise _Refused(Reason.ADMISSION)
        try:
            self.registry.bind(public, name)
        except NotTrusted as error:
            raise _Refused(Reason.ADMISSION, str(error)) from None

    def _once(self, envelope: Envelope, data: bytes, before: bool) -> Verdict:
        if not envelope.kind.once:
            seen = Seen.AGAIN if before else Seen.NEW
        else:
            at = envelope.origin, envelope.epoch, envelope.sequence, envelope.time_ms
            seen = self._replays.look(*at)
            if seen is Seen.NEW:
                self._replays.mark(*at)
        if seen is Seen.BEHIND:
            raise _Refused(Reason.BEHIND)
        if seen is Seen.AGAIN:
            self.counts.replays += 1
            return Verdict(Duplicate(envelope, data))
        if envelope.kind is Kind.KEY and envelope.key and len(data) <= ANNOUNCED_MAX:
            self._shown(envelope, data)
        return self._accepted(Accepted(envelope, data))

    def _shown(self, envelope: Envelope, data: bytes) -> None:
        """The youngest showing of each key is kept."""
        before = self._announced.pop(envelope.key_id, (0, b""))
        self._announced[envelope.key_id] = max(before, (envelope.time_ms, data))
        if len(self._announced) > KEYS_MAX:
            del self._announced[next(iter(self._announced))]

    def _put_aside(self, envelope: Envelope, data: bytes, peer: Peer, now: WallMs) -> Verdict:
        waiting = Waiting(envelope.key_id, data, peer, now)
        if not self._quarantine.put(waiting):
            raise _Refused(Reason.CROWDED)
        self.counts.quarantined += 1
        effects: tuple[Effect, ...] = ()
        if self._quarantine.ask(waiting):
            self.counts.asked += 1
            effects = (AskForKey(peer, envelope.key_id, envelope.origin),)
        return Verdict(Quarantined(envelope.key_id), effects)

    def _remember(self, digest: bytes) -> None:
        self._cache.pop(digest, None)
        self._cache[digest] = None
        if len(self._cache) > self._cache_max:
            del self._cache[next(iter(self._cache))]

    def _accepted(self, result: Result) -> Verdict:
        self.counts.accepted += 1
        return Verdict(result)

    def _rejected(self, reason: Reason, peer: Peer, detail: str = "") -> Verdict:
        self.counts.reject(reason)
        if reason not in BLAMED:
            return Verdict(Rejected(reason, detail))
        self.counts.blamed += 1
        return Verdict(Rejected(reason, detail), (Blame(peer, reason),))
