# SPDX-License-Identifier: Apache-2.0
"""Members who know each other's keys, and messages of theirs: fixed keys, time and chance of the test's own."""

from __future__ import annotations

import hashlib

from holdfast.gossip.messages import BARE_VERSIONS, Alive, Dead, Suspect
from holdfast.gossip.signing import Algorithm, Kind, Lifetimes, Notary, PrivateKey, Registry, Signer, Verifier
from tests.unit.gossip.signing.vectors import ED25519, P256_SECRET

NOW = 1_790_000_000_000
CLUSTER = "shop"
ONE = PrivateKey(Algorithm.ED25519, bytes.fromhex(ED25519[0][0]))
TWO = PrivateKey(Algorithm.ED25519, bytes.fromhex(ED25519[1][0]))
THREE = PrivateKey(Algorithm.ED25519, bytes.fromhex(ED25519[2][0]))
P256 = PrivateKey(Algorithm.ECDSA_P256, bytes.fromhex(P256_SECRET))
KEYS = {"one": ONE, "two": TWO, "three": THREE, "four": P256}

ALIVE = Alive(7, "one", bytes([10, 0, 0, 1]), 7946, b"meta", BARE_VERSIONS)
SUSPECT = Suspect(7, "two", "one")
DEAD = Dead(7, "two", "one")
LEAVE = Dead(7, "one", "one")


def chance(seed=b"epoch"):
    """Bytes that are the same in each run."""
    return lambda size: hashlib.sha256(seed).digest()[:size]


def signer(name="one", cluster=CLUSTER, seed=b"epoch", skip=0, **settings):
    """A member's signer. skip: so many numbers are used already."""
    made = Signer(KEYS[name], cluster, chance(seed), **settings)
    made.sequence = skip
    return made


def registry(*names, algorithms=tuple(Algorithm)):
    """All members' keys, or these."""
    found = Registry(algorithms)
    for name in names or KEYS:
        found.bind(KEYS[name].public, name)
    return found


def verifier(*names, cluster=CLUSTER, algorithms=tuple(Algorithm), **settings):
    return Verifier(cluster, registry(*names, algorithms=algorithms), **settings)


def notary(name="one", *known, **settings):
    return Notary(signer(name), verifier(*known), **settings)


def outcome(verdict):
    """The result as a word: Accepted, Duplicate …, or the reason for a refusal."""
    return getattr(verdict.result, "reason", type(verdict.result).__name__)


def user(payload=b"9.99", now=NOW, name="one", skip=0, **settings):
    """A signed user message. skip: so many came before it."""
    return signer(name, skip=skip).sign(Kind.USER, "prices", payload, now, **settings)


LIFETIMES = Lifetimes()
