# SPDX-License-Identifier: Apache-2.0
"""Telling people what there is to tell, through whatever ``Teller`` was given: until it has been told."""

from __future__ import annotations

import asyncio
from typing import cast

from ..._base import points
from ..._base.thinned import Thinned
from ...errors import LetterNotFound
from ..desk import Case, Step
from ..desk.tells import Told, done, failed, taken
from ..handling.doors import Tale, Teller
from .hand import Hand

#: At a time.
MANY = 50
#: Telling may take so much of the time for which a tale is one instance's.
PATIENCE = 0.67
#: Between two tries in vain, in ms, by their number.
AGAIN_MS = (1_000, 5_000, 30_000, 120_000, 600_000)


class Telling:
    """Takes what is to be told, and strikes off what was."""

    def __init__(self, hand: Hand, teller: Teller) -> None:
        self._hand, self._teller = hand, teller
        self._trouble = Thinned(hand.clock)

    async def round(self) -> int:
        """Gives how many were taken. They are told at once, all within the time for which they are this instance's."""
        found = await taken(self._hand.desk, MANY, int(self._hand.settings.deed_s * 1000))
        await asyncio.gather(*map(self._tell, found))
        return len(found)

    async def _tell(self, told: Told) -> None:
        desk = self._hand.desk
        try:
            case = await desk.get(told.letter_id)
        except LetterNotFound:  # cleaned up since: there is nothing left to do about it
            await done(desk, told)
            return
        points.reached("dlq.tell.before")
        try:
            async with asyncio.timeout(self._hand.settings.deed_s * PATIENCE):
                await self._teller.tell(cast("Tale", told.kind), case, told.why)
        except Exception as error:  # noqa: BLE001 - whatever a channel raises, it is told again later
            self._trouble.warn("telling people", type(error).__name__)
            await failed(desk, told, AGAIN_MS[min(told.fails, len(AGAIN_MS) - 1)])
            return
        points.reached("dlq.tell.after")
        await self._struck_off(told, case)

    async def _struck_off(self, told: Told, case: Case) -> None:
        desk, hand = self._hand.desk, self._hand
        await done(desk, told)
        await desk.note(Step(letter_id=case.letter_id, what="notified", actor=hand.actor.name, category=case.category,
                             rule=case.rule, action=case.action, before=case.state, after=case.state,
                             trace_id=case.trace_id, detail=f'{{"kind":"{told.kind}"}}'))
