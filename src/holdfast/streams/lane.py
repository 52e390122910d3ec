# SPDX-License-Identifier: Apache-2.0
"""A lane: one pending list and what lies beside it. A group has two, its main stream and its replay stream.

Everything that changes a pending list goes through here, and every step is one script, so that the checks and the
writes cannot come apart. The lane holds no loop and waits for nothing: ``source`` decides when, this says how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from .._base import points
from .._base.letter import DEFAULT_PREFIX
from .._base.message import F_ID, F_IDENTITY, F_NOTE, Message
from .._redis import effect
from .._redis.keys import GroupKeys, StreamKeys
from .._redis.scripts import load_script
from ..consume.contract import Delivery, Note, Settled, Settlement, Verb
from .confirm import Confirmation
from .notes import joined, pack, unpack

if TYPE_CHECKING:
    from .._redis.link import Link

_SWEEP = load_script("holdfast.streams", "sweep")
_DUE = load_script("holdfast.streams", "due", "ids")
_SETTLE = load_script("holdfast.streams", "settle", "effect")
_MARK = load_script("holdfast.streams", "mark")
_REFRESH = load_script("holdfast.streams", "refresh")
_RECONCILE = load_script("holdfast.streams", "reconcile")

def _numeric(entry_id: bytes) -> tuple[int, bytes]:
    return len(entry_id), entry_id


def lookup_range(ids: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Where the owners of ``ids`` are looked up: from the lowest id to the end of the highest one's millisecond.

    Ids are pairs of numbers: as text ``-100`` sorts before ``-99``, and a range taken from text order would miss
    entries. Text finds the lowest millisecond at C speed; inside it, shorter is lower. Ids of unequal millisecond
    length (not from a server's clock) may get too short a range, which costs a second look each in the script and
    nothing else.
    """
    if not ids:
        return b"-", b"+"
    head = min(ids)
    head = head[: head.index(b"-") + 1]
    lowest = min([i for i in ids if i.startswith(head)], key=_numeric)
    highest = max(ids)
    return lowest, highest[: highest.index(b"-")]


class Fence(msgspec.Struct, frozen=True, order=True):
    """What a settle must still find: this incarnation owns the entry, delivered this many times, in this epoch."""

    incarnation: str
    count: int
    epoch: int | None = None


class Missing(msgspec.Struct, frozen=True):
    """A pending entry whose payload was trimmed: it can only be buried."""

    entry_id: bytes
    owner: bytes
    count: int


@dataclass(slots=True)
class Due:
    """What was due. ``restored``: was no longer pending and is again; ``stale``: was settled or somebody else's."""

    now_ms: int
    next_due_ms: int | None
    deliveries: list[Delivery]
    missing: list[Missing]
    restored: int
    stale: int


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
    #: (name, pending, idle ms, has a lease)
    consumers: list[tuple[str, int, int, bool]] = field(default_factory=list)


def _number(raw: bytes) -> int | None:
    return int(float(raw)) if raw else None


def _triples(flat: Sequence[Any]) -> list[Missing]:
    return [Missing(*flat[i : i + 3]) for i in range(0, len(flat), 3)]


class Lane:
    """One pending list of one group, seen by one incarnation. Fulfils ``consume.contract.Origin``."""

    def __init__(self, link: Link, keys: GroupKeys, *, replay: bool, delete: bool, stow_ms: int | None = None,
                 letter_prefix: str = DEFAULT_PREFIX) -> None:
        self.link = link
        self._lineage = letter_prefix.encode()
        self.keys = keys
        self.group = keys.group
        self.is_replay = replay
        #: Parked for longer than this, an entry moves beside the stream; None: never, because its place in line
        #: matters.
        self.stow_ms = stow_ms
        #: Main and replay stream of a group form one line where order is kept.
        self.line = keys.stream
        beside = StreamKeys(keys.prefix, keys.stream)
        self._later = beside.later
        self.key = keys.replay if replay else beside.stream_key
        self.stream = self.key.decode()
        self._due, self._notes, self._marks = (
            (keys.replay_due, keys.replay_notes, keys.replay_marks) if replay else (keys.due, keys.notes, keys.marks))
        self._settled = b"settled-replays" if replay else b"settled"
        self._settle_keys = (self.key, keys.leases, self._due, self._notes, self._marks, keys.dead, keys.letters,
                             keys.owner, keys.parked, keys.parked_due, keys.door, keys.low, keys.done, keys.half_done,
                             keys.results, keys.begun)
        self._delete = b"delete" if delete or replay else b"keep"
        self._group = keys.group.encode()
        self.incarnation = ""
        self.epoch: int | None = None
        self._first_fence = Fence("", 1)
        #: Told in how many ms a parked entry is due, so that nobody needs to find out.
        self.on_parked: Callable[[int], None] | None = None
        #: How effects are confirmed; None: they are not. Told of those that were not: how many, and what was answered.
        self.confirm: Confirmation | None = None
        self.on_unconfirmed: Callable[[int, Any], None] | None = None

    def become(self, incarnation: str, epoch: int | None = None) -> None:
        """From now on this lane acts as ``incarnation``; deliveries made before stay fenced to the former one."""
        self.incarnation, self.epoch = incarnation, epoch
        self._first_fence = Fence(incarnation, 1, epoch)

    def fresh(self, entries: Sequence[Any], now: float) -> list[Delivery]:
        """Deliveries of entries just read with ``>``: first delivery, no note."""
        fence, stream = self._first_fence, self.stream
        if self.is_replay:
            return [self._with_history(Delivery(self, e[0], self._message(e[0], e[1]), fence, now)) for e in entries]
        return [Delivery(self, e[0], Message(stream, e[0], e[1]), fence, now) for e in entries]

    def _message(self, entry_id: bytes, fields: Sequence[bytes]) -> Message:
        """The message in an entry. On the replay stream, what the replay or the parking added is no part of it."""
        if not self.is_replay:
            return Message(self.stream, entry_id, fields)
        pairs = [(fields[i], fields[i + 1]) for i in range(0, len(fields) - 1, 2)]
        own = [part for name, value in pairs if not (name == F_NOTE or name.startswith(self._lineage))
               for part in (name, value)]
        return Message(self.stream, entry_id, own, fields)

    @staticmethod
    def _with_history(delivery: Delivery) -> Delivery:
        """An entry that was stowed brings its note along; one that was replayed the places of its attempts."""
        note = _own_note(delivery.message)
        if note is not None:
            delivery.note, delivery.attempts, delivery.crashes = note, note.attempts, note.crashes
        return delivery

    def _stowed(self, s: Settlement) -> Settlement:
        """The same parking, beside the stream: fields, identity and note move along."""
        message = s.delivery.message
        whole = message.raw or message.fields
        pairs = zip(whole[::2], whole[1::2], strict=False)
        fields = [part for name, value in pairs if name != F_NOTE for part in (name, value)]
        if F_ID not in message.map and F_IDENTITY not in message.map:
            fields += (F_IDENTITY, message.id.encode())
        if s.note is not None:
            fields += (F_NOTE, pack(s.note))
        return Settlement(s.delivery, Verb.STOW, due_in_ms=s.due_in_ms, letter=fields)

    def again(self, entry_id: bytes, count: int, fields: Sequence[bytes], raw_note: bytes, now: float) -> Delivery:
        """A delivery of an entry that was delivered before."""
        message = self._message(entry_id, fields)
        note = joined(_own_note(message), unpack(raw_note))
        made = Delivery(self, entry_id, message, Fence(self.incarnation, count, self.epoch), now, note=note)
        if note is not None:
            made.attempts, made.crashes, made.suspect = note.attempts, note.crashes, note.suspect
        return made

    def _again_all(self, flat: Sequence[Any], now: float) -> list[Delivery]:
        return [self.again(flat[i], flat[i + 1], flat[i + 2], flat[i + 3], now) for i in range(0, len(flat), 4)]

    # -- finding work ---------------------------------------------------------------------------------------------

    async def sweep(self, *, lease_ms: int, wanted: int, seen_ms: int | None, elapsed_ms: int, slack_ms: int,
                    other_server: bool, foreign_idle_ms: int, closely: bool, newcomer: bool = False,
                    now: float) -> Swept:
        """Looks at the whole group and takes over at most ``wanted`` entries of its dead consumers."""
        k = self.keys
        reply = await self.link.run(
            _SWEEP,
            (self.key, k.leases, self._notes, self._marks, self._due, self._later, k.replay, k.parked_due, k.door),
            (self._group, self.incarnation, lease_ms, wanted, "" if seen_ms is None else seen_ms, elapsed_ms, slack_ms,
             int(other_server), foreign_idle_ms, int(closely), int(newcomer)))
        if points.hook is not None:
            points.reached("sweep.after")
            if reply[8]:
                points.reached("sweep.taken.after")
        dead, seen = reply[7], reply[12]
        return Swept(
            now_ms=int(reply[0]), jumped_ms=int(reply[1]), own_pending=reply[2], pending=reply[3], parked=reply[4],
            next_due_ms=_number(reply[5]), replay_length=reply[6],
            dead=[(dead[i].decode(), dead[i + 1]) for i in range(0, len(dead), 2)],
            taken=self._again_all(reply[8], now), missing=_triples(reply[9]), reaped=[n.decode() for n in reply[10]],
            next_later_ms=_number(reply[11]),
            consumers=[(seen[i].decode(), seen[i + 1], seen[i + 2], bool(seen[i + 3])) for i in range(0, len(seen), 4)])

    async def claim_due(self, wanted: int, now: float) -> Due:
        """Parked entries whose time has come."""
        k = self.keys
        reply = await self.link.run(
            _DUE, (self.key, self._due, self._notes, k.leases, k.replay, k.parked, k.parked_due, k.door),
            (self._group, self.incarnation, wanted))
        if reply[2]:
            points.reached("due.claimed.after")
        return Due(int(reply[0]), _number(reply[1]), self._again_all(reply[2], now), _triples(reply[3]), reply[4],
                   reply[5])

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

    async def pending_keys(self, page: int = 500) -> list[tuple[bytes, str | None]]:
        """Everything pending to anybody, with its message's key: what order within a key is derived from."""
        found: list[tuple[bytes, str | None]] = []
        after: bytes = b"-"
        while rows := await self.link.call("XPENDING", self.key, self._group, after, "+", page):
            ids = [row[0] for row in rows]
            entries = await self.link.pipeline([("XRANGE", self.key, i, i) for i in ids])
            for entry_id, entry in zip(ids, entries, strict=True):
                key = Message(self.stream, entry_id, entry[0][1]).key if isinstance(entry, list) and entry else None
                found.append((entry_id, key))
            after = b"(" + ids[-1]
        return found

    async def dead_keys(self, page: int = 500) -> set[str]:
        """Keys with a letter among the dead."""
        found: set[str] = set()
        after: bytes = b"-"
        while rows := await self.link.call("XRANGE", self.keys.dead, after, "+", "COUNT", page):
            keys = (Message(self.stream, entry_id, fields).key for entry_id, fields in rows)
            found.update(key for key in keys if key is not None)
            after = b"(" + rows[-1][0]
        return found

    async def refresh(self, owner: str, after: bytes, idle_ms: int, page: int) -> bytes:
        """Resets the idle time of one page of ``owner``'s entries, for groups with foreign consumers. Answers where to
        go on, and nothing at the end."""
        found: bytes = await self.link.run(_REFRESH, (self.key, self.keys.leases),
                                           (self._group, self.incarnation, owner, idle_ms, after, page))
        return found

    # -- giving work back -----------------------------------------------------------------------------------------

    async def mark_started(self, delivery: Delivery) -> bool:
        """Writes the start mark: from here on a crash is charged to this entry."""
        fence: Fence = delivery.fence
        points.reached("mark.before")
        done = await self.link.run(_MARK, (self.key, self.keys.leases, self._marks, self.keys.door),
                                   (self._group, fence.incarnation, delivery.entry_id, fence.count))
        points.reached("mark.after")
        return bool(done)

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]
                     ) -> list[tuple[Delivery, Settled]]:
        """See ``consume.contract.Origin.settle``. One script for the whole batch of one incarnation."""
        refused: list[tuple[Delivery, Settled]] = []
        own = self._first_fence
        if all(d.fence is own for d in acks) and all(s.delivery.fence.incarnation == own.incarnation for s in others):
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

    async def acknowledge_missing(self, missing: Missing) -> None:
        """Acknowledges an entry whose payload is gone, whoever holds it."""
        owner = missing.owner.decode()
        delivery = Delivery(self, missing.entry_id, Message(self.stream, missing.entry_id, ()),
                            Fence(owner, missing.count, self.epoch))
        await self._settle_as(owner, self.epoch, [delivery], [], check_lease=False)

    async def _settle_as(self, incarnation: str, epoch: int | None, acks: list[Delivery], others: Sequence[Settlement],
                         *, check_lease: bool = True) -> list[tuple[Delivery, Settled]]:
        if self.stow_ms is not None and others:
            others = [self._stowed(s) if s.verb is Verb.PARK and s.due_in_ms > self.stow_ms else s for s in others]
        riding = [s.delivery.entry_id for s in others if s.rider is not None]
        args: list[Any] = [self._group, incarnation, "" if epoch is None else epoch, self._delete, int(check_lease),
                           *lookup_range([d.entry_id for d in acks] + riding), self._settled, len(acks), b""]
        for d in acks:
            args += (d.entry_id, d.fence.count)
        touched: dict[bytes, None] = {}
        if riding:
            if len(riding) < len(others):
                others = [*(s for s in others if s.rider is not None), *(s for s in others if s.rider is None)]
            args[9] = _effects(others[:len(riding)], touched)
        for s in others[len(riding):]:
            args += (s.delivery.entry_id, s.delivery.fence.count, int(s.verb), s.due_in_ms,
                     b"" if s.note is None else pack(s.note), s.letter_id, len(s.letter), *s.letter)
        _settling(acks, others)
        reply = await self._settle_script((*self._settle_keys, *touched), args,
                                          effects=len(riding))
        _was_settled(acks, others)
        if self.on_parked is not None and others:
            waits = [s.due_in_ms for s in others if s.verb in (Verb.PARK, Verb.STOW)]
            if waits:
                self.on_parked(min(waits))
        everything = [*acks, *(s.delivery for s in others)]
        return [(everything[reply[i] - 1], _answer(reply[i + 1], others, reply[i] - 1 - len(acks)))
                for i in range(1, len(reply), 2)]

    async def _settle_script(self, keys: tuple[bytes, ...], args: list[Any], *, effects: int) -> Any:
        """The settle itself. With effects that are to be confirmed, over a connection of its own: everybody else's
        commands would wait behind it."""
        if self.confirm is None or not effects:
            return await self.link.run(_SETTLE, keys, args)
        reply, confirmed = await self.confirm.run(_SETTLE, keys, args)
        if self.on_unconfirmed is not None and not self.confirm.enough(confirmed):
            self.on_unconfirmed(effects, confirmed)
        return reply


def _effects(riding: Sequence[Settlement], touched: dict[bytes, None]) -> bytes:
    """Effects as one argument: of each id, delivery count, identity, number of fields, fields."""
    flat: list[Any] = []
    for s in riding:
        rider = s.rider
        if rider is not None:
            flat += (s.delivery.entry_id, s.delivery.fence.count, rider.identity, 0)
            at = len(flat)
            effect.fields(rider.result, rider.reads, rider.writes, touched, flat)
            flat[at - 1] = len(flat) - at
    return effect.packed(flat)


def _answer(code: int | bytes, others: Sequence[Settlement], place: int) -> Settled:
    """What the script said of one settlement; of a half-done effect how far it came goes beside it."""
    if isinstance(code, int):
        return Settled(code)
    done, total, error = code.decode("utf-8", "replace").split("|", 2)
    others[place].detail = int(done), int(total), error
    return Settled.HALF


def _own_note(message: Message) -> Note | None:
    """The note that lies in the entry itself, as it came onto the replay stream."""
    raw = message.raw or ()
    return unpack(raw[raw.index(F_NOTE) + 1]) if F_NOTE in raw[::2] else None


# The points of a settle, by what it settles: a test that kills at a burial must not die at an acknowledgement.


def _settling(acks: Sequence[Delivery], others: Sequence[Settlement]) -> None:
    if points.hook is None:
        return
    verbs = {s.verb for s in others}
    if acks:
        points.reached("settle.before")
    if Verb.PARK in verbs:
        points.reached("park.before")
    if Verb.STOW in verbs:
        points.reached("stow.before")
    if Verb.BURY in verbs:
        points.reached("bury.before")
    if Verb.RELEASE in verbs:
        points.reached("release.before")
    if Verb.APPLY in verbs:
        points.reached("apply.before")


def _was_settled(acks: Sequence[Delivery], others: Sequence[Settlement]) -> None:
    if points.hook is None:
        return
    verbs = {s.verb for s in others}
    if acks:
        points.reached("settle.after")
    if Verb.PARK in verbs:
        points.reached("park.after")
    if Verb.STOW in verbs:
        points.reached("stow.after")
    if Verb.BURY in verbs:
        points.reached("bury.after")
    if Verb.RELEASE in verbs:
        points.reached("release.after")
    if Verb.APPLY in verbs:
        points.reached("apply.after")
