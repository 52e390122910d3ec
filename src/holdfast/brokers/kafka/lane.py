# SPDX-License-Identifier: Apache-2.0
"""One partition of a topic or of a retry topic: the pending list that Kafka does not have.

What was read and is not finished is held here: waiting for room, waiting for its time, or in the consumer's hands. A
message that comes back (handed back, or parked in place) is delivered from here again; its offset stays unfinished, so
whoever owns the partition next reads it anew.

``_Held.turn`` counts deliveries of one offset by this owner; with the partition's epoch it is the fence.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from ..._base import points
from ..._base.message import F_ID, F_IDENTITY, F_NOTE, Message
from ..._base.typed import from_json
from ..._kafka.driver import Record
from ..._kafka.member import Place, Point
from ...consume.contract import Delivery, Inbox, Note, Settled, Settlement, Verb
from ...errors import NotAuthorized, ServerError
from .progress import Progress
from .record import fields_of, parts_of

if TYPE_CHECKING:
    from ..._base.clock import Clock
    from .committer import Committer
    from .settings import Topics

__all__ = ["Fence", "Lane"]

#: A message whose settlement was refused altogether is delivered again after so many ms.
AGAIN_MS: Final = 5_000
#: Fields of a retry, beside the message: when it is due (wall ms), and the place it was first read at.
F_DUE: Final = b"hf:due"
F_SOURCE: Final = b"hf:source"
#: Header of a letter: its id, by which those that were written twice are one.
H_LETTER: Final = "hf:letter"
_OF_RETRY: Final = (F_NOTE, F_DUE, F_SOURCE)


@dataclass(frozen=True, slots=True)
class Fence:
    """Proof of a delivery: which partition, since when it is ours, which offset, and for which time."""

    incarnation: str
    place: Place
    epoch: int
    offset: int
    turn: int


@dataclass(slots=True)
class _Held:
    """A message that was read and is not finished. ``out``: it is in the consumer's hands."""

    message: Message
    note: Note | None
    turn: int = 0
    out: bool = False


class Lane:
    """Fulfils ``consume.contract.Origin``. Used from one event loop. ``in_place``: retries wait here, not in a topic:
    what follows with the same key has to wait for them."""

    def __init__(self, topics: Topics, place: Place, incarnation: str, committer: Committer, clock: Clock) -> None:
        self.stream, self.group = topics.stream, topics.group
        self.line = f"{place[0]}/{place[1]}"
        self.place = place
        self._is_first = place[0] == topics.stream
        self.is_replay = place[0] == topics.replay
        self.in_place = False
        self.progress = Progress(0, None, 1)
        self.epoch = 0
        #: Ours, and its beginning written down.
        self.ready = False
        #: Its end has begun: what comes back is left to the next owner.
        self.leaving = True
        self.on_back: Callable[[], None] = lambda: None
        self._topics = topics
        self._incarnation = incarnation
        self._committer = committer
        self._clock = clock
        self._held: dict[int, _Held] = {}
        self._waiting: deque[int] = deque()
        self._due: list[tuple[int, int]] = []
        self._full = False

    # -- whose it is --------------------------------------------------------------------------------------------------

    def take(self, point: Point, ahead: int, *, in_place: bool) -> None:
        """The partition is ours from this offset on."""
        self.progress = Progress(point.offset, point.metadata, ahead)
        self.epoch, self.in_place, self.ready, self.leaving = point.epoch, in_place, False, False
        self.drop()

    def drop(self) -> None:
        """Forgets everything."""
        self._held.clear()
        self._waiting.clear()
        self._due.clear()
        self._full = False

    def give_up(self) -> None:
        """It is not ours any more: nothing of it is settled from here on."""
        self.epoch, self.ready, self.leaving = 0, False, True
        self.drop()

    def point(self, *, clean: bool = False) -> Point:
        """What to commit now."""
        offset, metadata = self.progress.mark(clean=clean)
        return Point(self.place, offset, metadata, self.epoch)

    # -- delivering ---------------------------------------------------------------------------------------------------

    def arrived(self, record: Record) -> None:
        """A record was read."""
        if not self.progress.arrived(record.offset):
            return
        prefix = self._topics.letter_prefix if self.is_replay else ""
        fields = fields_of(record.key, record.value, record.headers, record.at_ms, prefix)
        source, due, note = b"%d-%d" % (record.partition, record.offset), 0, None
        raw: list[bytes] | None = None
        if not self._is_first:
            raw, beside = _apart(fields)
            source = beside.get(F_SOURCE, source)
            due = int(beside[F_DUE]) if beside.get(F_DUE, b"").isdigit() else 0
            note = _note_of(beside.get(F_NOTE, b""))
            fields = _without(raw, prefix.encode()) if self.is_replay else raw
        message = Message(self.stream, source, fields, raw if self.is_replay else None)
        self._held[record.offset] = _Held(message, note)
        self._wait(record.offset, due)

    def _wait(self, offset: int, due_ms: int) -> None:
        if due_ms > self._clock.wall_ms():
            heapq.heappush(self._due, (due_ms, offset))
        else:
            self._waiting.append(offset)

    @property
    def due_ms(self) -> int | None:
        """When the next one that waits for its time is due."""
        return self._due[0][0] if self._due else None

    @property
    def waiting(self) -> int:
        """How many could be delivered at once."""
        return len(self._waiting)

    @property
    def parked(self) -> int:
        """How many wait for their time."""
        return len(self._due)

    @property
    def ahead_of_itself(self) -> bool:
        """Has reading run too far ahead of the oldest unfinished message? Until half of that is made good."""
        span, ahead = self.progress.span, self.progress.ahead
        self._full = span > ahead // 2 if self._full else span >= ahead  # guard: what was held goes on, whatever ahead
        return self._full

    def handed_back(self, inbox: Inbox) -> int:
        """How many were delivered, and nobody holds them."""
        return sum(held.out and not inbox.holds(self, held.message.entry_id) for held in self._held.values())

    @property
    def pending(self) -> int:
        """How many are read and not finished."""
        return len(self._held)

    def deliveries(self, room: int) -> list[Delivery]:
        """What is due, and then what has come, ``room`` at most."""
        now_ms = self._clock.wall_ms()
        while self._due and self._due[0][0] <= now_ms:
            self._waiting.appendleft(heapq.heappop(self._due)[1])
        return [self._delivery(self._waiting.popleft()) for _ in range(min(room, len(self._waiting)))]

    def _delivery(self, offset: int) -> Delivery:
        held = self._held[offset]
        held.turn, held.out = held.turn + 1, True
        made = Delivery(self, held.message.entry_id, held.message,
                        Fence(self._incarnation, self.place, self.epoch, offset, held.turn), self._clock.now())
        trace = self.progress.traces.get(offset)
        if held.note is not None or trace is not None:
            note = held.note or Note()
            if trace is not None:  # its attempts at this place, by whoever had it before
                note.attempts, note.crashes = max(note.attempts, trace.attempts), max(note.crashes, trace.crashes)
                note.first_failed_ms = note.first_failed_ms or trace.first_ms
                note.last_failed_ms = max(note.last_failed_ms, trace.last_ms)
            made.note, made.attempts, made.crashes = note, note.attempts, note.crashes
        made.suspect = self.progress.suspect(offset)
        return made

    # -- settling -----------------------------------------------------------------------------------------------------

    async def mark_started(self, delivery: Delivery) -> bool:
        if self._refusal(delivery) is not None:
            return False
        self.progress.started(delivery.fence.offset)
        stepped = await self._committer.step(self, (), ())
        points.reached("kafka.started.after")
        return not stepped.lost

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> list[tuple[Delivery, Settled]]:
        plan = _Plan()
        for delivery in acks:
            self._planned(plan, delivery, None)
        for s in others:
            self._planned(plan, s.delivery, s)
        await self._carry_out(plan)
        return plan.answers

    def _planned(self, plan: _Plan, delivery: Delivery, s: Settlement | None) -> None:
        """Sorts one settlement by what it takes."""
        answer = self._refusal(delivery)  # guard: fence (tests/contract)
        if answer is not None:
            plan.answers.append((delivery, answer))
        elif s is None or s.verb in (Verb.ACK, Verb.APPLY):
            plan.ended.append(delivery)
        elif s.verb is Verb.BURY:
            plan.writes.append((s, self._letter(s)))
        elif s.verb is Verb.RELEASE or self.in_place:
            plan.back.append(s)
        else:
            plan.writes.append((s, self._retry(s)))

    def _refusal(self, delivery: Delivery) -> Settled | None:
        """Why this delivery may not be settled; None when it may."""
        fence: Fence = delivery.fence
        if fence.epoch != self.epoch:
            return Settled.EPOCH
        held = self._held.get(fence.offset)
        if held is None:
            return Settled.GONE
        return None if held.out and held.turn == fence.turn else Settled.OTHER

    async def _carry_out(self, plan: _Plan) -> None:
        noted = [self._came_back(s) for s in plan.back]
        if not (plan.ended or plan.writes or any(noted)):
            return
        writes = [(s.delivery.fence.offset, record) for s, record in plan.writes]
        asked = [*plan.ended, *(s.delivery for s, _ in plan.writes)]
        try:
            stepped = await self._committer.step(self, [d.fence.offset for d in plan.ended], writes)
        except ServerError as error:
            if not error.retry_may_help and not isinstance(error, NotAuthorized):  # it is not asked again
                for delivery in asked:  # guard: it comes back, or it would be in nobody's hands
                    self._came_back(Settlement(delivery, Verb.RELEASE, due_in_ms=AGAIN_MS))
            raise
        if stepped.lost:
            plan.answers += [(d, Settled.EPOCH) for d in asked]
            return
        for delivery in plan.ended:
            self._held.pop(delivery.fence.offset, None)
        for s, _ in plan.writes:
            if s.delivery.fence.offset not in stepped.refused:
                self._held.pop(s.delivery.fence.offset, None)
            elif s.verb is Verb.BURY:
                plan.answers.append((s.delivery, Settled.FAILED))  # guard: what has no letter is not finished
            else:
                self._came_back(s)  # its retry could not be written: it waits here, at its offset

    def _came_back(self, s: Settlement) -> bool:
        """It is due again, from here. True: there is something new to be written down."""
        fence: Fence = s.delivery.fence
        held = self._held[fence.offset]
        held.out, held.note = False, held.note if s.note is None else s.note
        self.progress.stopped(fence.offset)
        counted = s.verb is not Verb.RELEASE and s.note is not None
        if counted and s.note is not None:
            trace = self.progress.trace(fence.offset)
            trace.attempts, trace.crashes = s.note.attempts, s.note.crashes
            trace.first_ms, trace.last_ms = s.note.first_failed_ms, s.note.last_failed_ms
        if not self.leaving:
            self._wait(fence.offset, self._clock.wall_ms() + s.due_in_ms)
            self.on_back()
        return counted

    def _retry(self, s: Settlement) -> Record:
        """What is written to a retry topic: the message, its note, its first place and its time."""
        message = s.delivery.message
        fields = list(message.raw or message.fields)
        if F_ID not in fields[::2] and F_IDENTITY not in fields[::2]:
            fields += (F_IDENTITY, message.raw_id)  # it stays the message that it was
        fields += (F_DUE, b"%d" % (self._clock.wall_ms() + s.due_in_ms), F_SOURCE, s.delivery.entry_id)
        if s.note is not None:
            fields += (F_NOTE, msgspec.json.encode(s.note))
        if self.is_replay:  # its lineage goes with it, and so it waits where that is understood
            return Record(self._topics.replay, *parts_of(fields, self._topics.letter_prefix))
        return Record(self._topics.retry_for(s.due_in_ms / 1000), *parts_of(fields))

    def _letter(self, s: Settlement) -> Record:
        key, value, headers = parts_of(s.letter, self._topics.letter_prefix)
        return Record(self._topics.dead, key, value, [*headers, (H_LETTER, s.letter_id.encode())])


@dataclass(slots=True)
class _Plan:
    """What one settle takes: offsets that end, records to be written, messages that come back; and its answers."""

    ended: list[Delivery] = field(default_factory=list)
    writes: list[tuple[Settlement, Record]] = field(default_factory=list)
    back: list[Settlement] = field(default_factory=list)
    answers: list[tuple[Delivery, Settled]] = field(default_factory=list)


def _apart(fields: list[bytes]) -> tuple[list[bytes], dict[bytes, bytes]]:
    """The message of a retry, and what was written beside it."""
    own: list[bytes] = []
    beside: dict[bytes, bytes] = {}
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name in _OF_RETRY:
            beside[name] = value
        else:
            own += (name, value)
    return own, beside


def _without(fields: list[bytes], prefix: bytes) -> list[bytes]:
    """The message alone, without the lineage that a replay wrote beside it."""
    return [part for name, value in zip(fields[::2], fields[1::2], strict=True) if not name.startswith(prefix)
            for part in (name, value)]


def _note_of(raw: bytes) -> Note | None:
    """A note that cannot be read counts as empty: attempts are then counted anew, and no message is lost for it."""
    try:
        return from_json(raw, Note) if raw else None
    except msgspec.MsgspecError:
        return None
