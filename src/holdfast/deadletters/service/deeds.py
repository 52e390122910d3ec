# SPDX-License-Identifier: Apache-2.0
"""What is done outside: replays, repairs, and taking letters off their shelf. Open this one first.

::

    claim (working, with a deadline) ─▶ one script moves the letter ─▶ the desk is told what was done

The middle step is one script, so a letter is where it was or where it should be, and never in both or neither. A deed
whose doer died is found by its deadline, and what became of it by looking at the shelf (``orphans``).
"""

from __future__ import annotations

from ..._base import points
from ...errors import AlreadyApplied, LetterNotFound, RepairRefused, ReplayRefused
from ..desk import Case, keep, kept_of
from ..desk.carried import sent_back, was_carried
from ..desk.kept import ENTRY, ORIGINAL, SENT
from ..letters import LetterInfo
from ..replay import Order, Replayer
from ..rules import ReplayRules
from .entries import body_of, packed
from .hand import Hand
from .pauses import Pauses

#: A repair that asked somebody who was away is tried again after so long, in ms.
MEND_AGAIN_MS = 60_000


class Deeds:
    """Replays, mends, archives."""

    def __init__(self, hand: Hand, pauses: Pauses) -> None:
        self._hand, self._pauses = hand, pauses

    async def due(self, case: Case) -> None:
        """What its action asks for, now."""
        if case.action == "archive":
            await self.archive(case)
        elif case.action == "discard":
            await self.discard(case)
        elif case.action == "repair" and not case.edited:
            await self.mend(case)
        else:
            await self.replay(case)

    async def replay(self, case: Case) -> None:
        """Back to its group, unless its category pauses."""
        hand = self._hand
        wait_ms = await self._pauses.leave(case)
        if wait_ms:
            await hand.move(case, "scheduled", "scheduled", due_ms=wait_ms + int(1000 * hand.chance.random()),
                            why=f"replays of {case.category} pause: most of them died again")
            return
        claimed = await hand.claim(case, "replay", tries=case.tries + 1)
        await self._replay(claimed)

    async def _replay(self, case: Case) -> None:
        hand, began = self._hand, self._hand.clock.now()
        body = await hand.desk.body(case.edited) if case.edited else None
        if case.edited and body is None:
            await hand.give_up(case, "stuck", "the body that is to be sent in its place is not kept any more")
            return
        replayer = Replayer(hand.outside.shelf(case), applied=hand.applied_of(case.logical, case.group),
                            rules=ReplayRules(kept_days=hand.settings.kept_days,
                                              replays_max=hand.settings.replays_max),
                            events=hand.events, clock=hand.clock)
        try:
            sent = await replayer.one(case.entry_id, Order(by=hand.actor.name, body=body))
        except AlreadyApplied as error:
            await self._applied(case, str(error))
        except ReplayRefused as error:
            await hand.give_up(case, "refused", str(error))
        except LetterNotFound:
            await self._not_there(case)
        else:
            await self.replayed(case, began, to=sent.to, entry=sent.entry_id)

    async def replayed(self, case: Case, began: float = 0.0, **more: str) -> None:
        """Tells the desk that it was sent back; what becomes of it is looked at later."""
        hand, after = self._hand, sent_back(case.logical)
        if after == "replaying" and await was_carried(hand.desk, case.letter_id):  # before we came to say so
            after = "replayed"
        now = await hand.move(case, after, "replayed", began=began, more={"try": case.tries, **more},
                              due_ms=hand.now_ms() + int(hand.settings.check_s * 1000))
        hand.tell_step(now, "replayed", began or hand.clock.now())

    async def _applied(self, case: Case, why: str) -> None:
        """Its effect is there: nothing is sent, and the letter has no more business on the shelf."""
        hand = self._hand
        letter = await hand.outside.letter(case)
        if letter is not None:
            await self._off_the_shelf(case, letter)
        now = await hand.move(case, "resolved", "resolved", why=why, due_ms=0)
        hand.tell_handled(now, "applied")

    async def _not_there(self, case: Case) -> None:
        """Sent back by an instance that was taken for dead, or moved by somebody else."""
        if case.letter_id in await self._hand.way_of(case):
            await self.replayed(case, found="its message is on its way already")
        elif await self._was_recovered(case):  # guard: a slow holder's replay is no stranger's
            await self.replayed(case, found="who had it before was taken for dead, and has sent it back after all")
        else:
            await self._hand.gone(case)

    async def _was_recovered(self, case: Case) -> bool:
        """Had another instance this letter in its hand, that may have been only slow?"""
        return any(step.what == "recovered" for step in await self._hand.desk.steps(case.letter_id))

    # -- mending --------------------------------------------------------------------------------------------------

    async def mend(self, case: Case) -> None:
        """Keeps what it was and what it is to be, then it is due at once."""
        hand = self._hand
        claimed, began = await hand.claim(case, "repair"), hand.clock.now()
        letter, verdict = await hand.outside.letter(claimed), hand.rules.current.named(case.rule)
        if letter is None:
            await hand.gone(claimed)
            return
        try:
            mended = await hand.mender.mend(letter, verdict.repairs) if verdict is not None else None
        except Exception as error:  # noqa: BLE001 - repairs are others' code; their words may hold payload
            await self._not_mended(claimed, error, began)
            return
        if mended is None or mended.body == body_of(letter):
            await hand.give_up(claimed, "unmended", "no repair of its rule changed it", began=began)
            return
        original = await keep(hand.desk, case.letter_id, ORIGINAL, body_of(letter))  # guard: the original is kept first
        sent = await keep(hand.desk, case.letter_id, SENT, mended.body)
        points.reached("dlq.mended.after")
        now = await hand.move(claimed, "scheduled", "repaired", began=began, why=mended.why, edited=sent,
                              due_ms=hand.now_ms(), more={"original": original, "sent": sent})
        hand.tell_step(now, "repaired", began)
        await self.replay(now)

    async def _not_mended(self, case: Case, error: Exception, began: float) -> None:
        hand = self._hand
        why = str(error) if isinstance(error, RepairRefused) else f"a repair raised {type(error).__name__}"
        if getattr(error, "retry_may_help", False):  # what it asked is away
            await hand.move(case, "scheduled", "failed", result="failed", began=began, why=why,
                            due_ms=hand.now_ms() + MEND_AGAIN_MS)
        else:
            await hand.give_up(case, "unmended", why, began=began)

    # -- off the shelf --------------------------------------------------------------------------------------------

    async def archive(self, case: Case) -> None:
        """Kept at the desk, off the shelf."""
        await self._archived(await self._hand.claim(case, "archive"))

    async def discard(self, case: Case) -> None:
        """The same, once the time for undoing it is over."""
        await self._archived(await self._hand.claim(case, "discard"))

    async def _archived(self, case: Case) -> None:
        hand, began = self._hand, self._hand.clock.now()
        letter = await hand.outside.letter(case)
        if letter is None:
            await self.left(case, "who had it before was taken for dead, and has archived it after all")
            return
        sha256 = await self._off_the_shelf(case, letter)
        await self.archived(case, began, sha256)

    async def left(self, case: Case, found: str) -> None:
        """It is off its shelf: archived when it is kept, and else moved by somebody who did not ask."""
        kept = dict(await kept_of(self._hand.desk, case.letter_id))
        if ENTRY in kept:  # guard: what is kept is archived, whoever did it
            await self.archived(case, 0.0, kept[ENTRY], found=found)
        else:
            await self._hand.gone(case)

    async def archived(self, case: Case, began: float, sha256: str, **more: str) -> None:
        """Tells the desk that it is off its shelf."""
        hand = self._hand
        now = await hand.move(case, "archived", "archived", began=began, due_ms=0, more={"entry": sha256, **more})
        hand.tell_step(now, "archived", began or hand.clock.now())
        hand.tell_handled(now, "archived")

    async def _off_the_shelf(self, case: Case, letter: LetterInfo) -> str:
        hand = self._hand
        sha256 = await keep(hand.desk, case.letter_id, ENTRY, packed(letter))  # guard: kept before it is removed
        points.reached("dlq.kept.after")
        await hand.outside.remove(case, letter)
        points.reached("dlq.removed.after")
        return sha256
