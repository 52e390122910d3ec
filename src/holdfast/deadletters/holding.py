# SPDX-License-Identifier: Apache-2.0
"""An inbox that never buries: what cannot be dealt with stays pending and is tried again.

It fulfils ``consume.contract.Inbox`` and is fed by a source like any consumer, so leases, take-over from the dead, lost
replies and fenced settling are the library's own. Who stands on it says what is done with a batch: letters are taken in
at the desk (``service.intake``), or carried to the broker they came from (``branch.post``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from .._base.clock import Clock
from .._base.thinned import Thinned
from ..consume.contract import Delivery, Origin, Settlement, Verb
from ..errors import HoldfastError, ServerError, ServerUnreachable

#: Deliveries in one step, and held at a time.
BATCH: Final = 200
HELD_MAX: Final = 500
#: What nothing could be done with comes again after this long, in ms.
AGAIN_MS: Final = 30_000
#: While what is needed does not answer, deliveries are held for so long, and then handed back: another instance may
#: reach it.
HOLD_S: Final = 20.0
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class Holding:
    """The inbox of one source. doing: what it is about, for warnings."""

    ordered = False

    def __init__(self, clock: Clock, doing: str) -> None:
        self._clock, self._doing = clock, doing
        self._trouble = Thinned(clock)
        self._queue: deque[Delivery] = deque()
        self._held: dict[tuple[str, bytes], Delivery] = {}
        self._came, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._ends = False
        #: Why nothing can be dealt with at the moment; empty: it can.
        self.why_not = ""

    # -- what is done -----------------------------------------------------------------------------------------------

    async def _deal(self, batch: list[Delivery]) -> None:
        """Deals with deliveries and settles them. Empty: only looks whether what it needs is back."""
        raise NotImplementedError

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
        """What is held is dealt with in a moment."""

    def revoke(self, origin: Origin, cause: str) -> int:
        gone = [name for name in self._held if name[0] == origin.stream]
        for name in gone:
            del self._held[name]
        self._queue = deque(d for d in self._queue if d.origin is not origin)
        self._freed()
        return len(gone)

    # -- at work --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deals with what comes until ``stop``, and then with what is still held."""
        while not (self._ends and not self._queue):
            if not self._queue:
                self._came.clear()
                await self._came.wait()
                continue
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            await self._deal([d for d in batch if self.holds(d.origin, d.entry_id)])
            self._freed()

    def stop(self) -> None:
        """Nothing more is taken; ``run`` ends when what is held is dealt with."""
        self._ends = True
        self._came.set()

    async def _settled(self, acks: list[Delivery], others: Sequence[Settlement]) -> None:
        """What is not settled in the end stays pending: it is delivered again, to us or to somebody else."""
        pauses = iter(PAUSES_S)
        mine = [*acks, *(s.delivery for s in others)]
        while mine:
            try:
                await mine[0].origin.settle(acks, others)
                break
            except ServerUnreachable as error:
                self._trouble.warn(f"acknowledging {self._doing}", error)
                if self._ends or not any(self.holds(d.origin, d.entry_id) for d in mine):
                    break
                await asyncio.sleep(next(pauses, PAUSES_S[-1]))
            except ServerError as error:
                self._trouble.warn(f"acknowledging {self._doing}", error)
                break
        for delivery in mine:
            self._held.pop((delivery.origin.stream, delivery.entry_id), None)

    async def _released(self, batch: Sequence[Delivery], in_ms: int) -> None:
        try:
            verb = Verb.PARK if in_ms else Verb.RELEASE
            await self._settled([], [Settlement(d, verb, due_in_ms=in_ms) for d in batch])
        except HoldfastError as error:
            self._trouble.warn(f"handing {self._doing} back", error)

    def _freed(self) -> None:
        if self.room() > 0:
            self._room.set()


__all__ = ["AGAIN_MS", "BATCH", "HOLD_S", "PAUSES_S", "Holding"]
