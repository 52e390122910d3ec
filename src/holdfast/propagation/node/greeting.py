# SPDX-License-Identifier: Apache-2.0
"""Who calls and who answers: both prove that they hold the key of the id they claim, and agree on a key for the link.

::

    caller                                                      door
      Hello   version, network, nonce                        ─▶
              ◀─  Answer  signed: hash of Hello, nonce, keys, what is said of itself
      Proof   signed: hash of both, the door's id, keys, …   ─▶

Each signature is over a hash of what was said before, with a nonce of the other side in it, so it is an answer in this
conversation and in no other; a recorded one is nothing. Both sealing keys (X25519) are in what is signed, and the key
of the link is made of both and of the whole conversation: who sits in the middle can pass frames on, and can neither
change one nor add his own. Frames can be read by anybody: they are for everybody.

Unlike ``gossip.trust`` this asks for no certificate: anybody may run a node. What an id is worth is for ``peers`` to
learn.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ...errors import BadPacket, NotTrusted
from ...gossip.trust.identity import Entropy, Identity, node_id
from ...gossip.trust.records import Record, Signed, decode, encode, transcript, verify
from .channel import Channel

VERSION: Final = 1
NONCE: Final = 32
#: Bytes of one message of the greeting: whoever says it is nobody yet.
GREETING_MAX: Final = 1024

_Nonce = Annotated[bytes, Meta(min_length=NONCE, max_length=NONCE)]
_Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]


class About(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node says of itself. port: where it takes calls; 0: nowhere. label: which part of the world it is in."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    label: Annotated[str, Meta(max_length=32)] = ""
    height: Annotated[int, Meta(ge=0, lt=1 << 62)] = 0


class Hello(Record, frozen=True, tag="node-hello"):
    """The caller's first word."""

    version: int
    network: Annotated[str, Meta(max_length=128)]
    nonce: _Nonce


class Answer(Record, frozen=True, tag="node-answer"):
    """heard: the hash of Hello."""

    heard: _Hash
    nonce: _Nonce
    sealing: _Hash
    about: About


class Proof(Record, frozen=True, tag="node-proof"):
    """heard: the hash of Hello and Answer. door: whom it is said to."""

    heard: _Hash
    door: Annotated[str, Meta(max_length=64)]
    sealing: _Hash
    about: About


class Met(msgspec.Struct, frozen=True):
    """Who is at the other end, and the link's frames."""

    id: str
    about: About
    channel: Channel


_hash = partial(transcript, b"holdfast propagation greeting 1\0")


def _scope(network: str) -> bytes:
    """What is signed here is nothing in a gossip cluster of that name."""
    return hashlib.sha256(b"holdfast propagation network\0" + network.encode()).digest()


class Caller:
    """Who opened the connection; for one conversation."""

    def __init__(self, identity: Identity, network: str, about: About, entropy: Entropy) -> None:
        self._identity, self._network, self._about = identity, network, about
        #: What to say first.
        self.hello: Final = encode(Hello(VERSION, network, entropy(NONCE)))

    def answered(self, data: bytes) -> tuple[bytes, Met]:
        """The proof to send, and who answered. Raises NotTrusted, BadPacket: then hang up."""
        signed: Signed = decode(data, Signed, GREETING_MAX)
        answer = verify(_scope(self._network), signed, Answer)
        if answer.heard != _hash(self.hello):  # guard: answer-to-us
            raise NotTrusted("an answer to somebody else's hello", why="challenge")
        door = _other(self._identity, signed)
        proof = encode(self._identity.sign(_scope(self._network), Proof(
            _hash(self.hello, data), door, self._identity.sealing, self._about)))
        channel = Channel(self._identity.shared(answer.sealing), _hash(self.hello, data, proof), caller=True)
        return proof, Met(door, answer.about, channel)


class Door:
    """Who was called; for one conversation."""

    def __init__(self, identity: Identity, network: str, about: About, entropy: Entropy) -> None:
        self._identity, self._network, self._about, self._entropy = identity, network, about, entropy
        self._said: tuple[bytes, bytes] | None = None

    def called(self, data: bytes) -> bytes:
        """The answer. Raises NotTrusted, BadPacket: then hang up, without a word."""
        hello: Hello = decode(data, Hello, GREETING_MAX)
        if hello.version != VERSION:
            raise BadPacket(f"a hello in version {hello.version}, and this node speaks {VERSION}", why="version")
        if hello.network != self._network:  # guard: one-network
            raise NotTrusted("a hello of another network", why="network")
        answer = encode(self._identity.sign(_scope(self._network), Answer(
            _hash(data), self._entropy(NONCE), self._identity.sealing, self._about)))
        self._said = (data, answer)
        return answer

    def proven(self, data: bytes) -> Met:
        """Who called. Raises NotTrusted, BadPacket."""
        if self._said is None:
            raise NotTrusted("a proof before a hello", why="challenge")
        said, self._said = self._said, None  # one proof to each answer, whatever becomes of it
        signed: Signed = decode(data, Signed, GREETING_MAX)
        proof = verify(_scope(self._network), signed, Proof)
        if proof.heard != _hash(*said) or proof.door != self._identity.id:  # guard: proof-to-us
            raise NotTrusted("a proof of another conversation", why="challenge")
        caller = _other(self._identity, signed)
        return Met(caller, proof.about, Channel(self._identity.shared(proof.sealing), _hash(*said, data), caller=False))


def _other(own: Identity, signed: Signed) -> str:
    """Whose word it is, when it is not our own."""
    found = node_id(signed.signer)
    if found == own.id:  # guard: not-ourselves
        raise NotTrusted("this is the node itself", why="self")
    return found
