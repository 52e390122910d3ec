# SPDX-License-Identifier: Apache-2.0
"""From a new case to what is done with it: judged by the rules, then sent on its way."""

from __future__ import annotations

from ..._base import points
from ..._base.letter_text import ms_of
from ...errors import LetterNotFound
from ..desk import SENT_BACK, Case
from ..handling.facts import facts_of
from ..handling.verdict import Verdict
from ..letters import LetterInfo
from .deeds import Deeds
from .hand import Hand
from .outcome import Outcomes


class Judging:
    """Judges, and decides when."""

    def __init__(self, hand: Hand, deeds: Deeds, outcomes: Outcomes) -> None:
        self._hand, self._deeds, self._outcomes = hand, deeds, outcomes

    async def judge(self, case: Case) -> None:
        """A new case, or one whose rule is no longer there."""
        hand = self._hand
        began = hand.clock.now()
        points.reached("dlq.judge.before")
        letter = await hand.outside.letter(case)
        if case.parent and case.state == "new":
            await self._end_of(case)
        if letter is None:
            await hand.gone(case)
            return
        verdict = hand.rules.current.judge(facts_of(letter, stream=case.logical, tries=case.tries, fresh=case.fresh))
        now = await hand.move(case, "classified", "classified", began=began, category=verdict.category,
                              severity=verdict.severity, rule=verdict.rule, action=verdict.action,
                              more={"label": verdict.label} if verdict.label else None)
        hand.tell_judged(now, began)
        await self._send_on(now, verdict, letter)

    async def classified(self, case: Case) -> None:
        """Judged, and nothing done yet: whoever judged it was stopped, or a person gave it back."""
        verdict = self._hand.rules.current.named(case.rule)
        letter = await self._hand.outside.letter(case)
        if letter is None or verdict is None or verdict.action != case.action:
            await self.judge(case)
        else:
            await self._send_on(case, verdict, letter)

    async def _send_on(self, case: Case, verdict: Verdict, letter: LetterInfo) -> None:
        """What the verdict says, now or later."""
        hand = self._hand
        if verdict.sends_back:
            await self._schedule(case, verdict, _first_failed_ms(letter))
        elif verdict.action == "archive":
            await self._deeds.archive(case)
        elif verdict.action == "discard":
            await hand.move(case, "discarded", "discarded", due_ms=hand.now_ms() + int(hand.settings.undo_s * 1000),
                            why=f"by rule; it can be had back for {hand.settings.undo_s:g} s")
        else:
            await hand.give_up(case, "notify" if verdict.action == "notify" else "manual", f"rule {verdict.rule}")

    async def _schedule(self, case: Case, verdict: Verdict, failed_ms: int) -> None:
        hand = self._hand
        now_ms = hand.now_ms()
        due_ms = verdict.strategy.due_ms(case.tries, now_ms=now_ms, failed_ms=failed_ms, chance=hand.chance)
        if due_ms is None:
            await hand.give_up(case, "exhausted", f"{case.tries} automatic replays, and its message died again "
                                                  f"({verdict.strategy})" if case.tries else
                               f"it may not be sent back any more ({verdict.strategy})")
        elif due_ms <= now_ms:
            await self._deeds.due(case)
        else:
            await hand.move(case, "scheduled", "scheduled", due_ms=due_ms,
                            more={"try": case.tries + 1, "in_s": round((due_ms - now_ms) / 1000, 3)})

    async def _end_of(self, child: Case) -> None:
        """What died again tells what became of the replay of its parent."""
        try:
            parent = await self._hand.desk.get(child.parent)
        except LetterNotFound:
            return
        if parent.state in SENT_BACK:
            await self._outcomes.died_again(parent, child)


def _first_failed_ms(letter: LetterInfo) -> int:
    """When its message failed first, over all its deaths: a replay that dies begins no new time."""
    first_ms = ms_of(letter.metadata.get("first-failure-timestamp", ""))  # guard: a deadline is not put off by a death
    return letter.dead_ms if first_ms is None else min(first_ms, letter.dead_ms)
