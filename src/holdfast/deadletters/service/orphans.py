# SPDX-License-Identifier: Apache-2.0
"""Deeds whose doer was not heard of in time: it looks at the outside first, and only then says what comes next.

Nothing outside is changed here. A letter that is still on its shelf was not moved: its case is due again. One that is
gone was moved by whoever held it, since the script that moves it is the deed. If the former holder was only slow, its
move comes too late at the desk, and its script finds the letter gone, or moves it once.
"""

from __future__ import annotations

from ..._base import points
from ..desk import Case
from .deeds import Deeds
from .hand import Hand


async def recover(hand: Hand, deeds: Deeds, case: Case) -> None:
    """An orphan comes to where it belongs. Raises CaseMoved when its holder was quicker."""
    points.reached("dlq.orphan.before")
    there = await hand.outside.letter(case) is not None  # guard: look at the outside first
    if there:
        tries = max(0, case.tries - 1) if case.deed == "replay" else case.tries
        await hand.move(case, "scheduled", "recovered", due_ms=hand.now_ms(), tries=tries,
                        why=f"{case.holder} was not heard of; the letter is on its shelf, so it did not {case.deed} it")
    elif case.deed == "replay":
        await deeds.replayed(case, found=f"{case.holder} was not heard of, and the letter has left its shelf")
    elif case.deed in ("archive", "discard"):
        await deeds.left(case, f"{case.holder} was not heard of; the letter is kept")
    else:
        await hand.gone(case)
