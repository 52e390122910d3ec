# SPDX-License-Identifier: Apache-2.0
"""Signatures a second on one core: ``python -m benchmarks.gossip_signing ROUNDS BOX_S`` prints JSON. A child.

By algorithm and size of what is signed. ``sign`` and ``verify`` are the primitives with their keys read; ``say`` makes
a whole envelope, ``hear`` takes one that is new through everything that a verifier asks, ``again`` one that it had: its
signature is remembered, and not computed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

from holdfast._base.clock import WallMs
from holdfast.gossip.signing import (
    Accepted,
    Algorithm,
    Duplicate,
    Kind,
    PrivateKey,
    Registry,
    Replays,
    Signer,
    Verifier,
)

from .gossip_wire import Call, timed

SIZES = (64, 1_024, 16_384)
NOW = WallMs(1_700_000_000_000)
CLUSTER = "bench"
#: Envelopes that are heard in turn: each is new to a verifier that has just begun.
ENVELOPES = 32
KEYS = {"Ed25519": PrivateKey.generate(), "ECDSA P-256": PrivateKey.generate(Algorithm.ECDSA_P256),
        "RSA-PSS 2048": PrivateKey.generate(Algorithm.RSA_PSS, rsa_bits=2048),
        "RSA-PSS 3072": PrivateKey.generate(Algorithm.RSA_PSS, rsa_bits=3072)}


def calls() -> Iterator[tuple[str, str, int, Call]]:
    """(what is done, by which algorithm to how much, bytes of it, the call)."""
    for name, key in KEYS.items():
        registry = Registry((key.public.algorithm,))
        registry.bind(key.public, "one")
        for size in SIZES:
            payload, row = os.urandom(size), f"{name}, {size:,} bytes"
            signature, signer = key.sign(payload), Signer(key, CLUSTER, os.urandom)
            envelopes = [signer.sign(Kind.USER, "news", payload, NOW) for _ in range(ENVELOPES)]
            yield "sign", row, len(signature), partial(key.sign, payload)
            yield "verify", row, len(signature), partial(key.public.verify, signature, payload)
            yield "say", row, len(envelopes[0]), partial(signer.sign, Kind.USER, "news", payload, NOW)
            yield "hear", row, len(envelopes[0]), _Hears(registry, envelopes)
            yield "again", row, len(envelopes[0]), _again(registry, envelopes[0])


class _Hears:
    """Each call hears a letter that is new; after all of them a new verifier begins."""

    def __init__(self, registry: Registry, envelopes: list[bytes]) -> None:
        self._registry, self._first = registry, envelopes[0]
        self._turn = cycle(envelopes)
        self._verifier = Verifier(CLUSTER, registry)

    def __call__(self) -> None:
        envelope = next(self._turn)
        if envelope is self._first:
            self._verifier = Verifier(CLUSTER, self._registry, replays=Replays())
        _expect(self._verifier, envelope, Accepted)


def _again(registry: Registry, envelope: bytes) -> Call:
    verifier = Verifier(CLUSTER, registry)
    verifier.verify(envelope, "a peer", NOW)

    def again() -> None:
        _expect(verifier, envelope, Duplicate)

    return again


def _expect(verifier: Verifier, envelope: bytes, kind: type[Accepted | Duplicate]) -> None:
    result = verifier.verify(envelope, "a peer", NOW).result
    if type(result) is not kind:
        raise AssertionError(f"a good letter is {result}, and was to be {kind.__name__}")


def wrong() -> list[str]:
    """Algorithms under which a signature does not hold, or holds for something else."""
    found = []
    for name, key in KEYS.items():
        signature = key.sign(b"said")
        if not key.public.verify(signature, b"said") or key.public.verify(signature, b"sais"):
            found.append(name)
    return found


def main(rounds: int, box_s: float) -> dict[str, Any]:
    return {"calls": timed(calls, rounds, box_s, 4), "wrong": wrong()}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))
