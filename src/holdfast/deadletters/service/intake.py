# SPDX-License-Identifier: Apache-2.0
"""Taking letters in: an inbox that writes each letter to the desk, and then acknowledges it.

It differs from a consumer in one thing: it never buries (``holding``). A letter
that cannot be taken in stays pending and is tried again, and one that somebody moved meanwhile is acknowledged
(``StreamSettings.gone_is_done``); a letter about a letter would be no use to anybody.

Taking in is idempotent: the desk keeps the first of two. So a letter that is delivered again, after a crash between the
write and the acknowledgement, changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.clock import Clock
from ...consume.contract import Delivery
from ...errors import ServerUnreachable
from ..desk import Actor, Case, Desk
from ..desk.rounds import tries_of
from ..holding import AGAIN_MS, HOLD_S, PAUSES_S, Holding
from ..letters import LetterInfo, letter_info
from .cases import case_of
from .groups import Whose

if TYPE_CHECKING:
    from ..._base.events import Events


class Intake(Holding):
    """The inbox of one source. ``taken``: called after each batch."""

    def __init__(self, desk: Desk, whose: Whose, actor: Actor, prefix: str, *, events: Events, clock: Clock,
                 taken: Callable[[], object] = lambda: None) -> None:
        super().__init__(clock, "letters")
        self._desk, self._whose, self._actor, self._prefix = desk, whose, actor, prefix
        self._events, self._taken = events, taken

    async def _deal(self, batch: list[Delivery]) -> None:
        if await self._written(batch):
            await self._settled(batch, [])

    async def _written(self, batch: list[Delivery]) -> bool:
        """Tries until the desk answers, or the letters are better with somebody else."""
        since, pauses = self._clock.now(), iter(PAUSES_S)
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
                await asyncio.sleep(next(pauses, PAUSES_S[-1]))
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
                await self._deal([delivery])
            return
        self._trouble.warn(f"letter {batch[0].entry_id.decode()} of {self._whose.stream}/{self._whose.group} cannot be "
                           "taken in and is tried again", type(error).__name__)
        await self._released(batch, AGAIN_MS)

    def _tell(self, cases: Sequence[Case]) -> None:
        counted = Counter(case.reason for case in cases if case.version == 1)
        fresh = Counter(case.reason for case in cases if case.version == 1 and case.fresh)
        for reason, count in sorted(counted.items()):
            self._events.emit(ev.LettersTakenIn(stream=self._whose.logical, group=self._whose.group, reason=reason,
                                                count=count, fresh=fresh[reason]))
        self._taken()
