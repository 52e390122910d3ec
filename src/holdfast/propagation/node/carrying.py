# SPDX-License-Identifier: Apache-2.0
"""A node without its sockets: it feeds ``chain.FullNode`` with what is heard, and carries out what that wants done.

::

    word ─▶ Message ─▶ full.handle(event, now, chance) ─▶ Tell  ─▶ tell(peer, message, transaction)
                                                          Wake  ─▶ wake(at, key)
                                                          Blame ─▶ blamed(peer, why)
                                                          Check ─▶ full.check ─▶ Checked ─▶ full.handle …

Nothing is decided here: whom to tell is the relays' affair, what is good the mempool's and the tree's. What lies
between is: a body is at hand while it is checked, and all that an analyser wants to know is written down. The simulator
is the other carrier of the same decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..._base.chance import Chance
from ...errors import BadPacket
from .. import journal
from ..chain import FullNode, Header, Moved
from ..chain import Settings as Rules
from ..mempool import Account, Transaction
from ..relay.base import Relay
from ..relay.draws import exponential
from ..relay.words import Blame, Check, Checked, Effect, Event, Heard, Made, Message, Peer, Tell, TxId, Woke

#: Transactions of which it is remembered when they were first heard of.
NAMED_MAX: Final = 10_000
#: How long that is remembered.
NAMED_S: Final = 600.0

#: Makes a relay by its neighbours.
Policy = Callable[[Sequence[Peer]], Relay]
#: Says a message to a neighbour. transaction: of a body.
TellPeer = Callable[[int, Message, Transaction | None], None]
#: Comes back with that key at that time.
WakeAt = Callable[[float, tuple[object, ...]], None]
#: Writes an entry down; the fields t and node are the writer's.
Note = Callable[[type[journal.Entry], dict[str, object]], None]


@dataclass(frozen=True)
class Making:
    """Blocks of our own. maker: the public key that they name. seal: signs a header. every_s: on average; the time
    between two has no memory, as in mining."""

    maker: bytes
    seal: Callable[[bytes], bytes]
    every_s: float


@dataclass(frozen=True)
class Verdict:
    """What became of a transaction that was handed in. why: empty when it was taken."""

    id: bytes
    why: str = ""

    @property
    def taken(self) -> bool:
        """Is it in the mempool, on its way to others?"""
        return not self.why


@dataclass(frozen=True)
class Hands:
    """What a carrier does things with. name_of: what a neighbour is called in the journal."""

    tell: TellPeer
    wake: WakeAt
    note: Note
    blamed: Callable[[int, str], None] = lambda *_: None
    name_of: Callable[[int], str] = str


class Carrier:
    """One node's decisions, carried out.

    accounts: what each has at the beginning. seal: is a header sealed by a maker who may? verify: is a transaction
    signed by its sender? making: None: it makes no blocks. Times are seconds since 1970: blocks have them.
    """

    def __init__(self, policy: Policy, accounts: Mapping[bytes, Account], chance: Chance, hands: Hands, *,
                 seal: Callable[[Header], bool], verify: Callable[[Transaction], bool], rules: Rules | None = None,
                 making: Making | None = None) -> None:
        self.counted: Counter[str] = Counter()
        #: Seconds from the first word of a transaction until it was here, and from the making of a block, by its
        #: maker's clock: since somebody took these.
        self.fetch_s: list[float] = []
        self.block_s: list[float] = []
        #: When the chain moved last.
        self.moved_s = 0.0
        self._chance, self._hands, self._making = chance, hands, making
        self._bodies: dict[TxId, Transaction] = {}
        self._hops: dict[TxId, int] = {}
        self._named: dict[TxId, float] = {}
        self._why = ""
        self.full: Final = FullNode.built((), policy, accounts, seal=seal, verify=verify, look=self._bodies.__getitem__,
                                          settings=rules, watch=self._moved)

    @property
    def relay(self) -> Relay:
        """Of transactions."""
        return self.full.relay

    @property
    def height(self) -> int:
        """Of the chain."""
        return self.full.tree.height

    def begin(self, now: float) -> None:
        """The node starts."""
        self.moved_s = now
        self._do(self.full.begin(now, self._chance), now)
        if self._making is not None:
            self._hands.wake(now + exponential(self._making.every_s, self._chance), ("make",))

    def joined(self, peer: Peer, now: float) -> None:
        """A neighbour more: it hears of what it may lack."""
        self._do(self.full.joined(peer, now, self._chance), now)

    def left(self, peer: int, now: float) -> None:
        """A neighbour less."""
        self._do(self.full.left(peer, now), now)

    def submit(self, tx: Transaction, now: float) -> Verdict:
        """Our own user made it."""
        if tx.id in self.full.pool:
            return Verdict(tx.id, "known")
        self.relay.refused.pop(tx.id, None)
        self._bodies[tx.id], self._hops[tx.id] = tx, 0
        self._why = ""
        self._hands.note(journal.Made, {"id": tx.id.hex(), "size": tx.size})
        self.handle(Made(tx.id, tx.size), now)
        self._forget(tx.id)
        return Verdict(tx.id, "" if tx.id in self.full.pool else self._why or "known")

    def heard(self, peer: int, message: Message, tx: Transaction | None, now: float) -> None:
        """A neighbour said this. Raises BadPacket for a body that is another one's."""
        self.counted[f"heard {message.kind}"] += max(len(message.txs), 1)
        if tx is None:
            if message.kind == "announce":
                self._first_words(message, now)
            self.handle(Heard(peer, message), now)
            return
        if message.txs != (tx.id,):
            raise BadPacket("a body under another one's id")
        # A transaction is checked as soon as it has come, so what is not checked now was here before, or is no good.
        self._bodies[tx.id], self._hops[tx.id] = tx, message.hops
        checked = self.counted["checked"]
        self.handle(Heard(peer, message), now)
        if self.counted["checked"] == checked:
            self.counted["copied"] += 1
            self._hands.note(journal.Copied, {"id": tx.id.hex(), "peer": self._hands.name_of(peer), "size": tx.size})
        self._forget(tx.id)

    def woke(self, key: tuple[object, ...], now: float) -> None:
        """It is the time that was asked for."""
        if key == ("make",):
            self._make(now)
        else:
            self.handle(Woke(key), now)

    def tick(self, now: float) -> None:
        """Now and then: first words of what never came are forgotten."""
        for tx in [tx for tx, since in self._named.items() if now - since > NAMED_S]:
            del self._named[tx]

    def handle(self, event: Event, now: float) -> None:
        """An event, and all that follows from it."""
        self._do(self.full.handle(event, now, self._chance), now)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _do(self, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                self._tell(effect)
            elif isinstance(effect, Check):
                self._check(effect.tx, now)
            elif isinstance(effect, Blame):
                self._hands.blamed(effect.peer, effect.why)
            else:
                self._hands.wake(effect.at_s, effect.key)

    def _tell(self, effect: Tell) -> None:
        message = effect.message
        if message.kind not in {"body", "stem"}:
            self._hands.tell(effect.peer, message, None)
            return
        body = self.full.pool.get(message.txs[0]) if isinstance(message.txs[0], bytes) else None
        if body is not None:  # else it gave way meanwhile
            self.counted["forwarded"] += 1
            self._hands.tell(effect.peer, message, body)

    def _check(self, what: TxId, now: float) -> None:
        self.counted["checked"] += 1
        if isinstance(what, bytes) and self.full.blocks.checks(what):
            peer = self._block_came(what, now)
        else:
            peer = self._came(what, now)
        good = self.full.check(what, now)
        if good:
            self.counted["accepted"] += 1
        else:
            self._refused(what, peer)
        self.handle(Checked(what, good), now)

    def _came(self, tx: TxId, now: float) -> int | None:
        """A transaction is here for the first time; who brought it."""
        body, peer = self._bodies[tx], self.relay.brought(tx)
        if peer is not None:
            self._hands.note(journal.Arrived, {"id": body.id.hex(), "peer": self._hands.name_of(peer),
                                               "size": body.size, "hops": self._hops.get(tx, 0)})
        since = self._named.pop(tx, None)
        if since is not None:
            self.fetch_s.append(max(now - since, 0.0))
        return peer

    def _block_came(self, name: bytes, now: float) -> int | None:
        found = self.full.blocks.checked(name)
        if found is None:
            return None
        block, peer, hops = found
        header = block.header
        said: dict[str, object] = {"id": name.hex(), "what": "block", "size": header.size, "height": header.height,
                                   "parent": header.parent.hex()}
        if peer is None:
            self._hands.note(journal.Made, said)
        else:
            self._hands.note(journal.Arrived, {**said, "peer": self._hands.name_of(peer), "hops": hops})
            self.block_s.append(max(now - header.time_ms / 1000, 0.0))
        return peer

    def _refused(self, what: TxId, peer: int | None) -> None:
        why = self._why = self.full.why
        block = why.startswith("block ")
        self.counted[f"refused {why}"] += 1
        self._hands.note(journal.Refused, {
            "id": what.hex() if isinstance(what, bytes) else str(what), "why": why.removeprefix("block "),
            "peer": "" if peer is None else self._hands.name_of(peer), "what": "block" if block else "tx"})

    def _moved(self, moved: Moved, now: float) -> None:
        """The chain has another head."""
        self.moved_s = now
        self.counted["heads"] += 1
        self.counted["undone"] += len(moved.undone)
        self._hands.note(journal.Headed, {"id": moved.head.hex(), "height": self.height, "undone": len(moved.undone)})
        for block in moved.done:
            for tx in block.transactions:
                self.counted["confirmed"] += 1
                self._hands.note(journal.Confirmed, {
                    "id": tx.id.hex(), "block": block.id.hex(), "depth": self.height - block.header.height + 1})

    def _make(self, now: float) -> None:
        """A block of ours, and the time of the next one."""
        making = self._making
        if making is None:
            return
        self.handle(self.full.make(making.maker, making.seal, now), now)
        self._hands.wake(now + exponential(making.every_s, self._chance), ("make",))

    def _first_words(self, message: Message, now: float) -> None:
        for named in message.txs:
            if named not in self.relay.held and len(self._named) < NAMED_MAX:
                self._named.setdefault(named, now)

    def _forget(self, tx: TxId) -> None:
        """It was checked: the mempool has it, or nobody wants it."""
        self._bodies.pop(tx, None)
        self._hops.pop(tx, None)
