# SPDX-License-Identifier: Apache-2.0
"""Rounds: what is due at the desk is dealt with, a few at a time. All instances make them; moves keep them apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..._base.thinned import Thinned
from ...errors import CaseMoved, HoldfastError, ServerUnreachable
from ..desk import SENT_BACK, Case
from .deeds import Deeds
from .hand import Hand
from .judging import Judging
from .orphans import recover
from .outcome import Outcomes
from .pauses import Pauses

#: A case that cannot be dealt with is left alone for so long, in seconds; and after so many times it is a person's.
ASIDE_S, STUCK_AFTER = 15.0, 5


class Engine:
    """One instance's rounds."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        pauses = Pauses(hand.desk, hand.rules, hand.clock, hand.events)
        self._deeds = Deeds(hand, pauses)
        self._outcomes = Outcomes(hand, pauses)
        self._judging = Judging(hand, self._deeds, self._outcomes)
        self._trouble = Thinned(hand.clock)
        self._aside: dict[str, tuple[float, int]] = {}
        self._at_once = asyncio.Semaphore(hand.settings.at_once)
        self._away: ServerUnreachable | None = None
        self.stopping = False

    async def round(self) -> int:
        """Deals with what is due; gives how many. Raises ServerUnreachable when the desk or the server is away."""
        hand = self._hand
        await hand.begin_round()
        now = hand.clock.now()
        due = [case for case in await hand.desk.due(hand.settings.batch + len(self._aside))
               if self._aside.get(case.letter_id, (0.0, 0))[0] <= now]
        due.sort(key=lambda _: hand.chance.random())  # instances that look at the same moment begin elsewhere
        sent_back = [case for case in due if case.state in SENT_BACK]
        others = [case for case in due if case.state not in SENT_BACK]
        self._away = None
        done = await self._outcomes.look(sent_back) if sent_back else 0
        done += sum(await asyncio.gather(*(self._guarded(case) for case in others)))
        if self._away is not None:
            raise self._away
        return done

    async def _guarded(self, case: Case) -> int:
        async with self._at_once:
            if self.stopping or self._away is not None:
                return 0
            try:
                await self._deal_with(case)
            except CaseMoved:  # another instance, or a person, was quicker
                return 1
            except ServerUnreachable as error:  # what became of it is asked when its deadline has passed
                self._away = error
                return 0
            except Exception as error:  # noqa: BLE001 - one letter that nothing can be done with must not stop the rest
                await self._set_aside(case, error)
            else:
                self._aside.pop(case.letter_id, None)
            return 1

    async def _deal_with(self, case: Case) -> None:
        if case.state == "new":
            await self._judging.judge(case)
        elif case.state == "classified":
            await self._judging.classified(case)
        elif case.state == "scheduled":
            await self._deeds.due(case)
        elif case.state == "discarded":
            await self._deeds.discard(case)
        elif case.state == "working":
            await recover(self._hand, self._deeds, case)

    async def _set_aside(self, case: Case, error: Exception) -> None:
        _, fails = self._aside.get(case.letter_id, (0.0, 0))
        said = str(error) if isinstance(error, HoldfastError) else type(error).__name__
        self._trouble.warn(f"a letter of {case.logical}/{case.group} cannot be dealt with", f"{case.letter_id}: {said}")
        self._aside[case.letter_id] = (self._hand.clock.now() + ASIDE_S, fails + 1)
        if fails + 1 >= STUCK_AFTER:
            await self._stuck(case, said)

    async def _stuck(self, case: Case, said: str) -> None:
        try:
            now: Sequence[Case] = [await self._hand.desk.get(case.letter_id)]
            if now[0].state == "new":
                now = [await self._hand.move(now[0], "classified", "classified", rule="(stuck)", severity="error",
                                             category="unknown", action="manual")]
            if now[0].state in ("classified", "scheduled", "working"):
                await self._hand.give_up(now[0], "stuck", f"tried {STUCK_AFTER} times: {said}")
            self._aside.pop(case.letter_id, None)
        except HoldfastError as error:
            self._trouble.warn("giving up on a letter", error)
