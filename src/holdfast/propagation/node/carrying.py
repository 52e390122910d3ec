# SPDX-License-Identifier: Apache-2.0
"""A node without its sockets: it feeds a relay and a mempool with what is heard, and hands on what they want done.

::

    word ─▶ Message ─▶ relay.handle(event, now, chance) ─▶ Tell  ─▶ tell(peer, message, transaction)
                                                           Wake  ─▶ wake(at, key)
                                                           Check ─▶ mempool.offer ─▶ Checked ─▶ relay.handle …

Nothing is decided here: who is told is the relay's affair, what is good the mempool's. What lies between is: a body
is kept as long as one of both wants it, what was refused for a passing reason may come again, and all that an analyser
wants to know is written down. The simulator is the other carrier of the same decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from ...errors import BadPacket
from .. import journal
from ..mempool import Accepted, Mempool, Reason, Transaction
from ..relay.base import Relay
from ..relay.words import Check, Checked, Effect, Event, Heard, Made, Message, Peer, Tell, TxId, Woke
from .early import Early, Waiting

#: Refusals for a passing reason that are remembered, to be forgiven when the chain goes on.
PASSING_MAX = 10_000

#: Says a message to a neighbour. transaction: of a body.
TellPeer = Callable[[int, Message, Transaction | None], None]
#: Comes back with the event ``Woke(key)`` at that time.
WakeAt = Callable[[float, tuple[object, ...]], None]
#: Writes an entry down; the fields t and node are the writer's.
Note = Callable[[type[journal.Entry], dict[str, object]], None]


@dataclass(frozen=True)
class Verdict:
    """What became of a transaction that was handed in. why: empty when it was taken."""

    id: bytes
    why: Reason | str = ""

    @property
    def taken(self) -> bool:
        """Is it in the mempool, on its way to others?"""
        return not self.why


class Carrier:
    """One node's decisions, carried out through three functions.

    name_of: what a neighbour is called in the journal. blamed: a neighbour brought what can never be good.
    """

    def __init__(self, relay: Relay, mempool: Mempool, chance: Chance, *, tell: TellPeer, wake: WakeAt, note: Note,
                 name_of: Callable[[int], str] = str, blamed: Callable[[int, str], None] = lambda *_: None) -> None:
        self.relay, self.mempool, self.early = relay, mempool, Early()
        self.counted: Counter[str] = Counter()
        self._chance, self._tell, self._wake, self._note = chance, tell, wake, note
        self._name_of, self._blamed = name_of, blamed
        #: Bodies of what is being checked or held.
        self._bodies: dict[TxId, Transaction] = {}
        self._came: dict[TxId, tuple[int | None, int]] = {}
        self._ours: set[TxId] = set()
        self._why: dict[TxId, str] = {}
        self._passing: dict[TxId, None] = {}
        #: When a transaction was first heard of, until it came: for the latency of fetching.
        self._named: dict[TxId, float] = {}
        #: Seconds from the first word of a transaction until it was here, since last asked.
        self.waits_s: list[float] = []

    def begin(self, now: float) -> None:
        """The node starts."""
        self._do(self.relay.begin(now, self._chance), now)

    def joined(self, peer: Peer, now: float) -> None:
        """A neighbour more: it hears of what it may lack."""
        self.relay.joined(peer)
        self._do(self.relay.greet(peer.id, now, self._chance), now)

    def left(self, peer: int, now: float) -> None:
        """A neighbour less."""
        self._do(self.relay.left(peer, now), now)

    def submit(self, tx: Transaction, now: float) -> Verdict:
        """Our own user made it."""
        if tx.id in self.mempool:
            return Verdict(tx.id, "known")
        self.relay.forgive(tx.id)
        self._bodies[tx.id], self._came[tx.id] = tx, (None, 0)
        self._ours.add(tx.id)
        self._note(journal.Made, {"id": tx.id.hex(), "size": tx.size})
        self.handle(Made(tx.id, tx.size), now)
        return Verdict(tx.id, "" if tx.id in self.mempool else self._why.get(tx.id, "known"))

    def heard(self, peer: int, message: Message, tx: Transaction | None, now: float) -> None:
        """A neighbour said this. Raises BadPacket for a body that is another one's."""
        self.counted[f"heard {message.kind}"] += max(len(message.txs), 1)
        if tx is None:
            if message.kind == "announce":
                for named in message.txs:
                    if named not in self.relay.held and len(self._named) < PASSING_MAX:
                        self._named.setdefault(named, now)
            return self.handle(Heard(peer, message), now)
        if message.txs != (tx.id,):
            raise BadPacket("a body under another one's id")
        known = tx.id in self._bodies
        if not known:
            self._bodies[tx.id], self._came[tx.id] = tx, (peer, message.hops)
        copied = known or tx.id in self.relay.refused
        self.handle(Heard(peer, message), now)
        if copied:
            self.counted["copied"] += 1
            self._note(journal.Copied, {"id": tx.id.hex(), "peer": self._name_of(peer), "size": tx.size})
        self._tidy(tx.id)
        return None

    def woke(self, key: tuple[object, ...], now: float) -> None:
        """It is the time that was asked for."""
        self.handle(Woke(key), now)

    def tick(self, now: float) -> None:
        """Now and then: what is too old goes, what is ours and waits for long is told again."""
        for gone in self.mempool.expire(now):
            self._drop(gone, now)
        for gone in self.early.expire(now):
            self._pass_over(gone.id)
        for due in self.mempool.due(now):
            self._do(self.relay.retell(due.id, now, self._chance), now)
        for tx in [tx for tx, since in self._named.items() if now - since > 600.0]:
            del self._named[tx]

    def confirmed(self, txs: Sequence[Transaction], now: float) -> None:
        """The chain holds these now: they leave the mempool, and what was refused for a passing reason may come
        again."""
        for gone in [*txs, *self.mempool.confirmed(txs)]:
            self._drop(gone, now)
        for tx in self._passing:
            self.relay.forgive(tx)
        self._passing.clear()
        for tx in txs:
            self._follow(tx, now)

    def returned(self, txs: Sequence[Transaction], now: float) -> None:
        """The chain does not hold these any more: they wait for a block again, where they can."""
        for tx in txs:
            self._enter(tx, None, 0, now)

    def body(self, tx: TxId) -> Transaction | None:
        """A transaction that is here."""
        return self._bodies.get(tx)

    def handle(self, event: Event, now: float) -> None:
        """An event for the relay, and all that follows from it."""
        self._do(self.relay.handle(event, now, self._chance), now)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _do(self, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                tx = None
                if effect.message.kind in {"body", "stem"}:
                    tx = self._bodies.get(effect.message.txs[0])
                    if tx is None:
                        continue
                    self.counted["forwarded"] += 1
                self._tell(effect.peer, effect.message, tx)
            elif isinstance(effect, Check):
                self._check(effect.tx, now)
            else:
                self._wake(effect.at_s, effect.key)

    def _check(self, tx: TxId, now: float) -> None:
        body = self._bodies[tx]
        peer, hops = self._came[tx]
        if peer is not None:
            self._note(journal.Arrived, {"id": body.id.hex(), "peer": self._name_of(peer), "size": body.size,
                                         "hops": hops})
        since = self._named.pop(tx, None)
        if since is not None:
            self.waits_s.append(now - since)
        verdict = self.mempool.offer(body, now, ours=tx in self._ours)
        for evicted in verdict.evicted:
            self._drop(evicted, now)
        if isinstance(verdict, Accepted):
            self.counted["accepted"] += 1
            self._passing.pop(tx, None)
            self.handle(Checked(tx, good=True), now)
            self._follow(body, now)
            return
        why = verdict.reason
        self.counted[f"refused {why}"] += 1
        self._why[tx] = why
        if len(self._why) > PASSING_MAX:
            del self._why[next(iter(self._why))]
        self._note(journal.Refused, {"id": body.id.hex(), "why": why,
                                     "peer": "" if peer is None else self._name_of(peer)})
        self.handle(Checked(tx, good=False), now)
        if verdict.for_good:
            if peer is not None:
                self._blamed(peer, why)
        else:
            self._passed_by(body, why, peer, hops, now)
        self._tidy(tx)

    def _passed_by(self, tx: Transaction, why: Reason, peer: int | None, hops: int, now: float) -> None:
        """Refused now, and perhaps not later."""
        self._passing[tx.id] = None
        if len(self._passing) > PASSING_MAX:
            del self._passing[next(iter(self._passing))]
        if why == "nonce" and self.mempool.ahead(tx):
            for gone in self.early.put(Waiting(tx, peer, hops, now)):
                self._pass_over(gone.id)

    def _follow(self, tx: Transaction, now: float) -> None:
        """What waited for this one has its turn."""
        found = self.early.follow(tx.sender, tx.nonce + 1)
        if found is None:
            return
        self._enter(found.tx, found.peer, found.hops, now)

    def _enter(self, tx: Transaction, peer: int | None, hops: int, now: float) -> None:
        """One that was here before comes again, by itself."""
        if tx.id in self._bodies:
            return
        self.relay.forgive(tx.id)
        self._bodies[tx.id], self._came[tx.id] = tx, (None, hops)
        if peer is None or peer not in self.relay.peers:
            self.handle(Made(tx.id, tx.size), now)
        else:
            self.handle(Heard(peer, Message("body", (tx.id,), tx.size, hops)), now)

    def _pass_over(self, tx: TxId) -> None:
        """It lost its place among those that wait: it may come again."""
        self.relay.forgive(tx)

    def _drop(self, tx: Transaction, now: float) -> None:
        self.relay.drop(tx.id)
        self._ours.discard(tx.id)
        self._tidy(tx.id)

    def _tidy(self, tx: TxId) -> None:
        """A body that neither the relay nor the mempool wants is not kept."""
        if tx not in self.relay.held and tx not in self.mempool:
            self._bodies.pop(tx, None)
            self._came.pop(tx, None)
