# SPDX-License-Identifier: Apache-2.0
"""What a block does to accounts: each sender pays amount and fee and uses its next nonce, the receiver is given the
amount, the maker the fees.

The rule against double spends is here: of two transactions with one sender and one nonce, the second finds that nonce
used, in the same block or in a later one, so no chain holds both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..mempool import Account, Transaction
from .block import NUMBER_MAX, Header

#: What accounts are like after a block, those that it changed.
Changes: TypeAlias = dict[bytes, Account]
#: What has never been seen has nothing.
NOTHING = Account(0, 0)


def applied(header: Header, txs: Sequence[Transaction], account: Callable[[bytes], Account], reward: int
            ) -> Changes | None:
    """What changes, or None: one of the transactions cannot be. account: before the block. reward: what the maker
    gets for a block besides the fees; new money."""
    changes: Changes = {}

    def now(name: bytes) -> Account:
        return changes[name] if name in changes else account(name)

    fees = reward
    for tx in txs:
        payer = now(tx.sender)
        if not all(0 <= number < NUMBER_MAX for number in (tx.amount, tx.fee, tx.nonce)) or tx.size <= 0:
            return None
        if tx.nonce != payer.nonce:  # guard: block-nonce. A double spend finds it used
            return None
        if tx.amount + tx.fee > payer.balance:  # guard: block-balance
            return None
        changes[tx.sender] = Account(payer.balance - tx.amount - tx.fee, payer.nonce + 1)
        taker = now(tx.to)
        changes[tx.to] = Account(taker.balance + tx.amount, taker.nonce)
        fees += tx.fee
    if fees:
        maker = now(header.maker)
        changes[header.maker] = Account(maker.balance + fees, maker.nonce)
    return changes


def fitting(txs: Sequence[Transaction], account: Callable[[bytes], Account]) -> list[Transaction]:
    """Those of them that can be one after the other, in this order: what a maker may put into a block."""
    spent: dict[bytes, Account] = {}
    chosen = []
    for tx in txs:
        payer = spent.get(tx.sender) or account(tx.sender)
        if tx.nonce == payer.nonce and tx.amount + tx.fee <= payer.balance:
            spent[tx.sender] = Account(payer.balance - tx.amount - tx.fee, payer.nonce + 1)
            chosen.append(tx)
    return chosen
