# SPDX-License-Identifier: Apache-2.0
"""A broker in memory, for tests of handlers: the same loop, the same decisions, no server.

::

    hf = Holdfast("memory://")
    …                                   # declare consumers as always
    async with hf.testing() as broker:  # runs them
        await hf.publish("orders", {"id": 7})
        await broker.settled("orders", "billing")
        assert broker.letters("orders", "billing") == []

What it keeps: retries with their times (on the clock handed in, so a manual clock can skip them), attempts, burial,
hand-back, one delivery at a time per entry, several groups. What it cannot: survive the process, take over from
another one, partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .._base.clock import Clock, Instant
from .._base.message import Message
from .contract import Abilities, Delivery, Inbox, Note, Settled, Settlement, Verb, Words

ABILITIES = Abilities(atomic_settle=True, native_delay=True, ordering="key", delivery_counter=True)


@dataclass(slots=True)
class _Pending:
    """An entry a group has been given and has not settled. ``due``: parked until then; None: in the owner's hands."""

    count: int
    owner: MemorySource
    due: Instant | None = None
    note: Note | None = None


@dataclass(slots=True)
class _Group:
    """What one group knows of a stream."""

    next_index: int = 0
    pending: dict[bytes, _Pending] = field(default_factory=dict)
    letters: dict[str, list[bytes]] = field(default_factory=dict)
    #: What effects have written, by what they are known by, in the order of their being applied.
    applied: dict[str, Sequence[Words]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Stream:
    entries: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    index: dict[bytes, int] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemoryState:
    """A source as it stands: what its group has been given and has not settled."""

    stream: str
    group: str
    pending: int


class MemoryBroker:
    """Streams and groups of one process. Used from one event loop."""

    abilities = ABILITIES

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._ids: Iterator[int] = itertools.count(1)
        self._later: set[asyncio.Task[None]] = set()

    # -- for producers --------------------------------------------------------------------------------------------

    def add(self, stream: str, fields: Sequence[bytes]) -> bytes:
        """Appends an entry; returns its id."""
        s = self._stream(stream)
        entry_id = b"%d-%d" % (self._clock.wall_ms(), next(self._ids))
        s.index[entry_id] = len(s.entries)
        s.entries.append((entry_id, list(fields)))
        for group in s.groups.values():
            group.changed.set()
        return entry_id

    def source(self, stream: str, group: str) -> MemorySource:
        """A consumer of ``group``; the group starts at the stream's beginning."""
        self._group(stream, group)
        return MemorySource(self, stream, group, self._clock)

    # -- for tests ------------------------------------------------------------------------------------------------

    def letters(self, stream: str, group: str) -> list[list[bytes]]:
        """Dead letters as they would lie in the dead stream: flat fields, in the order of their deaths."""
        return list(self._group(stream, group).letters.values())

    def applied(self, stream: str, group: str) -> dict[str, Sequence[Words]]:
        """What handlers under ``once`` have written, each effect once: its identity and the commands it buffered."""
        return dict(self._group(stream, group).applied)

    def pending(self, stream: str, group: str) -> int:
        """Entries delivered and not settled, parked ones included."""
        return len(self._group(stream, group).pending)

    def parked(self, stream: str, group: str) -> int:
        """Entries that wait for their time: retries, and what was handed back."""
        return sum(p.due is not None for p in self._group(stream, group).pending.values())

    def lag(self, stream: str, group: str) -> int:
        """Entries the group has not been given yet."""
        return len(self._stream(stream).entries) - self._group(stream, group).next_index

    async def settled(self, stream: str, group: str, within_s: float = 5.0) -> None:
        """Waits until the group has nothing left to do: no lag, nothing pending.

        TimeoutError when it does not come to that.
        """
        group_state = self._group(stream, group)
        async with asyncio.timeout(within_s):
            while self.lag(stream, group) or group_state.pending:
                group_state.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await group_state.changed.wait()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _stream(self, name: str) -> _Stream:
        return self._streams.setdefault(name, _Stream())

    def _group(self, stream: str, group: str) -> _Group:
        return self._stream(stream).groups.setdefault(group, _Group())

    def entry(self, stream: str, entry_id: bytes) -> list[bytes]:
        """Fields of an entry."""
        s = self._stream(stream)
        return s.entries[s.index[entry_id]][1]


class MemorySource:
    """One consumer of one group in memory: source and origin at once."""

    is_replay = False

    def __init__(self, broker: MemoryBroker, stream: str, group: str, clock: Clock) -> None:
        self.stream = stream
        self.group = group
        self._broker = broker
        self._clock = clock
        self._state = broker._group(stream, group)  # noqa: SLF001 - two halves of one thing
        self._stopped = asyncio.Event()
        self._closed = asyncio.Event()

    async def run(self, inbox: Inbox) -> None:
        """Delivers what is due and what is new until ``close``."""
        while not self._closed.is_set():
            room = 0 if self._stopped.is_set() else inbox.room()
            found = self._due(room) if room > 0 else []
            found += self._fresh(room - len(found)) if room > len(found) else []
            if found:
                inbox.deliver(found)
            self._state.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.005):  # a manual clock wakes nobody
                    await self._state.changed.wait()

    def _fresh(self, room: int) -> list[Delivery]:
        s, state = self._broker._stream(self.stream), self._state  # noqa: SLF001
        found: list[Delivery] = []
        for entry_id, fields in s.entries[state.next_index : state.next_index + room]:
            state.pending[entry_id] = _Pending(1, self)
            found.append(Delivery(self, entry_id, Message(self.stream, entry_id, fields), 1, self._clock.now()))
        state.next_index += len(found)
        return found

    def _due(self, room: int) -> list[Delivery]:
        now = self._clock.now()
        found: list[Delivery] = []
        for entry_id, p in self._state.pending.items():
            if p.due is not None and p.due <= now and len(found) < room:
                p.due, p.count, p.owner = None, p.count + 1, self
                message = Message(self.stream, entry_id, self._broker.entry(self.stream, entry_id))
                made = Delivery(self, entry_id, message, p.count, now, note=p.note)
                if p.note is not None:
                    made.attempts, made.crashes = p.note.attempts, p.note.crashes
                found.append(made)
        return found

    async def stop_reading(self) -> None:
        self._stopped.set()

    async def close(self, inbox: Inbox) -> int:
        self._closed.set()
        back = [p for i, p in self._state.pending.items()
                if p.due is None and p.owner is self and not inbox.holds(self, i)]
        for p in back:
            p.due = self._clock.now()
        return len(back)

    async def mark_started(self, delivery: Delivery) -> bool:
        return self._refusal(delivery) is None

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> list[tuple[Delivery, Settled]]:
        refused = []
        for delivery, s in [*((d, None) for d in acks), *((s.delivery, s) for s in others)]:
            answer = self._refusal(delivery) or self._carry_out(delivery, s)
            if answer is not None:
                refused.append((delivery, answer))
        self._state.changed.set()
        return refused

    def _refusal(self, delivery: Delivery) -> Settled | None:
        """Why this delivery may not be settled; None when it may."""
        p = self._state.pending.get(delivery.entry_id)
        if p is None:
            return Settled.GONE
        mine = p.owner is self and p.due is None and p.count == delivery.fence  # guard: fence (tests/contract)
        return None if mine else Settled.OTHER

    def _carry_out(self, delivery: Delivery, s: Settlement | None) -> Settled | None:
        """Does it; answers when it was done otherwise than asked."""
        p = self._state.pending[delivery.entry_id]
        if s is None or s.verb in (Verb.ACK, Verb.BURY, Verb.APPLY):
            del self._state.pending[delivery.entry_id]
            if s is not None and s.verb is Verb.BURY:
                self._state.letters.setdefault(s.letter_id, list(s.letter))
            if s is not None and s.rider is not None and s.rider.identity:
                known_by = s.rider.identity if isinstance(s.rider.identity, str) else s.rider.identity.decode()
                if known_by in self._state.applied:  # guard: once, in memory too (test_in_memory)
                    return Settled.DUPLICATE
                self._state.applied[known_by] = s.rider.writes
        else:
            p.due = Instant(self._clock.now() + s.due_in_ms / 1000)
            p.note = p.note if s.note is None else s.note
        return None

    def inspect(self) -> MemoryState:
        """Counts of this group."""
        return MemoryState(self.stream, self.group, len(self._state.pending))
