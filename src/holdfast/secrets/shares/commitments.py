# SPDX-License-Identifier: Apache-2.0
"""What is known of a set's shares to everybody: so that one that was forged, damaged, or is of another set or epoch, is
named.

A commitment is SHA-256 over what the share is of, its salt of 16 random bytes, and its data. It tells nothing of the
data, were it a single byte: the salt is guessed with it. It binds: nobody finds other data that fit.

These are no verifiable shares (Feldman, Pedersen): for those the secret has to be a number in a group in which
logarithms are hard, and ``cryptography`` shows no such group. So a *dealer* who cheats can hand out shares, each with
a commitment that fits, which lie on no polynomial of degree k−1: different k then give different secrets, and only
``restore`` from more than k (it checks that they agree) or the seal of what the secret opens shows it. A
*holder* cannot cheat: any change of a share is named.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from ..._base.secret import Secret
from ...errors import ConfigurationError, QuorumLost, SecretsDamaged
from .field import SHARES_MAX, interpolate, points
from .share import SALT_BYTES, SET_BYTES, Share

_DOMAIN: Final = b"holdfast secret share 1\0"


class Commitments(msgspec.Struct, frozen=True):
    """Public. digests: of the shares 1, 2, …, in order."""

    set_id: bytes
    epoch: int
    threshold: int
    digests: tuple[bytes, ...]


def commitment(share: Share) -> bytes:
    """To one share."""
    head = share.set_id + share.epoch.to_bytes(4, "big") + bytes([share.threshold, share.index])
    return hashlib.sha256(_DOMAIN + head + share.salt + share.data.reveal()).digest()


def split(secret: Secret[bytes], k: int, n: int, entropy: Callable[[int], bytes], *, epoch: int = 1,
          set_id: bytes | None = None) -> tuple[tuple[Share, ...], Commitments]:
    """A secret in n shares of which k give it back. Raises ConfigurationError for an empty one, and for a k and n that
    cannot be. k = 1 is n copies: allowed, and no protection."""
    if not secret:
        raise ConfigurationError("there is nothing to split: the secret is empty")
    name = entropy(SET_BYTES) if set_id is None else set_id
    made = tuple(Share(name, epoch, k, index, entropy(SALT_BYTES), Secret(data))
                 for index, data in points(secret.reveal(), k, range(1, n + 1), entropy).items())
    return made, Commitments(name, epoch, k, tuple(commitment(share) for share in made))


def wrong(share: Share, known: Commitments) -> str | None:
    """What is wrong with a share; None: nothing."""
    if share.set_id != known.set_id:
        return "is of another secret"
    if share.epoch != known.epoch:  # guard: epochs do not mix
        return f"is of epoch {share.epoch}, and epoch {known.epoch} is in force: it was replaced"
    if share.threshold != known.threshold or not 1 <= share.index <= len(known.digests):
        return "is none of this set"
    if not hmac.compare_digest(commitment(share), known.digests[share.index - 1]):  # guard: forged shares are named
        return "was forged or damaged"
    return None


def faults(shares: Iterable[Share], known: Commitments) -> dict[int, str]:
    """What is wrong with which share, by its index; empty: all are good."""
    return {share.index: why for share in shares if (why := wrong(share, known))}


def restore(shares: Sequence[Share], known: Commitments | None = None) -> Secret[bytes]:
    """The secret, from at least k shares. known: their commitments; without them a forged share is noticed only where
    there are more than k, and not named.

    Raises SecretsDamaged, which names each share that is wrong (also where enough others are right: who forged one may
    have forged what is to come), and QuorumLost for fewer than k.
    """
    if not shares:
        raise QuorumLost("no share was given", answered=0, wanted=known.threshold if known else 1)
    first = shares[0]
    against = known or Commitments(first.set_id, first.epoch, first.threshold, ())
    found = faults(shares, known) if known else _mixed(shares, against)
    if found:
        raise SecretsDamaged("; ".join(f"share {index} {why}" for index, why in sorted(found.items())))
    data = {share.index: share.data.reveal() for share in shares}
    if len(data) < against.threshold:
        raise QuorumLost(f"{len(data)} shares of {against.threshold} that are needed: find the others",
                         answered=len(data), wanted=against.threshold)
    few = dict(list(data.items())[:against.threshold])
    for index, share in data.items():
        if not hmac.compare_digest(interpolate(few, index), share):  # guard: the shares agree
            raise SecretsDamaged("the shares do not agree with each other: one of them is forged, or their dealer "
                                 "cheated; give the commitments, and the forged one is named")
    return Secret(interpolate(few))


def _mixed(shares: Sequence[Share], against: Commitments) -> dict[int, str]:
    seen: dict[int, Share] = {}
    found = {}
    for share in shares:
        bare = msgspec.structs.replace(against, digests=(b"",) * 255)
        other = seen.setdefault(share.index, share)
        if not 1 <= share.index <= SHARES_MAX:
            found[share.index] = "is none of this set"
        elif (share.set_id, share.epoch, share.threshold) != (bare.set_id, bare.epoch, bare.threshold):
            found[share.index] = f"is of another set, or of another epoch, than share {shares[0].index}"
        elif other.data != share.data:
            found[share.index] = "was given twice, with different contents"
    return found
