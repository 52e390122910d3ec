# SPDX-License-Identifier: Apache-2.0
"""What each node writes down of what it was asked: who, what, which version, and what it said. Never a value, never a
share.

A node's ledger is a chain of records (``_base.chain``), each signed by the node. With each answer a node gives a
receipt, its ledger's head signed; callers carry receipts from node to node, and these are written into the others'
ledgers. So the ledgers hold each other: who removes, edits, inserts or moves a line breaks its chain; who writes the
chain anew, with all signatures, contradicts a receipt that another node holds; who shows two ledgers has forked, and is
named with the record at which.

What stays unseen: lines at a ledger's end that were cut before any receipt of them was carried to a node whose ledger
is shown; and what k nodes together do and write down nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ..._base.chain import Chain, Head
from .circle import Holder
from .keys import Identity, verify

#: Receipts in one entry.
SEEN_MAX: Final = 16
_DOMAIN: Final = "holdfast node ledger 1"
_ENTRY: Final = b"ledger"
_RECEIPT: Final = b"receipt"


class Receipt(msgspec.Struct, frozen=True):
    """A node's word for where its ledger ended. signature: hexadecimal."""

    node: str
    number: int
    hash: str
    signature: str


class Line(msgspec.Struct, frozen=True):
    """An entry. access: which of the caller's acts it was, the same on all nodes. said: ``yes``, or why not. seen:
    receipts of other nodes. mark: the node's signature, hexadecimal."""

    number: int
    at: int
    node: str
    caller: str
    action: str
    name: str
    version: int
    access: str
    said: str
    seen: tuple[Receipt, ...] = ()
    before: str = ""
    mark: str = ""
    hash: str = ""


class Fault(msgspec.Struct, frozen=True):
    """node: whose ledger does not hold. number: at which entry, counted from 1."""

    node: str
    number: int
    why: str


CHAIN: Final = Chain(Line, _DOMAIN)


def signed(bare: Line, end: Head, identity: Identity) -> Line:
    """The entry that follows."""
    placed = msgspec.structs.replace(bare, number=end.number + 1, before=end.hash)
    return CHAIN.sealed(msgspec.structs.replace(placed, mark=identity.sign(_ENTRY, _bare(placed)).hex()))


def receipt(node: str, end: Head, identity: Identity) -> Receipt:
    """For the end of a ledger."""
    return Receipt(node, end.number, end.hash, identity.sign(_RECEIPT, _said(node, end.number, end.hash)).hex())


def examine(ledgers: Mapping[str, Sequence[bytes]], holders: Sequence[Holder]) -> tuple[Fault, ...]:
    """What is wrong with ledgers, by each itself and by what others saw of it; empty: nothing."""
    keys = {holder.name: holder.sign_key for holder in holders}
    found: list[Fault] = []
    hashes: dict[str, list[str]] = {}
    receipts: list[tuple[str, int, Receipt]] = []
    for node, raw in ledgers.items():
        lines, fault = _read(node, raw, keys.get(node, b""))
        found += [fault] if fault else []
        hashes[node] = [line.hash for line in lines]
        receipts += [(node, line.number, seen) for line in lines for seen in line.seen]
    for witness, at, seen in receipts:
        why = _contradiction(seen, hashes, keys)
        if why:
            found.append(Fault(seen.node, seen.number, f"{why} (record {at} of {witness})"))
    worst: dict[str, Fault] = {}
    for fault in found:  # the first of each ledger: what comes after it follows from it
        if fault.node not in worst or fault.number < worst[fault.node].number:
            worst[fault.node] = fault
    return tuple(worst[node] for node in sorted(worst))


def compare(one: Sequence[bytes], other: Sequence[bytes], holder: Holder) -> Fault | None:
    """Two ledgers that one node showed to two people: None when one is the beginning of the other, and both hold."""
    (first, wrong), (second, wrong2) = (_read(holder.name, raw, holder.sign_key) for raw in (one, other))
    for mine, theirs in zip(first, second, strict=False):
        if mine.hash != theirs.hash:  # guard: a fork is named
            return Fault(holder.name, mine.number, "the node showed two different entries: it has forked its ledger")
    return wrong or wrong2


def missed(ledgers: Mapping[str, Sequence[Line]], action: str) -> dict[str, frozenset[str]]:
    """Accesses of which a node knows nothing and others do: it was down, or kept silent."""
    everything = {node: {line.access for line in lines if line.action == action} for node, lines in ledgers.items()}
    all_ = frozenset().union(*everything.values())
    return {node: all_ - known for node, known in everything.items() if all_ - known}


def _read(node: str, raw: Sequence[bytes], key: bytes) -> tuple[list[Line], Fault | None]:
    lines: list[Line] = []
    broken = CHAIN.verify(raw)
    for count, one in enumerate(raw[:broken.line - 1] if broken and broken.line else raw, 1):
        line = CHAIN.read(one)
        if isinstance(line, str) or line.node != node or not _marked(line, key):  # guard: entries are the node's own
            return lines, Fault(node, count, "this entry was not signed by the node")
        lines.append(line)
    return lines, Fault(node, broken.line, broken.why) if broken else None


def _marked(line: Line, key: bytes) -> bool:
    try:
        mark = bytes.fromhex(line.mark)
    except ValueError:
        return False
    return verify(key, mark, _ENTRY, _bare(msgspec.structs.replace(line, mark="", hash="")))


def _contradiction(seen: Receipt, hashes: Mapping[str, list[str]], keys: Mapping[str, bytes]) -> str | None:
    if seen.node not in hashes or seen.number < 1:
        return None
    try:
        signature = bytes.fromhex(seen.signature)
    except ValueError:
        return None
    if not verify(keys.get(seen.node, b""), signature, _RECEIPT, _said(seen.node, seen.number, seen.hash)):
        return None  # a caller made it up
    known = hashes[seen.node]
    if seen.number > len(known):
        return "its end was cut: another node holds its receipt for this entry"
    if known[seen.number - 1] != seen.hash:  # guard: receipts are held against the ledger
        return "it was written anew: another node holds its receipt for a different entry"
    return None


def _bare(line: Line) -> bytes:
    return msgspec.json.encode(line)


def _said(node: str, number: int, hash_: str) -> bytes:
    return msgspec.json.encode((node, number, hash_))
