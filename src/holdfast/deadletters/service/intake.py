# SPDX-License-Identifier: Apache-2.0
"""Taking letters in: an inbox that writes each letter to the desk, and then acknowledges it.

It fulfils ``consume.contract.Inbox`` and is fed by a source like any consumer, so leases, take-over from the dead, lost
replies and fenced settling are the library's own. It differs from a consumer in one thing: it never buries. A letter
that cannot be taken in stays pending and is tried again, and one that somebody moved meanwhile is acknowledged
(``StreamSettings.gone_is_done``); a letter about a letter would be no use to anybody.

Taking in is idempotent: the desk keeps the first of two. So a letter that is delivered again, after a crash between the
write and the acknowledgement, changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.clock import Clock
from ..._base.thinned import Thinned
from ...consume.contract import Delivery, Origin, Settlement, Verb
from ...errors import HoldfastError, ServerError, ServerUnreachable
from ..desk import Actor, Case, Desk
from ..desk.rounds import tries_of
from ..letters import LetterInfo, letter_info
from .cases import case_of
from .groups import Whose

if TYPE_CHECKING:
    from ..._base.events import Events

#: Letters in one step, and held at a time.
BATCH, HELD_MAX = 200, 500
#: What could not be written to a desk that answers comes again after this long, in ms.
AGAIN_MS = 30_000
#: While the desk does not answer, letters are held for so long, and then handed back: another instance may reach it.
HOLD_S = 20.0
_PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Intake:
    """The inbox of one source. ``taken``: called after each batch."""

    ordered = False

    def __init__(self, desk: Desk, whose: Whose, actor: Actor, prefix: str, *, events: Events, clock: Clock,
                 taken: Callable[[], object] = lambda: None) -> None:
        self._desk, self._whose, self._actor, self._prefix = desk, whose, actor, prefix
        self._events, self._clock, self._taken = events, clock, taken
        self._trouble = Thinned(clock)
        self._queue: deque[Delivery] = deque()
        self._held: dict[tuple[str, bytes], Delivery] = {}
        self._came, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ends = False
        #: Why letters cannot be taken in at the moment; empty: they can.
        self.why_not = ""

    # -- the inbox ------------------------------------------------------------------------------------------------

    def enter(self) -> None: ...

    def leave(self) -> None: ...

    def room(self) -> int:
        return 0 if self._ends or self.why_not else HELD_MAX - len(self._held)

    async def wait_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if not self.holds(delivery.origin, delivery.entry_id):
                self._held[delivery.origin.stream, delivery.entry_id] = delivery
                self._queue.append(delivery)
        self._came.set()

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        return (origin.stream, entry_id) in self._held

    def held(self, origin: Origin) -> int:
        return sum(stream == origin.stream for stream, _ in self._held)

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]], dead_keys: Iterable[str]) -> None:
        """Order within a key is kept by whoever replays, not here."""

    def hand_back(self, origin: Origin) -> None:
        """What is held is written in a moment."""

    def revoke(self, origin: Origin, cause: str) -> int:
        gone = [name for name in self._held if name[0] == origin.stream]
        for name in gone:
            del self._held[name]
        self._queue = deque(d for d in self._queue if d.origin is not origin)
        self._freed()
        return len(gone)

    # -- at work --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Takes in until ``stop``, and then what is still held."""
        while not (self._ends and not self._queue):
            if not self._queue:
                self._came.clear()
                await self._came.wait()
                continue
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            await self._take_in([d for d in batch if self.holds(d.origin, d.entry_id)])

    def stop(self) -> None:
        """Nothing more is taken; ``run`` ends when what is held is written."""
        self._ends = True
        self._came.set()

    async def _take_in(self, batch: list[Delivery]) -> None:
        if await self._written(batch):
            await self._settled(batch, [])
        self._freed()

    async def _written(self, batch: list[Delivery]) -> bool:
        """Tries until the desk answers, or the letters are better with somebody else."""
        since, pauses = self._clock.now(), iter(_PAUSES_S)
        while True:
            try:
                await self._write(batch)
            except ServerUnreachable as error:
                self.why_not = f"the desk does not answer: {error}"
                self._trouble.warn("taking letters in", error)
                if batch and (self._clock.now() - since > HOLD_S or self._ends):
                    await self._released(batch, 0)
                    batch = []
                if self._ends:
                    return False
                await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
            except Exception as error:  # noqa: BLE001 - whatever a database says to one letter, the others go on
                await self._one_by_one(batch, error)
                return False
            else:
                self.why_not = ""
                return bool(batch)

    async def _write(self, batch: Sequence[Delivery]) -> None:
        if not batch:
            await self._desk.now_ms()  # is it back?
            return
        points.reached("dlq.intake.before")
        letters = [self._letter(d) for d in batch]
        cases = [case_of(letter, self._whose.logical) for letter in letters]
        tries = await tries_of(self._desk, [case.parent for case in cases if case.parent])
        cases = [msgspec.structs.replace(case, tries=tries.get(case.parent, 0)) for case in cases]
        now = await self._desk.take_in(cases, self._actor)
        points.reached("dlq.intake.after")
        self._tell(now)

    def _letter(self, delivery: Delivery) -> LetterInfo:
        message = delivery.message
        return letter_info(self._whose.stream, self._whose.group, delivery.entry_id, message.raw or message.fields,
                           self._prefix)

    async def _one_by_one(self, batch: list[Delivery], error: Exception) -> None:
        if len(batch) > 1:
            for delivery in batch:
                await self._take_in([delivery])
            return
        self._trouble.warn(f"letter {batch[0].entry_id.decode()} of {self._whose.stream}/{self._whose.group} cannot be "
                           "taken in and is tried again", type(error).__name__)
        await self._released(batch, AGAIN_MS)

    async def _settled(self, acks: list[Delivery], others: Sequence[Settlement]) -> None:
        """What is not settled in the end stays pending: it is delivered again, to us or to somebody else."""
        pauses = iter(_PAUSES_S)
        mine = [*acks, *(s.delivery for s in others)]
        while mine:
            try:
                await mine[0].origin.settle(acks, others)
                break
            except ServerUnreachable as error:
                self._trouble.warn("acknowledging letters", error)
                if self._ends or not any(self.holds(d.origin, d.entry_id) for d in mine):
                    break
                await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
            except ServerError as error:
                self._trouble.warn("acknowledging letters", error)
                break
        for delivery in mine:
            self._held.pop((delivery.origin.stream, delivery.entry_id), None)

    async def _released(self, batch: Sequence[Delivery], in_ms: int) -> None:
        try:
            verb = Verb.PARK if in_ms else Verb.RELEASE
            await self._settled([], [Settlement(d, verb, due_in_ms=in_ms) for d in batch])
        except HoldfastError as error:
            self._trouble.warn("handing letters back", error)

    def _tell(self, cases: Sequence[Case]) -> None:
        counted = Counter(case.reason for case in cases if case.version == 1)
        fresh = Counter(case.reason for case in cases if case.version == 1 and case.fresh)
        for reason, count in sorted(counted.items()):
            self._events.emit(ev.LettersTakenIn(stream=self._whose.logical, group=self._whose.group, reason=reason,
                                                count=count, fresh=fresh[reason]))
        self._taken()

    def _freed(self) -> None:
        if self.room() > 0:
            self._room.set()
