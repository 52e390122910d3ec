# SPDX-License-Identifier: Apache-2.0
"""What a node has accepted and no block holds yet: which transactions are good, which give way, which are too old.

A transaction is good when its signature is (``verify``, given by whoever knows keys), its fee is worth its bytes, its
nonce is the sender's next or after ones that are here, and the sender can pay for it and for what waits before it. Two
with the same sender and nonce are a double spend: the first one stays, unless the other pays enough more, and never are
both here.

Decisions only: state, a transaction and now go in, a verdict comes out. What the ledger says of balances and nonces is
an argument too. Rejected: keeping transactions whose nonce leaves a gap. They would cost memory that nobody pays for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec


class Transaction(msgspec.Struct, frozen=True):
    """Sender pays ``amount`` to ``to`` and ``fee`` to whoever puts it into a block. id: its hash, signature
    included."""

    id: bytes
    sender: bytes
    to: bytes
    nonce: int
    amount: int
    fee: int
    size: int
    signature: bytes = b""


@dataclass(frozen=True)
class Account:
    """What the ledger says of a sender: how much it has, and the nonce that comes next."""

    balance: int
    nonce: int


@dataclass(frozen=True)
class Rules:
    """fee_rate: the least fee for a byte. replace: how much more, in percent, a double spend must pay to take the
    other's place; lower makes rivals cheap, higher makes stuck ones stay. expire_s: how long one waits for a block.
    rebroadcast_s: how long until one's own is told again. bytes_max: of all; the cheapest go first. per_sender: how
    many of one sender.
    """

    fee_rate: float = 1.0
    replace: int = 10
    expire_s: float = 14 * 86_400.0
    rebroadcast_s: float = 1800.0
    bytes_max: int = 300_000_000
    per_sender: int = 25


#: Why not. known: it is here. signature: it is not the sender's. malformed: a number is negative or there is no size.
#: fee: too little for its size. nonce: used, or with a gap before it. balance: the sender cannot pay it and what waits
#: before it. rival: another one with that nonce is here and pays about as much. many: the sender has enough waiting.
#: full: all here pay more.
Reason: TypeAlias = Literal[
    "known", "signature", "malformed", "fee", "nonce", "balance", "rival", "many", "full",
]


class Accepted(msgspec.Struct, frozen=True):
    """It is here now, and these are not any more."""

    evicted: tuple[Transaction, ...] = ()


class Refused(msgspec.Struct, frozen=True):
    """It is not, and why. for_good: it never will be, so whoever sent it should have known (``Relay`` holds it against
    nobody by itself). evicted: gave way to it before it turned out that there is no room."""

    reason: Reason
    for_good: bool
    evicted: tuple[Transaction, ...] = ()


@dataclass
class _Held:
    transaction: Transaction
    since_s: float
    ours: bool
    told_s: float


class Mempool:
    """Transactions that wait for a block.

    verify: does this signature belong to this sender? It is asked last of what costs nothing else. account: what the
    ledger says of a sender, now.
    """

    def __init__(self, verify: Callable[[Transaction], bool], account: Callable[[bytes], Account],
                 rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._verify, self._account = verify, account
        self._held: dict[bytes, _Held] = {}
        self._by_sender: dict[bytes, dict[int, Transaction]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, tx: bytes) -> bool:
        return tx in self._held

    def get(self, tx: bytes) -> Transaction | None:
        """The one of this id, if it is here."""
        held = self._held.get(tx)
        return held.transaction if held is not None else None

    def next_nonce(self, sender: bytes) -> int:
        """The one that a new transaction of this sender must have."""
        return self._account(sender).nonce + len(self._by_sender.get(sender, ()))

    def transactions(self) -> list[Transaction]:
        """All of them, in the order in which they came."""
        return [one.transaction for one in self._held.values()]

    def offer(self, tx: Transaction, now: float, *, ours: bool = False) -> Accepted | Refused:
        """May it enter? If so it has. ours: our own user made it, so it is told again until it is in a block."""
        reason = self._reason(tx)
        if reason is not None:
            return Refused(reason, reason in {"signature", "malformed"})
        rival = self._by_sender.get(tx.sender, {}).get(tx.nonce)
        evicted: list[Transaction] = []
        if rival is not None:
            self._remove(rival)
            evicted.append(rival)
        self._held[tx.id] = _Held(tx, now, ours, now)
        self._by_sender.setdefault(tx.sender, {})[tx.nonce] = tx
        self.bytes += tx.size
        evicted += self._unpaid(tx.sender)
        evicted += self._shrunk()
        if tx.id not in self._held:
            return Refused("full", for_good=False, evicted=tuple(one for one in evicted if one.id != tx.id))
        return Accepted(tuple(evicted))

    def confirmed(self, txs: Sequence[Transaction]) -> list[Transaction]:
        """A block holds these, and the ledger knows: they leave, and so do those that it made impossible. Gives the
        latter.
        """
        for tx in txs:
            if tx.id in self._held:
                self._remove(tx)
        gone: list[Transaction] = []
        for sender in dict.fromkeys(tx.sender for tx in txs):
            account = self._account(sender)
            for nonce, waiting in list(self._by_sender.get(sender, {}).items()):
                if nonce < account.nonce:
                    self._remove(waiting)
                    gone.append(waiting)
            gone += self._unpaid(sender)
        return gone

    def undone(self, txs: Sequence[Transaction], now: float) -> tuple[list[Transaction], list[Transaction]]:
        """The ledger went back: these were in blocks and are not any more, in that order. All that waits is judged
        anew, they first, because they were first; signatures were checked before. Gives those of them that are here
        now, and those that were and are not.
        """
        before, self._held, self._by_sender, self.bytes = self._held, {}, {}, 0
        fresh = {tx.id: _Held(tx, now, False, now) for tx in txs}
        later = sorted((one for one in before.values() if one.transaction.id not in fresh),
                       key=lambda one: one.transaction.nonce)
        for one in (*fresh.values(), *later):
            tx = one.transaction
            if tx.nonce not in self._by_sender.get(tx.sender, {}) and self._place(tx) is None:
                self._held[tx.id] = one
                self._by_sender.setdefault(tx.sender, {})[tx.nonce] = tx
                self.bytes += tx.size
        self._shrunk()
        gone = [one.transaction for one in before.values() if one.transaction.id not in self._held]
        return [tx for tx in txs if tx.id in self._held], gone

    def expire(self, now: float) -> list[Transaction]:
        """Those that waited too long leave, with what stands on them."""
        old = [one.transaction for one in self._held.values() if now - one.since_s >= self.rules.expire_s]
        gone: dict[bytes, Transaction] = {}
        for tx in old:
            for later in self._with_later(tx):
                gone[later.id] = later
        for tx in gone.values():
            self._remove(tx)
        return list(gone.values())

    def due(self, now: float) -> list[Transaction]:
        """Our own that nobody confirmed: time to tell them again. They are not due again for as long."""
        found = []
        for one in self._held.values():
            if one.ours and now - one.told_s >= self.rules.rebroadcast_s:
                one.told_s = now
                found.append(one.transaction)
        return found

    def best(self, bytes_max: int) -> list[Transaction]:
        """What a block of that size would hold: the dearest first, and of one sender in order."""
        heads = {sender: sorted(waiting.values(), key=lambda tx: tx.nonce)
                 for sender, waiting in self._by_sender.items()}
        chosen, left = [], bytes_max
        while heads:
            sender = max(heads, key=lambda one: (_rate(heads[one][0]), one))
            tx = heads[sender][0]
            if tx.size > left:
                del heads[sender]
                continue
            chosen.append(tx)
            left -= tx.size
            heads[sender] = heads[sender][1:]
            if not heads[sender]:
                del heads[sender]
        return chosen

    def _reason(self, tx: Transaction) -> Reason | None:
        """Why it may not enter; the signature, which is dear to check, comes last."""
        if tx.id in self._held:
            return "known"
        if tx.size <= 0 or min(tx.amount, tx.fee, tx.nonce) < 0:
            return "malformed"
        reason: Reason | None = "fee" if _rate(tx) < self.rules.fee_rate else self._place(tx)
        if reason is None and not self._verify(tx):  # guard: tx-signature
            reason = "signature"
        return reason

    def _place(self, tx: Transaction) -> Reason | None:
        """Is there a place for it among what its sender has waiting, and can the sender pay all of it?"""
        waiting, account = self._by_sender.get(tx.sender, {}), self._account(tx.sender)
        rival = waiting.get(tx.nonce)
        if tx.nonce < account.nonce or (rival is None and tx.nonce != self.next_nonce(tx.sender)):
            return "nonce"
        if rival is not None and 100 * tx.fee < (100 + self.rules.replace) * rival.fee:  # guard: double-spend
            return "rival"
        if rival is None and len(waiting) >= self.rules.per_sender:
            return "many"
        before = sum(one.amount + one.fee for nonce, one in waiting.items() if nonce < tx.nonce)
        if before + tx.amount + tx.fee > account.balance:  # guard: balance
            return "balance"
        return None

    def _unpaid(self, sender: bytes) -> list[Transaction]:
        """Those leave that the sender cannot pay any more, and all after them."""
        account = self._account(sender)
        left, gone, broken = account.balance, [], False
        for nonce in sorted(self._by_sender.get(sender, {})):
            tx = self._by_sender[sender][nonce]
            left -= tx.amount + tx.fee
            broken = broken or left < 0
            if broken:
                gone.append(tx)
        for tx in gone:
            self._remove(tx)
        return gone

    def _shrunk(self) -> list[Transaction]:
        """The cheapest leave until there is room, with what stands on them."""
        evicted = []
        while self.bytes > self.rules.bytes_max:
            cheapest = min((one.transaction for one in self._held.values()), key=_rate)
            for gone in self._with_later(cheapest):
                self._remove(gone)
                evicted.append(gone)
        return evicted

    def _with_later(self, tx: Transaction) -> list[Transaction]:
        """It, and what the same sender made after it: without it they have a gap before them."""
        return [one for nonce, one in self._by_sender.get(tx.sender, {}).items() if nonce >= tx.nonce]

    def _remove(self, tx: Transaction) -> None:
        del self._held[tx.id]
        waiting = self._by_sender[tx.sender]
        del waiting[tx.nonce]
        if not waiting:
            del self._by_sender[tx.sender]
        self.bytes -= tx.size


def _rate(tx: Transaction) -> float:
    """Fee for a byte."""
    return tx.fee / tx.size
