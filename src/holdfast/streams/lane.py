# SPDX-License-Identifier: Apache-2.0
"""A lane: one pending list and what lies beside it. A group has two, its main stream and its replay stream.

Everything that changes a pending list goes through here, and every step is one script, so that the checks and the writes
cannot come apart. The lane holds no loop and waits for nothing: ``source`` decides when, this says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from .._base import points
from .._base.message import Message
from .._redis.keys import GroupKeys, StreamKeys
from .._redis.scripts import load_script
from ..consume.contract import Delivery, Settled, Settlement, Verb
from .notes import pack, unpack

if TYPE_CHECKING:
    from .._redis.link import Link

_SWEEP = load_script("holdfast.streams", "sweep")
_DUE = load_script("holdfast.streams", "due")
_SETTLE = load_script("holdfast.streams", "settle")
_MARK = load_script("holdfast.streams", "mark")
_RECONCILE = load_script("holdfast.streams", "reconcile")

_entry_id = attrgetter("entry_id")


def _id_length(delivery: Delivery) -> int:
    return len(delivery.entry_id)


class Fence(NamedTuple):
    """What a settle must still find: this incarnation owns the entry, delivered this many times, in this epoch."""

    incarnation: str
    count: int
    epoch: int | None = None


class Missing(NamedTuple):
    """A pending entry whose payload was trimmed: it can only be buried."""

    entry_id: bytes
    owner: bytes
    count: int


@dataclass(slots=True)
class Swept:
    """What one sweep of a lane found."""

    now_ms: int
    jumped_ms: int
    own_pending: int
    pending: int
    parked: int
    next_due_ms: int | None
    replay_length: int
    dead: list[tuple[str, int]]
    taken: list[Delivery]
    missing: list[Missing]
    reaped: list[str]
    next_later_ms: int | None
    consumers: list[tuple[str, int, int]] = field(default_factory=list)


def _number(raw: bytes) -> int | None:
    return int(float(raw)) if raw else None


def _triples(flat: Sequence[Any]) -> list[Missing]:
    return [Missing(*flat[i : i + 3]) for i in range(0, len(flat), 3)]


class Lane:
    """One pending list of one group, seen by one incarnation. Fulfils ``consume.contract.Origin``."""

    def __init__(self, link: Link, keys: GroupKeys, *, replay: bool, delete: bool) -> None:
        self.link = link
        self.keys = keys
        self.group = keys.group
        self.is_replay = replay
        beside = StreamKeys(keys.prefix, keys.stream)
        self._later = beside.later
        self.key = keys.replay if replay else beside.stream_key
        self.stream = self.key.decode()
        self._due, self._notes, self._marks = (
            (keys.replay_due, keys.replay_notes, keys.replay_marks) if replay else (keys.due, keys.notes, keys.marks))
        self._delete = b"delete" if delete or replay else b"keep"
        self._group = keys.group.encode()
        self.incarnation = ""
        self.epoch: int | None = None
        self._first_fence = Fence("", 1)

    def become(self, incarnation: str, epoch: int | None = None) -> None:
        """From now on this lane acts as ``incarnation``; deliveries made before stay fenced to the former one."""
        self.incarnation, self.epoch = incarnation, epoch
        self._first_fence = Fence(incarnation, 1, epoch)

    def fresh(self, entries: Sequence[Any], now: float) -> list[Delivery]:
        """Deliveries of entries just read with ``>``: first delivery, no note."""
        fence, stream = self._first_fence, self.stream
        return [Delivery(self, e[0], Message(stream, e[0], e[1]), fence, now) for e in entries]

    def again(self, entry_id: bytes, count: int, fields: Sequence[bytes], raw_note: bytes, now: float) -> Delivery:
        """A delivery of an entry that was delivered before."""
        note = unpack(raw_note)
        made = Delivery(self, entry_id, Message(self.stream, entry_id, fields),
                        Fence(self.incarnation, count, self.epoch), now, note=note)
        if note is not None:
            made.attempts, made.crashes, made.suspect = note.attempts, note.crashes, note.suspect
        return made

    def _again_all(self, flat: Sequence[Any], now: float) -> list[Delivery]:
        return [self.again(flat[i], flat[i + 1], flat[i + 2], flat[i + 3], now) for i in range(0, len(flat), 4)]

    # -- finding work ---------------------------------------------------------------------------------------------

    async def sweep(self, *, lease_ms: int, wanted: int, seen_ms: int | None, elapsed_ms: int, slack_ms: int,
                    other_server: bool, foreign_idle_ms: int, closely: bool, now: float) -> Swept:
        """Looks at the whole group and takes over at most ``wanted`` entries of its dead consumers."""
        k = self.keys
        reply = await self.link.run(
            _SWEEP,
            (self.key, k.leases, self._notes, self._marks, self._due, self._later, k.replay, k.parked_due, k.door),
            (self._group, self.incarnation, lease_ms, wanted, "" if seen_ms is None else seen_ms, elapsed_ms, slack_ms,
             int(other_server), foreign_idle_ms, int(closely)))
        points.reached("sweep.taken.after")
        dead, seen = reply[7], reply[12]
        return Swept(
            now_ms=int(reply[0]), jumped_ms=int(reply[1]), own_pending=reply[2], pending=reply[3], parked=reply[4],
            next_due_ms=_number(reply[5]), replay_length=reply[6],
            dead=[(dead[i].decode(), dead[i + 1]) for i in range(0, len(dead), 2)],
            taken=self._again_all(reply[8], now), missing=_triples(reply[9]), reaped=[n.decode() for n in reply[10]],
            next_later_ms=_number(reply[11]),
            consumers=[(seen[i].decode(), seen[i + 1], seen[i + 2]) for i in range(0, len(seen), 3)])

    async def claim_due(self, wanted: int, now: float) -> tuple[int, int | None, list[Delivery], list[Missing], int, int]:
        """Parked entries whose time has come: (server now, next due, deliveries, missing, restored, stale)."""
        k = self.keys
        reply = await self.link.run(
            _DUE, (self.key, self._due, self._notes, k.leases, k.replay, k.parked, k.parked_due, k.door),
            (self._group, self.incarnation, wanted))
        points.reached("due.claimed.after")
        return (int(reply[0]), _number(reply[1]), self._again_all(reply[2], now), _triples(reply[3]), reply[4], reply[5])

    async def own_pending(self, after: bytes, page: int) -> list[tuple[bytes, int]]:
        """One page of what is pending to this incarnation: (entry id, delivery count)."""
        rows = await self.link.call("XPENDING", self.key, self._group, after, "+", page, self.incarnation)
        return [(row[0], row[3]) for row in rows]

    async def fetch(self, entry_id: bytes, count: int, now: float) -> Delivery | Missing:
        """A pending entry of ours, by ``XRANGE``: reading history again would raise its counter."""
        rows, note = await self.link.pipeline(
            [("XRANGE", self.key, entry_id, entry_id), ("HGET", self._notes, entry_id)])
        if not rows:
            return Missing(entry_id, self.incarnation.encode(), count)
        return self.again(entry_id, count, rows[0][1], note or b"", now)

    async def reconcile(self, after: bytes, rank: int, page: int) -> tuple[bytes, int, int, int]:
        """One page of both sides of parking: (next id, next rank, undated, orphans)."""
        a, b, undated, orphans = await self.link.run(
            _RECONCILE, (self.key, self._due, self._notes, self.keys.door), (self._group, after, rank, page))
        return a, b, undated, orphans

    # -- giving work back -----------------------------------------------------------------------------------------

    async def mark_started(self, delivery: Delivery) -> bool:
        """Writes the start mark: from here on a crash is charged to this entry."""
        fence: Fence = delivery.fence
        done = await self.link.run(_MARK, (self.key, self.keys.leases, self._marks, self.keys.door),
                                   (self._group, fence.incarnation, delivery.entry_id, fence.count))
        points.reached("mark.after")
        return bool(done)

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]
                     ) -> list[tuple[Delivery, Settled]]:
        """See ``consume.contract.Origin.settle``. One script for the whole batch of one incarnation."""
        refused: list[tuple[Delivery, Settled]] = []
        own = self._first_fence
        if all(d.fence is own for d in acks) and all(s.delivery.fence[0] == own[0] for s in others):
            return await self._settle_as(own.incarnation, own.epoch, acks, others)
        for incarnation, epoch in {(d.fence.incarnation, d.fence.epoch) for d in acks} | {
                (s.delivery.fence.incarnation, s.delivery.fence.epoch) for s in others}:
            refused += await self._settle_as(
                incarnation, epoch,
                [d for d in acks if d.fence.incarnation == incarnation and d.fence.epoch == epoch],
                [s for s in others if s.delivery.fence.incarnation == incarnation and s.delivery.fence.epoch == epoch])
        return refused

    async def bury_missing(self, missing: Missing, letter: Sequence[bytes], letter_id: str) -> Settled:
        """Letter and acknowledgement of an entry whose payload is gone, in one step, whoever holds it."""
        delivery = Delivery(self, missing.entry_id, Message(self.stream, missing.entry_id, ()),
                            Fence(missing.owner.decode(), missing.count, self.epoch))
        refused = await self._settle_as(missing.owner.decode(), self.epoch, [],
                                        [Settlement(delivery, Verb.BURY, letter=letter, letter_id=letter_id)],
                                        check_lease=False)
        return refused[0][1] if refused else Settled.OK

    async def _settle_as(self, incarnation: str, epoch: int | None, acks: list[Delivery], others: Sequence[Settlement],
                         *, check_lease: bool = True) -> list[tuple[Delivery, Settled]]:
        # Numeric order of ids, at C speed: equal lengths compare as text. Ids of unequal length are rare and only cost a
        # second look in the script.
        acks.sort(key=_entry_id)
        acks.sort(key=_id_length)
        args: list[Any] = [self._group, incarnation, "" if epoch is None else epoch, self._delete, int(check_lease), len(acks)]
        for d in acks:
            args += (d.entry_id, d.fence[1])
        for s in others:
            args += (s.delivery.entry_id, s.delivery.fence.count, int(s.verb), s.due_in_ms,
                     b"" if s.note is None else pack(s.note), s.letter_id, len(s.letter), *s.letter)
        k = self.keys
        points.reached("settle.before")
        reply = await self.link.run(
            _SETTLE, (self.key, k.leases, self._due, self._notes, self._marks, k.dead, k.letters, k.owner, k.parked,
                      k.parked_due, k.door), args)
        points.reached("settle.after")
        everything = [*acks, *(s.delivery for s in others)]
        return [(everything[reply[i] - 1], Settled(reply[i + 1])) for i in range(1, len(reply), 2)]
