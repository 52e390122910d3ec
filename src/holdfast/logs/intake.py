# SPDX-License-Identifier: Apache-2.0
"""From files to judged events: a tailer's lines, assembled, parsed, transformed, and put into batches with the marks
that will hold once a batch is durable. Synchronous: it runs in a thread, one call at a time.

A mark never passes an event that waits for its end: what was read of it is read again after a crash.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from .._base import events as ev
from .._base.clock import Clock
from .assemble import Assembler, Multiline
from .ledger import Ledger, counted
from .line import Line
from .mark import Counts, Mark, State, Stranger
from .record import Record, Rejected
from .stages import Stages
from .tail.identity import KNOWN, Print, Trail
from .tail.settings import TailSettings
from .tail.tailer import Tailer
from .tail.track import Began, Chunk, Ended, Forgot, Item, Moved, Trouble

__all__ = ["Batch", "Intake"]


@dataclass(slots=True)
class Batch:
    """Events of any number of sources, in order of each, and what holds once they are durable.

    ``known``: marks that have to be durable before any of it is handed on, so that sources keep their ids;
    ``strangers``: the state's, which have to be so too, if there are others than before; ``marks``: by source id, with
    the counts of this batch alone; ``forgotten``: ids; ``next``: the state's.
    """

    records: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    known: list[Mark] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    events: list[ev.Event] = field(default_factory=list)
    next: int = 1
    strangers: Mapping[str, tuple[Stranger, ...]] | None = None

    @property
    def empty(self) -> bool:
        """Is there nothing to do about it?"""
        return not (self.records or self.rejected or self.tells or self.marks or self.forgotten or self.events)

    @property
    def tells(self) -> bool:
        """Is there something to be durable before the rest is handed on?"""
        return bool(self.known) or self.strangers is not None  # guard: what was looked at is known before what follows


class _Course:
    """One source on its way: what was judged of it so far."""

    __slots__ = ("assembler", "delta", "known_at", "ledger", "mark", "seen", "touched", "trail")

    def __init__(self, mark: Mark, trail: Trail, rule: Multiline | None) -> None:
        self.mark, self.trail, self.seen = mark, trail, mark.seen
        self.assembler = Assembler(rule)
        self.ledger = Ledger(mark.at)
        self.delta = Counts()
        self.touched = False
        self.known_at = mark.known_by.at

    def to_know(self) -> Mark | None:
        """What has to be known of it before what was judged is handed on: a content is told from others by its first
        kilobytes, and until so many are durable, by as many as there are."""
        if self.known_at >= KNOWN or max(self.seen.at, self.trail.at) <= self.known_at:
            return None
        return self.moved(self.seen if self.seen.at > self.trail.at else self.trail.print())

    def moved(self, seen: Print) -> Mark | None:
        """What has to be known of it when it stands elsewhere: its file may be gone when it is looked for again."""
        if self.known_at >= KNOWN or seen.at <= self.known_at:
            return None
        self.known_at = seen.at
        self.mark = msgspec.structs.replace(self.mark, seen=seen)
        return self.mark

    def after(self, events: Sequence[Line], counts: Counts) -> None:
        """Events were judged."""
        self.ledger.add(events, counts)
        self.trail.extend_all(event.raw for event in events)
        self.delta = self.delta.plus(counts)
        last = events[-1]
        goes_on = last.piece and not last.ended
        self.mark = msgspec.structs.replace(
            self.mark, source=last.source, number=last.number if goes_on else last.number + last.lines,
            piece=last.piece if goes_on else 0)
        self.touched = True

    def take(self) -> Mark:
        """The mark up to here, with the counts since the last one."""
        taken = msgspec.structs.replace(self.mark, print=self.trail.print(), counts=self.delta)
        self.delta, self.touched = Counts(), False
        return taken


class Intake:
    """Reads what ``patterns`` name, from where ``state`` says, and judges it by ``stages``."""

    def __init__(self, pipeline: str, patterns: Sequence[str], state: State, stages: Stages, *, clock: Clock,
                 multiline: Multiline | None = None, tail: TailSettings | None = None) -> None:
        self._pipeline, self._stages, self._multiline, self._clock = pipeline, stages, multiline, clock
        self._epoch, self._next = state.epoch, state.next
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        self._strangers = 0
        self._known = {mark.source.id: mark for mark in state.marks}
        self.tailer = Tailer(patterns, state, self._new_id, settings=tail, clock=clock)

    def _new_id(self) -> str:
        self._next += 1
        return f"{self._epoch}-{self._next - 1}"

    def read(self, bytes_max: int) -> Batch:
        """What is new, up to about ``bytes_max`` bytes."""
        with self._lock:
            return self._batch(self.tailer.step(bytes_max), due=True)

    @property
    def idle(self) -> bool:
        """Is everything read that is there now?"""
        with self._lock:
            return self.tailer.idle

    def sizes(self) -> list[tuple[str, str, int]]:
        """Of what is open: source id, path asked for, and bytes that are there."""
        with self._lock:
            return self.tailer.sizes()

    def finish(self) -> Batch:
        """What is held back is all there will be."""
        with self._lock:
            batch = self._batch(self.tailer.finish(), due=False)
            for course in self._courses.values():
                self._judge(batch, course, course.assembler.flush())
            return self._sealed(batch)

    def close(self) -> None:
        """Lets go of all files, once a read that runs is over."""
        with self._lock:
            self.tailer.close()

    def _batch(self, items: Sequence[Item], *, due: bool) -> Batch:
        batch = Batch()
        for item in items:
            self._take(batch, item)
        if due:
            now = self._clock.now()
            for course in self._courses.values():
                if course.assembler.holds:
                    self._judge(batch, course, course.assembler.due(now))
        return self._sealed(batch)

    def _sealed(self, batch: Batch) -> Batch:
        for source_id, course in self._courses.items():
            if (known := course.to_know()) is not None:
                batch.known.append(known)
            if course.touched:
                earlier = batch.marks.get(source_id)
                taken = course.take()
                if earlier is not None:
                    taken = msgspec.structs.replace(taken, counts=taken.counts.plus(earlier.counts))
                batch.marks[source_id] = taken
        batch.next = self._next
        if self.tailer.strangers_version != self._strangers:
            self._strangers = self.tailer.strangers_version
            batch.strangers = self.tailer.strangers
        return batch

    # -- what the tailer tells ------------------------------------------------------------------------------------

    def _take(self, batch: Batch, item: Item) -> None:
        match item:
            case Chunk():
                self._chunk(batch, item)
            case Began():
                self._began(batch, item)
            case Moved():
                self._moved(batch, item)
            case Ended():
                self._ended(batch, item)
            case Forgot():
                self._courses.pop(item.source.id, None)
                self._known.pop(item.source.id, None)
                batch.forgotten.append(item.source.id)
            case Trouble():
                batch.events.append(ev.LogsUnreadable(pipeline=self._pipeline, source=item.path, error=item.error,
                                                      damaged=item.damaged))

    def _began(self, batch: Batch, item: Began) -> None:
        mark = msgspec.structs.replace(item.mark, counts=Counts(), done=False)
        source_id = mark.source.id
        self._courses[source_id] = _Course(mark, item.trail.copy(), self._multiline)
        self._courses[source_id].touched = True
        if self._stages.parser.wants_first:
            self._stages.parser.begin(source_id, item.first)
        if source_id not in self._known:
            self._known[source_id] = mark
            batch.known.append(mark)
        self._tell_moved(batch, mark.family, item.how, mark.source.path, mark.at)

    def _moved(self, batch: Batch, item: Moved) -> None:
        if course := self._courses.get(item.source.id):
            course.mark = msgspec.structs.replace(course.mark, source=item.source, family=item.family)
            course.touched = True
            if (known := course.moved(item.seen)) is not None:
                batch.known.append(known)
        self._tell_moved(batch, item.family, item.how, item.source.path, course.trail.at if course else 0)

    def _tell_moved(self, batch: Batch, family: str, how: str, path: str, at: int) -> None:
        batch.events.append(ev.LogsMoved(pipeline=self._pipeline, source=family, how=how, path=path, at=at))

    def _ended(self, batch: Batch, item: Ended) -> None:
        course = self._courses.get(item.source.id)
        if course is not None:
            self._judge(batch, course, course.assembler.flush())
            course.mark = msgspec.structs.replace(course.mark, done=True)
            course.touched = True
        elif known := self._known.get(item.source.id):  # its file was not found after a restart
            batch.marks[item.source.id] = msgspec.structs.replace(known, done=True, counts=Counts())

    def _chunk(self, batch: Batch, item: Chunk) -> None:
        course = self._courses[item.source.id]
        course.mark = msgspec.structs.replace(course.mark, source=item.source, family=item.family, done=False)
        course.touched, course.seen = True, item.seen
        self._judge(batch, course, course.assembler.feed(item.lines, self._clock.now()))

    def _judge(self, batch: Batch, course: _Course, events: list[Line]) -> None:
        if not events:
            return
        judged = [self._stages.judge(event) for event in events]
        course.after(events, counted(judged))
        for one in judged:
            if isinstance(one, Record):
                batch.records.append(one)
            elif isinstance(one, Rejected):
                batch.rejected.append(one)
