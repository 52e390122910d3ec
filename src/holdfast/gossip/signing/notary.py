# SPDX-License-Identifier: Apache-2.0
"""Claims with their proofs: what a voice between core and wire asks.

The core passes claims on as records, and a record has no signature. So whoever hears a claim keeps the very bytes that
proved it, and when the core has the claim told to others, those bytes go out::

    bytes ─ accept ─▶ claim ─▶ core ─▶ claim ─ proof_of ─▶ the same bytes

A member's own claims are signed when they are told, and anew when half of their lifetime is over, so that they stay
young enough for who enters later. Of others' claims the youngest proof is kept; one that grew old is told no more.

Claims count more than once. They are true or outdated whenever they come, which the core decides by incarnation; heard
before it knew the accused, an accusation has to be heard again.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from ..._base.clock import WallMs
from ...errors import BadPacket, ConfigurationError
from ..messages import Alive
from .claims import Claim, payload, read, speaker, topic
from .envelope import Envelope, Kind
from .signer import Signer
from .verdict import Accepted, Duplicate, Peer, Reason, Verdict
from .verifier import Verifier

K = TypeVar("K")

PROOFS_MAX: Final = 16_384
#: Of one signer, so that none washes out the others'.
EACH_MAX: Final = 1024


class Told(msgspec.Struct, frozen=True, gc=False):
    """What came of a message. claim: give it to the core; None: there is none to give.

    verdict: carry out its effects. Its result is ``Accepted`` with the envelope for messages that are no claims.
    """

    verdict: Verdict
    claim: Claim | None = None


class _Proof(msgspec.Struct, frozen=True, gc=False):
    data: bytes
    origin: bytes
    key_id: bytes
    time_ms: int
    #: Signed by this member in this life.
    own: bool = False


class Notary:
    """signer: this member's; its registry knows it by name already. proofs_max: up to 1 kB each; each_max: of one
    signer. Price of less: claims that this member cannot prove, and so does not pass on.

    Raises ConfigurationError for a signer that the registry does not know.
    """

    __slots__ = ("_about", "_each_max", "_of", "_proofs", "_proofs_max", "name", "signer", "verifier")

    def __init__(self, signer: Signer, verifier: Verifier, *, proofs_max: int = PROOFS_MAX,
                 each_max: int = EACH_MAX) -> None:
        name = verifier.registry.name_of(signer.node_id)
        if name is None or signer.cluster != verifier.cluster:
            raise ConfigurationError("this member signs with a key that its own registry does not know, or for another "
                                     "cluster: bind the key to the member's name first")
        self.signer: Final = signer
        self.verifier: Final = verifier
        self.name: Final = name
        self._proofs_max, self._each_max = proofs_max, each_max
        self._proofs: dict[Claim, _Proof] = {}
        self._of: dict[bytes, dict[Claim, None]] = {}
        self._about: dict[str, dict[Claim, None]] = {}
        verifier.checks[Kind.CLAIM] = self._check

    def sign(self, claim: Claim, now: WallMs) -> bytes:
        """This member's own claim, signed; the same bytes until half of its lifetime is over. Raises ConfigurationError
        for what another member has to say."""
        if speaker(claim) != self.name:
            raise ConfigurationError(f"only {speaker(claim)!r} may say that, and this is {self.name!r}")
        proof = self._proofs.get(claim)
        if proof is None or not proof.own or not 0 <= now - proof.time_ms < self.verifier.lifetimes.claim_ms // 2:
            data = self.signer.sign(Kind.CLAIM, topic(claim), payload(claim), now)
            if proof is not None:
                self._drop(claim)  # though it may be the younger one: this member's clock was set back
            proof = _Proof(data, self.signer.node_id, self.signer.key_id, now, own=True)
            self._keep(claim, proof)
        return proof.data

    def proof_of(self, claim: Claim, now: WallMs) -> bytes | None:
        """The bytes that prove a claim, to pass it on: its signer's own. None: it cannot be proved, so do not pass it
        on; nobody would believe it.

        This member's own claims are signed. One that came back from an earlier life of it is passed on as it came:
        whoever plays an old claim to its signer gets no new signature for it.
        """
        proof = self._proofs.get(claim)
        if proof is not None and not self._holds(proof, now):
            proof = None
        if speaker(claim) == self.name and (proof is None or proof.own):  # guard: what is played gets no new signature
            return self.sign(claim, now)
        return None if proof is None else proof.data

    def proofs_about(self, node: str, now: WallMs) -> tuple[bytes, ...]:
        """All that can be proved about a member, for an exchange: its life, accusations, its death. What this member
        says of itself is renewed by that, what it said of others is not."""
        found = ((claim, self._proofs[claim]) for claim in tuple(self._about.get(node, ())))
        return tuple(self.sign(claim, now) if proof.own and node == self.name else proof.data
                     for claim, proof in found if self._holds(proof, now) or (proof.own and node == self.name))

    def accept(self, data: bytes, peer: Peer, now: WallMs) -> Told:
        """What that peer delivered: the claim when it is proved and its signer may say it, else why not."""
        return self._told(self.verifier.verify(data, peer, now))

    def release(self, key_id: bytes, now: WallMs) -> list[tuple[Peer, Told]]:
        """What waited for a key that is known by now, and who had delivered it."""
        return [(peer, self._told(verdict)) for peer, verdict in self.verifier.release(key_id, now)]

    def __len__(self) -> int:
        return len(self._proofs)

    def _told(self, verdict: Verdict) -> Told:
        result = verdict.result
        if not isinstance(result, Accepted | Duplicate) or result.envelope.kind is not Kind.CLAIM:
            return Told(verdict)
        envelope = result.envelope
        try:
            claim = read(envelope.topic, envelope.payload)
        except BadPacket:
            return Told(verdict)  # of a topic where nothing is verified
        if isinstance(result, Duplicate) or result.proved:
            self._keep(claim, _Proof(result.data, envelope.origin, envelope.key_id, envelope.time_ms))
        return Told(verdict, claim)

    def _check(self, envelope: Envelope) -> Reason | None:
        try:
            claim = read(envelope.topic, envelope.payload)
        except BadPacket:
            return Reason.MALFORMED
        registry, name = self.verifier.registry, speaker(claim)
        if registry.node_of(name) == envelope.origin:
            return None
        return Reason.REVOKED if registry.name_of(envelope.origin) == name else Reason.AUTHORITY

    def _holds(self, proof: _Proof, now: WallMs) -> bool:
        """Would it be accepted now?"""
        known = self.verifier.registry.find(proof.key_id)
        return (known is not None and (known.revoked_ms is None or proof.time_ms < known.revoked_ms)
                and now - proof.time_ms <= self.verifier.lifetimes.claim_ms)

    def _keep(self, claim: Claim, proof: _Proof) -> None:
        before = self._proofs.get(claim)
        if before is not None and before.time_ms >= proof.time_ms:
            return
        about = self._about.get(claim.node, ())
        if any(isinstance(one, Alive) and one.incarnation > claim.incarnation for one in about):
            return  # of an older life
        if before is not None:
            self._drop(claim)
        if isinstance(claim, Alive):  # older lives, and what was said of them, are over
            for other in [one for one in about if one.incarnation < claim.incarnation]:
                self._drop(other)
        own = self._of.get(proof.origin, {})
        if len(own) >= self._each_max:  # guard: none washes out the others' proofs
            self._drop(next(iter(own)))
        if len(self._proofs) >= self._proofs_max:
            self._drop(next(iter(self._proofs)))
        self._proofs[claim] = proof
        self._of.setdefault(proof.origin, {})[claim] = None
        self._about.setdefault(claim.node, {})[claim] = None

    def _drop(self, claim: Claim) -> None:
        origin = self._proofs.pop(claim).origin
        _out_of(self._of, origin, claim)
        _out_of(self._about, claim.node, claim)


def _out_of(index: dict[K, dict[Claim, None]], key: K, claim: Claim) -> None:
    del index[key][claim]
    if not index[key]:
        del index[key]
