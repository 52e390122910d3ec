# SPDX-License-Identifier: Apache-2.0
"""What every relay does: check before passing on, say nothing twice, ask one neighbour at a time.

::

    Made · Heard(body) ─▶ Check ─▶ Checked(good) ─▶ spread(): the policy, the only thing that differs
    Heard(announce)    ─▶ fetch: one at a time, the next one after RETRY_S
    Heard(want)        ─▶ body

A transaction that is not good is forgotten with what was announced of it, and its id is kept, so that it is neither
asked for nor checked again. Rejected on purpose: passing on before the check. It would save the time of a check on each
hop, and let anybody fill the network with rubbish at nobody's cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..._base.chance import Chance
from .words import Check, Checked, Effect, Event, Heard, Made, Message, Peer, Tell, TxId, Wake

#: How long a neighbour may take to send what it was asked for, before the next one is asked (Bitcoin Core's number).
RETRY_S = 60.0
#: Ids of what was refused that are kept, the latest; older ones would be checked once more.
REFUSED_MAX = 50_000
#: Ids of which it is known which neighbours have them, the latest; of older ones a neighbour may be told in vain.
KNOWN_MAX = 50_000
#: What a new neighbour is told of, at most: the latest.
GREETED_MAX = 5000


class Relay:
    """State of one node's relaying, and the rules that all policies share. A policy overrides ``spread``, and what else
    it does differently.

    peers: the neighbours. They stay; a neighbour that comes or goes later is ``joined`` and ``left``.
    """

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.peers: dict[int, Peer] = {peer.id: peer for peer in peers}
        #: What was checked and is good: its size, and how many links it came.
        self.held: dict[TxId, tuple[int, int]] = {}
        self.refused: dict[TxId, None] = {}
        self._checking: dict[TxId, tuple[int, int, int | None, bool]] = {}
        self._knows: dict[TxId, set[int]] = {}
        self._told: dict[TxId, set[int]] = {}
        self._offers: dict[TxId, dict[int, float]] = {}
        self._asked: dict[TxId, tuple[float, int]] = {}

    # -- what a policy decides --------------------------------------------------------------------------------------

    def spread(self, tx: TxId, sender: int | None, now: float, chance: Chance) -> list[Effect]:
        """A transaction is good and new: who hears of it, how, and when? sender: who brought it; None: it is ours."""
        raise NotImplementedError

    def woke(self, key: tuple[object, ...], now: float, chance: Chance) -> list[Effect]:
        """A timer of the policy's own."""
        return []

    def other(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        """A message of the policy's own kind."""
        return []

    def arrived(self, tx: TxId, peer: int, size: int, now: float, chance: Chance) -> list[Effect]:
        """A body came for the first time and is about to be checked: what may be said before it is?"""
        return []

    def again(self, tx: TxId, peer: int, now: float, chance: Chance) -> list[Effect]:
        """A body came that was here already."""
        return []

    def greet(self, peer: int, txs: Sequence[TxId], now: float, chance: Chance) -> list[Effect]:
        """A neighbour came that lacks these: how does it hear of them?"""
        return self.tell_of(txs, peer)

    def begin(self, now: float, chance: Chance) -> list[Effect]:
        """The node starts."""
        return []

    def fetch_wait_s(self, peer: int) -> float:
        """How long to wait, after this neighbour announced something, for a better one to do so."""
        return 0.0

    # -- what is the same for all -----------------------------------------------------------------------------------

    def handle(self, event: Event, now: float, chance: Chance) -> list[Effect]:
        """What happened; what is to be done about it."""
        if isinstance(event, Heard):
            return self._heard(event.peer, event.message, now, chance)
        if isinstance(event, Checked):
            return self._checked(event, now, chance)
        if isinstance(event, Made):
            return self._new(event.tx, event.size, 0, None, quiet=True)
        if event.key[0] == "fetch":
            return self._fetch(event.key[1], now)  # type: ignore[arg-type]
        return self.woke(event.key, now, chance)

    def joined(self, peer: Peer, now: float, chance: Chance) -> list[Effect]:
        """A neighbour more. It hears of what is here."""
        self.peers[peer.id] = peer
        return self.greet(peer.id, self.lacking_here(peer.id)[-GREETED_MAX:], now, chance)

    def left(self, peer: int, now: float) -> list[Effect]:
        """A neighbour less. What was asked of it is asked of others."""
        self.peers.pop(peer, None)
        effects: list[Effect] = []
        for kept in (self._knows, self._told):
            for those in kept.values():
                those.discard(peer)
        for offers in self._offers.values():
            offers.pop(peer, None)
        for tx in [tx for tx, (_, asked) in self._asked.items() if asked == peer]:
            del self._asked[tx]
            effects.append(Wake(now, ("fetch", tx)))
        return effects

    def still(self, peer: int, message: Message) -> bool:
        """Its turn has come to be sent: is there still any use? False: the neighbour said meanwhile that it has it."""
        if message.kind != "body" or peer not in self.peers:
            return peer in self.peers
        return peer not in self._knows.get(message.txs[0], ())  # guard: still-wanted

    def knows(self, peer: int, tx: TxId) -> bool:
        """Is it known, or sure to come about, that this neighbour has it?"""
        return peer in self._knows.get(tx, ()) or peer in self._told.get(tx, ())

    def lacking(self, tx: TxId, among: Iterable[int] | None = None) -> list[int]:
        """Neighbours of which it is not known that they have it, and who were not told."""
        knows, told = self._knows.get(tx, ()), self._told.get(tx, ())
        return [peer for peer in (self.peers if among is None else among) if peer not in knows and peer not in told]

    def push(self, tx: TxId, peers: Iterable[int]) -> list[Effect]:
        """The body, to each of these."""
        size, hops = self.held[tx]
        message = Message("body", (tx,), size, hops + 1)
        return [Tell(peer, message) for peer in self._tells(tx, peers)]

    def announce(self, tx: TxId, peers: Iterable[int]) -> list[Effect]:
        """That it is here, to each of these."""
        message = Message("announce", (tx,))
        return [Tell(peer, message) for peer in self._tells(tx, peers)]

    def learned(self, tx: TxId, peer: int) -> None:
        """This neighbour has it."""
        known = self._knows.get(tx)
        if known is None:
            known = self._knows[tx] = set()
            if len(self._knows) > KNOWN_MAX:  # guard: known-bound. Anybody can speak of what there never was
                del self._knows[next(iter(self._knows))]
        known.add(peer)

    def brought(self, tx: TxId) -> int | None:
        """Who brought what is being checked; None: our own user."""
        checking = self._checking.get(tx)
        return checking[2] if checking is not None else None

    def renewed(self, tx: TxId, size: int, now: float, chance: Chance) -> list[Effect]:
        """It is good and to be told as if it were new: a block held it and is undone, or it is ours and nobody took
        it."""
        hops = self.held[tx][1] if tx in self.held else 0
        self.drop(tx)
        self.held[tx] = (size, hops)
        return self.spread(tx, None, now, chance)

    def lacking_here(self, peer: int, among: Iterable[TxId] | None = None) -> list[TxId]:
        """What is held, may be spoken of, and this neighbour is not known to have."""
        return [tx for tx in (self.held if among is None else among)
                if tx in self.held and self._may_have(tx, peer) and not self.knows(peer, tx)]

    def tell_of(self, txs: Sequence[TxId], peer: int) -> list[Effect]:
        """That these are here, to this neighbour, in one message."""
        for tx in txs:
            self._tells(tx, (peer,))
        return [Tell(peer, Message("announce", tuple(txs)))] if txs else []

    def drop(self, tx: TxId) -> None:
        """It is in a block, or too old: nothing is kept of it."""
        for kept in (self.held, self._knows, self._told, self._offers, self._asked, self._checking):
            kept.pop(tx, None)

    def _tells(self, tx: TxId, peers: Iterable[int]) -> list[int]:
        told = self._told.setdefault(tx, set())
        fresh = [peer for peer in peers if peer not in told]
        told.update(fresh)
        return fresh

    def _heard(self, peer: int, message: Message, now: float, chance: Chance) -> list[Effect]:
        if peer not in self.peers:
            return []
        if message.kind == "body":
            return self._body(message, peer, now, chance)
        if message.kind == "announce":
            return [effect for tx in message.txs for effect in self._offered(tx, peer, now)]
        if message.kind == "want":
            return [Tell(peer, Message("body", (tx,), self.held[tx][0], self.held[tx][1] + 1))
                    for tx in message.txs if tx in self.held and self._may_have(tx, peer)]
        return self.other(peer, message, now, chance)

    def _may_have(self, tx: TxId, peer: int) -> bool:
        """May it be given to this neighbour, who asked? A policy with secrets says no."""
        return True

    def _body(self, message: Message, peer: int, now: float, chance: Chance) -> list[Effect]:
        tx = message.txs[0]
        self.learned(tx, peer)
        if tx in self.refused:
            return []
        if tx in self.held or tx in self._checking:
            return self.again(tx, peer, now, chance)
        said = self.arrived(tx, peer, message.size, now, chance)
        return [*said, *self._new(tx, message.size, message.hops, peer, quiet=False)]

    def _new(self, tx: TxId, size: int, hops: int, sender: int | None, *, quiet: bool) -> list[Effect]:
        if tx in self.held or tx in self._checking or tx in self.refused:
            return []
        self._checking[tx] = (size, hops, sender, quiet)
        return [Check(tx)]

    def _checked(self, event: Checked, now: float, chance: Chance) -> list[Effect]:
        checking = self._checking.pop(event.tx, None)
        if checking is None:
            return []
        size, hops, sender, quiet = checking
        self._offers.pop(event.tx, None)
        self._asked.pop(event.tx, None)
        if not event.good:  # guard: check-first. What is not good goes no further, and is not looked at again
            if event.for_good:
                self.refused[event.tx] = None
            if len(self.refused) > REFUSED_MAX:
                del self.refused[next(iter(self.refused))]
            self._knows.pop(event.tx, None)
            return []
        self.held[event.tx] = (size, hops)
        return self.passed(event.tx, sender, now, chance, quiet=quiet)

    def passed(self, tx: TxId, sender: int | None, now: float, chance: Chance, *, quiet: bool) -> list[Effect]:
        """It is good. quiet: it is ours, or was given to us to be kept quiet (``stem``)."""
        return self.spread(tx, sender, now, chance)

    def _offered(self, tx: TxId, peer: int, now: float) -> list[Effect]:
        self.learned(tx, peer)
        if tx in self.held or tx in self._checking or tx in self.refused:
            return []
        due = now + self.fetch_wait_s(peer)
        offers = self._offers.setdefault(tx, {})
        if peer in offers:
            return []
        offers[peer] = due
        return self._fetch(tx, now) if due <= now else [Wake(due, ("fetch", tx))]

    def _fetch(self, tx: TxId, now: float) -> list[Effect]:
        """Asks whoever is due first, unless somebody was asked who may still answer."""
        offers = self._offers.get(tx)
        if offers is None or tx in self._checking:
            return []
        asked = self._asked.get(tx)
        if asked is not None and now < asked[0] + RETRY_S:  # guard: one-asked
            return []
        if not offers:  # guard: unanswered. All were asked and nobody gave it: it is news when somebody speaks of it
            self.drop(tx)
            return []
        peer = min(offers, key=offers.__getitem__)
        if offers[peer] > now:
            return []
        del offers[peer]
        self._asked[tx] = (now, peer)
        return [Tell(peer, Message("want", (tx,))), Wake(now + RETRY_S, ("fetch", tx))]
