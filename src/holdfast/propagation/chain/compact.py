# SPDX-License-Identifier: Apache-2.0
"""A block without its transactions, for those who have most of them: six bytes for each (after BIP 152).

The short id is a keyed hash of a transaction's id. The key is made of the block's id and a salt that the sender draws,
so nobody can prepare transactions whose short ids are equal before the block is there, and two that are equal for one
sender are not for the next. Chosen: BLAKE2s with a key, which is in the standard library; SipHash would be as good.

Equal short ids are never guessed at. Two of ours with one short id: it counts as missing, and is asked for. Two of the
block's: it is of no use, and the whole block is asked for. One of ours that happens to have another's: the root does
not fit, and the whole block is asked for too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..mempool import Transaction
from .block import Block, Header, root_of
from .words import SHORT_BYTES


def short_ids(block: bytes, salt: bytes, txs: Iterable[bytes]) -> list[bytes]:
    """Of transactions with these ids, for this block and this salt."""
    key = hashlib.sha256(block + salt).digest()
    return [hashlib.blake2s(tx, digest_size=SHORT_BYTES, key=key).digest() for tx in txs]


@dataclass
class Rebuilt:
    """A block of which some transactions are here."""

    header: Header
    found: list[Transaction | None]

    @property
    def missing(self) -> list[int]:
        """Places of those that are not."""
        return [place for place, tx in enumerate(self.found) if tx is None]

    def filled(self, bodies: Sequence[Transaction]) -> bool:
        """Puts these where they are missing, in order. False: they are not as many."""
        places = self.missing
        if len(places) != len(bodies):
            return False
        for place, tx in zip(places, bodies, strict=True):
            self.found[place] = tx
        return True

    def block(self) -> Block | None:
        """The block, if this is it: nothing is missing and the root fits."""
        txs = tuple(tx for tx in self.found if tx is not None)
        if len(txs) != len(self.found) or root_of(txs) != self.header.root:  # guard: compact-root
            return None
        return Block(self.header, txs)


def rebuilt(header: Header, salt: bytes, short: Sequence[bytes], pool: Iterable[Transaction]) -> Rebuilt | None:
    """What can be had of it from ``pool``. None: its short ids are not all different, so they say nothing."""
    if len(set(short)) != len(short):
        return None
    txs = list(pool)
    wanted = set(short)
    found: dict[bytes, Transaction | None] = {}
    for tx, name in zip(txs, short_ids(header.id, salt, (tx.id for tx in txs)), strict=True):
        if name in wanted:
            found[name] = None if name in found else tx  # guard: compact-collision. Of two, none
    return Rebuilt(header, [found.get(name) for name in short])
