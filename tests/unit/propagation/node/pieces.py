# SPDX-License-Identifier: Apache-2.0
"""What the nodes' tests share: keys, payments, a greeting of two."""

from __future__ import annotations

import hashlib
from itertools import count

from holdfast.gossip.signing.algorithms import Algorithm, PrivateKey
from holdfast.gossip.trust.identity import Identity
from holdfast.propagation.node.greeting import About, Caller, Door
from holdfast.propagation.node.money import pay

NETWORK = "test"


def entropy(seed: str):
    """Bytes that only look random."""
    turns = count()

    def draw(size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += hashlib.sha256(f"{seed} {next(turns)}".encode()).digest()
        return found[:size]

    return draw


def identity(name: str) -> Identity:
    """The same for the same name."""
    return Identity.generate(entropy(f"identity {name}"))


def key(name: str) -> PrivateKey:
    """A sender's, the same for the same name."""
    return PrivateKey(Algorithm.ED25519, hashlib.sha256(name.encode()).digest())


def payment(sender: str = "anna", *, nonce: int = 0, amount: int = 5, fee: int = 500, network: str = NETWORK):
    """Signed."""
    return pay(key(sender), network, to=key("bert").public.data, nonce=nonce, amount=amount, fee=fee)


def met(caller: str = "caller", door: str = "door"):
    """Two who have greeted each other: who the caller met, and who the door did."""
    calls = Caller(identity(caller), NETWORK, About(1), entropy("caller"))
    opens = Door(identity(door), NETWORK, About(2), entropy("door"))
    proof, of_caller = calls.answered(opens.called(calls.hello))
    return of_caller, opens.proven(proof)
