# SPDX-License-Identifier: Apache-2.0
"""The defences, where a member on a real network asks them.

::

    datagram ─▶ arriving ─▶ opened ─▶ heard ─▶ core        stream ─▶ may_talk ─▶ read: bad? ─▶ core
    event ─▶ judged: new, from whom, what its validator says ─▶ handed on and passed on, or neither
    own event ─▶ also straight to ``flood`` members          each second ─▶ what is over, the scores

**Who did it.** A datagram's source can be forged by whoever can send at all, so what cannot be opened costs nobody a
score, and all who are no members share one bucket of the rate limits: they starve each other and no member. A stream's
source is sure, and is a member's where that is the only one at its host. An event that came by datagram is charged to
the member at its source, and so scores and bans want a cluster with a key: an insider who can send from others'
addresses could have them banned, nobody else.

**What a ban does.** Streams are closed at once, and nothing of this member's own is sent there first. Pings and acks
are still heard, so that a ban is not taken for a death; without signatures nothing else is. In a native cluster what
it passes on is proved by others' signatures, and is heard at the rate that all banned share.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import statistics
import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from ..._base.chance import Chance
from ..._base.clock import Clock
from ...errors import BadPacket, ConfigurationError, GossipError
from ..core.core import Core
from ..defence import Defences, Guard, Inspection, Seams
from ..defence import audit as chain
from ..defence import equivocation as proofs
from ..defence.acts import Act, Banned, Incoming, Rotate, Tell
from ..defence.coverage import Auditing, Compared
from ..defence.deaths import Quorum
from ..defence.drawing import Draw, sample
from ..defence.equivocation import Statement, Watching
from ..defence.peers import Choosing
from ..defence.scores import Part, Scoring
from ..defence.validation import Letter, Validator, Verdict
from ..defence.views import Comparing, Entry, Fetch, Split
from ..messages import Ack, Address, Alive, IndirectPing, Message, Nack, NodeState, Ping
from ..native.evidence import Evidence
from ..serf.messages import UserEvent
from .address import host_text
from .burying import Burying
from .peering import Peering
from .telling import Telling

log = logging.getLogger("holdfast")

#: What a Cluster can carry out; the rest of ``Defences`` lives in the simulator and the lab. Price: some 3 µs a packet
#: and 6 µs an event, 16 packets at once for each own event, and beyond 150 packets a second of one member, or of all
#: strangers together, the rest is lost. Places count for nothing here, since members in one network, or on one host,
#: are mostly there on purpose: where anybody may enter, take ``places=Places()`` and ``scoring=Scoring()``.
DEFENDED: Final = Defences(
    amplification=None, watching=None, quorum=None, choosing=None, auditing=None, comparing=None, places=None,
    scoring=Scoring(colocation=Part(0.0, 80.0)))
#: The same where members have identities, which is the default there: what is signed twice under one number is proved
#: to all, views are compared and what was missed is pulled, and all that goes to chosen peers. Price: three streams of
#: 600 bytes in 15 s, and one of 15 kB at most in 10 s; an answer of 10,000 members takes 30 ms, once a second at most.
#: The choice takes no packets; exchanges alone bring news to all of 1,000 in 9.5 rounds in place of 9.0, and in 10.1 in
#: one network. A death takes the words of three members: about a second more, and some ten datagrams of 200 bytes a
#: member. The choice is off above, where whoever has the key speaks in everybody's name anyway, and needs no swarm.
DEFENDED_NATIVE: Final = replace(
    DEFENDED, watching=Watching(), quorum=Quorum(), auditing=Auditing(), comparing=Comparing(), choosing=Choosing())
#: Parts that a Cluster refuses by name, and why.
NOT_HERE: Final = {
    "amplification": "a Cluster gives strangers three bytes for each of theirs, always"}
#: Parts that want signatures, and so a native cluster.
SIGNED_ONLY: Final = {
    "watching": "only what is signed proves that somebody said two things",
    "auditing": "only what is signed can be pulled from somebody else than who said it",
    "comparing": "only a signed view is somebody's",
    "quorum": "only a signed accusation is somebody's"}
#: Those who are no members, all together; and the banned.
STRANGERS: Final = "(strangers)"
OUTCASTS: Final = "(banned)"
#: What no honest member says by stream. Not: what no key opens (it may be ahead), what ends early, another label.
BLAMED: Final = frozenset({"type", "deep", "compression", "crc", "signature", "identity"})
#: Events of exchanges that were judged already: each exchange brings the same ones again.
JUDGED_MAX: Final = 8_192
EVERY_S: Final = 1.0
#: Seconds between two looks at all scores.
SCORED_S: Final = 5.0

AuditTo: TypeAlias = str | Path | Callable[[bytes], None]
_LIFE: Final = (Ping, IndirectPing, Ack, Nack)
_WHY: Final = {"large": "size", "peer rate": "rate", "peer bytes": "rate", "all rate": "rate", "all bytes": "rate"}


class AuditFile:
    """Appends records to a file, after those that are there. Raises ConfigurationError when their chain is broken."""

    def __init__(self, path: Path) -> None:
        self.path, self.failed = path, 0
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise ConfigurationError(f"the audit log {path} cannot be read: {error.strerror or error}") from error
        broken = chain.verify(lines)
        if broken is not None:  # guard: nothing is appended to a log that was changed
            raise ConfigurationError(f"the audit log {path} does not hold at line {broken.line}, {broken.why}: keep it "
                                     "as it is, and name another file")
        self.head = chain.head_of(lines)

    def __call__(self, line: bytes) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:  # a full disk stops no member; the gap in the chain stays to be seen
            self.failed += 1
            log.log(logging.ERROR if self.failed == 1 else logging.DEBUG,
                    "gossip: the audit log %s cannot be written: %s", self.path, error)


class Guarding:
    """Of one member. sealed: what comes is opened by a key. native: what is passed on is signed by whom it is of.

    Raises ConfigurationError for defences that cannot be carried here.
    """

    def __init__(self, name: str, defences: Defences, clock: Clock, telling: Telling, *, sealed: bool, native: bool,
                 label: bytes = b"", audit: AuditTo | None = None) -> None:
        for part, why in (NOT_HERE if native else NOT_HERE | SIGNED_ONLY).items():
            if getattr(defences, part) is not None:
                raise ConfigurationError(f"the defence {part} is not carried on a network: {why}; begin with "
                                         "DEFENDED of holdfast.gossip.agent, or set it to None")
        if not sealed and (defences.scoring or defences.banning):
            raise ConfigurationError("without a key anybody may speak in a member's place and have it banned: give a "
                                     "key, or defences with scoring=None and banning=None")
        sink = AuditFile(Path(audit)) if isinstance(audit, str | Path) else audit
        head = sink.head if isinstance(sink, AuditFile) else None
        self._clock, self._telling, self._native = clock, telling, native
        self._since = clock.wall_ms() / 1000 - clock.now()
        #: What signatures stand for, once it is known who this member is.
        self.evidence: Evidence | None = None
        #: Who carries out what takes streams.
        self.carry: Callable[[Act], None] = lambda _: None
        #: Names of those who were convicted, of whom nothing is taken. Replaced as a whole: threads look into it.
        self.silenced: frozenset[str] = frozenset()
        self._splits = 0
        self.guard = Guard(name, Seams(
            sign=self._sign, verify=self._verify, open=self._open, sink=sink, head=head, stopwatch=time.perf_counter,
            cluster=label), defences, self.now)
        choosing = defences.choosing
        #: With whom this member keeps company; None: with anybody.
        self.peering = Peering(self.guard, choosing) if choosing is not None else None
        #: Who is asked about deaths; None: each member believes its own suspicion, and others' word.
        self.burying = Burying(self, self._do) if defences.quorum is not None else None
        self._bringer, self._by_exchange = "", False
        self._in: set[str] = set()
        self._judged: OrderedDict[bytes, None] = OrderedDict()
        self._scored = 0.0

    @property
    def now(self) -> float:
        """Seconds since 1970 as they were at the start, and from then on by the clock that never goes back."""
        return self._since + self._clock.now()

    # -- before it is opened

    def arriving(self, node: str, size: int) -> str:
        """A datagram of that member, or of a stranger (empty): why it is dropped, or empty."""
        peer = node or STRANGERS  # guard: strangers share one bucket. They may invent addresses
        why = self.guard.arriving(peer, b"", size, self.now)
        if why == "banned":
            why = self.guard.arriving(OUTCASTS, b"", size, self.now)
        return "" if why is None else _WHY.get(why, why)

    def may_talk(self, host: bytes | str, node: str) -> str:
        """Somebody opened a stream: why it is closed at once, or empty. node: the only member at its host."""
        if self.banned(node):  # guard: streams of the banned
            return "banned"
        # By host, which is sure: datagrams in a member's name use up nothing of its streams.
        why = self.guard.arriving(f"host {host_text(host)}", b"", 1, self.now)
        return "" if why is None else _WHY.get(why, why)

    # -- when it was opened

    def heard(self, messages: Sequence[Message], node: str, core: Core) -> list[Message]:
        """What of it is taken."""
        outcast = not self._native and self.banned(node)
        taken = [message for message in messages if (not outcast or isinstance(message, _LIFE))  # guard: bans
                 and not (isinstance(message, Alive) and self._refused(message.node, message.host, core))]
        return self.gated(taken, core)

    def gated(self, messages: Iterable[Message], core: Core) -> list[Message]:
        """The same, as far as they may be believed of deaths."""
        return list(messages) if self.burying is None else self.burying.gated(messages, core.live)

    def states(self, states: Iterable[NodeState], core: Core) -> tuple[NodeState, ...]:
        """Members of an exchange, without those that may not enter."""
        return tuple(state for state in states if not self._refused(state.node, state.host, core))

    def _refused(self, name: str, host: bytes | str, core: Core) -> bool:
        held = core.member(name)
        if name in self._in or (held is not None and not held.gone):
            return False
        refused = self.guard.admit(name, host, "", self.now) is not None  # guard: places
        if not refused:
            self._in.add(name)
        return refused

    def gone(self, name: str) -> None:
        """It failed, left or was forgotten."""
        self._in.discard(name)
        self.guard.left(name, self.now)
        if self.peering is not None:
            self.peering.gone(name)

    def bad(self, node: str, why: str) -> None:
        """What came by a stream of that member was bad."""
        if node and why in BLAMED:  # guard: only where it is sure, and only for what no honest member does
            self._do(self.guard.bad(node, why, self.now))

    def banned(self, node: str) -> bool:
        """Is it not spoken to?"""
        return bool(node) and self.guard.ledger.banned(node, self.now)

    # -- events

    def validate(self, name: str, validator: Validator) -> None:
        """Events of this name are judged by it. Raises ConfigurationError where validation is off."""
        if self.guard.defences.validation is None:
            raise ConfigurationError("nothing is validated with validation=None: give defences with Accounts")
        self.guard.validators.add(name, validator)

    def brings(self, node: str, host: bytes | str, *, by_exchange: bool) -> None:
        """Who brings what comes next."""
        self._bringer, self._by_exchange = node or f"host {host_text(host)}", by_exchange

    def judge(self, event: UserEvent) -> bool:
        """Is an event handed on and passed on? Asked before it counts as heard."""
        id_, now = event_id(event), self.now
        if self._by_exchange and id_ in self._judged:
            return True  # the layer knows it; peers cannot know that we do
        peer, payload = self._bringer, event.payload or b""
        if self._native and not (self.guard.ledger.heard(peer, now) and not self.banned(peer)):
            # Its origin signed it: who brings it does not count.
            return self.guard.validators.judge(Letter(event.name, payload, peer), now).verdict is Verdict.ACCEPT
        decision = self.guard.message(Incoming(peer, event.name, id_, payload), now)
        self._do(decision.acts)
        if decision.verdict is Verdict.ACCEPT:
            self._remember(id_)
        elif decision.verdict is Verdict.REJECT:
            self._telling.rejected += 1
        return decision.verdict is Verdict.ACCEPT  # guard: validators have the word

    def said(self, event: UserEvent, members: Mapping[str, Address], chance: Chance) -> tuple[str, ...]:
        """This member's own event: to whom it goes at once."""
        id_ = event_id(event)
        self._remember(id_)
        self.guard.said(id_, self.now)
        return self.guard.targets(id_, list(members), 0, self.now, chance, own=True, draw=self.draw(members))

    def draw(self, members: Mapping[str, Address]) -> Draw:
        """How some of these are drawn, to whom something goes at once."""
        return sample if self.peering is None else self.peering.draw(members)  # guard: names alone win nothing

    def _remember(self, id_: bytes) -> None:
        self._judged[id_] = None
        if len(self._judged) > JUDGED_MAX:
            self._judged.popitem(last=False)

    # -- what is signed

    def _sign(self, data: bytes) -> bytes:
        if self.evidence is None:
            raise GossipError("it is not known yet who this member is")
        return self.evidence.sign(data)

    def _verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return self.evidence is not None and self.evidence.verify(name, data, signature)

    def _open(self, data: bytes) -> Statement | None:
        return self.evidence.open(data) if self.evidence is not None else None

    def stated(self, statement: Statement, signed: bytes) -> None:
        """A letter whose signature holds, whether or not it is new."""
        self._do(self.guard.stated(statement, signed, self.now))

    def proof(self, node: str, host: bytes | str, data: bytes) -> None:
        """Somebody brought a proof that a member said two things. A false one costs it."""
        watching = self.guard.defences.watching
        if watching is None or self.evidence is None:
            return
        with contextlib.suppress(BadPacket):
            found = proofs.decode(data, watching)
            if self.evidence.strange(found.first):
                return  # by a key that is not known here: who brings it may well know better
        self._do(self.guard.proof(node or f"host {host_text(host)}", data, self.now))

    def _hush(self) -> None:
        for name, proof in self.guard.convicted.items():
            if self.evidence is not None and not self.evidence.stands(proof.first):
                self.guard.acquit(name, self.now)
        self.silenced = frozenset(name for name in self.guard.convicted if self.banned(name))

    def view(self, live: Iterable[Entry]) -> bytes:
        """Who is there, signed."""
        return self.guard.view(self._clock.wall_ms(), live)

    def viewed(self, node: str, data: bytes, live: Iterable[Entry]) -> Fetch | None:
        """A member's view. A Fetch: what differs has done so for long, ask which members it is."""
        fetch, acts = self.guard.viewed(node, data, live, self.now)
        self._do(acts)
        return fetch

    def named(self, fetch: Fetch, data: bytes, live: Iterable[tuple[str, int, float]]) -> None:
        """What was fetched. live: with since when it is so, by the clock that never goes back."""
        held = [(name, incarnation, self._since + since) for name, incarnation, since in live]
        self._do(self.guard.named(fetch, data, held, self.now))

    def audited(self, node: str, ids: Iterable[bytes]) -> Compared:
        """What a member had lately: what to pull of it. It owes nothing: whose letter comes is known, who passed it on
        is as sure as a datagram's source."""
        compared, acts = self.guard.audited(node, ids, self.now, owes=False)
        self._do(acts)
        self._telling.covered(compared.had + compared.missed, compared.missed)
        return compared

    # -- time

    async def run(self, core: Core, chance: Chance) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.second(core, chance)

    def second(self, core: Core, chance: Chance) -> None:
        """What is over, whom to keep to, the scores."""
        there = [member.node for member in core.members if not member.gone and member.node != core.name]
        for name in self._in.difference(there):  # admitted, and not believed by the core
            self.gone(name)
        if self.peering is not None:
            self.peering.look(core.members, len(there), self.now, chance)
            there = list(self.peering.company) or there  # guard: audits ask the chosen
        self._do(self.guard.tick(there, self.now, chance))
        self._hush()
        splits: tuple[Split, ...] = self.guard.splits
        if len(splits) != self._splits:  # guard: told when it begins, and when it is over
            self._splits = len(splits)
            self._telling.split(len(splits))
        scores = self.guard.ledger.scores
        if scores is not None and self.now - self._scored >= SCORED_S:
            self._scored = self.now
            all_ = scores.all(self.now)
            totals = [score.total for score in all_] or [0.0]
            bans = self.guard.ledger.bans
            self._telling.scored(totals[0], statistics.median(totals),
                                 gray=sum(score.standing != "good" for score in all_),
                                 banned=len(bans.all(self.now)) if bans is not None else 0)

    def inspect(self) -> Inspection:
        """What was decided."""
        return self.guard.inspect(self.now)

    def _do(self, acts: Iterable[Act]) -> None:
        for act in acts:
            if isinstance(act, Banned):
                ban = act.ban
                log.warning("gossip: %s is banned for %.0f s: %s", ban.name, ban.until - self.now, ban.why)
                self._telling.banned(ban.name, ban.why.partition(":")[0], ban.until - self.now)
                self._hush()
            else:
                if isinstance(act, Tell) and act.what == "proof":
                    self._caught(act.data)
                elif isinstance(act, Rotate) and self.peering is not None:
                    self.peering.turn()  # guard: nobody stays by luck
                self.carry(act)

    def _caught(self, data: bytes) -> None:
        watching = self.guard.defences.watching
        said = self._open(proofs.decode(data, watching).first) if watching is not None else None
        if said is not None:
            log.error("gossip: %s signed two letters under one number, and both are kept: its key was copied, or it "
                      "lies; expel it, or unban it when it was a copied machine", said.origin)
            self._telling.equivocated(said.origin)


def event_id(event: UserEvent) -> bytes:
    """The same by whatever way it came: an exchange leaves out whether events may be joined."""
    name = event.name.encode("utf-8", "surrogateescape")
    told = struct.pack(">QI", event.ltime, len(name)) + name + (event.payload or b"")
    return hashlib.sha256(told).digest()[:16]


def only_at(host: bytes | str, names: Iterable[tuple[Address, str]]) -> str:
    """The member at that host, where there is one and no more."""
    found = {name for (at, _), name in names if at == host}
    return found.pop() if len(found) == 1 else ""
