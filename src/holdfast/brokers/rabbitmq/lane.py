# SPDX-License-Identifier: Apache-2.0
"""A lane: one queue of a group as one incarnation sees it, and everything that settles what came by it.

RabbitMQ has no step that publishes and acknowledges at once. So whatever moves a message (a retry, a burial) is
published first, confirmed, and only then acknowledged: a crash in between leaves it in both places, never in none. The
copy has the same id, and a letter the same letter id, by which the second is known.

The fence is the channel. Of a delivery whose channel is gone nothing is done; what was open there is back in the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._amqp.outlet import Outlet, Taken
from ..._amqp.parcel import Arrived, Parcel
from ..._base import points
from ..._base.message import F_ID, F_IDENTITY, Message
from ...consume.contract import Delivery, Note, Settled, Settlement, Verb
from ..notes import pack, unpack
from .delay import way
from .form import H_IDENTITY, again, fields_of, id_of, letter_parcel, note_of
from .tags import frames

if TYPE_CHECKING:
    from ..._amqp.intake import Intake

#: How entry ids begin: of messages with an id of their own, and of those that were given one here.
OWN, GIVEN = b"id:", b"new:"


class Fence(msgspec.Struct, frozen=True):
    """What a settle must still find: this incarnation's channel is open, and the tag on it. ``count``: deliveries."""

    incarnation: str
    count: int
    tag: int


class Lane:
    """Fulfils ``consume.contract.Origin`` on one queue.

    single: at most one message is held at a time, so a return of it is the death of a process that had no other: it is
    charged. back: the queue to which its retries go. on_settled: called after each settle. on_kept: called with what
    could not be moved, and stays in hand.
    """

    def __init__(self, outlet: Outlet, *, stream: str, group: str, queue: str, back: str, dead: str, prefix: str,
                 letter_prefix: str, single: bool = False, is_replay: bool = False) -> None:
        self.stream, self.group, self.queue = stream, group, queue
        self.is_replay = is_replay
        self.single = single
        self._outlet = outlet
        self._back, self._dead, self._prefix, self._letters = back, dead, prefix, letter_prefix
        self._waited = f"{prefix}/later/"
        self.incarnation = ""
        self._intake: Intake | None = None
        #: What this channel holds, by tag, in the order of arrival; and the tags of those in it, by entry id.
        self.open: dict[int, tuple[bytes, Arrived]] = {}
        self.on_settled: Callable[[], None] = lambda: None
        self.on_kept: Callable[[Lane, int], None] = lambda _lane, _tag: None

    def become(self, incarnation: str, intake: Intake | None) -> None:
        """From now on it is this channel; what came by another one settles nothing any more."""
        self.incarnation, self._intake = incarnation, intake
        self.open.clear()

    # -- what comes -----------------------------------------------------------------------------------------------

    def came(self, arrived: Arrived, fresh_id: Callable[[], str]) -> bytes:
        """Holds a message that has arrived; answers its entry id. ``fresh_id``: for one that was never given an id."""
        own = id_of(arrived) or str(arrived.headers.get(H_IDENTITY) or "")
        entry_id = OWN + own.encode() if own else GIVEN + fresh_id().encode()
        self.open[arrived.tag] = entry_id, arrived
        return entry_id

    def delivery(self, tag: int, now: float) -> Delivery:
        """The delivery of a message that is held."""
        entry_id, arrived = self.open[tag]
        returns = arrived.returns
        note = unpack(note_of(arrived))
        fence = Fence(self.incarnation, 1 + (int(arrived.redelivered) if returns is None else returns), tag)
        made = Delivery(self, entry_id, self._message(entry_id, arrived), fence, now, note=note)
        if note is not None:
            made.attempts, made.crashes = note.attempts, note.crashes
        if self.single:
            made.crashes += returns or 0  # guard: who died with it alone in hand charges it
            made.suspect = not self.is_replay or made.crashes > 0
        return made

    def _message(self, entry_id: bytes, arrived: Arrived) -> Message:
        fields = fields_of(arrived, self._letters)
        if F_ID not in fields[::2] and F_IDENTITY not in fields[::2]:
            fields = [F_IDENTITY, entry_id.partition(b":")[2], *fields]
        if not self.is_replay:
            return Message(self.stream, entry_id, fields)
        mark = self._letters.encode()
        own = [part for name, value in zip(fields[::2], fields[1::2], strict=True) if not name.startswith(mark)
               for part in (name, value)]
        return Message(self.stream, entry_id, own, fields)

    # -- what is settled ------------------------------------------------------------------------------------------

    async def mark_started(self, delivery: Delivery) -> bool:
        """Nothing to write: what runs alone lies in a queue of its own, whose count is the mark."""
        return self._refusal(delivery) is None

    def _refusal(self, delivery: Delivery) -> Settled | None:
        """Why it may not be settled; None when it may."""
        fence: Fence = delivery.fence
        if fence.incarnation != self.incarnation or self._intake is None:  # guard: a former channel settles nothing
            return Settled.OTHER
        if fence.tag in self.open:
            return None
        taken = any(entry_id == delivery.entry_id for entry_id, _ in self.open.values())
        return Settled.OTHER if taken else Settled.GONE

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> list[tuple[Delivery, Settled]]:
        """See ``consume.contract.Origin.settle``: what moves is moved and confirmed first, then all is acknowledged."""
        refused = [(d, why) for d in acks if (why := self._refusal(d)) is not None]
        refused += [(s.delivery, why) for s in others if (why := self._refusal(s.delivery)) is not None]
        out = {id(d) for d, _ in refused}
        # The effect of such a one is recorded elsewhere by now: what is left of it is the acknowledgement.
        acks = [*acks, *(s.delivery for s in others if s.verb is Verb.APPLY)]
        left = [s for s in others if id(s.delivery) not in out and s.verb is not Verb.APPLY]  # guard: moves nothing
        released = [s.delivery.fence.tag for s in left if self._goes_back(s)]
        moving = [s for s in left if not self._goes_back(s)]
        try:
            # What needs nothing published first: a server that takes nothing holds up no acknowledgement.
            lost = await self._told({d.fence.tag for d in acks if id(d) not in out}, released)
            if moving:
                moved, failed = await self._moved(moving)
                refused += failed
                lost |= await self._told({s.delivery.fence.tag for s in moved}, ())
        finally:
            self.on_settled()
        return refused + [(d, Settled.OTHER) for d in (*acks, *(s.delivery for s in left))
                          if d.fence.tag in lost and id(d) not in out]

    def _goes_back(self, s: Settlement) -> bool:
        """Is it put back by RabbitMQ itself? Not where that would be counted as a death."""
        return s.verb is Verb.RELEASE and not self.single

    async def _moved(self, moving: Sequence[Settlement]) -> tuple[list[Settlement], list[tuple[Delivery, Settled]]]:
        """Publishes what moves; answers which of it is elsewhere for good, and what was refused."""
        if not moving:
            return [], []
        _reached(moving, "before")
        answers = await self._outlet.publish([self._parcel(s) for s in moving])
        _reached(moving, "published")
        done, refused = [], []
        for s, answer in zip(moving, answers, strict=True):
            if answer is Taken.STORED:  # guard: nothing is acknowledged before it is elsewhere
                done.append(s)
            elif s.verb is Verb.BURY:
                refused.append((s.delivery, Settled.FAILED))
            else:
                self.on_kept(self, s.delivery.fence.tag)
        return done, refused

    def _parcel(self, s: Settlement) -> Parcel:
        entry_id, arrived = self.open[s.delivery.fence.tag]
        if s.verb is Verb.BURY:
            return letter_parcel(s.letter, s.letter_id, queue=self._dead, prefix=self._letters)
        if s.verb is Verb.ACK or s.verb is Verb.APPLY:
            raise AssertionError(f"{s.verb!r} moves nothing")
        note = s.note if s.note is not None else s.delivery.note
        exchange, key = "", self.queue
        if s.verb is not Verb.RELEASE:
            exchange, key = way(s.due_in_ms, self._back, self._prefix)
        elif s.delivery.crashes:
            note = note or Note()
            note.crashes = s.delivery.crashes
        identity = {} if entry_id.startswith(OWN) else {H_IDENTITY: entry_id.removeprefix(GIVEN).decode()}
        return again(arrived, b"" if note is None else pack(note), exchange=exchange, key=key, waited=self._waited,
                     prefix=self._letters, extra=identity)

    async def _told(self, done: set[int], released: Sequence[int]) -> set[int]:
        """Acknowledges and puts back; answers tags whose channel was lost before that."""
        intake = self._intake
        if intake is None:
            return {*done, *released}
        gone = {tag for tag in (*done, *released) if tag not in self.open}
        done, released = done - gone, [tag for tag in released if tag not in gone]
        if not done and not released:
            return gone
        points.reached("rabbit.ack.before")
        if done:
            await intake.ack(frames(self.open, done))
        if released:
            points.reached("rabbit.release.before")
            await intake.give_back(released)
        for tag in (*done, *released):
            self.open.pop(tag, None)
        await intake.flushed()
        points.reached("rabbit.ack.after")
        return gone

    async def give_back(self, tags: Sequence[int]) -> int:
        """Puts back what is held and in nobody's hands, without an attempt, and without a death to be charged."""
        tags = [tag for tag in tags if tag in self.open]
        if self.single:
            parcels = [again(self.open[tag][1], note_of(self.open[tag][1]), exchange="", key=self.queue,
                             waited=self._waited, prefix=self._letters) for tag in tags]
            answers = await self._outlet.publish(parcels)
            tags = [tag for tag, answer in zip(tags, answers, strict=True) if answer is Taken.STORED]
            await self._told(set(tags), ())
        else:
            await self._told(set(), tags)
        return len(tags)

    async def move(self, tag: int, queue: str) -> bool:
        """Moves a message that is held to another queue, as it is; False when it was not taken there."""
        points.reached("rabbit.alone.before")
        _, arrived = self.open[tag]
        parcel = again(arrived, note_of(arrived), exchange="", key=queue, waited=self._waited, prefix=self._letters)
        [answer] = await self._outlet.publish([parcel])
        points.reached("rabbit.alone.published")
        if answer is Taken.STORED:
            await self._told({tag}, ())
        return answer is Taken.STORED


def _reached(moving: Sequence[Settlement], when: str) -> None:
    """The points of a move, by what is moved."""
    if points.hook is None:
        return
    verbs = {s.verb for s in moving}
    before = when == "before"
    if verbs & {Verb.PARK, Verb.STOW}:
        points.reached("rabbit.park.before") if before else points.reached("rabbit.park.published")
    if Verb.BURY in verbs:
        points.reached("rabbit.bury.before") if before else points.reached("rabbit.bury.published")
    if Verb.RELEASE in verbs:
        points.reached("rabbit.rehome.before") if before else points.reached("rabbit.rehome.published")


__all__ = ["GIVEN", "OWN", "Fence", "Lane"]
