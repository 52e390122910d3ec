# SPDX-License-Identifier: Apache-2.0
"""All defences together, at the places where a shell or the simulator asks.

::

    packet ─▶ arriving ─▶ decode, open, verify ─▶ message ─▶ hand on ─▶ targets ─▶ packets
                             │ it is bad: bad()       │
    Dead ─▶ gate       own suspicion ran out ─▶ bury  └─ acts: Tell, Banned, …

Cheap questions come first: a banned peer costs a look into a table, one beyond its rate no decryption, an unsigned
message no validator. Only then is there somebody to blame: what is counted against a peer is what *it* brought, and a
peer is never blamed for what it could not know, such as an origin that another member has caught.

Each part can be off (``Defences``). None of this is needed for the protocol to work.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from ..._base.chance import Chance
from ...errors import BadPacket, ConfigurationError
from ..core.order import below
from ..messages import Message
from . import deaths as certificates
from . import equivocation as proofs
from . import views
from .acts import Act, AuditWith, Burial, CompareWith, Decision, Incoming, Report, Rotate, Tell
from .amplification import Answers
from .audit import Head
from .bans import Ban
from .buckets import Limiter
from .coverage import Auditing, Compared, Coverage
from .deaths import Certificate, Deaths, Roster
from .drawing import Draw, sample
from .equivocation import Equivocations
from .ledger import Ledger
from .peers import Candidate, Chosen, Peers
from .scores import Score
from .settings import Defences, Seams
from .subnets import Places, Quota, neighbourhood
from .validation import Accounts, Letter, Validators, Verdict
from .views import Entry, Fetch, Split, Views

#: Ids of rejected messages that are remembered: whoever brings one again pays again, and nobody is asked again.
_REJECTED_MAX: Final = 4_096
#: How often what is over is cleared away, in seconds.
_TIDY_S: Final = 30.0


class Inspection(msgspec.Struct, frozen=True):
    """What is going on, for metrics and operators.

    counts: decisions, by ``where: why``; scores: peers by standing; worst: the lowest scores with their parts; bans;
    places: members by network and issuer; coverage: see ``coverage``; views_compared, views_equal, splits: see
    ``views``; convicted: origins with a proof against them; validators: verdicts; head: the audit log's end.
    """

    counts: dict[str, int]
    scores: dict[str, int]
    worst: tuple[Score, ...]
    bans: tuple[Ban, ...]
    places: dict[str, int]
    chosen: tuple[str, ...]
    coverage: float | None
    pulled: int
    unkept: int
    views_compared: int
    views_equal: int
    splits: tuple[Split, ...]
    convicted: tuple[str, ...]
    validators: dict[str, int]
    answers_refused: int
    head: Head


class Guard:
    """One member's defences. me: its name. now: seconds on a clock that never goes back, for all calls the same one.

    Raises ConfigurationError when a defence is on that lacks what it needs from ``seams``.
    """

    def __init__(self, me: str, seams: Seams | None = None, defences: Defences | None = None, now: float = 0.0) -> None:
        seams, defences = seams or Seams(), defences or Defences()
        seams.check(defences)
        self.me, self.defences, self._cluster = me, defences, seams.cluster
        self._sign, self._verify = seams.sign, seams.verify
        self._limiter = None if defences.limits is None else Limiter(defences.limits, now)
        self._answers = None if defences.amplification is None else Answers(defences.amplification, seams.secret)
        # Asked for what is exempt even when its caps are off: neighbours on loopback are no crowd.
        self._quota = Quota(defences.places or Places())
        self._equivocations = None if defences.watching is None or seams.open is None else Equivocations(
            defences.watching, seams.open)
        self._deaths = None if defences.quorum is None or seams.sign is None or seams.verify is None else Deaths(
            defences.quorum, me, seams.sign, seams.verify, seams.cluster)
        self._peers = None if defences.choosing is None else Peers(defences.choosing, seams.anchors)
        self._views = None if defences.comparing is None else Views(defences.comparing)
        # These two are asked even when their defence is off: somebody has to know what was seen.
        self.validators = Validators(defences.validation or Accounts(), seams.stopwatch)
        self._coverage = Coverage(defences.auditing or Auditing())
        self._rejected: OrderedDict[bytes, None] = OrderedDict()
        self._due: dict[str, float] = {}
        self.ledger = Ledger(defences, seams, now)

    # Before a packet is decoded, and when it proved bad.

    def arriving(self, peer: str, address: bytes, size: int, now: float, *, surely: bool = False) -> str | None:
        """A packet, before it is opened. None: go on. Else why it is dropped: ``banned``, ``large``, ``peer rate``,
        ``peer bytes``, ``all rate``, ``all bytes``. address: as bytes, host and port. surely: it is the peer that sent
        it (a stream). A datagram's source can be forged, and then too many of them cost the peer's score nothing, or
        anybody could ruin it."""
        if self._answers is not None:
            self._answers.received(address, size)
        if self.ledger.banned(peer, now):
            return self.ledger.count("arriving", "banned")
        why = None if self._limiter is None else self._limiter.take(peer, size, now)
        if why is None:
            return None
        if surely and not why.startswith("all"):  # guard: what all together are too many for is nobody's fault
            self.ledger.note(peer, "rate", now)
        return self.ledger.refuse("arriving", why, peer, now)

    def bad(self, peer: str, why: str, now: float) -> tuple[Act, ...]:
        """What a peer brought could not be decoded, or a signature in it is false. why: as ``BadPacket.why``. Only
        where it is sure who brought it: by a stream, or in a packet that opened under that peer's own key. Not for what
        no key here opens: it may be forged, and this member may be the one that is behind."""
        self.ledger.refuse("bad", why, peer, now)
        return self.ledger.pay(peer, "invalid", now)

    # A message, before it is handled and before it is passed on.

    def message(self, incoming: Incoming, now: float) -> Decision:
        """Handle it and pass it on, or neither."""
        peer = incoming.peer
        for name, why in ((peer, "banned"), (incoming.origin, "banned origin")):
            if name and self.ledger.banned(name, now):
                return self.ledger.decide(Verdict.IGNORE, why, peer, now)
        if not self.ledger.heard(peer, now):
            return self.ledger.decide(Verdict.IGNORE, "graylist", peer, now)
        if incoming.id in self._rejected:
            acts = self.ledger.pay(peer, "invalid", now)
            return self.ledger.decide(Verdict.REJECT, "rejected before", peer, now, acts)
        if self._coverage.knows(incoming.id):
            _, again = self._coverage.saw(incoming.id, peer, now)
            if not again:
                self.ledger.delivered(peer, now, first=False)
            acts = self.ledger.pay(peer, "repeat", now) if again else ()
            return self.ledger.decide(Verdict.IGNORE, "repeat" if again else "duplicate", peer, now, acts)
        acts = self._equivocates(incoming, now)
        if acts:
            return self.ledger.decide(Verdict.IGNORE, "equivocation", incoming.origin, now, acts)
        return self._judge(incoming, now)

    def said(self, id_: bytes, now: float) -> None:
        """This member's own message, when it is sent."""
        self._coverage.saw(id_, self.me, now, own=True)

    def targets(self, id_: bytes, peers: Sequence[str], fanout: int, now: float, chance: Chance, *,
                own: bool = False, draw: Draw = sample) -> tuple[str, ...]:
        """To whom a message goes: ``fanout`` of these peers at random, an own one to ``flood`` of them. Peers that are
        banned get nothing; those on the graylist get what is over. draw: how so many of some are drawn."""
        good: list[str] = []
        gray: list[str] = []
        for peer in peers:
            if not self.ledger.banned(peer, now):
                (good if self.ledger.heard(peer, now) else gray).append(peer)
        count = max(fanout, self.defences.flood) if own else fanout  # guard: flood
        chosen = draw(good, count, chance)
        chosen += sample(gray, count - len(chosen), chance)
        for peer in chosen:
            self._coverage.told(id_, peer)
        return tuple(chosen)

    # Members that come and go.

    def admit(self, name: str, host: bytes | str, issuer: str, now: float) -> str | None:
        """None: it may enter. Else why not: ``banned``, or the cap it meets, such as ``10.1.2.0/24`` or ``issuer x``.
        issuer: of the certificate that was verified; empty without one."""
        if self.ledger.banned(name, now):
            return self.ledger.refuse("admit", "banned", name, now)
        cap = None if self.defences.places is None else self._quota.admit(name, host, issuer)
        if cap is not None:
            self.ledger.refuse("admit", "issuer" if cap.startswith("issuer ") else "network", name, now, detail=cap)
            return cap
        if self.ledger.scores is not None:
            shared = self._quota.exempt(host)  # guard: neighbours on purpose are no crowd
            address = host if isinstance(host, bytes) else host.encode()
            self.ledger.scores.connected(name, None if shared else address, now)
        self.ledger.audit.write("admission", name, issuer, now)
        self.ledger.counts["admitted"] += 1
        return None

    def left(self, name: str, now: float) -> None:
        """It left, died, or was put out."""
        if self._views is not None:
            self._views.forget(name)  # guard: a difference ends with whom it was with
        self._quota.release(name)
        if self._deaths is not None:
            self._deaths.forget(name)
        if self.ledger.scores is not None:
            self.ledger.scores.disconnected(name, now)

    def choose(self, candidates: Sequence[Candidate], now: float, chance: Chance) -> Chosen:
        """With whom to talk. Without this defence: all of them."""
        able = [one for one in candidates if not self.ledger.banned(one.name, now)
                and self.ledger.heard(one.name, now)]
        if self._peers is None:
            return Chosen(tuple(one.name for one in able), (), ())
        scored = [msgspec.structs.replace(one, score=self.ledger.total(one.name, now)) for one in able]
        chosen = self._peers.choose(scored, now, chance)
        self.ledger.counts["peers rotated"] += len(chosen.removed)
        return chosen

    @property
    def chosen(self) -> tuple[str, ...]:
        """With whom it talks, as of the last ``choose``: the longest chosen first. Nobody without this defence."""
        return () if self._peers is None else self._peers.chosen

    def remember(self, anchors: Iterable[str]) -> None:
        """Peers from before the restart, where they come to light later than ``Seams``."""
        if self._peers is not None:
            self._peers.remember(anchors)

    def anchors(self, by: float = math.inf) -> tuple[str, ...]:
        """Peers to remember over a restart, for ``Seams.anchors``. by: chosen at that time at the latest."""
        return () if self._peers is None else self._peers.anchors(by)

    def network(self, host: bytes | str) -> str:
        """For a ``Candidate``. Empty where crowds are there on purpose (``Places.exempt``): each is one of its own."""
        return "" if self._quota.exempt(host) else neighbourhood(host)  # guard: neighbours on purpose are no swarm

    # Deaths.

    def gate(self, message: Message, live: Roster, now: float) -> Message:
        """What to hand to the core in place of a message: a death without a certificate is an accusation."""
        if self._deaths is None:
            return message
        passed = self._deaths.gate(message, live, now)
        if passed is not message:
            self.ledger.counts["deaths: uncertified"] += 1
        return passed

    def bury(self, node: str, incarnation: int, live: Collection[str], now: float, chance: Chance) -> Burial:
        """This member's own suspicion ran out: may the death be declared? live: names held to be live, as
        ``deaths.Roster`` says."""
        if self._deaths is None:
            return Burial(True, (), node, incarnation)
        acts = self.accuse(node, incarnation, now)
        if self._deaths.may_bury(node, incarnation, live, now):
            # Believed once, it stays so, though accusers died since: then what is known is told.
            found = self._deaths.certificate(node, incarnation, live, now) or self._deaths.known(node, incarnation)
            self.ledger.audit.write("certificate", node, "enough accusers", now, must=True,
                                    accusers=len(found.accusations))
            self.ledger.counts["deaths: certified"] += 1
            return Burial(True, (Tell("certificate", certificates.encode(found)),), node, incarnation)
        solicit = self._deaths.solicit(node, incarnation, live, now, chance)
        if solicit is None:
            return Burial(False, acts, node, incarnation)
        self.ledger.counts["deaths: solicited"] += 1
        return Burial(False, (*acts, solicit), node, incarnation)

    def accused(self, peer: str, data: bytes, live: Roster, now: float) -> Burial:
        """A peer brought accusations or a certificate. allowed: the death is believed now: hand a ``Dead`` of the
        burial's node and incarnation to the core. acts: what is passed on; nothing when nothing of it was news."""
        if self._deaths is None:
            return Burial(False)
        try:
            certificate = certificates.decode(data)
        except BadPacket as error:
            return Burial(False, self.bad(peer, error.why, now))
        node, incarnation = certificate.node, certificate.incarnation
        before, known = self._deaths.may_bury(node, incarnation, live, now), self._deaths.known(node, incarnation)
        holds = self._deaths.check(certificate, live, now)
        if holds is None:
            return Burial(False, self.bad(peer, "accusation", now))
        news = self._deaths.known(node, incarnation)
        if holds and not before:
            self.ledger.audit.write("certificate", node, "heard", now, must=True, accusers=len(news.accusations))
        if len(news.accusations) == len(known.accusations) and holds == before:
            return Burial(holds, (), node, incarnation)
        # What is passed on is what was verified here, not what came.
        told = Certificate(node, incarnation, news.accusations[-self._deaths.quorum.accusers:])
        tell = Tell("certificate" if holds else "accusation", certificates.encode(told))
        return Burial(holds, (tell,), node, incarnation)

    def asked(self, node: str, incarnation: int, live: Roster, now: float) -> bool:
        """A peer asks (``Solicit``) that this member probe that one itself: shall it? If the probe is in vain, tell it
        by ``accuse``."""
        return self._deaths is not None and self._deaths.may_probe(node, incarnation, live, now)

    def accuse(self, node: str, incarnation: int, now: float) -> tuple[Act, ...]:
        """This member could not reach it, whatever others say: its signed word, for all."""
        if self._deaths is None:
            return ()
        own = self._deaths.accuse(node, incarnation, now)
        others = (one for one in self._deaths.known(node, incarnation).accusations if one.accuser != self.me)
        told = (own, *others)[:self._deaths.quorum.accusers]
        return (Tell("accusation", certificates.encode(Certificate(node, incarnation, told))),)

    def certified(self, node: str, incarnation: int) -> bytes | None:
        """The certificate of a death that is believed here, for who missed it; None: there is none."""
        found = None if self._deaths is None else self._deaths.certified(node, incarnation)
        return None if found is None else certificates.encode(found)

    def refuted(self, node: str, incarnation: int) -> None:
        """A member showed a higher incarnation: what was said against it was false, or is over."""
        if self._deaths is not None and self._deaths.refuted(node, incarnation):
            self.ledger.counts["deaths: refuted"] += 1

    # Proofs.

    @property
    def convicted(self) -> dict[str, proofs.Proof]:
        """By whose signatures it is proved that they said two things."""
        return {} if self._equivocations is None else self._equivocations.proofs

    def acquit(self, name: str, now: float) -> None:
        """The name is another node's by now, against whom nothing is proved."""
        if self._equivocations is not None:
            self._equivocations.forget(name)
        if self.ledger.bans is not None and self.ledger.bans.lift(name):
            self.ledger.audit.write("unban", name, "the name is another node's", now, must=True)

    def stated(self, statement: proofs.Statement, signed: bytes, now: float) -> tuple[Act, ...]:
        """Bytes whose signature was verified, and what they stand for, where it is not asked of a message."""
        found = None if self._equivocations is None else self._equivocations.said(statement, signed)
        return () if found is None else self._convicted(statement.origin, found, now)

    def proof(self, peer: str, data: bytes, now: float) -> tuple[Act, ...]:
        """A peer brought a proof of equivocation: the origin is banned and the proof passed on, once."""
        if self._equivocations is None:
            return ()
        try:
            found = proofs.decode(data, self._equivocations.watching)
        except BadPacket as error:
            return self.bad(peer, error.why, now)
        origin = self._equivocations.convict(found)
        if origin is not None:
            return self._convicted(origin, found, now)
        return () if self._equivocations.holds(found) is not None else self.bad(peer, "proof", now)

    # Pulls and audits.

    def room(self, address: bytes, now: float, most: int) -> int:
        """How many bytes an answer to there may have."""
        return most if self._answers is None else self._answers.room(address, now, most)

    def may_answer(self, address: bytes, size: int, now: float) -> bool:
        """May an answer of that size go there? Then it is counted."""
        return self._answers is None or self._answers.may_send(address, size, now)

    def cookie(self, address: bytes, now: float) -> bytes:
        """To send to an address that is to prove itself; empty without this defence."""
        return b"" if self._answers is None else self._answers.cookie(address, now)

    def prove(self, address: bytes, cookie: bytes, now: float) -> bool:
        """A cookie came back from there: is it the right one?"""
        return self._answers is None or self._answers.prove(address, cookie, now)

    def digest(self, now: float) -> tuple[bytes, ...]:
        """Ids of what has come here, for an audit."""
        return () if self.defences.auditing is None else self._coverage.digest(now)

    def audited(self, peer: str, digest: Iterable[bytes], now: float, *, owes: bool = True) -> tuple[
            Compared, tuple[Act, ...]]:
        """A peer's digest: what to pull from it, and what follows for it. owes: see ``coverage``."""
        if self.defences.auditing is None:
            return Compared((), 0, 0), ()
        compared = self._coverage.compare(peer, digest, now, owes=owes)
        if not compared.silent:
            return compared, ()
        self.ledger.counts["coverage: silent"] += 1
        return compared, self.ledger.pay(peer, "missing", now)

    def gave(self, peer: str, ids: Iterable[bytes]) -> None:
        """A peer gave what was pulled, whatever became of it here."""
        self._coverage.gave(peer, ids)

    def knows(self, id_: bytes) -> bool:
        """Did this message come here lately?"""
        return self._coverage.knows(id_)

    # Views.

    @property
    def differing(self) -> tuple[str, ...]:
        """Members whose view is another one, for however short a time."""
        return () if self._views is None else self._views.differing

    @property
    def splits(self) -> tuple[Split, ...]:
        """Differences that stay."""
        return () if self._views is None else self._views.splits

    def view(self, round_: int, live: Iterable[Entry]) -> bytes:
        """This member's signed view. round_: higher each time, over restarts too: a clock's milliseconds do."""
        if self._sign is None:
            raise ConfigurationError("a view is signed: give sign in Seams")
        ours = views.claim(self.me, round_, live)
        return views.encode(ours, self._sign(ours.signed_bytes(self._cluster)))

    def viewed(self, peer: str, data: bytes, live: Iterable[Entry], now: float) -> tuple[
            Fetch | None, tuple[Act, ...]]:
        """A peer's signed view. live: this member's own, of now. A Fetch: ask for these entries, a difference stays."""
        if self._views is None or self._verify is None:
            return None, ()
        try:
            theirs, signature = views.decode(data)
        except BadPacket as error:
            return None, self.bad(peer, error.why, now)
        if theirs.member != peer or not self._verify(peer, theirs.signed_bytes(self._cluster), signature):
            return None, self.bad(peer, "view", now)
        return self._views.compare(views.claim(self.me, 0, live), theirs, now), ()

    def named(self, fetch: Fetch, data: bytes, live: Iterable[tuple[str, int, float]], now: float) -> tuple[Act, ...]:
        """The entries that were fetched: what stays different is reported. Others than the peer signed cost it. live:
        name, incarnation, and since when it is so here."""
        if self._views is None:
            return ()
        try:
            theirs = views.decode_entries(data, self._views.comparing)
        except BadPacket as error:
            return self.bad(fetch.peer, error.why, now)
        if not self._views.signed(fetch, theirs):
            return self.bad(fetch.peer, "view", now)
        split = self._views.name(fetch, theirs, live, now)
        if split is None:
            return ()
        self.ledger.counts["views: split"] += 1
        self.ledger.audit.write("split", fetch.peer, "views stay different", now, must=True,
                                only_here=len(split.only_here), only_there=len(split.only_there),
                                other=len(split.other))
        return (Report(split),)

    # Time, and what can be seen.

    def tick(self, peers: Sequence[str], now: float, chance: Chance) -> tuple[Act, ...]:
        """What is due. peers: with whom audits and comparisons may be held. Call it every second or so."""
        acts: list[Act] = []
        able = [peer for peer in peers if not self.ledger.banned(peer, now)]
        for peer in self._coverage.broken(now):
            self.ledger.counts["coverage: promise not kept"] += 1
            acts += self.ledger.pay(peer, "missing", now)
        auditing, comparing, choosing = self.defences.auditing, self.defences.comparing, self.defences.choosing
        if auditing is not None and able and self._is_due("audit", auditing.every_s, now, chance):
            acts.append(AuditWith(able[below(chance, len(able))]))
        if comparing is not None and able and self._is_due("view", comparing.every_s, now, chance):
            acts.append(CompareWith(able[below(chance, len(able))]))
        if choosing is not None and self._is_due("rotate", choosing.rotate_s, now, chance):
            acts.append(Rotate())
        if self._is_due("tidy", _TIDY_S, now, chance):
            self.ledger.tidy(now)
            if self._deaths is not None:
                self._deaths.tidy(now)
        return tuple(acts)

    def unban(self, name: str, now: float) -> bool:
        """An operator's word. False: it was not banned."""
        lifted = self.ledger.bans is not None and self.ledger.bans.lift(name)
        if lifted:
            self.ledger.audit.write("unban", name, "by hand", now, must=True)
        return lifted

    def score(self, peer: str, now: float) -> Score | None:
        """A peer's score and its parts; None without this defence."""
        return None if self.ledger.scores is None else self.ledger.scores.score(peer, now)

    def inspect(self, now: float) -> Inspection:
        """What is going on."""
        seen, coverage = self._views, self._coverage
        return Inspection(
            dict(self.ledger.counts), *self.ledger.standing(now),
            self._quota.used(), self.chosen,
            coverage.coverage, coverage.pulled, coverage.unkept, 0 if seen is None else seen.compared,
            0 if seen is None else seen.equal, () if seen is None else seen.splits,
            () if self._equivocations is None else tuple(self._equivocations.proofs), dict(self.validators.counts),
            0 if self._answers is None else self._answers.refused, self.ledger.audit.head)

    def _judge(self, incoming: Incoming, now: float) -> Decision:
        peer = incoming.peer
        if self.defences.validation is not None:
            judged = self.validators.judge(Letter(incoming.topic, incoming.payload, peer, incoming.origin), now)
            if judged.verdict is Verdict.IGNORE:
                return self.ledger.decide(Verdict.IGNORE, judged.why or "validator", peer, now)
            if judged.verdict is Verdict.REJECT:
                self._rejected[incoming.id] = None
                if len(self._rejected) > _REJECTED_MAX:
                    self._rejected.popitem(last=False)
                self.ledger.note(peer, "application", now, judged.penalty)
                return self.ledger.decide(Verdict.REJECT, judged.why or "validator", peer, now,
                                    self.ledger.pay(peer, "invalid", now))
        self._coverage.saw(incoming.id, peer, now)
        self.ledger.delivered(peer, now, first=True)
        self.ledger.counts["accepted"] += 1
        return Decision(Verdict.ACCEPT)

    def _equivocates(self, incoming: Incoming, now: float) -> tuple[Act, ...]:
        if self._equivocations is None or incoming.statement is None:
            return ()
        found = self._equivocations.said(incoming.statement, incoming.signed)
        return () if found is None else self._convicted(incoming.statement.origin, found, now)

    def _convicted(self, origin: str, found: proofs.Proof, now: float) -> tuple[Act, ...]:
        self.ledger.counts["equivocation: proofs"] += 1
        self.ledger.audit.write("equivocation", origin, "two values under one number", now, must=True)
        acts: list[Act] = [Tell("proof", proofs.encode(found))]
        if self.ledger.bans is not None:
            acts.append(self.ledger.ban(origin, "equivocation", now, proven=True))  # guard: who equivocates is banned
        return tuple(acts)

    def _is_due(self, what: str, every_s: float, now: float, chance: Chance) -> bool:
        due = self._due.get(what)
        if due is None:  # members that begin at once do not ask at once
            self._due[what] = now + chance.random() * every_s
            return False
        if now < due:
            return False
        self._due[what] = now + every_s
        return True
