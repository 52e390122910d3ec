# SPDX-License-Identifier: Apache-2.0
"""What a block is, what it is known by, and who vouches for it.

The header names its parent, says how many transactions there are and how long they are, and holds the root of a tree
of hashes over them, so a header alone fixes the whole block. A block's id is the SHA-256 of its header with the seal in
it; the seal is its maker's signature of the rest.

Chosen: makers are known, and sign (proof of authority). In a network that Holdfast's gossip identities run, who may
make a block is a list, and a header that nobody on it signed costs one check and goes nowhere. ``bits`` asks for work
besides: so many leading zero bits of the unsealed header's hash. It is the same number for all blocks, so the longest
chain is the heaviest one. Rejected: a number that follows the time between blocks, which is a subject of its own and
changes nothing about how blocks spread.

Hashes of leaves and of inner nodes begin differently, and an odd one goes up as it is: repeating it, as Bitcoin does,
gives two lists of transactions one root (CVE-2012-2459). A leaf is the hash of the whole transaction and not only of
its id, so nobody can pass off other contents under that id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from ..mempool import Transaction

#: Of a hash.
HASH_BYTES = 32
#: Numbers in blocks and transactions are less, so that each has one short form.
NUMBER_MAX = 1 << 63
#: What names and seals may take at most.
NAME_BYTES_MAX = 256


class Header(msgspec.Struct, frozen=True):
    """What is fixed about a block. parent: its id. root: of the transactions' hashes. count, size: how many there are,
    and their bytes together. time_ms: since 1970, by the maker's clock. nonce: what was tried to find ``bits`` zeros.
    seal: the maker's signature of ``unsealed()``."""

    parent: bytes
    height: int
    root: bytes
    count: int
    size: int
    maker: bytes
    time_ms: int
    nonce: int = 0
    seal: bytes = b""

    def unsealed(self) -> bytes:
        """What the maker signs."""
        return canonical(b"holdfast block 1", self.parent, self.height, self.root, self.count, self.size, self.maker,
                         self.time_ms, self.nonce)

    @property
    def id(self) -> bytes:
        """With the seal: else anybody could put a wrong one under a right id, and have the right one refused."""
        return hashlib.sha256(canonical(self.unsealed(), self.seal)).digest()


class Block(msgspec.Struct, frozen=True):
    """A header, and the transactions whose root it names."""

    header: Header
    transactions: tuple[Transaction, ...] = ()

    @property
    def id(self) -> bytes:
        """The header's."""
        return self.header.id


def canonical(domain: bytes, *parts: int | bytes) -> bytes:
    """One string of bytes for these parts, which no other parts have. domain: what they are, so that a transaction's
    bytes are never a block's."""
    out = [len(domain).to_bytes(4, "big"), domain]
    for part in parts:
        raw = part if isinstance(part, bytes) else part.to_bytes((part.bit_length() + 8) // 8, "big", signed=True)
        out += [b"b" if isinstance(part, bytes) else b"i", len(raw).to_bytes(4, "big"), raw]
    return b"".join(out)


def leaf(tx: Transaction) -> bytes:
    """The hash of a whole transaction."""
    return hashlib.sha256(b"\x00" + canonical(b"holdfast leaf 1", tx.id, tx.sender, tx.to, tx.nonce, tx.amount, tx.fee,
                                              tx.size, tx.signature)).digest()


def transaction_id(tx: Transaction) -> bytes:
    """The id that a transaction with these contents has, its signature included."""
    return hashlib.sha256(canonical(b"holdfast transaction 1", tx.sender, tx.to, tx.nonce, tx.amount, tx.fee, tx.size,
                                    tx.signature)).digest()


def root_of(txs: Sequence[Transaction]) -> bytes:
    """The root of the tree of hashes over these, in this order."""
    level = [leaf(tx) for tx in txs]
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        above = [hashlib.sha256(b"\x01" + left + right).digest()
                 for left, right in zip(level[::2], level[1::2], strict=False)]
        level = [*above, level[-1]] if len(level) % 2 else above
    return level[0]


def zeros(header: Header) -> int:
    """Leading zero bits of the unsealed header's hash: the work that is seen in it."""
    return HASH_BYTES * 8 - int.from_bytes(hashlib.sha256(header.unsealed()).digest(), "big").bit_length()


def worked(header: Header, bits: int, tries: int = 1 << 32) -> Header | None:
    """The header with the first nonce that gives so many zero bits, or None after so many tries. A seal is made
    afterwards."""
    for nonce in range(header.nonce, header.nonce + tries):
        found = msgspec.structs.replace(header, nonce=nonce, seal=b"")
        if zeros(found) >= bits:
            return found
    return None
