# SPDX-License-Identifier: Apache-2.0
"""All blocks that are good, as a tree, and which of its branches counts: the longest; of two as long, the first seen.

::

    genesis ─▶ 1 ─▶ 2 ─▶ 3 ─▶ 4        the chain; accounts are as after 4
                    └──▶ 3'─▶ 4'─▶ 5'  5' comes: 4 and 3 are undone, 3' 4' 5' done

Each block keeps what accounts are after it, those that it changed, so a block on any branch is judged when it comes and
not when its branch wins. What lies ``undo`` blocks behind the head is settled: its changes go into one table, branches
that leave the chain there are forgotten. The price: two halves of a network that were apart for longer do not come
together again by themselves, which is an operator's case.

Time is an argument where it matters (a header from the future); signatures are asked of functions that are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from ...errors import ConfigurationError
from ..mempool import Account, Transaction
from .block import HASH_BYTES, NAME_BYTES_MAX, NUMBER_MAX, Block, Header, canonical, root_of, zeros
from .ledger import NOTHING, Changes, applied


@dataclass(frozen=True)
class ChainRules:
    """What is the same for all nodes of a network, up to ``ahead_s``; after it, what a node keeps.

    bytes_max, count_max: of a block's transactions. bits: of work; 0: none. reward: of a block. ahead_s: how much a
    maker's clock may be ahead of ours. undo: how many blocks can be undone; more costs memory, fewer make long
    partitions final. side_max: blocks beside the chain that are kept; not less than ``undo``, lest a branch that
    overtakes is cut while it does. bodies: how many blocks keep their transactions for others to catch up; older ones
    are headers, and who is further behind does not get there.
    """

    bytes_max: int = 1_000_000
    count_max: int = 20_000
    bits: int = 0
    reward: int = 0
    ahead_s: float = 120.0
    undo: int = 1000
    side_max: int = 2000
    bodies: int = 100_000

    def __post_init__(self) -> None:
        if not 1 <= self.undo <= min(self.side_max, self.bodies):
            raise ConfigurationError(f"undo is 1 or more, and no more than side_max and bodies, not {self.undo}")


#: Why a header is no good. form: lengths or numbers that cannot be. height: not its parent's and one. time: before its
#: parent's. early: too far ahead of our clock; may be good later. deep: it leaves the chain where that is settled.
#: work: too few zero bits. seal: not its maker's, or its maker is none.
HeaderReason: TypeAlias = Literal["form", "height", "time", "early", "deep", "work", "seal"]
#: Why a block with a good header is no good. root: these are not its transactions. size: they are not as many, or as
#: long, as it says. ledger: one of them cannot be paid, or its nonce is not the next. signature: one's is not its
#: sender's. parent: unknown here.
BlockReason: TypeAlias = Literal["root", "size", "ledger", "signature", "parent"]


class Moved(NamedTuple):
    """The chain has another head. undone: blocks that are not in it any more, the highest first. done: blocks that are
    in it now, the lowest first."""

    head: bytes
    undone: tuple[Block, ...]
    done: tuple[Block, ...]


#: Blocks that were found good and that nobody has added yet.
JUDGED_MAX = 64


@dataclass
class _Kept:
    header: Header
    body: tuple[Transaction, ...] | None
    changes: Changes
    children: int = 0


def genesis(accounts: Mapping[bytes, Account]) -> Block:
    """The block before all others, which nobody made. Its root stands for who has what, so networks that begin
    differently never take each other's blocks."""
    said = canonical(b"holdfast genesis 1", *(part for name, account in sorted(accounts.items())
                                              for part in (name, account.balance, account.nonce)))
    return Block(Header(bytes(HASH_BYTES), 0, hashlib.sha256(said).digest(), 0, 0, b"", 0))


class Tree:
    """Good blocks from the genesis on.

    accounts: what each has at the beginning. seal: is this header sealed by its maker, and may that one make blocks?
    verify: is this transaction signed by its sender, and is its id the one it has (``transaction_id``)?
    """

    def __init__(self, accounts: Mapping[bytes, Account], seal: Callable[[Header], bool],
                 verify: Callable[[Transaction], bool], rules: ChainRules | None = None) -> None:
        self.rules = rules or ChainRules()
        self._seal, self._verify = seal, verify
        first = genesis(accounts)
        self.genesis = first.id
        self._kept: dict[bytes, _Kept] = {self.genesis: _Kept(first.header, (), {})}
        #: Ids of the chain by height.
        self._chain: list[bytes] = [self.genesis]
        self._side: dict[bytes, None] = {}
        self._settled = 0
        self._base: dict[bytes, Account] = dict(accounts)
        self._accounts: dict[bytes, Account] = dict(accounts)
        self._where: dict[bytes, bytes] = {}
        #: Found good and not added yet, the latest: the block itself, lest another body comes under its id.
        self._judged: dict[bytes, tuple[Block, Changes]] = {}

    # -- what is here -----------------------------------------------------------------------------------------------

    @property
    def head(self) -> Header:
        """The last block of the chain."""
        return self._kept[self._chain[-1]].header

    @property
    def head_id(self) -> bytes:
        """Its id."""
        return self._chain[-1]

    @property
    def height(self) -> int:
        """Blocks of the chain, the genesis not counted."""
        return len(self._chain) - 1

    @property
    def settled(self) -> int:
        """The height up to which nothing is undone any more."""
        return self._settled

    def __contains__(self, block: bytes) -> bool:
        return block in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def header(self, block: bytes) -> Header | None:
        """Of a good block, on any branch."""
        kept = self._kept.get(block)
        return kept.header if kept else None

    def block(self, block: bytes) -> Block | None:
        """With its transactions; None too where only its header is kept."""
        kept = self._kept.get(block)
        return Block(kept.header, kept.body) if kept is not None and kept.body is not None else None

    def in_chain(self, block: bytes) -> bool:
        """Is it in the chain, and not beside it?"""
        kept = self._kept.get(block)
        return kept is not None and kept.header.height < len(self._chain) and self._chain[kept.header.height] == block

    def at(self, height: int) -> bytes | None:
        """The id of the chain's block at that height."""
        return self._chain[height] if 0 <= height < len(self._chain) else None

    def account(self, name: bytes) -> Account:
        """What the chain says of somebody, after its head. Fits ``Mempool``."""
        return self._accounts.get(name, NOTHING)

    def accounts(self) -> dict[bytes, Account]:
        """All of them, after the head."""
        return {name: account for name, account in self._accounts.items() if account != NOTHING}

    def depth(self, tx: bytes) -> int:
        """How many blocks of the chain hold a transaction or stand on it: its confirmations. 0: none holds it, or one
        so old that its transactions are not kept."""
        where = self._where.get(tx)
        return 0 if where is None else len(self._chain) - self._kept[where].header.height

    def holds(self, tx: bytes) -> bytes | None:
        """The id of the chain's block that holds this transaction."""
        return self._where.get(tx)

    # -- what others ask for ----------------------------------------------------------------------------------------

    def locator(self) -> tuple[bytes, ...]:
        """Ids of the chain by which another node finds where it parts from its own: the last ten, then at doubling
        distances, then the genesis."""
        found, height, step = [], self.height, 1
        while height > 0:
            found.append(self._chain[height])
            if len(found) >= 10:
                step *= 2
            height -= step
        return (*found, self.genesis)

    def after(self, locator: Sequence[bytes], count: int) -> tuple[Header, ...]:
        """Headers of the chain after the first of these ids that is in it, as many at most. None of them is: another
        network's, so nothing."""
        for block in locator:
            if self.in_chain(block):
                begins = self._kept[block].header.height + 1
                return tuple(self._kept[name].header for name in self._chain[begins:begins + count])
        return ()

    # -- what comes in ----------------------------------------------------------------------------------------------

    def wrong_header(self, header: Header, parent: Header, now: float) -> HeaderReason | None:
        """Why a header whose parent is this one is no good; None: it is. The seal, which is dear to check, comes
        last."""
        numbers = (header.height, header.count, header.size, header.time_ms, header.nonce)
        if not all(0 <= number < NUMBER_MAX for number in numbers) or len(header.root) != HASH_BYTES \
                or header.count > self.rules.count_max or header.size > self.rules.bytes_max \
                or len(header.maker) > NAME_BYTES_MAX or len(header.seal) > NAME_BYTES_MAX:
            return "form"
        reason: HeaderReason | None = None
        if header.height != parent.height + 1:
            reason = "height"
        elif header.time_ms < parent.time_ms:
            reason = "time"
        elif header.time_ms > (now + self.rules.ahead_s) * 1000:
            reason = "early"
        elif header.height <= self._settled:
            reason = "deep"
        elif self.rules.bits and zeros(header) < self.rules.bits:  # guard: block-work
            reason = "work"
        elif not self._seal(header):  # guard: block-seal
            reason = "seal"
        return reason

    def wrong(self, block: Block) -> BlockReason | None:
        """Why a block whose header is good is no good; None: it is, and ``add`` need not look again."""
        header = block.header
        if header.parent not in self._kept or (header.height <= self._settled and block.id not in self._kept):
            return "parent"
        if len(block.transactions) != header.count or sum(tx.size for tx in block.transactions) != header.size:
            return "size"
        if root_of(block.transactions) != header.root:  # guard: block-root
            return "root"
        changes = applied(header, block.transactions, lambda name: self._account_after(header.parent, name),
                          self.rules.reward)
        if changes is None:
            return "ledger"
        if not all(self._verify(tx) for tx in block.transactions):  # guard: block-signature
            return "signature"
        self._judged[block.id] = (block, changes)
        if len(self._judged) > JUDGED_MAX:
            del self._judged[next(iter(self._judged))]
        return None

    def add(self, block: Block) -> Moved | None:
        """A block whose header is good takes its place; gives how the chain moved, if it did. One that is no good
        (``wrong``), or known, changes nothing."""
        name = block.id
        if name in self._kept or (name not in self._judged and self.wrong(block) is not None):  # guard: tree-validates
            return None
        header = block.header
        judged, changes = self._judged.pop(name)
        self._kept[name] = _Kept(header, judged.transactions, changes)
        self._kept[header.parent].children += 1
        if header.height > self.height:  # guard: fork-choice. Longer, not only as long: the first seen stays
            moved = self._move(name)
            self._settle()
            return moved
        self._side[name] = None
        self._bound()
        return None

    # -- inside -----------------------------------------------------------------------------------------------------

    def _account_after(self, block: bytes, name: bytes) -> Account:
        """What somebody has after a block of any branch."""
        while block != self._chain[-1]:
            kept = self._kept[block]
            if name in kept.changes:
                return kept.changes[name]
            if kept.header.height <= self._settled:
                return self._base.get(name, NOTHING)
            block = kept.header.parent
        return self._accounts.get(name, NOTHING)

    def _move(self, head: bytes) -> Moved:
        done: list[bytes] = []
        name = head
        while not self.in_chain(name):
            done.append(name)
            name = self._kept[name].header.parent
        done.reverse()
        fork = self._kept[name].header.height
        undone = self._chain[fork + 1:]
        touched = {account for block in undone for account in self._kept[block].changes}
        before = {account: self._account_after(name, account) for account in touched} if undone else {}
        for block in undone:
            self._side[block] = None
            for tx in self._kept[block].body or ():
                self._where.pop(tx.id, None)
        del self._chain[fork + 1:]
        self._accounts.update(before)
        for block in done:
            self._side.pop(block, None)
            self._chain.append(block)
            self._accounts.update(self._kept[block].changes)
            for tx in self._kept[block].body or ():
                self._where[tx.id] = block
        return Moved(head, tuple(self._whole(block) for block in reversed(undone)),
                     tuple(self._whole(block) for block in done))

    def _whole(self, name: bytes) -> Block:
        kept = self._kept[name]
        return Block(kept.header, kept.body or ())

    def _settle(self) -> None:
        """What lies far behind the head cannot be undone any more: branches that left the chain there go, and blocks
        that are older still are headers only."""
        before = self._settled
        while self.height - self._settled > self.rules.undo:
            self._settled += 1
            kept = self._kept[self._chain[self._settled]]
            self._base.update(kept.changes)
            kept.changes = {}
        if self._settled > before:
            for name in sorted(self._side, key=lambda name: self._kept[name].header.height):
                header = self._kept[name].header
                if header.height <= self._settled or header.parent not in self._kept:
                    self._forget(name)
        self._bound()
        bare = self.height - self.rules.bodies
        while bare > 0:
            kept = self._kept[self._chain[bare]]
            if kept.body is None:
                break
            for tx in kept.body:
                self._where.pop(tx.id, None)
            kept.body = None
            bare -= 1

    def _bound(self) -> None:
        """When there are too many blocks beside the chain, the ends of the shortest branches go."""
        while len(self._side) > self.rules.side_max:  # guard: side-branches
            self._forget(min((name for name in self._side if not self._kept[name].children),
                             key=lambda name: self._kept[name].header.height))

    def _forget(self, name: bytes) -> None:
        kept = self._kept.pop(name)
        del self._side[name]
        parent = self._kept.get(kept.header.parent)
        if parent is not None:
            parent.children -= 1


def unsealed(parent: Header, txs: Sequence[Transaction], maker: bytes, time_ms: int) -> Header:
    """The header of a block with these transactions after that one, to be worked on and sealed."""
    return Header(parent.id, parent.height + 1, root_of(txs), len(txs), sum(tx.size for tx in txs), maker,
                  max(time_ms, parent.time_ms))


def sealed(header: Header, seal: Callable[[bytes], bytes]) -> Header:
    """Signed by its maker. seal: gives the signature of these bytes."""
    return msgspec.structs.replace(header, seal=seal(header.unsealed()))
