# SPDX-License-Identifier: Apache-2.0
"""What one simulated member decides around its core: the parts that ship, asked in the order in which they say.

::

    datagram ─▶ guard: arriving ─▶ envelope ─▶ claims: proved? ─▶ guard: admit, gate ─▶ core
    letter ◀─ guard: message ◀─ signed? new? ◀──────────────────────────────────────────┘

A claim goes over the wire as the bytes that prove it, where signatures are on: ``CLAIM`` before the envelope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...._base.chance import Chance
from ...core.core import Core
from ...core.members import Member
from ...defence import Guard, Seams
from ...defence.acts import Act, Burial, Incoming
from ...defence.coverage import ID
from ...defence.validation import Verdict
from ...messages import Alive, Dead, Message, Suspect, User
from ...native.evidence import Evidence
from ...signing import Blame, Envelope, Kind, Notary, PrivateKey, Registry, Replays, Signer, Unproved, Verifier
from .defences import Defences
from .envelopes import CLUSTER, Bytes, Envelopes, Group
from .letters import NAME, Events, Letters, Signed, wall

#: First bytes of what a simulated member sends besides letters, which begin with another.
CLAIM: Final = b"\xf1"
ACCUSATION: Final = b"\xf2"
PROOF: Final = b"\xf3"
#: What a proof adds to a claim: its envelope and a signature.
PROOF_BYTES: Final = 120


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What members were given when the cluster was set up. keys: their own, of those that were admitted; registry:
    whose key is whose. host: where a member's address lies on the Internet, four bytes."""

    defences: Defences
    group: Group
    keys: dict[str, PrivateKey]
    registry: Registry
    chance: Chance
    drawn: Bytes
    host: Callable[[str], bytes]


@dataclass(kw_only=True)
class Post:
    """One process of one member. began: when it started, on the simulated clock."""

    name: str
    cluster: Cluster
    core: Core
    began: float
    refused: int = 0
    letters: Letters = field(init=False)
    envelopes: Envelopes = field(init=False)
    notary: Notary | None = field(init=False, default=None)
    guard: Guard | None = field(init=False, default=None)
    #: What the guard wants done about a letter, until it is taken.
    acts: list[Act] = field(init=False, default_factory=list)
    _evidence: Evidence | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        cluster, defences = self.cluster, self.cluster.defences
        self.envelopes = cluster.group.envelopes(defences, cluster.drawn)
        self.letters = Events()
        key = cluster.keys.get(self.name)
        if key is not None:
            signer = Signer(key, CLUSTER.decode(), cluster.drawn)
            verifier = Verifier(CLUSTER.decode(), cluster.registry, replays=Replays(wall(self.began) - 1))
            self.letters, self.notary = Signed(signer, verifier), Notary(signer, verifier)
            self._evidence = Evidence(self.notary)
        guarded = defences.guarded
        if guarded is not None:
            seams = Seams() if key is None or self._evidence is None else Seams(
                sign=key.sign, verify=self._signed_by, open=self._evidence.open, cluster=CLUSTER)
            self.guard = Guard(self.name, seams, guarded, self.began)

    # -- what goes out ------------------------------------------------------------------------------------------------

    def out(self, messages: Iterable[Message], now: float) -> list[Message]:
        """What is sent of what the core wants sent: claims as their proofs; a claim without one is not sent."""
        if self.notary is None:
            return list(messages)
        return [found for message in messages if (found := self._proved(message, now)) is not None]

    def about(self, node: str, now: float) -> list[bytes]:
        """All that can be proved of a member, for an exchange."""
        return [] if self.notary is None else list(self.notary.proofs_about(node, wall(now)))

    def vouch(self, claim: Alive, now: float) -> list[Message]:
        """That it lives, as a proof; nothing where claims are not proved."""
        return [] if self.notary is None else self.out([claim], now)

    def _proved(self, message: Message, now: float) -> Message | None:
        if self.notary is None or not isinstance(message, Alive | Suspect | Dead):
            return message
        proof = self.notary.proof_of(message, wall(now))
        return None if proof is None else User(CLAIM + proof)

    # -- what comes in ------------------------------------------------------------------------------------------------

    def arriving(self, peer: str, size: int, now: float) -> bool:
        """Is a packet of that peer opened at all?"""
        return self.guard is None or self.guard.arriving(peer, self.cluster.host(peer), size, now) is None

    def into(self, messages: Sequence[Message], peer: str, now: float) -> list[Message]:
        """What the core gets of what came."""
        found: list[Message] = []
        for message in messages:
            claim = self._claim(message, peer, now)
            if claim is not None and self._admitted(claim, now):
                found.append(self._gated(claim, now))
        return found

    def hear(self, letter: bytes, peer: str, now: float) -> bytes | None:
        """A letter that the core delivered: what it says, when it is good and new; then it is passed on as it came."""
        heard = self.letters.hear(letter, peer, now)
        if heard.text is None:
            self.bad(peer, heard.blame, now)
            return None
        if self.guard is not None:
            decision = self.guard.message(self._incoming(letter, peer, heard.text, heard.envelope), now)
            self.acts += decision.acts
            if decision.verdict is not Verdict.ACCEPT:
                return None
        return heard.text if heard.new else None

    def _incoming(self, letter: bytes, peer: str, text: bytes, envelope: Envelope | None) -> Incoming:
        """With what its signature stands for, where there is one."""
        said = None if self._evidence is None or envelope is None else self._evidence.stated(envelope, letter)
        if said is None:
            return Incoming(peer, NAME, id_of(letter), text)
        return Incoming(peer, NAME, id_of(letter), text, said.origin, said, letter)  # guard: letters are compared

    def proved(self, letter: bytes, peer: str, now: float) -> tuple[Act, ...]:
        """A proof of equivocation came: what follows."""
        return () if self.guard is None else self.guard.proof(peer, letter[len(PROOF):], now)

    def said(self, letter: bytes, now: float) -> None:
        """A letter of its own goes out."""
        if self.guard is not None:
            self.guard.said(id_of(letter), now)

    def bad(self, peer: str, why: str, now: float) -> None:
        """That peer brought something that is not good; why: for what it pays; empty: for nothing."""
        self.refused += 1
        if self.guard is not None and why:
            self.guard.bad(peer, why, now)

    def _claim(self, message: Message, peer: str, now: float) -> Message | None:
        """The claim that a proof proves; other messages as they are; nothing for what is not proved."""
        if self.notary is None:
            return message
        if isinstance(message, Alive | Suspect | Dead):
            self.refused += 1
            verdict = self.notary.verifier.unsigned(Kind.CLAIM, "", peer)
            return message if isinstance(verdict.result, Unproved) else None  # guard: nothing without its proof
        if not isinstance(message, User) or not message.payload.startswith(CLAIM):
            return message
        told = self.notary.accept(message.payload[len(CLAIM):], peer, wall(now))
        if told.claim is None:
            self.bad(peer, next((each.reason for each in told.verdict.effects if isinstance(each, Blame)), ""), now)
        return told.claim

    def _admitted(self, message: Message, now: float) -> bool:
        """May whoever this says is there enter?"""
        if self.guard is None or not isinstance(message, Alive) or self.core.member(message.node) is not None:
            return True
        return self.guard.admit(message.node, self.cluster.host(message.node), "", now) is None

    # -- deaths -------------------------------------------------------------------------------------------------------

    def bury(self, member: Member, live: Collection[str], now: float) -> Burial:
        """This member's suspicion of another ran out: may it be held to be dead, and what is spread of it?"""
        return Burial(True) if self.guard is None else self.guard.bury(
            member.node, member.incarnation, live, now, self.cluster.chance)

    def refuted(self, incarnation: int) -> None:
        """This member contradicted what was said of it: what still goes round of that is over."""
        if self.guard is not None:
            self.guard.refuted(self.name, incarnation)

    def accused(self, letter: bytes, peer: str, now: float) -> tuple[Burial, Dead | None]:
        """Accusations came: what is passed on, and the death, when they are enough for one."""
        if self.guard is None:
            return Burial(False), None
        burial = self.guard.accused(peer, letter[len(ACCUSATION):], self.core.live, now)
        return burial, Dead(burial.incarnation, burial.node, peer) if burial.allowed else None

    def _gated(self, message: Message, now: float) -> Message:
        if self.guard is None:
            return message
        if isinstance(message, Alive):
            self.guard.refuted(message.node, message.incarnation)
        return self.guard.gate(message, self.core.live, now)

    def _signed_by(self, name: str, message: bytes, signature: bytes) -> bool:
        node = self.cluster.registry.node_of(name)
        binding = None if node is None else self.cluster.registry.find(node)
        return binding is not None and binding.public.verify(signature, message)


def id_of(letter: bytes) -> bytes:
    """What audits call a letter."""
    return hashlib.sha256(letter).digest()[:ID]
