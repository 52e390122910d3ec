# SPDX-License-Identifier: Apache-2.0
"""What became of a replay: its message was settled, or it died again as another letter.

There are three places to look, in this order, and the order is what makes the answer sure:

1. Is the message still on its way, on the replay stream or parked? Then there is nothing to say yet.
2. Has the service taken in every letter that is on the shelf by now? A consumer buries and acknowledges in one step, so
   whatever left the way before 1 and died was on the shelf then.
3. Is there a letter at the desk that names this one as the replay it died of? Then it died again. If not, its message
   was settled: handled, or acknowledged as a duplicate, as expired, or by somebody's hand.

What goes to another broker is ``replaying`` until it has confirmed it; gone from the way without that, it was lost.

A letter that died again and was moved by hand before the service could read it is not seen by 3.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from ..._base import points
from ...errors import CaseMoved
from ..desk import Case
from ..desk.carried import was_carried
from ..desk.rounds import children, postpone
from .hand import Hand
from .pauses import Pauses

#: Looks come a minute apart at last, in seconds.
LOOK_MAX_S = 60.0


class Outcomes:
    """Looks after letters that were sent back."""

    def __init__(self, hand: Hand, pauses: Pauses) -> None:
        self._hand, self._pauses = hand, pauses

    async def look(self, cases: Sequence[Case]) -> int:
        """Gives how many of these came to an end."""
        by_place: dict[tuple[str, str], list[Case]] = defaultdict(list)
        for case in cases:
            by_place[case.stream, case.group].append(case)
        return sum([await self._look(mine) for mine in by_place.values()])

    async def _look(self, cases: Sequence[Case]) -> int:
        hand, first = self._hand, cases[0]
        way = await hand.way_of(first)
        arrived = [case for case in cases if case.letter_id not in way]
        # guard: everything that died is known before anything is said to be handled
        known = bool(arrived) and await hand.outside.all_taken_in(first.stream, first.group)
        died = await children(hand.desk, [case.letter_id for case in arrived]) if arrived else {}
        ends = [case for case in arrived if known or case.letter_id in died]
        waiting = [case for case in cases if case not in ends]
        await asyncio.gather(*(self._end(case, died.get(case.letter_id)) for case in ends),
                             *(self._later(case) for case in waiting))
        return len(ends)

    async def _later(self, case: Case) -> None:
        hand = self._hand
        since_s = max(0.0, (hand.now_ms() - case.changed_ms) / 1000)
        wait_s = min(LOOK_MAX_S, max(hand.settings.check_s, since_s / 4))
        await postpone(hand.desk, case, hand.now_ms() + int(wait_s * 1000))

    async def _end(self, case: Case, child: Case | None) -> None:
        try:
            if child is not None:
                await self.died_again(case, child)
            elif case.state == "replaying" and not await was_carried(self._hand.desk, case.letter_id):
                await self._lost(case)  # guard: what no broker confirmed was not handled
            else:
                await self._settled(case)
        except CaseMoved:  # another instance, or a person, was quicker
            return

    async def _settled(self, case: Case) -> None:
        hand = self._hand
        is_applied = await hand.outside.applied(case)
        await self._resolve(case, handled=True, why="its message was settled, and did not die again",
                            more={"done_record": True} if is_applied else {})

    async def _lost(self, case: Case) -> None:
        """It left for another broker, is not on its way, and that broker never confirmed it: the shelf's server has
        lost the step that sent it, and so has the letter on its shelf still; or somebody removed it by hand."""
        hand = self._hand
        if await hand.outside.letter(case) is None:
            await hand.gone(case)
        elif case.action in ("retry", "repair"):
            await hand.move(case, "scheduled", "recovered", due_ms=hand.now_ms(),
                            why="its server has lost that it was sent back; the letter is on its shelf")
        else:
            await hand.give_up(case, "stuck", "its server has lost that it was sent back; the letter is on its shelf")

    async def died_again(self, case: Case, child: Case) -> None:
        """The case goes on as another one. Raises CaseMoved."""
        await self._resolve(case, handled=False, why="its message died again", more={"letter": child.letter_id})

    async def _resolve(self, case: Case, *, handled: bool, why: str, more: dict[str, object]) -> None:
        hand, paused = self._hand, list[bool | None]()
        now = await hand.move(case, "resolved", "resolved", result="ok" if handled else "failed", why=why, more=more,
                              due_ms=0, also=lambda c: paused.append(self._pauses.ended(c, case, handled=handled)))
        points.reached("dlq.outcome.after")
        self._pauses.tell(case, paused[-1])
        hand.tell_handled(now, "handled" if handled else "died_again")
