# SPDX-License-Identifier: Apache-2.0
"""Who joins proves who he is, and so does whom he joins at: a challenge in both directions.

::

    caller                                                door
      Hello      nonce, own id, the door's if known   ─▶
      ◀─  Challenge  signed: hash of Hello, nonce, both ids                  + credential
      Reply      signed: hash of Hello and Challenge, door's id  ─▶          + credential, or an invitation's claim
      ◀─  Welcome    signed: hash of all three, caller's id, what he is given

Each signature is over hashes of all that was said before, so it is an answer in this conversation and no other; over
both ids, so it cannot be shown to a third; and over the cluster, so it is nothing in another one. Nobody has bytes of
his own choice signed: a nonce of theirs only ever gets in as part of a hash. All of it may be heard by anybody; what is
secret in a welcome is sealed to the caller.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ..._base.clock import WallMs
from ...errors import BadPacket, NotTrusted
from .admission import Anchor, Credential, Expelled, Member, Vouched
from .identity import Entropy, Identity, node_id, short_id
from .invites import Claim, Coming, Invitations, Token
from .records import Record, Signed, decode, encode, transcript

VERSION: Final = 1
NONCE: Final = 32


class Hello(Record, frozen=True, tag="hello"):
    """door: whom the caller means to reach; empty: whoever belongs to the cluster."""

    version: int
    nonce: bytes
    caller: str
    door: str


class Challenge(Record, frozen=True, tag="challenge"):
    """hello: its hash."""

    hello: bytes
    nonce: bytes
    caller: str
    door: str


class Proof(Record, frozen=True, tag="proof"):
    """transcript: the hash of Hello and Challenge."""

    transcript: bytes
    caller: str
    door: str


class Reply(Record, frozen=True, tag="reply"):
    """Either a credential, or an invitation."""

    proof: Signed
    credential: Credential | None
    coming: Coming | None


class Welcome(Record, frozen=True, tag="welcome"):
    """transcript: the hash of Hello, Challenge and Reply. given: what the layer above gives a member who enters."""

    transcript: bytes
    caller: str
    credential: Credential
    given: bytes


_transcript = partial(transcript, b"holdfast gossip join 1\0")


class Caller:
    """The one who joins; for one conversation.

    shows: a credential, or a token. name: what it is to be called, where a token is shown. door: whose id it has to be,
    if known.
    """

    __slots__ = ("_anchor", "_door", "_identity", "_name", "_said", "_shows", "member")

    def __init__(self, anchor: Anchor, identity: Identity, shows: Credential | Token, entropy: Entropy, *,
                 name: str = "", door: str = "") -> None:
        self._anchor, self._identity, self._shows, self._name, self._door = anchor, identity, shows, name, door
        self._said = [encode(Hello(VERSION, entropy(NONCE), identity.id, door))]
        #: Who the door is, once it has shown it.
        self.member: Member | None = None

    @property
    def hello(self) -> bytes:
        """What to say first."""
        return self._said[0]

    def challenged(self, data: bytes, now_ms: WallMs, expelled: Expelled | None = None) -> bytes:
        """What to reply. Raises NotTrusted, BadPacket: then hang up."""
        if len(self._said) != 1:
            raise NotTrusted("a second challenge in one conversation", why="challenge")
        vouched: Vouched = decode(data, Vouched)
        said, member = self._anchor.said(vouched, Challenge, now_ms, expelled=expelled)
        if member is None:
            raise NotTrusted("a door shows its certificate", why="identity")
        if (said.hello != _transcript(self._said[0]) or said.caller != self._identity.id
                or said.door != member.id):  # guard: an answer to our question
            raise NotTrusted("an answer to somebody else's question", why="challenge")
        if self._door and member.id != self._door:  # guard: whom we meant
            raise NotTrusted(f"{member.name!r} answered, and it is not whom we meant to reach", why="identity")
        self.member = member
        self._said.append(data)
        transcript = _transcript(*self._said)
        proof = self._identity.sign(self._anchor.cluster, Proof(transcript, self._identity.id, member.id))
        if isinstance(self._shows, Token):
            reply = Reply(proof, None, self._shows.coming(self._identity, self._name, transcript))
        else:
            reply = Reply(proof, self._shows, None)
        self._said.append(encode(reply))
        return self._said[-1]

    def welcomed(self, data: bytes, now_ms: WallMs, expelled: Expelled | None = None) -> Welcome:
        """What the caller is given. Raises NotTrusted, BadPacket."""
        if self.member is None or len(self._said) != 3:
            raise NotTrusted("a welcome before a challenge, or a second one", why="challenge")
        signed: Signed = decode(data, Signed)
        welcome = self._anchor.verify(signed, Welcome)
        if (signed.signer != self.member.certificate.signing or welcome.transcript != _transcript(*self._said)
                or welcome.caller != self._identity.id):  # guard: a welcome to us
            raise NotTrusted("a welcome to somebody else, or from somebody else", why="challenge")
        own = self._anchor.member(welcome.credential, now_ms, expelled)
        if own.certificate.signing != self._identity.signing or own.certificate.sealing != self._identity.sealing:
            raise NotTrusted("a welcome with another node's certificate", why="identity")
        self._said.append(data)
        return welcome


class Door:
    """The one who is joined at; for one conversation.

    invitations: None: nobody is let in by invitation here. from_epoch: for certificates that are given here, see
    ``Certificate``.
    """

    __slots__ = ("_anchor", "_credential", "_entropy", "_from_epoch", "_identity", "_invitations", "_said", "member")

    def __init__(self, anchor: Anchor, identity: Identity, credential: Credential, entropy: Entropy, *,
                 invitations: Invitations | None = None, from_epoch: int = 0) -> None:
        self._anchor, self._identity, self._credential = anchor, identity, credential
        self._entropy, self._invitations, self._from_epoch = entropy, invitations, from_epoch
        self._said: list[bytes] = []
        #: Who the caller is, once he has shown it.
        self.member: Member | None = None

    def called(self, data: bytes) -> bytes:
        """The challenge. Raises NotTrusted, BadPacket: then hang up, without a word."""
        if self._said:
            raise NotTrusted("a second hello in one conversation", why="challenge")
        hello: Hello = decode(data, Hello)
        if hello.version != VERSION or len(hello.nonce) != NONCE:
            raise BadPacket("a hello in a version that is not known", why="version")
        short_id(hello.caller)
        if hello.door and hello.door != self._identity.id:
            raise NotTrusted("a hello that means another node", why="identity")
        challenge = Challenge(_transcript(data), self._entropy(NONCE), hello.caller, self._identity.id)
        answer = encode(Vouched(self._identity.sign(self._anchor.cluster, challenge), self._credential))
        self._said = [data, answer]
        return answer

    def replied(self, data: bytes, now_ms: WallMs, expelled: Expelled | None = None) -> Member:
        """Who called. Raises NotTrusted, BadPacket; OSError when an invitation could not be written down."""
        if len(self._said) != 2:
            raise NotTrusted("a reply to no challenge, or a second one", why="challenge")
        hello, challenge = self._said
        self._said.append(data)  # one reply to each challenge, whatever becomes of it
        reply: Reply = decode(data, Reply)
        transcript = _transcript(hello, challenge)
        proof = self._anchor.verify(reply.proof, Proof)
        caller = node_id(reply.proof.signer)
        if (proof.transcript != transcript or proof.caller != caller or proof.door != self._identity.id
                or decode(hello, Hello).caller != caller):  # guard: challenges
            raise NotTrusted("a reply to another challenge, or by another node than called", why="challenge")
        credential = reply.credential
        if credential is None:
            if reply.coming is None or self._invitations is None:
                raise NotTrusted("nobody enters here without a certificate", why="issuer")
            claim = self._anchor.verify(reply.coming.claim, Claim)
            if claim.signing != reply.proof.signer:
                raise NotTrusted("an invitation claimed for another key", why="invite")
            if expelled is not None and expelled.names(caller, b""):  # guard: the expelled are not invited
                raise NotTrusted("this node was revoked", why="revoked")
            credential = self._invitations.redeem(reply.coming, transcript, now_ms, from_epoch=self._from_epoch)
        member = self._anchor.member(credential, now_ms, expelled)
        if member.certificate.signing != reply.proof.signer:  # guard: whose certificate
            raise NotTrusted("somebody else's certificate", why="identity")
        self.member = member
        return member

    def welcome(self, given: bytes) -> bytes:
        """What to say to the member who replied."""
        if self.member is None:
            raise NotTrusted("nobody showed who he is", why="challenge")
        said = Welcome(_transcript(*self._said), self.member.id, self.member.credential, given)
        return encode(self._identity.sign(self._anchor.cluster, said))
