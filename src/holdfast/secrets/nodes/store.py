# SPDX-License-Identifier: Apache-2.0
"""Secrets whose keys are in shares on nodes: the contract of ``SecretStore``, answered by a quorum.

::

    get ─▶ all nodes: record, and each one's decision and share ─▶ k answers, and k good shares of the highest record
        ─▶ is it on n − k + 1 nodes? else it is brought there first ─▶ the data key ─▶ the value

A read sees the last write that was acknowledged, as long as k nodes answer (see ``circle`` for why). Of a write that is
under way it sees the old or the new. While n − k + 1 nodes answer, nobody who reads later sees an older one: the reader
completes what it saw. With fewer, which needs k < n − k + 1, a write that its writer left half done may be seen by one
reader and by the next not.

A share that does not fit its commitment names its node, also where enough others are good: ``faults``, ``told``.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from ..._base.clock import Clock
from ..._base.events import Events, SecretNodesStood, SecretShareRefused
from ..._base.secret import Secret
from ...errors import SecretNotFound, SecretsDamaged, SecretsUnreachable
from ..contract import Ability, Found, State, Version
from ..names import CURRENT, below, check_label, check_name, check_prefix, check_value
from ..shares.commitments import Commitments, wrong
from ..shares.field import gather, interpolate
from ..shares.share import SALT_BYTES, SET_BYTES, Share
from .asking import TIMEOUT_S, Asking, Moved
from .circle import Circle
from .keys import Identity, decrypt, encrypt
from .node import sealed_deal, trusted
from .record import (
    WRITER,
    Entry,
    Proposal,
    Record,
    deal_set,
    find,
    shown,
    turned,
    value_context,
    with_entry,
    with_label,
)
from .registers import Registers, completed, counted, seen_of
from .slot import highest
from .words import Accept, Look, Named, Names, Read, Redeal, Redealt, Reply, Seen, unpack

_KEY_BYTES: Final = 32
_OLD: Final = "gave a share of another version"
#: How often an answer is asked for anew, because there was a newer circle, or somebody wrote meanwhile.
_TRIES: Final = 8
#: Sets of k shares that are tried where their dealer cheated.
_SETS_MAX: Final = 300

T = TypeVar("T")


class SharesStore:
    """Secrets on the nodes of a circle. caller, seed: who asks; timeout_s: for each node. told: called with a node's
    name and what is wrong with what it gave. events: hear of that too, and of how many nodes answer."""

    scheme: Final = "shares"
    abilities: Final = ~Ability.NONE

    def __init__(self, circle: Circle, caller: str, seed: Secret[bytes], clock: Clock, entropy: Callable[[int], bytes],
                 *, timeout_s: float = TIMEOUT_S, told: Callable[[str, str], None] = lambda *_: None,
                 events: Events | None = None) -> None:
        self._clock, self._entropy, self._told, self._events = clock, entropy, told, events or Events()
        self.asking: Final = Asking(circle, caller, Identity(seed), clock, entropy, timeout_s=timeout_s,
                                    counted=self.stand)
        self.registers: Final = Registers(self.asking)
        self._writing = threading.Lock()
        #: What is wrong with what nodes gave at the last read, by their names.
        self.faults: dict[str, str] = {}

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``. Raises QuorumLost, which says how many nodes of how many, SecretDenied when too many say
        no, SecretsDamaged when the shares do not open the value."""
        check_name(name), check_label(label)
        return self._again(lambda: _Reading(self.asking, name, version, label, self._blamed).read())

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        check_name(name), check_label(label), check_value(value.reveal())
        made, set_id = self._clock.wall_ms(), self._entropy(SET_BYTES)

        def change(record: Record) -> Record:
            circle, number, key = self.asking.circle, record.made + 1, self._entropy(_KEY_BYTES)
            sealed = encrypt(key, value.reveal(), value_context(circle.id, name, number))
            deal = sealed_deal(key, (circle.id, name, number, set_id, 1), WRITER, circle, self._entropy)
            entry = Entry(number, made, len(value.reveal()), State.LIVE, sealed, set_id, 1, circle.k, (deal,))
            return with_entry(record, entry, label, expect)

        record = self._changed(name, change)
        return next(shown(record, entry) for entry in record.entries if entry.set_id == set_id)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        check_name(name), check_label(label)
        self._changed(name, lambda record: with_label(_there(record), label, version, expect))

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        prefix = check_prefix(prefix)

        def asked() -> tuple[str, ...]:
            circle = self.asking.circle
            replies = self.asking.all(Names(), lambda so_far: _good(so_far) >= circle.k)
            if _good(replies) < circle.k:
                raise counted(replies, circle.k, circle, "the list of names")
            known: dict[str, Named] = {}
            for reply in replies.values():
                for one in unpack(reply.body, list[Named]) if not reply.error else []:
                    if one.name not in known or known[one.name].ballot < one.ballot:
                        known[one.name] = one
            return tuple(sorted(name for name, one in known.items() if one.live and below(name, prefix)))

        return self._again(asked)

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        check_name(name)

        def asked() -> tuple[Version, ...]:
            circle = self.asking.circle
            replies = self.asking.all(Look(name), lambda so_far: _good(so_far) >= max(circle.k, circle.write))
            if _good(replies) < circle.k:
                raise counted(replies, circle.k, circle, name)
            top = highest([one.proposal for one in seen_of(replies).values()
                           if one.proposal and trusted(one.proposal, circle, name)])
            record = _there(top.record if top else Record(name))
            return tuple(shown(record, entry) for entry in reversed(record.entries))

        return self._again(asked)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn(name, version, State.DELETED)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn(name, version, State.LIVE)

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``. Nodes that are down keep theirs until somebody asks them."""
        self._turn(name, version, State.DESTROYED)

    def refresh(self, name: str) -> None:
        """New shares for the same nodes, on new polynomials: what was stolen from fewer than k nodes before is useless
        then, alone and with what is stolen later. Nobody rebuilds anything: k nodes deal their shares to all, in
        envelopes that this caller cannot open. It trusts these k: one that deals something else than its share makes
        the versions unreadable, and which one it was cannot be told (see ``shares.commitments``)."""
        check_name(name)

        def refreshed() -> Record:
            completed(self.asking, name, self.asking.circle)
            return self.registers.change(name, lambda record: redealt(self.asking, record, self.asking.circle))

        self._again(refreshed)

    def stand(self) -> None:
        """Tells how many nodes answered when they were last asked. It is called when that changes; ``Standing`` calls
        it at each look."""
        circle = self.asking.circle
        self._events.emit(SecretNodesStood(scheme="shares", nodes=circle.n, answering=self.asking.answering,
                                           wanted=circle.k))

    def close(self) -> None:
        """See ``SecretStore``."""
        self.asking.close()

    def _turn(self, name: str, version: int | None, after: State) -> None:
        check_name(name)
        self._changed(name, lambda record: turned(_there(record), version, after))

    def _changed(self, name: str, change: Callable[[Record], Record]) -> Record:
        with self._writing:  # of one process only one at a time: they would outbid each other
            return self._again(lambda: self.registers.change(name, change))

    def _again(self, call: Callable[[], T]) -> T:
        for _ in range(_TRIES):
            try:
                return call()
            except Moved:
                continue
        raise SecretsUnreachable("the nodes move from one circle to the next all the time: take the newest")

    def _blamed(self, faults: dict[str, str]) -> None:
        self.faults = faults
        for node, why in sorted(faults.items()):
            self._told(node, why)
            self._events.emit(SecretShareRefused(scheme="shares", node=node, why="old" if why == _OLD else "forged"))


class _Reading:
    """One read, under way."""

    def __init__(self, asking: Asking, name: str, version: int | None, label: str,
                 blamed: Callable[[dict[str, str]], None]) -> None:
        self._asking, self._circle, self._name, self._blamed = asking, asking.circle, name, blamed
        self._version, self._label = version, label
        self._ask = Read(name, version, label, asking.entropy(8).hex())
        self._seen: dict[str, Seen] = {}
        self._faults: dict[str, str] = {}
        self._replies: dict[str, Reply] = {}
        self._shares: dict[int, bytes] = {}

    def read(self) -> Found:
        circle = self._circle
        for _ in range(_TRIES):
            self._take(self._asking.all(self._ask, self._enough))
            if len(self._seen) < circle.k:
                raise self._lost()
            top = self._top()
            behind = [node for node, seen in self._seen.items() if top and _ballot(seen.proposal) < top.ballot]
            # guard: what was seen is completed
            if not behind or top is None or (self._holders(top) >= circle.write and self._satisfied(top)):
                break
            kept = self._asking.all(dict.fromkeys(behind, Accept(top)))
            if not any(seen.done for seen in seen_of(kept).values()):
                break
            self._replies.clear()
            self._seen.clear()
        top = self._top()
        entry = find(top.record if top else None, self._name, self._version, self._label)
        if top is None or not self._satisfied(top) or len(self._shares) < circle.k:
            raise self._lost()
        self._blamed(dict(self._faults))
        return Found(self._name, shown(top.record, entry), self._opened(entry))

    def _enough(self, so_far: dict[str, Reply]) -> bool:
        if len(so_far) < self._circle.k:
            return False
        self._take(so_far)
        top = self._top()
        if top is None:
            return len(self._seen) >= self._circle.k
        return (len(self._seen) >= self._circle.k and self._holders(top) >= self._circle.write
                and self._satisfied(top))

    def _take(self, replies: dict[str, Reply]) -> None:
        self._replies.update(replies)
        for node, reply in replies.items():
            if reply.error or node in self._seen:
                continue
            try:
                seen = unpack(reply.body, Seen)
            except SecretsDamaged as error:
                self._faults[node] = str(error)
                continue
            if seen.proposal is not None and not trusted(seen.proposal, self._circle, self._name):
                self._faults[node] = "gave a record that nobody signed who may write it"  # guard: records are signed
                continue
            self._seen[node] = seen

    def _satisfied(self, top: Proposal) -> bool:
        """Are there k good shares, or nothing to be read?"""
        try:
            entry = find(top.record, self._name, self._version, self._label)
        except SecretNotFound:
            return True
        self._shares = {}
        for holder in self._circle.holders:
            seen = self._seen.get(holder.name)
            if seen is None:
                continue
            share, why = self._share(entry, seen, holder.index)
            if share is not None:
                self._shares[holder.index] = share
            elif _ballot(seen.proposal) == top.ballot:
                self._faults[holder.name] = why
        return len(self._shares) >= self._circle.k

    def _share(self, entry: Entry, seen: Seen, index: int) -> tuple[bytes | None, str]:
        if seen.fault or seen.number != entry.number:
            return None, seen.fault or _OLD
        opened: dict[int, bytes] = {}
        for deal in entry.deals:
            raw = seen.opened.get(deal.dealer, b"")
            share = Share(deal_set(entry.set_id, deal.dealer), entry.turn, entry.k, index, raw[:SALT_BYTES],
                          Secret(raw[SALT_BYTES:]))
            digests = [b""] * 255
            digests[index - 1] = deal.digests.get(index, b"")
            why = wrong(share, Commitments(share.set_id, entry.turn, entry.k, tuple(digests)))
            if why or len(raw) != SALT_BYTES + _KEY_BYTES:
                return None, f"gave a share that {why or 'was forged or damaged'}"
            opened[deal.dealer] = raw[SALT_BYTES:]
        return (gather(opened), "") if opened else (None, "has no share")

    def _opened(self, entry: Entry) -> Secret[bytes]:
        context = value_context(self._circle.id, self._name, entry.number)
        for some in itertools.islice(itertools.combinations(sorted(self._shares.items()), self._circle.k), _SETS_MAX):
            value = decrypt(interpolate(dict(some)), entry.sealed, context)
            if value is not None:
                return Secret(value)
        raise SecretsDamaged(f"version {entry.number} of {self._name} is not opened by shares that fit their "
                             "commitments: whoever dealt them cheated; write the value anew")

    def _top(self) -> Proposal | None:
        return highest([seen.proposal for seen in self._seen.values()])

    def _holders(self, top: Proposal) -> int:
        return sum(_ballot(seen.proposal) == top.ballot for seen in self._seen.values())

    def _lost(self) -> Exception:
        self._blamed(dict(self._faults))
        return counted(self._replies, self._circle.k, self._circle, self._name, self._faults)


def redealt(asking: Asking, record: Record, to: Circle, old: Circle | None = None) -> Record:
    """The record with all shares dealt anew by k nodes. Raises QuorumLost, SecretDenied."""
    circle = old or asking.circle
    name = _there(record).name
    wanted = {entry.number: (entry.set_id, entry.turn)
              for entry in record.entries if entry.state is not State.DESTROYED}

    def deals(replies: dict[str, Reply]) -> dict[str, Redealt]:
        given = {node: unpack(reply.body, Redealt) for node, reply in replies.items() if not reply.error}
        return {node: one for node, one in given.items() if one.of == wanted and _fit(one, circle, node, to)}

    reply = asking.all(Redeal(name, to, asking.entropy(8).hex()), lambda so_far: len(deals(so_far)) >= circle.k, circle)
    given = deals(reply)
    if len(given) < circle.k:
        raise counted(reply, circle.k, circle, name)
    chosen = [given[node] for node in sorted(given)][:circle.k]
    entries = tuple(entry if entry.number not in wanted else msgspec.structs.replace(
        entry, turn=entry.turn + 1, k=to.k, deals=tuple(one.deals[entry.number] for one in chosen))
        for entry in record.entries)
    return msgspec.structs.replace(record, entries=entries)


def _fit(given: Redealt, circle: Circle, node: str, to: Circle) -> bool:
    holder, indices = circle.holder(node), {holder.index for holder in to.holders}
    return holder is not None and given.of.keys() == given.deals.keys() and all(
        deal.dealer == holder.index and set(deal.digests) == set(deal.envelopes) == indices
        for deal in given.deals.values())


def _there(record: Record) -> Record:
    if not record.entries:
        raise SecretNotFound(f"there is no secret {record.name}")
    return record


def _good(replies: dict[str, Reply]) -> int:
    return sum(not reply.error for reply in replies.values())


def _ballot(proposal: Proposal | None) -> tuple[int, str, str]:
    return proposal.ballot if proposal else (0, "", "")
