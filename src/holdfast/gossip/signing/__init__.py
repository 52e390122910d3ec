# SPDX-License-Identifier: Apache-2.0
"""Signed messages: who said it, and that nobody changed it on its way.

::

    import os
    from holdfast.gossip.signing import Kind, PrivateKey, Registry, Signer, Verifier

    key = PrivateKey.generate()
    signer = Signer(key, "shop", os.urandom)
    registry = Registry()
    registry.bind(key.public, "one")                      # whose key it is: from a certificate or a list

    data = signer.sign(Kind.USER, "prices", b"9.99", now)             # now: ms since 1970
    verdict = Verifier("shop", registry).verify(data, "a peer", now)  # Accepted, once

Inside::

    envelope.py      a signed message as bytes: one form for each value. Open this first
    algorithms.py    Ed25519, ECDSA P-256, RSA-PSS
    registry.py      whose key is whose
    signer.py        signs
    verifier.py      verifies: (bytes, peer, now) → verdict and effects
    replay.py        each message once
    quarantine.py    messages whose key is not known yet
    verdict.py       what becomes of a message
    claims.py        claims about members as bytes, and who may say them
    notary.py        claims with their proofs, for the voice between core and wire

No file here opens a socket or asks the time. Chance is an argument; only RSA-PSS's salt, ``PrivateKey.generate``, and
ECDSA's nonces where the library cannot derive them, come from the library's own randomness.
"""

from __future__ import annotations

from .algorithms import Algorithm, PrivateKey, PublicKey, key_id
from .claims import Claim
from .envelope import Envelope, Kind, carried, decode, encode, taken
from .notary import Notary, Told
from .quarantine import Quarantine
from .registry import Admission, Binding, Registry
from .replay import Replays
from .signer import Signer
from .verdict import (
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
from .verifier import Lifetimes, Mode, Modes, Verifier

__all__ = [
    "Accepted",
    "Admission",
    "Algorithm",
    "AskForKey",
    "Binding",
    "Blame",
    "Claim",
    "Counts",
    "Duplicate",
    "Effect",
    "Envelope",
    "Kind",
    "Lifetimes",
    "Mode",
    "Modes",
    "Notary",
    "Peer",
    "PrivateKey",
    "PublicKey",
    "Quarantine",
    "Quarantined",
    "Reason",
    "Registry",
    "Rejected",
    "Replays",
    "Result",
    "Signer",
    "Told",
    "Unproved",
    "Verdict",
    "Verifier",
    "carried",
    "decode",
    "encode",
    "key_id",
    "taken",
]
